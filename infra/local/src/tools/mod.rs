//! The tools that the stack needs (engine, cargo-lambda, dbt), fetched into a project-local cache.
