//! X-Ray's tracing header, `x-amzn-trace-id`
//! (<https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader>).

/// The header: `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`, and others' fields, such as `Self`.
pub(crate) const HEADER: &str = "x-amzn-trace-id";

/// Longest header that is read, in bytes: AWS's own have a hundred.
const MAX_BYTES: usize = 512;

/// The id of the trace, which is what `Root` says: `1-`, eight hexadecimal digits, `-`, twenty-four. `None` when the header is not well
/// formed. The rest of it is left: whoever sends the header may put anything there.
pub(crate) fn root(header: &[u8]) -> Option<String> {
    let header = std::str::from_utf8(header)
        .ok()
        .filter(|text| text.len() <= MAX_BYTES)?;
    let mut found = None;
    for field in header.split(';').map(str::trim).filter(|field| !field.is_empty()) {
        let (name, value) = field.split_once('=')?;
        if name == "Root" && (!is_trace_id(value) || found.replace(value).is_some()) {
            return None;
        }
    }
    found.map(str::to_owned)
}

fn is_trace_id(text: &str) -> bool {
    let hex = |part: Option<&str>, digits: usize| {
        part.is_some_and(|part| part.len() == digits && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let mut parts = text.split('-');
    parts.next() == Some("1") && hex(parts.next(), 8) && hex(parts.next(), 24) && parts.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        const ID: &str = "1-5759e988-bd862e3fe1be46a994272793";
        let own = "Self=1-67891234-12456789abcdef0123456789";
        let check = |header: &str, good: bool| {
            let expected = good.then(|| ID.to_owned());
            assert_eq!(root(header.as_bytes()), expected, "{header}");
        };
        check(&format!("Root={ID}"), true);
        check(&format!("Root={ID};Parent=53995c3f42cd8ad8;Sampled=1"), true);
        check(&format!("{own};Root={ID};CalledFrom=app"), true);
        check(&format!(" Root={ID}; Sampled=0;"), true);
        check("", false);
        check(own, false);
        check(ID, false);
        check(&format!("root={ID}"), false);
        check(&format!("Root={ID};Root={ID}"), false);
        check(&format!("Root={ID};Sampled"), false);
        check(&format!("Root={}", ID.replacen('1', "2", 1)), false);
        check(&format!("Root={ID}0"), false);
        check(&format!("Root={}", ID.replace("793", "79g")), false);
        check(&format!("Root={ID}-1"), false);
        check("Root=1-5759e988-ada@example.org", false);
        check(&format!("Root={ID};x={}", "x".repeat(MAX_BYTES)), false);
        assert_eq!(root(b"Root=\xff"), None);
    }
}
