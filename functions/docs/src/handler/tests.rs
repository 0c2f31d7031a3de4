//! Requests and their answers.

use edge::{Failure, Function};
use http::StatusCode;

use super::*;
use crate::Config;

fn context() -> Context {
    Context::new(Config {
        events_url: Some("https://events.example".into()),
        ..Config::default()
    })
}

fn send(method: &str, uri: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = http::Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::Empty).unwrap();
    handle(&context(), &request).unwrap_or_else(|error| error.response())
}

#[track_caller]
fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn text(response: &Response<Body>) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

#[test]
fn the_routes_are_what_is_answered() {
    let mut expected: Vec<_> = assets::paths().chain(["/docs", "/redoc", "/openapi.json"]).collect();
    expected.sort_unstable();
    assert_eq!(ROUTES, expected);
}

#[test]
fn paths() {
    for (method, uri, status, content_type, part) in [
        ("GET", "/docs", 200, "text/html; charset=utf-8", "<title>Weir"),
        ("GET", "/docs/", 200, "text/html; charset=utf-8", "<title>Weir"),
        ("HEAD", "/redoc", 200, "text/html; charset=utf-8", "<title>Weir"),
        ("GET", "/redoc/", 200, "text/html; charset=utf-8", "redoc.standalone.js"),
        ("GET", "/openapi.json", 200, "application/json", "\"openapi\":\"3.1.0\""),
        (
            "GET",
            "/docs/swagger-ui.css",
            200,
            "text/css; charset=utf-8",
            ".swagger-ui",
        ),
        (
            "GET",
            "/docs/swagger-ui-bundle.js",
            200,
            "text/javascript; charset=utf-8",
            "SwaggerUIBundle",
        ),
        (
            "GET",
            "/redoc/redoc.standalone.js",
            200,
            "text/javascript; charset=utf-8",
            "redoc",
        ),
        (
            "GET",
            "/docs/start.js",
            200,
            "text/javascript; charset=utf-8",
            "/openapi.json",
        ),
        ("GET", "/", 404, "application/json", "not_found"),
        ("GET", "/docs/no-such-file.js", 404, "application/json", "not_found"),
        ("GET", "/docs/../Cargo.toml", 404, "application/json", "not_found"),
        ("POST", "/docs", 405, "application/json", "method_not_allowed"),
        (
            "DELETE",
            "/docs/start.js",
            405,
            "application/json",
            "method_not_allowed",
        ),
        ("POST", "/no", 404, "application/json", "not_found"),
    ] {
        let response = send(method, uri, &[]);
        assert_eq!(response.status().as_u16(), status, "{method} {uri}");
        assert_eq!(header(&response, "content-type"), content_type, "{method} {uri}");
        assert!(text(&response).contains(part), "{method} {uri}");
        assert_eq!(
            header(&response, "allow") == "GET, HEAD",
            status == 405,
            "{method} {uri}"
        );
        // What a function URL returns at most.
        assert!(response.body().len() < 6_000_000, "{uri}");
    }
}

#[tokio::test]
async fn the_function_starts_without_configuration() {
    let context = <Context as Function>::from_lookup(&|_| None).unwrap();
    let request = http::Request::get("/docs").body(Body::Empty).unwrap();
    let response = context.handle(request, &mut edge::Record::default()).await.unwrap();
    assert!(header(&response, "content-security-policy").ends_with("connect-src 'self'"));
}

#[test]
fn files_come_compressed_to_who_takes_it() {
    let plain = send("GET", "/docs/swagger-ui-bundle.js", &[]);
    let gzipped = send("GET", "/docs/swagger-ui-bundle.js", &[("accept-encoding", "gzip, br")]);
    assert_eq!(header(&plain, "content-encoding"), "");
    assert_eq!(header(&gzipped, "content-encoding"), "gzip");
    assert_eq!(header(&gzipped, "vary"), "Accept-Encoding");
    assert!(gzipped.body().len() * 3 < plain.body().len());
    let mut inflated = String::new();
    let mut decoder = flate2::read::GzDecoder::new(gzipped.body().as_ref());
    std::io::Read::read_to_string(&mut decoder, &mut inflated).unwrap();
    assert_eq!(inflated, text(&plain));
    assert_ne!(header(&plain, "etag"), header(&gzipped, "etag"));
}

#[test]
fn what_did_not_change_is_not_sent_again() {
    for uri in [
        "/docs",
        "/redoc",
        "/openapi.json",
        "/docs/swagger-ui.css",
        "/redoc/start.js",
    ] {
        for accept in ["gzip", "identity"] {
            let first = send("GET", uri, &[("accept-encoding", accept)]);
            let tag = header(&first, "etag").to_owned();
            assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 30, "{tag}");
            let again = send("GET", uri, &[("accept-encoding", accept), ("if-none-match", &tag)]);
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{uri}");
            assert!(again.body().is_empty());
            for name in ["etag", "cache-control", "vary"] {
                assert_eq!(header(&again, name), header(&first, name), "{uri} {name}");
            }
            let other = send("GET", uri, &[("if-none-match", "\"other\"")]);
            assert_eq!(other.status(), StatusCode::OK, "{uri}");
        }
    }
}

#[test]
fn pages_name_their_files_by_digest_and_load_nothing_else() {
    for page in ["/docs", "/redoc"] {
        let response = send("GET", page, &[]);
        assert_eq!(header(&response, "cache-control"), "no-cache");
        let html = text(&response);
        let linked = |attribute: &str| {
            let parts: Vec<_> = html.split(&format!("{attribute}=\"")).skip(1).collect();
            parts
                .into_iter()
                .map(|part| part.split('"').next().unwrap().to_owned())
                .collect::<Vec<_>>()
        };
        let files: Vec<_> = [linked("src"), linked("href")]
            .concat()
            .into_iter()
            .filter(|link| link.contains(".js?") || link.contains(".css?"))
            .collect();
        assert!(files.len() >= 3, "{files:?}");
        for file in files {
            let response = send("GET", &file, &[]);
            assert_eq!(response.status(), StatusCode::OK, "{file}");
            assert_eq!(
                header(&response, "cache-control"),
                "public, max-age=31536000, immutable",
                "{file}"
            );
            let old = format!("{}?v=0", file.split('?').next().unwrap());
            assert_eq!(header(&send("GET", &old, &[]), "cache-control"), "no-cache", "{old}");
        }
        let tags = html.replace("http://www.w3.org/2000/svg", "");
        assert!(
            !tags.contains("http") && !tags.contains("<style") && !html.contains("<script>"),
            "{page}"
        );
    }
}

#[test]
fn what_pages_may_do() {
    for (page, connect) in [
        ("/docs", "connect-src 'self' https://events.example"),
        ("/redoc", "connect-src 'self'; worker-src blob:"),
    ] {
        let response = send("GET", page, &[]);
        let policy = header(&response, "content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
        assert!(policy.ends_with(connect), "{policy}");
        assert_eq!(header(&response, "x-content-type-options"), "nosniff");
        assert_eq!(header(&response, "referrer-policy"), "no-referrer");
    }
}
