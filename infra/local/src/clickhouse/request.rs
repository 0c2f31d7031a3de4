//! A query as it comes over HTTP: what the URL's parameters and the headers say, typed.
//!
//! Follows `HTTPHandler::processQuery` of ClickHouse 26: reserved parameter names, headers that stand over parameters,
//! every other name is a setting, `param_x` a value for `{x:Type}`.

use std::time::Duration;

use http::{HeaderMap, Method};

use super::compression::http::Encoding;
use super::error::{Code, Exception};

/// Parameter names that are not settings.
const RESERVED: [&str; 19] = [
    "query",
    "compress",
    "decompress",
    "user",
    "password",
    "quota_key",
    "query_id",
    "stacktrace",
    "role",
    "buffer_size",
    "wait_end_of_query",
    "session_id",
    "session_timeout",
    "session_check",
    "client_protocol_version",
    "close_session",
    "database",
    "default_format",
    "enable_http_stacktrace",
];

/// Bytes of a response that are held back before its head is sent, so that a failure until then has its own status. The
/// size of the server's own write buffer.
const RESPONSE_BUFFER: usize = 1 << 20;

/// Names and values of a query string, decoded, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Parameters(pub(crate) Vec<(String, Vec<u8>)>);

impl Parameters {
    /// Decodes `a=b&c=d`: plus is a blank, `%XX` a byte. Values may hold any bytes.
    pub(crate) fn parse(query: &str) -> Self {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (String::from_utf8_lossy(&decode(name)).into_owned(), decode(value))
        });
        Self(pairs.filter(|(name, _)| !name.is_empty()).collect())
    }

    /// The first value of a name, as text.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.bytes(name)
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// The first value of a name.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_slice())
    }

    fn last(&self, name: &str) -> Option<String> {
        self.0
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Exception> {
        let Some(text) = self.last(name) else { return Ok(None) };
        match text.to_ascii_lowercase().as_str() {
            "1" | "true" => Ok(Some(true)),
            "0" | "false" => Ok(Some(false)),
            _ => Err(cannot_parse(name, &text)),
        }
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Exception> {
        let Some(text) = self.last(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| cannot_parse(name, &text))
    }
}

fn cannot_parse(name: &str, text: &str) -> Exception {
    Exception::new(
        Code::CannotParseInput,
        format!("Cannot parse input: expected a number in parameter '{name}' before: '{text}'"),
    )
}

fn decode(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let escaped = digit(at + 1).zip(digit(at + 2));
        match (byte, escaped.and_then(|(high, low)| u8::try_from(high * 16 + low).ok())) {
            (b'%', Some(value)) => {
                decoded.push(value);
                at += 3;
            }
            (b'+', _) => {
                decoded.push(b' ');
                at += 1;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// `default` when none is named.
    pub(crate) user: String,
    /// Empty when none is given.
    pub(crate) password: String,
}

impl Credentials {
    /// Reads headers X-ClickHouse-User and -Key, or Basic authorization, or the URL; mixing them is refused.
    pub(crate) fn read(headers: &HeaderMap, parameters: &Parameters) -> Result<Self, Exception> {
        let header = |name: &str| {
            headers
                .get(name)
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let user = header("x-clickhouse-user").unwrap_or_default();
        let key = header("x-clickhouse-key").unwrap_or_default();
        let authorization = header("authorization").filter(|value| value != "never");
        let in_url = parameters.get("user").is_some() || parameters.get("password").is_some();
        let mixed = |one: &str, other: &str| {
            Err(Exception::new(
                Code::AuthenticationFailed,
                format!("Invalid authentication: it is not allowed to use {one} and {other} simultaneously"),
            ))
        };
        let (credentials, source) = if !user.is_empty() || !key.is_empty() {
            if authorization.is_some() {
                return mixed("X-ClickHouse HTTP headers", "Authorization HTTP header");
            }
            if in_url {
                return mixed("X-ClickHouse HTTP headers", "authentication via parameters");
            }
            (Self { user, password: key }, "X-ClickHouse HTTP headers")
        } else if let Some(authorization) = authorization {
            if in_url {
                return mixed("Authorization HTTP header", "authentication via parameters");
            }
            (Self::basic(&authorization)?, "Authorization HTTP header")
        } else {
            let user = parameters.get("user").unwrap_or_else(|| "default".to_owned());
            let password = parameters.get("password").unwrap_or_default();
            (Self { user, password }, "authentication via parameters")
        };
        if credentials.user.is_empty() {
            return Err(Exception::new(
                Code::AuthenticationFailed,
                format!("Got an empty user name from {source}"),
            ));
        }
        Ok(credentials)
    }

    fn basic(authorization: &str) -> Result<Self, Exception> {
        use base64::Engine as _;
        let (scheme, value) = authorization.split_once(' ').unwrap_or((authorization, ""));
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(Exception::new(
                Code::AuthenticationFailed,
                format!("Invalid authentication: '{scheme}' HTTP Authorization scheme is not supported"),
            ));
        }
        let decoded = base64::engine::general_purpose::STANDARD
            .decode(value.trim())
            .unwrap_or_default();
        let decoded = String::from_utf8_lossy(&decoded).into_owned();
        let (user, password) = decoded.split_once(':').unwrap_or((&decoded, ""));
        Ok(Self {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }
}

/// A session that outlives its requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SessionRequest {
    /// The client's name for it.
    pub(crate) id: String,
    /// How long it lives after the last request.
    pub(crate) timeout: Duration,
    /// It must exist.
    pub(crate) check: bool,
    /// It ends with this request.
    pub(crate) close: bool,
}

/// A table that comes with the query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExternalTable {
    /// Its name in the query.
    pub(crate) name: String,
    /// Its data's format.
    pub(crate) format: String,
    /// Columns as in CREATE TABLE.
    pub(crate) structure: String,
    /// The data.
    pub(crate) data: bytes::Bytes,
}

/// How the response is packed and held back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResponseOptions {
    /// The client's id, or a new one.
    pub(crate) query_id: String,
    /// `compress=1`.
    pub(crate) compress: bool,
    /// Accept-Encoding, when `enable_http_compression` is set.
    pub(crate) encoding: Option<Encoding>,
    /// `http_zlib_compression_level`.
    pub(crate) level: u32,
    /// Hold the whole response back until the query has ended.
    pub(crate) wait: bool,
    /// The client asked for a buffer.
    pub(crate) buffered: bool,
    /// Bytes to hold back in memory at most.
    pub(crate) buffer: usize,
    /// For X-ClickHouse-Timezone.
    pub(crate) timezone: String,
    /// `add_http_cors_header` with an Origin.
    pub(crate) cors: bool,
}

/// One query.
#[derive(Debug, Clone)]
pub(crate) struct QueryRequest {
    /// From the URL (or a form); the body follows after a line end.
    pub(crate) text: Vec<u8>,
    /// `param_*`.
    pub(crate) parameters: Vec<(String, Vec<u8>)>,
    /// For SET, in order, the last of a name standing.
    pub(crate) settings: Vec<(String, String)>,
    /// `database`.
    pub(crate) database: Option<String>,
    /// `role`.
    pub(crate) roles: Vec<String>,
    /// What to answer in when the text does not say.
    pub(crate) default_format: Option<String>,
    /// The session, when one is named.
    pub(crate) session: Option<SessionRequest>,
    /// The method implies `readonly = 2`.
    pub(crate) readonly: bool,
    /// `decompress=1`.
    pub(crate) decompress: bool,
    /// Checksums of `decompress=1` count.
    pub(crate) verify: bool,
    /// Content-Encoding.
    pub(crate) content_encoding: String,
    /// `client_protocol_version`, which the Native format depends on; 0 when absent.
    pub(crate) protocol: u64,
    /// Tables of a multipart form.
    pub(crate) tables: Vec<ExternalTable>,
    /// The response.
    pub(crate) response: ResponseOptions,
}

impl QueryRequest {
    /// Reads URL and headers. `compresses` is the default of `enable_http_compression`; `fresh_id` is used when the client
    /// gives no query id.
    pub(crate) fn read(
        method: &Method,
        headers: &HeaderMap,
        url: &Parameters,
        compresses: bool,
        fresh_id: impl FnOnce() -> String,
    ) -> Result<Self, Exception> {
        let header = |name: &str| {
            headers
                .get(name)
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let multipart = header("content-type").is_some_and(|value| value.starts_with("multipart/form-data"));
        let mut settings: Vec<(String, String)> = Vec::new();
        let mut parameters: Vec<(String, Vec<u8>)> = Vec::new();
        for (name, value) in &url.0 {
            if let Some(name) = name.strip_prefix("param_") {
                if !parameters.iter().any(|(known, _)| known == name) {
                    parameters.push((name.to_owned(), value.clone()));
                }
            } else if !(RESERVED.contains(&name.as_str()) || multipart && describes_table(name)) {
                settings.retain(|(known, _)| known != name);
                settings.push((name.clone(), String::from_utf8_lossy(value).into_owned()));
            }
        }
        let setting = |name: &str| {
            settings
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
        };
        let on = |name: &str| setting(name).is_some_and(|value| matches!(value, "1" | "true"));

        let query_id = url
            .get("query_id")
            .or_else(|| header("x-clickhouse-query-id"))
            .unwrap_or_default();
        let query_id: String = query_id.chars().filter(|c| !c.is_ascii_control()).collect();
        let wait = match setting("http_wait_end_of_query") {
            Some(value) => matches!(value, "1" | "true"),
            None => url.flag("wait_end_of_query")?.unwrap_or(false),
        };
        let buffer = match setting("http_response_buffer_size").and_then(|value| value.parse().ok()) {
            Some(size) => size,
            None => url.number("buffer_size")?.unwrap_or(0),
        };
        let encoding = setting("enable_http_compression")
            .map_or(compresses, |value| matches!(value, "1" | "true"))
            .then(|| Encoding::choose(&header("accept-encoding").unwrap_or_default()))
            .flatten();
        let response = ResponseOptions {
            query_id: if query_id.is_empty() { fresh_id() } else { query_id },
            compress: url.flag("compress")?.unwrap_or(false),
            encoding,
            level: setting("http_zlib_compression_level")
                .and_then(|value| value.parse().ok())
                .unwrap_or(3),
            wait,
            buffered: buffer > 0,
            buffer: usize::try_from(buffer).unwrap_or(usize::MAX).max(RESPONSE_BUFFER),
            timezone: setting("session_timezone")
                .filter(|zone| !zone.is_empty())
                .unwrap_or("UTC")
                .to_owned(),
            cors: on("add_http_cors_header") && headers.contains_key("origin"),
        };
        Ok(Self {
            text: url.bytes("query").unwrap_or_default().to_vec(),
            parameters,
            database: header("x-clickhouse-database")
                .or_else(|| url.get("database"))
                .filter(|name| !name.is_empty()),
            roles: url
                .0
                .iter()
                .filter(|(name, _)| name == "role")
                .map(|(_, value)| String::from_utf8_lossy(value).into_owned())
                .collect(),
            default_format: header("x-clickhouse-format")
                .or_else(|| url.get("default_format"))
                .filter(|name| !name.is_empty()),
            session: session(url)?,
            readonly: *method != Method::POST,
            decompress: url.flag("decompress")?.unwrap_or(false),
            verify: !on("http_native_compression_disable_checksumming_on_decompress"),
            content_encoding: header("content-encoding").unwrap_or_default(),
            protocol: url.number("client_protocol_version")?.unwrap_or(0),
            tables: Vec::new(),
            response,
            settings,
        })
    }
}

/// With a multipart form, `name_structure` and the like describe its tables; settings of such names are few and known.
fn describes_table(name: &str) -> bool {
    const SETTINGS: [&str; 5] = [
        "date_time_input_format",
        "date_time_output_format",
        "insert_format",
        "output_format_pretty_single_large_number_tip_threshold",
        "interval_output_format",
    ];
    ["_format", "_types", "_structure"]
        .iter()
        .any(|suffix| name.ends_with(suffix))
        && !SETTINGS.contains(&name)
}

fn session(url: &Parameters) -> Result<Option<SessionRequest>, Exception> {
    let Some(id) = url.get("session_id") else {
        return Ok(None);
    };
    if id.is_empty() {
        return Err(Exception::new(
            Code::SessionIdEmpty,
            "Session id query parameter was provided, but it was empty",
        ));
    }
    let timeout = match url.get("session_timeout") {
        None => 60,
        Some(text) => match text.parse::<u64>() {
            Err(_) => {
                return Err(Exception::new(
                    Code::InvalidSessionTimeout,
                    format!("Invalid session timeout: '{text}'"),
                ));
            }
            Ok(seconds) if seconds > 3600 => {
                return Err(Exception::new(
                    Code::InvalidSessionTimeout,
                    format!(
                        "Session timeout '{text}' is larger than max_session_timeout: 3600. Maximum session timeout could be modified in configuration file"
                    ),
                ));
            }
            Ok(seconds) => seconds,
        },
    };
    Ok(Some(SessionRequest {
        id,
        timeout: Duration::from_secs(timeout),
        check: url.get("session_check").as_deref() == Some("1"),
        close: url.flag("close_session")?.unwrap_or(false),
    }))
}

#[cfg(test)]
mod tests;
