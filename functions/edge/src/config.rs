//! Configuration from named values, all problems in one error.
//!
//! ```
//! use edge::config::Reader;
//!
//! let lookup = |key: &str| (key == "PORT").then(|| "80x".to_owned());
//! let mut reader = Reader::new(&lookup);
//! let port: u16 = reader.parsed("PORT", 8080, "a port number");
//! let stream = reader.required("FIREHOSE_STREAM", "the name of the Firehose stream");
//! let error = reader.finish((port, stream)).unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "PORT is \"80x\", not a port number; FIREHOSE_STREAM is not set: the name of the Firehose stream"
//! );
//! ```

use std::str::FromStr;

use secrecy::SecretString;

/// Where named values come from: the environment, or a map in a test.
pub type Lookup<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// What is missing or impossible in the configuration, in one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct ConfigError(Vec<String>);

impl ConfigError {
    /// Both errors in one.
    pub fn and(mut self, other: ConfigError) -> ConfigError {
        self.0.extend(other.0);
        self
    }
}

/// Reads values and notes what is wrong with them. An empty value counts as not set.
pub struct Reader<'a> {
    lookup: &'a Lookup<'a>,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    /// Reads from `lookup`.
    pub fn new(lookup: &'a Lookup<'a>) -> Self {
        Reader {
            lookup,
            problems: Vec::new(),
        }
    }

    /// The value, when it is set.
    pub fn optional(&self, key: &str) -> Option<String> {
        (self.lookup)(key).filter(|value| !value.is_empty())
    }

    /// The value, or `default`.
    pub fn or(&self, key: &str, default: &str) -> String {
        self.optional(key).unwrap_or_else(|| default.to_owned())
    }

    /// A value that must be set; `what` says what it is for.
    pub fn required(&mut self, key: &str, what: &str) -> String {
        self.optional(key).unwrap_or_else(|| {
            self.problem(format!("{key} is not set: {what}"));
            String::new()
        })
    }

    /// A value that must be set and must not be shown.
    pub fn secret(&mut self, key: &str, what: &str) -> SecretString {
        self.required(key, what).into()
    }

    /// A value of another type, or `default`; `what` says what it should be.
    pub fn parsed<T: FromStr>(&mut self, key: &str, default: T, what: &str) -> T {
        match self.optional(key) {
            None => default,
            Some(value) => value.parse().unwrap_or_else(|_| {
                self.problem(format!("{key} is {value:?}, not {what}"));
                default
            }),
        }
    }

    /// An http or https address that must be set; `what` says what it is for.
    pub fn required_url(&mut self, key: &str, what: &str) -> String {
        let value = self.required(key, what);
        if !value.is_empty() {
            self.check_url(key, &value);
        }
        value
    }

    /// An http or https address, when it is set.
    pub fn optional_url(&mut self, key: &str) -> Option<String> {
        let value = self.optional(key)?;
        self.check_url(key, &value);
        Some(value)
    }

    fn check_url(&mut self, key: &str, value: &str) {
        let is_url = value.parse::<http::Uri>().is_ok_and(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
        });
        if !is_url {
            // The value is not repeated: people put passwords in addresses.
            self.problem(format!("{key} is not an http:// or https:// address"));
        }
    }

    /// Notes a problem found by other means.
    pub fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// The configuration, or everything that was wrong.
    pub fn finish<T>(self, config: T) -> Result<T, ConfigError> {
        if self.problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(self.problems))
        }
    }

    /// As [`Reader::finish`], for a configuration that is only there when nothing was wrong with it.
    pub fn finish_some<T>(mut self, config: Option<T>) -> Result<T, ConfigError> {
        match config {
            Some(config) => self.finish(config),
            None => {
                if self.problems.is_empty() {
                    self.problem("the configuration is not complete".to_owned());
                }
                Err(ConfigError(self.problems))
            }
        }
    }
}

/// A value of the process environment. The only reading of it; everything else gets a [`Lookup`].
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn env(key: &str) -> Option<String> {
    std::env::var(key).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_is_said_at_once() {
        let lookup = |key: &str| match key {
            "URL" => Some("localhost:8123".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let mut reader = Reader::new(&lookup);
        assert_eq!(reader.or("EMPTY", "default"), "default");
        reader.required_url("URL", "an address");
        reader.secret("KEY", "the key");
        let error = reader.finish(()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "URL is not an http:// or https:// address; KEY is not set: the key"
        );
    }
}
