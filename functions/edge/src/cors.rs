//! Which pages may send (the Fetch standard's CORS protocol, <https://fetch.spec.whatwg.org/#http-cors-protocol>).
//! Credentials are never allowed: a page's cookies are none of ours.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use http::{HeaderMap, Method, Response, StatusCode};
use lambda_http::{Body, Request};

use crate::config::Reader;
use crate::problem;

/// How long a browser may remember a preflight, in seconds: two hours, the most that Chromium takes.
const MAX_AGE_SECONDS: u16 = 7200;

/// The headers of an answer that a page may read, beside those that it always may.
const EXPOSED: &str = "Retry-After, x-amzn-RequestId";

/// What pages may send, and from where.
#[derive(Debug, Clone)]
pub struct Cors {
    origins: Origins,
    methods: &'static str,
    headers: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Origins {
    Any,
    Listed(Vec<String>),
}

impl Cors {
    /// Reads `ALLOWED_ORIGINS`: `*` (the default) or origins with commas between them, such as `https://shop.example`.
    /// `methods` and `headers` are what a page may use, as the answer to a preflight names them.
    pub fn read(reader: &mut Reader<'_>, methods: &'static str, headers: &'static str) -> Self {
        const NAME: &str = "ALLOWED_ORIGINS";
        let list = reader.or(NAME, "*");
        let origins = if list.trim() == "*" {
            Origins::Any
        } else {
            let origins: Vec<String> = list
                .split(',')
                .map(|origin| origin.trim().to_ascii_lowercase())
                .filter(|origin| !origin.is_empty())
                .collect();
            if let Some(wrong) = origins.iter().find(|origin| !is_origin(origin)) {
                reader.problem(format!(
                    "{NAME} holds {wrong:?}, which is no origin such as https://shop.example"
                ));
            } else if origins.is_empty() {
                reader.problem(format!("{NAME} holds no origin"));
            }
            Origins::Listed(origins)
        };
        Cors {
            origins,
            methods,
            headers,
        }
    }

    /// The answer to a preflight, or to a page that may not send; `None` for what goes on to the handler. A request
    /// without `Origin` comes from no page.
    pub(crate) fn admit(&self, request: &Request) -> Option<Response<Body>> {
        let origin = request.headers().get(ORIGIN)?;
        if !self.allows(origin) {
            return Some(problem::ORIGIN_NOT_ALLOWED.response(None));
        }
        let preflight =
            request.method() == Method::OPTIONS && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        preflight.then(|| {
            let mut response = Response::new(Body::Empty);
            *response.status_mut() = StatusCode::NO_CONTENT;
            let headers = response.headers_mut();
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(self.methods));
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(self.headers));
            headers.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS.into());
            response
        })
    }

    /// Lets a page of `origin` read a response.
    pub(crate) fn expose(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        let allowed = match &self.origins {
            Origins::Any => HeaderValue::from_static("*"),
            Origins::Listed(_) => {
                headers.append(VARY, HeaderValue::from_static("Origin"));
                match origin.filter(|origin| self.allows(origin)) {
                    Some(origin) => origin.clone(),
                    None => return,
                }
            }
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        match &self.origins {
            Origins::Any => true,
            Origins::Listed(origins) => origins.iter().any(|listed| listed.as_bytes() == origin.as_bytes()),
        }
    }
}

/// Whether a text is an origin as browsers write it: a scheme, a host, a port unless it is the scheme's own.
fn is_origin(text: &str) -> bool {
    text.parse::<http::Uri>().is_ok_and(|uri| {
        let written = match (uri.scheme_str(), uri.authority()) {
            (Some(scheme @ ("http" | "https")), Some(authority)) => format!("{scheme}://{authority}"),
            _ => return false,
        };
        let own_port = matches!(
            (uri.scheme_str(), uri.port_u16()),
            (Some("http"), Some(80)) | (Some("https"), Some(443))
        );
        written == text && !own_port && !text.contains(['@', '*'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: Option<&str>) -> Result<Cors, String> {
        let lookup = |key: &str| list.filter(|_| key == "ALLOWED_ORIGINS").map(str::to_owned);
        let mut reader = Reader::new(&lookup);
        let cors = Cors::read(&mut reader, "POST", "content-type");
        reader.finish(cors).map_err(|error| error.to_string())
    }

    #[test]
    fn configurations() {
        assert_eq!(read(None).unwrap().origins, Origins::Any);
        assert_eq!(read(Some(" * ")).unwrap().origins, Origins::Any);
        let listed = Origins::Listed(vec!["https://a.example".into(), "http://localhost:3000".into()]);
        assert_eq!(
            read(Some("https://A.example, http://localhost:3000,")).unwrap().origins,
            listed
        );
        for wrong in [
            "a.example",
            "https://a.example/",
            "https://a.example:443",
            "ftp://a",
            "*,https://a",
            "null",
            ",",
        ] {
            let error = read(Some(wrong)).unwrap_err();
            assert!(error.starts_with("ALLOWED_ORIGINS holds "), "{wrong}: {error}");
        }
    }

    #[test]
    fn requests() {
        let any = read(None).unwrap();
        let listed = read(Some("https://a.example")).unwrap();
        // Whom a request comes from, whether it is a preflight; the status it is answered with at once; whom the
        // response may be read by.
        for (cors, origin, preflight, status, allowed) in [
            (&any, None, false, None, Some("*")),
            (&any, Some("https://b.example"), false, None, Some("*")),
            (&any, Some("null"), true, Some(204), Some("*")),
            (&listed, None, false, None, None),
            (
                &listed,
                Some("https://a.example"),
                false,
                None,
                Some("https://a.example"),
            ),
            (
                &listed,
                Some("https://a.example"),
                true,
                Some(204),
                Some("https://a.example"),
            ),
            (&listed, Some("https://b.example"), false, Some(403), None),
            (&listed, Some("https://a.example.b.example"), true, Some(403), None),
            (&listed, Some("null"), false, Some(403), None),
        ] {
            let mut request = http::Request::builder().method(if preflight { "OPTIONS" } else { "POST" });
            if preflight {
                request = request.header(ACCESS_CONTROL_REQUEST_METHOD, "POST");
            }
            if let Some(origin) = origin {
                request = request.header(ORIGIN, origin);
            }
            let request = request.body(Body::Empty).unwrap();
            let response = cors.admit(&request);
            assert_eq!(response.as_ref().map(|it| it.status().as_u16()), status, "{origin:?}");
            let mut headers = HeaderMap::new();
            cors.expose(request.headers().get(ORIGIN), &mut headers);
            let found = headers.get(ACCESS_CONTROL_ALLOW_ORIGIN).map(|it| it.to_str().unwrap());
            assert_eq!(found, allowed, "{origin:?}");
            assert_eq!(headers.contains_key(VARY), matches!(cors.origins, Origins::Listed(_)));
            assert!(!headers.contains_key("access-control-allow-credentials"));
        }
    }
}
