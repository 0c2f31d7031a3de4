//! What a stack is: its ports, its addresses, and the environment its functions see. No I/O.

use std::{
    ffi::OsString,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// The functions that the stack runs. A plain server each listens on the functions port plus its place here.
pub(crate) const FUNCTIONS: [&str; 9] = [
    "events",
    "loader",
    "activity",
    "docs",
    "sessions",
    "experiments",
    "retention",
    "funnel",
    "dashboard",
];

/// The name of the stream between `events` and `loader`.
pub(crate) const STREAM: &str = "weir-events";

/// The ports a stack listens on, all on 127.0.0.1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ports {
    /// That of the functions' addresses, or with `--plain` the function `events`'s.
    pub(crate) functions: u16,
    /// cargo-lambda's, behind `functions`; absent with `--plain`.
    pub(crate) watch: Option<u16>,
    /// With `--plain`: the function `loader`'s. Else the same as `functions`.
    pub(crate) loader: u16,
    /// With `--plain`: the function `activity`'s. Else the same as `functions`.
    pub(crate) activity: u16,
    /// With `--plain`: the function `docs`'s. Else the same as `functions`.
    pub(crate) docs: u16,
    /// With `--plain`: the function `sessions`'s. Else the same as `functions`.
    pub(crate) sessions: u16,
    /// With `--plain`: the function `experiments`'s. Else the same as `functions`.
    pub(crate) experiments: u16,
    /// With `--plain`: the function `retention`'s. Else the same as `functions`.
    pub(crate) retention: u16,
    /// With `--plain`: the function `funnel`'s. Else the same as `functions`.
    pub(crate) funnel: u16,
    /// With `--plain`: the function `dashboard`'s. Else the same as `functions`.
    pub(crate) dashboard: u16,
    /// ClickHouse's HTTP interface; absent when `CLICKHOUSE_URL` names a server that is not ours.
    pub(crate) clickhouse: Option<u16>,
    /// The Firehose API.
    pub(crate) firehose: u16,
    /// `GET /metrics`; absent where nobody asks for it.
    pub(crate) metrics: Option<u16>,
}

/// The addresses of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Urls {
    /// Where to POST events.
    pub(crate) events: String,
    /// Where to GET activity.
    pub(crate) activity: String,
    /// Where to GET sessions.
    pub(crate) sessions: String,
    /// Where to GET experiments.
    pub(crate) experiments: String,
    /// Where to GET retention.
    pub(crate) retention: String,
    /// Where to GET funnel.
    pub(crate) funnel: String,
    /// The page with the numbers.
    pub(crate) dashboard: String,
    /// The documentation's page.
    pub(crate) docs: String,
    /// Where Firehose delivers to.
    pub(crate) loader: String,
    /// ClickHouse's HTTP interface.
    pub(crate) clickhouse: String,
    /// The Firehose API (`AWS_ENDPOINT_URL_FIREHOSE`).
    pub(crate) firehose: String,
    /// Where to GET metrics; absent where nobody asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metrics: Option<String>,
}

impl Urls {
    /// The addresses that belong to these ports. `clickhouse` is the server that is not ours, if any.
    pub(super) fn new(ports: &Ports, plain: bool, clickhouse: Option<&str>) -> Self {
        let local = |port: u16| format!("http://127.0.0.1:{port}");
        let functions = local(ports.functions);
        // The others have short paths.
        let loader = if plain {
            format!("{}/", local(ports.loader))
        } else {
            format!("{functions}/lambda-url/loader/")
        };
        Self {
            events: format!("{functions}/events"),
            activity: format!("{}/activity", local(ports.activity)),
            sessions: format!("{}/sessions", local(ports.sessions)),
            experiments: format!("{}/experiments", local(ports.experiments)),
            retention: format!("{}/retention", local(ports.retention)),
            funnel: format!("{}/funnel", local(ports.funnel)),
            dashboard: format!("{}/dashboard", local(ports.dashboard)),
            docs: format!("{}/docs", local(ports.docs)),
            loader,
            clickhouse: match (clickhouse, ports.clickhouse) {
                (Some(url), _) => url.trim_end_matches('/').to_owned(),
                (None, port) => local(port.unwrap_or_default()),
            },
            firehose: local(ports.firehose),
            metrics: ports.metrics.map(|port| format!("{}/metrics", local(port))),
        }
    }
}

/// How to reach the warehouse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Warehouse {
    pub(super) user: String,
    pub(super) password: String,
    pub(super) database: String,
}

