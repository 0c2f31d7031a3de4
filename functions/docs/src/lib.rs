//! `GET /docs` (Swagger UI), `/redoc` (ReDoc) and `/openapi.json`: what the functions take and answer, for people and for
//! their tools. Everything is in the binary: the pages load nothing from elsewhere.

mod assets;
mod context;
mod error;
mod handler;
pub mod openapi;
mod pages;

pub use context::{Config, Context};
pub use error::Error;
pub use handler::handle;
