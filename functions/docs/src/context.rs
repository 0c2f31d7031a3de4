//! What the function needs, made once at start.

use std::sync::OnceLock;

use edge::config::{ConfigError, Lookup, Reader};
use edge::resource::Resource;
use edge::{Body, Function, Record, Request, Response};

use crate::error::Error;
use crate::{openapi, pages};

/// The configuration of the function.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config {
    /// `EVENTS_URL`: where `/events` is, such as `https://events.example`. `None`: where the documentation is.
    pub events_url: Option<String>,
    /// `ACTIVITY_URL`: where `/activity` is. `None`: where the documentation is.
    pub activity_url: Option<String>,
    /// `SESSIONS_URL`: where `/sessions` is. `None`: where the documentation is.
    pub sessions_url: Option<String>,
    /// `EXPERIMENTS_URL`: where `/experiments` is. `None`: where the documentation is.
    pub experiments_url: Option<String>,
    /// `RETENTION_URL`: where `/retention` is. `None`: where the documentation is.
    pub retention_url: Option<String>,
    /// `FUNNEL_URL`: where `/funnel` is. `None`: where the documentation is.
    pub funnel_url: Option<String>,
}

impl Config {
    /// Reads the configuration; all problems in one error.
    pub fn from_lookup(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(lookup);
        let config = Config {
            events_url: base_url(&mut reader, "EVENTS_URL"),
            activity_url: base_url(&mut reader, "ACTIVITY_URL"),
            sessions_url: base_url(&mut reader, "SESSIONS_URL"),
            experiments_url: base_url(&mut reader, "EXPERIMENTS_URL"),
            retention_url: base_url(&mut reader, "RETENTION_URL"),
            funnel_url: base_url(&mut reader, "FUNNEL_URL"),
        };
        reader.finish(config)
    }

    /// The other origins that the pages send requests to.
    pub(crate) fn origins(&self) -> Vec<String> {
        let urls = [
            &self.events_url,
            &self.activity_url,
            &self.sessions_url,
            &self.experiments_url,
            &self.retention_url,
            &self.funnel_url,
        ];
        let mut origins: Vec<_> = urls
            .into_iter()
            .flatten()
            .filter_map(|url| {
                let uri: http::Uri = url.parse().ok()?;
                Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?))
            })
            .collect();
        origins.sort();
        origins.dedup();
        origins
    }
}

/// An address that paths are appended to, without a slash at its end. The pages show it to everybody and it becomes a part
/// of a header, so it holds nothing but a host and a path.
fn base_url(reader: &mut Reader<'_>, key: &str) -> Option<String> {
    let url = reader.optional_url(key)?;
    let plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~:/[]".contains(&byte))
    };
    if !plain(&url) {
        reader.problem(format!("{key} holds more than a scheme, a host and a path"));
    }
    Some(url.trim_end_matches('/').to_owned())
}

/// What a request is answered with. Each page is made by the first request for it.
pub struct Context {
    /// The configuration.
    pub config: Config,
    openapi: OnceLock<Resource>,
    swagger_ui: OnceLock<Resource>,
    redoc: OnceLock<Resource>,
}

impl Context {
    /// The context of a running function.
    pub fn new(config: Config) -> Self {
        Context {
            config,
            openapi: OnceLock::new(),
            swagger_ui: OnceLock::new(),
            redoc: OnceLock::new(),
        }
    }

    /// `/openapi.json`.
    pub(crate) fn openapi(&self) -> &Resource {
        self.openapi
            .get_or_init(|| Resource::made("application/json", openapi::text(&self.config).into_bytes()))
    }

    /// `/docs`.
    pub(crate) fn swagger_ui(&self) -> &Resource {
        self.swagger_ui.get_or_init(|| pages::swagger_ui(&self.config))
    }

    /// `/redoc`.
    pub(crate) fn redoc(&self) -> &Resource {
        self.redoc.get_or_init(pages::redoc)
    }
}

impl Function for Context {
    type Error = Error;

    const NAME: &'static str = "docs";

    fn from_lookup(lookup: &Lookup<'_>) -> Result<Self, ConfigError> {
        Ok(Context::new(Config::from_lookup(lookup)?))
    }

    fn routes() -> &'static [&'static str] {
        crate::handler::ROUTES
    }

    async fn handle(&self, request: Request, _: &mut Record) -> Result<Response<Body>, Error> {
        crate::handler::handle(self, &request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations() {
        let read = |url: &str| Config::from_lookup(&|key| (key == "EVENTS_URL").then(|| url.to_owned()));
        let good = |url: &str, expected: Option<&str>, origin: Option<&str>| {
            let config = read(url).unwrap();
            assert_eq!(config.events_url.as_deref(), expected, "{url}");
            assert_eq!(config.origins().first().map(String::as_str), origin, "{url}");
        };
        good("", None, None);
        good(
            "https://a.example/",
            Some("https://a.example"),
            Some("https://a.example"),
        );
        good(
            "http://[::1]:9000/base",
            Some("http://[::1]:9000/base"),
            Some("http://[::1]:9000"),
        );
        for wrong in [
            "a.example",
            "https://user:password@a.example",
            "https://a.example/?key=x",
            "https://a.example;script-src",
        ] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(
                error.starts_with("EVENTS_URL ") && !error.contains("password"),
                "{wrong}: {error}"
            );
        }
        let both = Config {
            events_url: Some("https://a.example/events".into()),
            activity_url: Some("https://a.example".into()),
            ..Config::default()
        };
        assert_eq!(both.origins(), ["https://a.example"]);
    }
}
