use super::*;
use proptest::prelude::*;

fn read(method: Method, url: &str, headers: &[(&'static str, &str)]) -> Result<QueryRequest, Exception> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    QueryRequest::read(&method, &map, &Parameters::parse(url), false, || "fresh".to_owned())
}

fn credentials(url: &str, headers: &[(&'static str, &str)]) -> Result<(String, String), u32> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, value.parse().unwrap());
    }
    Credentials::read(&map, &Parameters::parse(url))
        .map(|c| (c.user, c.password))
        .map_err(|e| e.code)
}

#[test]
fn query_strings_are_decoded() {
    let check = |query: &str, expected: &[(&str, &[u8])]| {
        let expected: Vec<_> = expected.iter().map(|(n, v)| ((*n).to_owned(), v.to_vec())).collect();
        assert_eq!(Parameters::parse(query).0, expected);
    };
    check("a=1&b=x+y%20z", &[("a", b"1"), ("b", b"x y z")]);
    check("&&a&b=&=c", &[("a", b""), ("b", b"")]);
    check("q=%ff%zz%2", &[("q", b"\xff%zz%2")]);
    check("q=%+0%0+", &[("q", b"% 0%0 ")]);
    check("a=b=c", &[("a", b"b=c")]);
    check("param_%C3%A9=%C3%A9", &[("param_é", "é".as_bytes())]);
}

#[test]
fn parameters_become_settings_placeholders_and_options() {
    let request = read(
        Method::POST,
        "query=SELECT+1&database=d&max_threads=1&max_threads=2&param_x=7&param_x=8&compress=1&decompress=1&default_format=JSON&role=a&role=b&wait_end_of_query=1&query_id=q%0a1&session_timezone=Asia/Tokyo",
        &[],
    )
    .unwrap();
    assert_eq!(request.text, b"SELECT 1");
    assert_eq!(
        request.settings,
        [
            ("max_threads".to_owned(), "2".to_owned()),
            ("session_timezone".to_owned(), "Asia/Tokyo".to_owned())
        ]
    );
    assert_eq!(request.parameters, [("x".to_owned(), b"7".to_vec())]);
    assert_eq!(request.database.as_deref(), Some("d"));
    assert_eq!(request.default_format.as_deref(), Some("JSON"));
    assert_eq!(request.roles, ["a", "b"]);
    assert!(request.response.compress && request.decompress && request.response.wait && !request.readonly);
    assert_eq!(request.response.query_id, "q1");
    assert_eq!(request.response.timezone, "Asia/Tokyo");
}

#[test]
fn headers_stand_over_parameters() {
    let request = read(
        Method::GET,
        "database=a&default_format=CSV",
        &[
            ("x-clickhouse-database", "b"),
            ("x-clickhouse-format", "TSV"),
            ("x-clickhouse-query-id", "h"),
        ],
    )
    .unwrap();
    assert_eq!(request.database.as_deref(), Some("b"));
    assert_eq!(request.default_format.as_deref(), Some("TSV"));
    assert_eq!(request.response.query_id, "h");
    assert!(request.readonly);
    assert_eq!(read(Method::GET, "", &[]).unwrap().response.query_id, "fresh");
}

#[test]
fn encodings_need_their_setting() {
    let accept = [("accept-encoding", "gzip")];
    assert_eq!(read(Method::GET, "", &accept).unwrap().response.encoding, None);
    assert_eq!(
        read(Method::GET, "enable_http_compression=1", &accept)
            .unwrap()
            .response
            .encoding,
        Some(Encoding::Gzip)
    );
}

#[test]
fn bad_parameters_have_the_servers_codes() {
    let check = |url: &str, code: u32| assert_eq!(read(Method::GET, url, &[]).unwrap_err().code, code, "{url}");
    check("session_id=", 744);
    check("session_id=a&session_timeout=x", 374);
    check("session_id=a&session_timeout=3601", 374);
    check("buffer_size=WRONG", 27);
    check("compress=maybe", 27);
    // The last value of a name counts.
    assert!(read(Method::GET, "buffer_size=WRONG&buffer_size=0", &[]).is_ok());
}

#[test]
fn credentials_come_one_way_only() {
    let ok = |user: &str, password: &str| Ok((user.to_owned(), password.to_owned()));
    assert_eq!(credentials("", &[]), ok("default", ""));
    assert_eq!(credentials("user=u&password=p", &[]), ok("u", "p"));
    assert_eq!(credentials("", &[("authorization", "Basic dTpwOnE=")]), ok("u", "p:q"));
    assert_eq!(credentials("", &[("authorization", "basic dQ==")]), ok("u", ""));
    assert_eq!(
        credentials("", &[("x-clickhouse-user", "u"), ("x-clickhouse-key", "k")]),
        ok("u", "k")
    );
    assert_eq!(credentials("user=u", &[("x-clickhouse-user", "u")]), Err(516));
    assert_eq!(credentials("user=u", &[("authorization", "Basic dTpw")]), Err(516));
    assert_eq!(
        credentials("", &[("authorization", "Basic dTpw"), ("x-clickhouse-user", "u")]),
        Err(516)
    );
    assert_eq!(credentials("", &[("authorization", "Bearer x")]), Err(516));
    assert_eq!(credentials("", &[("authorization", "Basic OnA=")]), Err(516));
    assert_eq!(credentials("", &[("x-clickhouse-key", "k")]), Err(516));
}

#[test]
fn tables_of_a_form_are_no_settings() {
    let form = [("content-type", "multipart/form-data; boundary=x")];
    let request = read(
        Method::POST,
        "t_structure=a+Int&t_format=CSV&date_time_input_format=best_effort",
        &form,
    )
    .unwrap();
    assert_eq!(
        request.settings,
        [("date_time_input_format".to_owned(), "best_effort".to_owned())]
    );
}

proptest! {
    #[test]
    fn decoding_never_panics(query in ".{0,200}") {
        Parameters::parse(&query);
    }

    #[test]
    fn decoding_undoes_encoding(value in proptest::collection::vec(any::<u8>(), 0..50)) {
        let encoded: String = value.iter().map(|byte| format!("%{byte:02X}")).collect();
        let parsed = Parameters::parse(&format!("v={encoded}"));
        prop_assert_eq!(parsed.bytes("v"), Some(value.as_slice()));
    }
}
