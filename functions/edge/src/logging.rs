//! Logs: JSON lines in Lambda, readable lines in a terminal. No line holds a body, an address of a person or a key. Each that is
//! written while a request is handled holds the request's id: in JSON as `span.request_id`.

use std::io::IsTerminal;

use tracing::subscriber::set_global_default;
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::config::Lookup;

/// Libraries whose finer levels quote what they carry: ClickHouse's error texts, requests, events.
const QUOTING: [&str; 8] = [
    "aws_sdk_firehose",
    "aws_sdk_s3",
    "aws_smithy_runtime",
    "aws_smithy_runtime_api",
    "clickhouse",
    "hyper_util",
    "lambda_http",
    "lambda_runtime",
];

/// Writes where a panic happened, and not its message: that may quote what was being read, as those of string slices do.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| match panic.location() {
        Some(location) => tracing::error!(file = location.file(), line = location.line(), "panicked"),
        None => tracing::error!("panicked"),
    }));
}

/// Sets up logging for the process. `RUST_LOG` is a filter; `AWS_LAMBDA_LOG_LEVEL` a level; else `info`. Whatever they
/// say, libraries that quote data stay at `info`.
pub(crate) fn init(lookup: &Lookup<'_>, in_lambda: bool) {
    quiet_panics();
    let directives = lookup("RUST_LOG")
        .or_else(|| lookup("AWS_LAMBDA_LOG_LEVEL"))
        .unwrap_or_default();
    let filter = EnvFilter::try_new(if directives.is_empty() { "info" } else { &directives })
        .unwrap_or_else(|_| EnvFilter::new("info"));
    // Beside the filter, not in it: there a directive for a part of a library would win.
    let quotes_nothing = filter_fn(|metadata| shown(metadata.target(), *metadata.level()) && !is_of_runtime(metadata));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // It would panic where stderr cannot be written, such as on a full disk.
        .log_internal_errors(false);
    // Not `try_init`: where a dependency turns the feature on, it takes in what libraries say through the crate `log` as well,
    // and QUOTING does not know those. A second call (in a test) keeps the first logger.
    let _ = if in_lambda {
        let builder = builder.json().flatten_event(true).with_current_span(true);
        set_global_default(builder.with_span_list(false).finish().with(quotes_nothing))
    } else {
        let builder = builder.with_writer(std::io::stderr).with_target(false);
        let builder = builder.with_ansi(std::io::stderr().is_terminal());
        set_global_default(builder.finish().with(quotes_nothing))
    };
}

/// The span that Lambda's runtime puts around an invocation holds a header as it came.
fn is_of_runtime(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with("lambda_runtime")
}

/// Whether a line of that target and level may be written, whatever is asked for.
fn shown(target: &str, level: Level) -> bool {
    let is_of = |library: &str| {
        let part = target.strip_prefix(library);
        part.is_some_and(|part| part.is_empty() || part.starts_with("::"))
    };
    level <= Level::INFO || !QUOTING.iter().any(|library| is_of(library))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_that_quote_data_stay_at_info() {
        for (target, level, expected) in [
            ("clickhouse", Level::INFO, true),
            ("clickhouse", Level::DEBUG, false),
            ("clickhouse::query", Level::TRACE, false),
            ("lambda_runtime::layers", Level::TRACE, false),
            ("lambda_runtime_api_client", Level::DEBUG, true),
            ("events::firehose", Level::TRACE, true),
        ] {
            assert_eq!(shown(target, level), expected, "{target} {level}");
        }
    }
}
