//! The limits of the event contract, in one place, each with where it comes from.

/// Longest URL accepted, in UTF-8 bytes of what the client sent (the limit of pydantic's `HttpUrl`, counted as it counts).
pub const MAX_URL_BYTES: usize = 2083;

/// Last instant that ClickHouse's `DateTime` holds: 2106-02-07T06:28:15Z, in seconds since 1970.
pub const MAX_DT_SECONDS: i64 = u32::MAX as i64;

/// Deepest nesting of a body. CPython's parser, which clients were written against, gives up at about the same depth.
pub const MAX_JSON_DEPTH: usize = 1480;

/// Most digits of an integer literal anywhere in a body (CPython's limit on int conversion).
pub const MAX_INT_DIGITS: usize = 4300;

/// Longest offending value echoed in an issue, in bytes of JSON; a longer one is cut to [`ECHO_CUT_BYTES`].
/// An answer must stay under what a function URL can return (6 MB), however large the request was.
pub const MAX_ECHO_BYTES: usize = 4096;

/// How much of a value too long to echo is shown.
pub const ECHO_CUT_BYTES: usize = 512;

/// Deepest nesting of an echoed value: common JSON readers refuse an answer that nests deeper than 128.
pub const MAX_ECHO_DEPTH: usize = 64;

/// Most issues reported for one event; more than these tell a developer nothing new.
pub const MAX_ISSUES: usize = 200;

/// Longest `exp` key repeated in an issue's `loc`, in bytes.
pub const MAX_LOC_KEY_BYTES: usize = 256;

/// Longest line of one event, in bytes: what one Firehose record holds
/// (<https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html>: 1,000 KiB before base64).
pub const MAX_LINE_BYTES: usize = 1_024_000;

/// Longest request id of a line, in bytes: a UUID, as Lambda gives to each invocation.
pub const MAX_REQUEST_ID_BYTES: usize = 36;

/// Most invalid events of a batch that are answered one by one. A batch with more of them is refused whole, so that an
/// answer always names each event that was not stored, and still fits into what a function URL can return.
pub const MAX_REJECTED_EVENTS: usize = 10_000;
