//! The one integration binary. Every test starts what it needs for real, on free ports and in a folder of its own:
//! the engine, Firehose, the functions. No test depends on another, on the clock, or on what the machine already runs.
//!
//! Run it with `cargo weir test`, which fetches the tools and says where they are:
//! `WEIR_BIN` (the `weir` under test), `WEIR_CLIENTS_PYTHON` (a virtual environment with third parties' clients),
//! `WEIR_CLIENTS_NODE` (a folder with their `node_modules`), `WEIR_CHROMIUM` (a browser), `WEIR_SCHEMATHESIS` (a virtual
//! environment with schemathesis), `WEIR_SAM` (one with the SAM CLI), `WEIR_MARTS` (one with what computes the marts again),
//! `WEIR_DBT` (one with dbt), `WEIR_PROMETHEUS`, `WEIR_PROMTOOL` and `WEIR_DOCKER_COMPOSE` (these programs) and `WEIR_GRAFANA` (a
//! folder whose `node_modules` holds Grafana's types).

#![allow(missing_docs, unreachable_pub, reason = "a test binary has no public interface")]
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test may panic, and reads where its tools are"
)]

mod endpoint;
mod held;
mod process;
mod sql;
mod stack;

mod bench;
mod chaos;
mod clients;
mod command_line;
mod contract;
mod crash;
mod dashboard;
mod dbt_function;
mod deploy;
mod docs;
mod engine;
mod firehose;
mod interrupted;
mod lambda;
mod loader;
mod marts;
mod metrics;
mod monitoring;
mod pipeline;
mod quarantine;
mod reading;
mod replay;
mod s3queue;
mod schemathesis;
mod secrets;
mod status;
mod tail;
mod template;
mod threats;
mod trace;
mod warehouse;
