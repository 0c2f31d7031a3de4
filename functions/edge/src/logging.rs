//! Logs: JSON lines in Lambda, readable lines in a terminal. No line holds a body, an address of a person or a key.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::Lookup;

/// Sets up logging for the process. `RUST_LOG` is a filter; `AWS_LAMBDA_LOG_LEVEL` a level; else `info`.
pub(crate) fn init(lookup: &Lookup<'_>, in_lambda: bool) {
    let directives = lookup("RUST_LOG")
        .or_else(|| lookup("AWS_LAMBDA_LOG_LEVEL"))
        .unwrap_or_default();
    let filter = EnvFilter::try_new(if directives.is_empty() { "info" } else { &directives })
        .unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter);
    // A second call (in a test) keeps the first logger.
    let _ = if in_lambda {
        builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .try_init()
    } else {
        builder
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .try_init()
    };
}
