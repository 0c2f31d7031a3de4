//! Something that is served as it is: its bytes, its entity tag, and what a browser may do with it.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::GzDecoder;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName,
    HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, Response, StatusCode};
use lambda_http::{Body, Request};
use twox_hash::XxHash3_128;

use crate::problem::INTERNAL_ERROR;
use crate::route;

/// What is kept, but asked for again before each use: a new version of the function may have another.
const REVALIDATED: &str = "no-cache";

/// What never changes at its address: the address names its digest.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// The query parameter in which pages name a file's digest.
const DIGEST: &str = "v";

/// One file.
#[derive(Debug, Clone)]
pub struct Resource {
    content_type: &'static str,
    bytes: Cow<'static, [u8]>,
    /// Whether the bytes are gzip.
    gzipped: bool,
    digest: String,
    policy: Option<String>,
}

impl Resource {
    fn new(content_type: &'static str, bytes: Cow<'static, [u8]>, gzipped: bool) -> Self {
        let digest = format!("{:032x}", XxHash3_128::oneshot(&bytes));
        Resource {
            content_type,
            bytes,
            gzipped,
            digest,
            policy: None,
        }
    }

    /// What was made at run time.
    pub fn made(content_type: &'static str, bytes: Vec<u8>) -> Self {
        Resource::new(content_type, Cow::Owned(bytes), false)
    }

    /// A file of the binary.
    pub fn embedded(content_type: &'static str, bytes: &'static [u8], gzipped: bool) -> Self {
        Resource::new(content_type, Cow::Borrowed(bytes), gzipped)
    }

    /// The same as a page with that Content-Security-Policy.
    pub fn with_policy(self, policy: String) -> Self {
        Resource {
            policy: Some(policy),
            ..self
        }
    }

    /// Names these very bytes.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The bytes, inflated.
    pub fn inflated(&self) -> std::io::Result<Cow<'_, [u8]>> {
        if !self.gzipped {
            return Ok(Cow::Borrowed(&self.bytes));
        }
        let mut plain = Vec::new();
        GzDecoder::new(&*self.bytes).read_to_end(&mut plain)?;
        Ok(Cow::Owned(plain))
    }

    /// A page's text, with the digests put behind the paths of the files that it loads: `"/docs/page.css"` becomes
    /// `"/docs/page.css?v=…"`.
    pub fn linked<'a>(page: &str, files: impl IntoIterator<Item = (&'a str, &'a Resource)>) -> String {
        files.into_iter().fold(page.to_owned(), |page, (path, file)| {
            page.replace(&format!("\"{path}\""), &format!("\"{path}?{DIGEST}={}\"", file.digest))
        })
    }

    /// The answer to a request. What is asked for by its digest never changes.
    pub fn response(&self, request: &Request) -> Response<Body> {
        let headers = request.headers();
        let by_digest = route::query(request, DIGEST).is_some_and(|digest| digest == self.digest);
        let as_gzip = self.gzipped && takes_gzip(headers);
        // One entity tag a representation (RFC 9110, section 8.8.3.3).
        let tag = format!("\"{}{}\"", self.digest, if as_gzip { "-gzip" } else { "" });
        let mut response = Response::new(Body::Empty);
        let set = response.headers_mut();
        let mut put = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                set.insert(name, value);
            }
        };
        put(ETAG, &tag);
        put(CACHE_CONTROL, if by_digest { IMMUTABLE } else { REVALIDATED });
        put(X_CONTENT_TYPE_OPTIONS, "nosniff");
        put(REFERRER_POLICY, "no-referrer");
        if self.gzipped {
            put(VARY, "Accept-Encoding");
        }
        if let Some(policy) = &self.policy {
            put(CONTENT_SECURITY_POLICY, policy);
        }
        if names(headers, &tag) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        put(CONTENT_TYPE, self.content_type);
        *response.body_mut() = if as_gzip {
            put(CONTENT_ENCODING, "gzip");
            Body::Binary(self.bytes.to_vec())
        } else {
            match self.inflated().map(|bytes| String::from_utf8(bytes.into_owned())) {
                Ok(Ok(text)) => Body::Text(text),
                // A test reads every file.
                damaged => {
                    tracing::error!(?damaged, "a file in the binary is damaged");
                    return INTERNAL_ERROR.response(None);
                }
            }
        };
        response
    }
}

/// Whether `If-None-Match` names that entity tag (RFC 9110, section 13.1.2: the comparison is weak).
fn names(headers: &HeaderMap, tag: &str) -> bool {
    values(headers, IF_NONE_MATCH).any(|candidate| candidate == "*" || candidate.trim_start_matches("W/") == tag)
}

/// Whether `Accept-Encoding` lets gzip in. Without the header everything may be sent (RFC 9110, section 12.5.3), but who
/// says nothing seldom inflates.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let weight = |coding: &str| {
        let mut parts = coding.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.trim().parse::<f32>().ok());
        (name, weight.unwrap_or(1.0))
    };
    let codings: Vec<_> = values(headers, ACCEPT_ENCODING).map(weight).collect();
    let named = |name: &str| codings.iter().find(|(it, _)| it == name);
    named("gzip")
        .or_else(|| named("x-gzip"))
        .or_else(|| named("*"))
        .is_some_and(|(_, weight)| *weight > 0.0)
}

/// The members of a list header.
fn values(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn gzip_is_negotiated() {
        for (accept, expected) in [
            ("gzip", true),
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, GZIP;q=0.8, *;q=0.1", true),
            ("x-gzip", true),
            ("*", true),
            ("*;q=0", false),
            ("gzip;q=0, *", false),
            ("gzip; q=0.000", false),
            ("identity", false),
            ("", false),
        ] {
            assert_eq!(takes_gzip(&headers(ACCEPT_ENCODING, accept)), expected, "{accept}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn entity_tags_are_compared() {
        for (sent, expected) in [
            ("\"a\"", true),
            ("\"b\", \"a\"", true),
            ("W/\"a\"", true),
            ("*", true),
            ("\"b\"", false),
            ("a", false),
        ] {
            assert_eq!(names(&headers(IF_NONE_MATCH, sent), "\"a\""), expected, "{sent}");
        }
    }
}
