//! Logs: JSON lines in Lambda, readable lines in a terminal. No line holds a body, an address of a person or a key. Each that is
//! written while a request is handled holds the request's id: in JSON as `span.request_id`.

use std::io::IsTerminal;

use tracing::subscriber::set_global_default;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{LevelFilter, Targets, filter_fn};
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

/// Sets up logging for the process. `RUST_LOG` is a filter by target and level; `AWS_LAMBDA_LOG_LEVEL` a level; else `info`. Whatever they
/// say, libraries that quote data stay at `info`.
pub(crate) fn init(lookup: &Lookup<'_>, in_lambda: bool) {
    quiet_panics();
    let directives = lookup("RUST_LOG")
        .or_else(|| lookup("AWS_LAMBDA_LOG_LEVEL"))
        .unwrap_or_default();
    let filter = filter(&directives).unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let levels = filter.iter().map(|(_, level)| level).chain(filter.default_level());
    // Beside the filter, not in it: there a directive for a part of a library would win.
    let quotes_nothing = filter_fn(|metadata| shown(metadata.target(), *metadata.level()) && !is_of_runtime(metadata));
    let builder = tracing_subscriber::fmt()
        .with_max_level(levels.max().unwrap_or(LevelFilter::OFF))
        // It would panic where stderr cannot be written, such as on a full disk.
        .log_internal_errors(false);
    // Not `try_init`: where a dependency turns the feature on, it takes in what libraries say through the crate `log` as well,
    // and QUOTING does not know those. A second call (in a test) keeps the first logger.
    let _ = if in_lambda {
        let builder = builder.json().flatten_event(true).with_current_span(true);
        set_global_default(builder.with_span_list(false).finish().with(filter).with(quotes_nothing))
    } else {
        let builder = builder.with_writer(std::io::stderr).with_target(false);
        let builder = builder.with_ansi(std::io::stderr().is_terminal());
        set_global_default(builder.finish().with(filter).with(quotes_nothing))
    };
}

/// What `RUST_LOG` asks for, such as `info,events=debug`; `None` if it cannot be read. Not an `EnvFilter`, which can pick spans by
/// their fields as well: its regular expressions would be a tenth of each program.
fn filter(directives: &str) -> Option<Targets> {
    let mut filter = None;
    for directive in directives.split(',').map(str::trim).filter(|it| !it.is_empty()) {
        let begins = |first: char| first.is_alphanumeric() || "-:_".contains(first);
        if directive.contains('[') || !directive.starts_with(begins) {
            return None;
        }
        let targets = filter.unwrap_or_else(Targets::new);
        filter = Some(match (directive.split_once('='), directive.parse::<LevelFilter>()) {
            (Some((target, "")), _) => targets.with_target(target, LevelFilter::TRACE),
            (Some((target, level)), _) => targets.with_target(target, level.parse::<LevelFilter>().ok()?),
            (None, Ok(level)) => targets.with_default(level),
            (None, Err(_)) => targets.with_target(directive, LevelFilter::TRACE),
        });
    }
    filter
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

    /// As an `EnvFilter` of the same text.
    #[test]
    fn directives_are_levels_of_targets() {
        let events = "events::firehose";
        for (directives, enabled) in [
            ("info", &[(events, Level::INFO), ("hyper", Level::INFO)][..]),
            ("WARN", &[(events, Level::WARN), ("hyper", Level::WARN)]),
            ("off", &[]),
            ("debug,hyper=off", &[(events, Level::DEBUG)]),
            (
                "info, events=debug ,",
                &[(events, Level::DEBUG), ("hyper", Level::INFO)],
            ),
            (
                "warn,events::handler=trace",
                &[(events, Level::WARN), ("hyper", Level::WARN)],
            ),
            ("events=info,events::firehose=error", &[(events, Level::ERROR)]),
            ("events", &[(events, Level::TRACE)]),
            ("events=", &[(events, Level::TRACE)]),
            ("hyper=3", &[("hyper", Level::INFO)]),
        ] {
            let filter = filter(directives).unwrap();
            for target in [events, "hyper"] {
                let expected = enabled.iter().find(|(of, _)| *of == target).map(|(_, level)| *level);
                let levels = [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR];
                let finest = levels.into_iter().find(|level| filter.would_enable(target, level));
                assert_eq!(finest, expected, "{directives} {target}");
            }
        }
        for unread in [
            "",
            ",",
            "events=loud",
            "a=b=c",
            "*=debug",
            "[request]=debug",
            "events[request{id=1}]=debug",
        ] {
            assert!(filter(unread).is_none(), "{unread}");
        }
    }

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