/// The environment of all functions together: what `cargo lambda watch` gives to each of them, having one for all.
pub(super) fn function_environment(
    urls: &Urls,
    warehouse: &Warehouse,
    access_key: &str,
) -> Vec<(&'static str, String)> {
    let mut environment = vec![
        ("CLICKHOUSE_URL", urls.clickhouse.clone()),
        ("CLICKHOUSE_USER", warehouse.user.clone()),
        ("CLICKHOUSE_PASSWORD", warehouse.password.clone()),
        ("CLICKHOUSE_DATABASE", warehouse.database.clone()),
        ("FIREHOSE_STREAM", STREAM.to_owned()),
        ("FIREHOSE_ACCESS_KEY", access_key.to_owned()),
        ("AWS_ENDPOINT_URL_FIREHOSE", urls.firehose.clone()),
        ("AWS_REGION", "us-east-1".to_owned()),
        // The local Firehose takes any credentials; the SDK wants to sign with some.
        ("AWS_ACCESS_KEY_ID", "local".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
    ];
    // Where everything has one address, the documentation leaves it out: a page opened as `localhost` stays there.
    for (name, url, path) in [
        ("EVENTS_URL", &urls.events, "/events"),
        ("ACTIVITY_URL", &urls.activity, "/activity"),
        ("SESSIONS_URL", &urls.sessions, "/sessions"),
        ("EXPERIMENTS_URL", &urls.experiments, "/experiments"),
        ("RETENTION_URL", &urls.retention, "/retention"),
        ("FUNNEL_URL", &urls.funnel, "/funnel"),
    ] {
        let base = url.strip_suffix(path).unwrap_or(url);
        if urls.docs.strip_suffix("/docs") != Some(base) {
            environment.push((name, base.to_owned()));
        }
    }
    environment
}

/// The command line of `weir clickhouse`.
pub(super) fn clickhouse_args(port: u16, data: &Path, library: Option<&PathBuf>) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["clickhouse".into(), "--port".into(), port.to_string().into()];
    args.extend(["--data-dir".into(), data.into()]);
    if let Some(library) = library {
        args.extend(["--library".into(), library.into()]);
    }
    args
}

/// The command line of `weir firehose` with the stream that delivers to `endpoint`. The access key goes by environment: a
/// command line is seen by every user of the machine.
pub(super) fn firehose_args(port: u16, data: &Path, endpoint: &str, interval: u64, size_mb: u64) -> Vec<OsString> {
    let mut args: Vec<OsString> = vec!["firehose".into(), "--port".into(), port.to_string().into()];
    args.extend(["--data-dir".into(), data.into()]);
    let (interval, size_mb) = (interval.to_string(), size_mb.to_string());
    // The longest retry time that Firehose knows: a laptop's ClickHouse may be down for a while.
    let stream = [
        "--stream",
        STREAM,
        "--endpoint-url",
        endpoint,
        "--retry-seconds",
        "7200",
    ];
    args.extend(stream.map(OsString::from));
    args.extend(["--interval", &interval, "--size-mb", &size_mb].map(OsString::from));
    args
}

/// Variables of the shell that would reach past the local stack, or make cargo build everything again: `cargo run`
/// sets the `CARGO_*` ones, and some build scripts run anew when they change.
pub(crate) const WITHHELD: &[&str] = &[
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_ENDPOINT_URL",
    "AWS_LAMBDA_RUNTIME_API",
    "PORT",
    "CARGO_BIN_NAME",
    "CARGO_CRATE_NAME",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_LINKS",
    "CARGO_MANIFEST_PATH",
    "CARGO_PKG_AUTHORS",
    "CARGO_PKG_DESCRIPTION",
    "CARGO_PKG_HOMEPAGE",
    "CARGO_PKG_LICENSE",
    "CARGO_PKG_LICENSE_FILE",
    "CARGO_PKG_NAME",
    "CARGO_PKG_README",
    "CARGO_PKG_REPOSITORY",
    "CARGO_PKG_RUST_VERSION",
    "CARGO_PKG_VERSION",
    "CARGO_PKG_VERSION_MAJOR",
    "CARGO_PKG_VERSION_MINOR",
    "CARGO_PKG_VERSION_PATCH",
    "CARGO_PKG_VERSION_PRE",
    "CARGO_PRIMARY_PACKAGE",
];

