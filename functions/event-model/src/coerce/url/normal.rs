//! Telling that a URL is already normalised, without parsing it.

/// What stands in a path, a query and a fragment as it is, whatever stands beside it. A percent sign is among it, with its digits: what
/// is escaped stays so. Less than the standard leaves alone: what is rare may be parsed.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"-_~!$&()*+,;=:@%/.";
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
};

/// What a host is made of here.
const HOST: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = matches!(byte as u8, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
        byte += 1;
    }
    table
};

/// The longest host and label of DNS. Longer ones are none of the usual, and may be parsed.
const MAX_HOST_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// Whether parsing an http or https URL would give the same text back. False says nothing.
pub(super) fn is_normal(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return false;
    };
    let bytes = rest.as_bytes();
    let host = run(bytes, &HOST);
    // Behind another character than a slash there is a port, a password, or a slash that is missing.
    if bytes.get(host) != Some(&b'/') || !is_plain_host(bytes.get(..host).unwrap_or_default()) {
        return false;
    }
    let rest = bytes.get(host..).unwrap_or_default();
    let path = run(rest, &PLAIN);
    if has_dots(rest.get(..path).unwrap_or_default()) {
        return false;
    }
    let rest = rest.get(path..).unwrap_or_default();
    let rest = match rest.strip_prefix(b"?") {
        Some(query) => query.get(run(query, &PLAIN)..).unwrap_or_default(),
        None => rest,
    };
    match rest.strip_prefix(b"#") {
        Some(fragment) => run(fragment, &PLAIN) == fragment.len(),
        None => rest.is_empty(),
    }
}

/// How many of the first bytes are in the table.
#[inline]
fn run(bytes: &[u8], table: &[bool; 256]) -> usize {
    let other = bytes.iter().position(|byte| !table[usize::from(*byte)]);
    other.unwrap_or(bytes.len())
}

/// Whether it is a name that nothing is done to: no address in numbers, nothing of IDNA, no hyphens where they mean something.
fn is_plain_host(host: &[u8]) -> bool {
    let mut last = b'0';
    let plain = |label: &[u8]| {
        last = label.first().copied().unwrap_or(b'-');
        let ends = last != b'-' && label.last() != Some(&b'-');
        ends && label.len() <= MAX_LABEL_BYTES && label.get(2..4) != Some(b"--")
    };
    host.len() <= MAX_HOST_BYTES && host.split(|byte| *byte == b'.').all(plain) && last.is_ascii_lowercase()
}

/// Whether a segment begins with a dot, or with one that is escaped: the parser takes `.` and `..` out.
fn has_dots(path: &[u8]) -> bool {
    memchr::memchr2_iter(b'.', b'%', path).any(|at| {
        let escaped = matches!(path.get(at..at + 3), Some([b'%', b'2', b'e' | b'E']));
        escaped || (path.get(at) == Some(&b'.') && at.checked_sub(1).and_then(|before| path.get(before)) == Some(&b'/'))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn stays(text: &str) {
        if is_normal(text) {
            let parsed = url::Url::parse(text).map(String::from);
            assert_eq!(parsed.as_deref(), Ok(text));
        }
    }

    #[test]
    fn usual_urls_are_told() {
        for text in [
            "https://shop.example/",
            "http://site/main",
            "http://localhost/a//b/",
            "https://a-b.c1.example/catalog/product/1?utm_source=mail&page=2#top",
            "https://shop.example/a.b/c..d/%C3%A9?q=%2e&r=a/b@c#/route/1",
            "https://shop.example/?",
            "https://shop.example/#",
        ] {
            assert!(is_normal(text), "{text}");
            stays(text);
        }
    }

    #[test]
    fn what_the_parser_changes_is_left_to_it() {
        for text in [
            "",
            "https://",
            "https:///",
            "https://shop.example",
            "https://shop.example?q",
            "https://shop.example#a",
            "HTTPS://shop.example/",
            "https:/shop.example/",
            "https:\\\\shop.example/",
            "ftp://shop.example/",
            "https://Shop.example/",
            "https://shop.example:443/",
            "https://shop.example:8443/",
            "https://ada@shop.example/",
            "https://ada:secret@shop.example/",
            "https://xn--bcher-kva.example/",
            "https://1/",
            "https://1.2.3/",
            "https://127.0.0.1/",
            "https://shop.0x7f/",
            "https://shop.1/",
            "https://shop.example./",
            "https://.example/",
            "https://a..b/",
            "https://-a.b/",
            "https://a-.b/",
            "https://[::1]/",
            "https://shop.example/.",
            "https://shop.example/..",
            "https://shop.example/a/./b",
            "https://shop.example/a/../b",
            "https://shop.example/%2e/b",
            "https://shop.example/a/.%2E",
            "https://shop.example/a b",
            "https://shop.example/a\tb",
            "https://shop.example/a ",
            " https://shop.example/a",
            "https://shop.example/a\\b",
            "https://shop.example/\"",
            "https://shop.example/<a>",
            "https://shop.example/é",
            "https://shop.example/?q='",
            "https://shop.example/?é",
            "https://shop.example/#a b",
            "https://b\u{fc}cher.example/",
            "https://a%2eb/",
        ] {
            assert!(!is_normal(text), "{text}");
        }
    }

    /// The URLs of the contract's fixtures and of the tests here.
    #[test]
    fn sample_urls_stay() {
        for source in [
            include_str!("../../event/tests.rs"),
            include_str!("../../batch/tests.rs"),
            include_str!("../../row/tests.rs"),
        ] {
            let texts = || source.split(['"', '\\']);
            texts().for_each(stays);
            assert!(texts().any(is_normal), "the short way takes some");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        /// Of pieces that mean something, so that many are nearly normal.
        #[test]
        fn what_is_told_stays(pieces in prop::collection::vec(prop_oneof![
            4 => prop::sample::select(vec![
                "a", "b1", "shop", "example", "0", "127", "0x7f", "xn--", "--", "-", ".", "..", "/", "//", "?", "#", ":", ":80", "@", "%", "%2e",
                "%2E", "%41", "%zz", "&", "=", "+", ";", "!", "~", "_", "$", "(", ")", "*", ",", "'", "\"", "<", ">", "`", "{", "}", "|", "^",
                "[", "]", "\\", " ", "\t", "\n", "\u{e9}", "\u{3002}", "\u{ad}", "A", "Z", "http:", "https://", "\u{0}", "\u{7f}",
            ]).prop_map(str::to_owned),
            1 => "[ -~]{0,3}",
        ], 0..12), start in prop::sample::select(vec!["https://", "http://", "https://a", "https://shop.example/", "http://a/b?", "http://a/#", ""])) {
            stays(&format!("{start}{}", pieces.concat()));
        }

        #[test]
        fn what_is_nearly_normal_stays(text in "https?://[a-z0-9.-]{1,12}/[a-zA-Z0-9._~!$&()*+,;=:@%/-]{0,16}([?][a-z0-9=&%/.+-]{0,8})?(#[a-z0-9/.:%-]{0,6})?") {
            stays(&text);
        }

        /// One byte of a normal one is another.
        #[test]
        fn a_byte_more_or_another(at in 0_usize..60, byte in 0_u8..128, insert in any::<bool>()) {
            let mut text = "https://a-b.c1.example/catalog/x.y/1?utm_source=mail&page=2#top".to_owned();
            let at = at.min(text.len() - 1);
            let end = if insert { at } else { at + 1 };
            text.replace_range(at..end, &char::from(byte).to_string());
            stays(&text);
        }
    }
}