/// A value that an env file cannot hold.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} holds a line break, which no env file can")]
pub(super) struct LineBreak(&'static str);

/// The environment as an env file that a shell can read too: a value with anything but plain characters is quoted.
pub(super) fn env_file(environment: &[(&'static str, String)]) -> Result<String, LineBreak> {
    let mut file = String::new();
    for (name, value) in environment {
        if value.contains(['\n', '\r']) {
            return Err(LineBreak(name));
        }
        let plain = value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c));
        let written = if plain {
            value.clone()
        } else {
            format!("'{}'", value.replace('\'', r"'\''"))
        };
        let _ = writeln!(file, "{name}={written}");
    }
    Ok(file)
}

/// An event to try the stack with: `dt` is the time it should carry.
pub(super) fn sample_curl(urls: &Urls, dt: &str) -> String {
    format!(
        "curl -i {} -H 'content-type: application/json' -d '{{\"dt\":\"{dt}\",\"name\":\"view\",\"user_id\":42,\
         \"url\":\"https://shop.example/\",\"obj\":\"page\"}}'",
        urls.events
    )
}

/// Which file each process logs to, and with `--release` where its program comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Programs {
    /// The `weir` program that serves ClickHouse and Firehose.
    pub(super) weir: PathBuf,
    /// The built functions, in the order of [`FUNCTIONS`].
    pub(super) functions: Vec<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports() -> Ports {
        Ports {
            functions: 9000,
            watch: Some(9001),
            loader: 9000,
            activity: 9000,
            docs: 9000,
            sessions: 9000,
            experiments: 9000,
            retention: 9000,
            funnel: 9000,
            dashboard: 9000,
            clickhouse: Some(8123),
            firehose: 4573,
            metrics: Some(9464),
        }
    }

    #[test]
    fn addresses_follow_the_ports() {
        let watched = Urls::new(&ports(), false, None);
        assert_eq!(watched.events, "http://127.0.0.1:9000/events");
        assert_eq!(watched.loader, "http://127.0.0.1:9000/lambda-url/loader/");
        assert_eq!(watched.clickhouse, "http://127.0.0.1:8123");
        assert_eq!(watched.metrics.as_deref(), Some("http://127.0.0.1:9464/metrics"));
        let plain = Urls::new(
            &Ports {
                loader: 9001,
                activity: 9002,
                docs: 9003,
                funnel: 9007,
                dashboard: 9008,
                ..ports()
            },
            true,
            None,
        );
        assert_eq!(plain.events, "http://127.0.0.1:9000/events");
        assert_eq!(plain.loader, "http://127.0.0.1:9001/");
        assert_eq!(plain.activity, "http://127.0.0.1:9002/activity");
        assert_eq!(plain.docs, "http://127.0.0.1:9003/docs");
        assert_eq!(plain.funnel, "http://127.0.0.1:9007/funnel");
        assert_eq!(plain.dashboard, "http://127.0.0.1:9008/dashboard");
        let theirs = Urls::new(
            &Ports {
                clickhouse: None,
                ..ports()
            },
            false,
            Some("https://warehouse.example:8443/"),
        );
        assert_eq!(theirs.clickhouse, "https://warehouse.example:8443");
    }

    #[test]
    fn env_files_hold_what_a_shell_reads_back() {
        let check = |value: &str, expected: Result<&str, LineBreak>| {
            assert_eq!(
                env_file(&[("KEY", value.to_owned())]),
                expected.map(str::to_owned),
                "{value:?}"
            );
        };
        check("", Ok("KEY=\n"));
        check("http://127.0.0.1:8123", Ok("KEY=http://127.0.0.1:8123\n"));
        check("two words # and more", Ok("KEY='two words # and more'\n"));
        check("it's $HOME", Ok("KEY='it'\\''s $HOME'\n"));
        check("a\nb", Err(LineBreak("KEY")));
    }

    #[test]
    fn the_functions_see_the_stack_and_no_account() {
        let warehouse = Warehouse {
            user: "u".into(),
            password: "p".into(),
            database: "d".into(),
        };
        let watched = function_environment(&Urls::new(&ports(), false, None), &warehouse, "key");
        let apart = Ports {
            activity: 9002,
            docs: 9003,
            ..ports()
        };
        let plain = function_environment(&Urls::new(&apart, true, None), &warehouse, "key");
        let of = |environment: &[(&'static str, String)], name| {
            let found = environment.iter().find(|(it, _)| *it == name);
            found.map(|(_, value)| value.clone())
        };
        assert_eq!((of(&watched, "EVENTS_URL"), of(&watched, "ACTIVITY_URL")), (None, None));
        assert_eq!(of(&plain, "EVENTS_URL").as_deref(), Some("http://127.0.0.1:9000"));
        assert_eq!(of(&plain, "ACTIVITY_URL").as_deref(), Some("http://127.0.0.1:9002"));
        let value = |name| of(&watched, name);
        assert_eq!(value("FIREHOSE_ACCESS_KEY").as_deref(), Some("key"));
        assert_eq!(
            value("AWS_ENDPOINT_URL_FIREHOSE").as_deref(),
            Some("http://127.0.0.1:4573")
        );
        assert_eq!(value("CLICKHOUSE_USER").as_deref(), Some("u"));
        assert!(WITHHELD.contains(&"AWS_SESSION_TOKEN"));
    }
}
