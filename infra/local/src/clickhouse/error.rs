//! Exceptions as ClickHouse shows them: a code, a text, an HTTP status.

/// An exception of the engine, or one that the HTTP interface raises itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Exception {
    /// ClickHouse's error code.
    pub(crate) code: u32,
    /// `Code: 60. DB::Exception: … (UNKNOWN_TABLE)`, without the version.
    pub(crate) text: String,
}

/// Errors that this interface raises itself, with ClickHouse's code and name for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// A parameter that is not what it must be.
    BadArguments,
    /// A body that ends too early.
    CannotReadAllData,
    /// A number or flag in a parameter.
    CannotParseInput,
    /// A frame of the native compression.
    ChecksumDoesNotMatch,
    /// Its method byte.
    UnknownCompressionMethod,
    /// Its content.
    CannotDecompress,
    /// Its size.
    TooLargeCompressed,
    /// gzip or deflate.
    ZlibInflateFailed,
    /// zstd.
    ZstdDecoderFailed,
    /// An LZ4 frame.
    Lz4DecoderFailed,
    /// brotli.
    BrotliReadFailed,
    /// A Content-Encoding.
    NotImplemented,
    /// No statement.
    SyntaxError,
    /// INFILE.
    UnknownTypeOfQuery,
    /// INTO OUTFILE.
    IntoOutfileNotAllowed,
    /// GET, or the setting.
    Readonly,
    /// More queries than the limit.
    TooManySimultaneousQueries,
    /// A second query under an id.
    QueryIdInUse,
    /// No password where one is asked.
    RequiredPassword,
    /// A wrong one.
    AuthenticationFailed,
    /// `session_check=1`.
    SessionNotFound,
    /// Two requests in one session.
    SessionIsLocked,
    /// Not a number, or over an hour.
    InvalidSessionTimeout,
    /// `session_id=`.
    SessionIdEmpty,
    /// POST of no stated length.
    HttpLengthRequired,
    /// A query text that is too long to hold.
    QueryIsTooLarge,
    /// `;` right after FORMAT.
    InvalidUsageOfInput,
    /// The engine is shutting down or broken.
    Aborted,
    /// A multipart form that is none.
    CannotParseForm,
}

impl Code {
    /// ClickHouse's number and name.
    pub(crate) fn number_and_name(self) -> (u32, &'static str) {
        match self {
            Self::BadArguments => (36, "BAD_ARGUMENTS"),
            Self::CannotReadAllData => (33, "CANNOT_READ_ALL_DATA"),
            Self::CannotParseInput => (27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED"),
            Self::ChecksumDoesNotMatch => (40, "CHECKSUM_DOESNT_MATCH"),
            Self::UnknownCompressionMethod => (89, "UNKNOWN_COMPRESSION_METHOD"),
            Self::CannotDecompress => (271, "CANNOT_DECOMPRESS"),
            Self::TooLargeCompressed => (39, "TOO_LARGE_SIZE_COMPRESSED"),
            Self::ZlibInflateFailed => (354, "ZLIB_INFLATE_FAILED"),
            Self::ZstdDecoderFailed => (561, "ZSTD_DECODER_FAILED"),
            Self::Lz4DecoderFailed => (618, "LZ4_DECODER_FAILED"),
            Self::BrotliReadFailed => (448, "BROTLI_READ_FAILED"),
            Self::NotImplemented => (48, "NOT_IMPLEMENTED"),
            Self::SyntaxError => (62, "SYNTAX_ERROR"),
            Self::UnknownTypeOfQuery => (78, "UNKNOWN_TYPE_OF_QUERY"),
            Self::IntoOutfileNotAllowed => (358, "INTO_OUTFILE_NOT_ALLOWED"),
            Self::Readonly => (164, "READONLY"),
            Self::TooManySimultaneousQueries => (202, "TOO_MANY_SIMULTANEOUS_QUERIES"),
            Self::QueryIdInUse => (216, "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING"),
            Self::RequiredPassword => (194, "REQUIRED_PASSWORD"),
            Self::AuthenticationFailed => (516, "AUTHENTICATION_FAILED"),
            Self::SessionNotFound => (372, "SESSION_NOT_FOUND"),
            Self::SessionIsLocked => (373, "SESSION_IS_LOCKED"),
            Self::InvalidSessionTimeout => (374, "INVALID_SESSION_TIMEOUT"),
            Self::SessionIdEmpty => (744, "SESSION_ID_EMPTY"),
            Self::HttpLengthRequired => (381, "HTTP_LENGTH_REQUIRED"),
            Self::QueryIsTooLarge => (229, "QUERY_IS_TOO_LARGE"),
            Self::InvalidUsageOfInput => (477, "INVALID_USAGE_OF_INPUT"),
            Self::Aborted => (236, "ABORTED"),
            Self::CannotParseForm => (6, "CANNOT_PARSE_TEXT"),
        }
    }
}

impl Exception {
    /// One that this interface raises.
    pub(crate) fn new(code: Code, message: impl std::fmt::Display) -> Self {
        let (number, name) = code.number_and_name();
        let message = message.to_string();
        let message = message.trim_end_matches('.');
        Self {
            code: number,
            text: format!("Code: {number}. DB::Exception: {message}. ({name})"),
        }
    }

    /// One of the engine, from its text. Some texts carry a short version, some none.
    pub(crate) fn from_engine(text: &str) -> Self {
        let text = text.trim_end();
        let text = match text.rfind(" (version ") {
            Some(at) if text.ends_with(')') => text.get(..at).unwrap_or(text),
            _ => text,
        };
        let digits: String = text
            .strip_prefix("Code: ")
            .unwrap_or("")
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        match digits.parse() {
            Ok(code) => Self {
                code,
                text: text.to_owned(),
            },
            Err(_) => Self {
                code: 49,
                text: format!("Code: 49. DB::Exception: {text}. (LOGICAL_ERROR)"),
            },
        }
    }

    /// The text as a body. An exception from before the session is known does not carry the version.
    pub(crate) fn message(&self, version: &str) -> String {
        if matches!(self.code, 194 | 516) {
            self.text.clone()
        } else {
            format!("{} (version {version} (official build))", self.text)
        }
    }

    /// The HTTP status, as `exceptionCodeToHTTPStatus.cpp` of ClickHouse 26 maps it.
    pub(crate) fn status(&self) -> http::StatusCode {
        status(self.code)
    }
}

impl From<Exception> for std::io::Error {
    fn from(exception: Exception) -> Self {
        Self::other(exception)
    }
}

fn status(code: u32) -> http::StatusCode {
    use http::StatusCode;
    match code {
        // REQUIRED_PASSWORD
        194 => StatusCode::UNAUTHORIZED,
        // UNKNOWN_USER, WRONG_PASSWORD, AUTHENTICATION_FAILED, SET_NON_GRANTED_ROLE, ACCESS_DENIED
        192 | 193 | 516 | 512 | 497 => StatusCode::FORBIDDEN,
        // BAD_ARGUMENTS, CANNOT_COMPILE_REGEXP, CANNOT_PARSE_{TEXT, ESCAPE_SEQUENCE, QUOTED_STRING, DATE, DATETIME, NUMBER,
        // DOMAIN_VALUE_FROM_STRING, IPV4, IPV6, INPUT_ASSERTION_FAILED, UUID}, DUPLICATE_COLUMN, ILLEGAL_COLUMN,
        // UNKNOWN_ELEMENT_IN_AST, UNKNOWN_TYPE_OF_AST_NODE, THERE_IS_NO_COLUMN, TOO_DEEP_AST, TOO_BIG_AST,
        // UNEXPECTED_AST_STRUCTURE, SYNTAX_ERROR, INCORRECT_DATA, TYPE_MISMATCH, VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
        36 | 427 | 6 | 25 | 26 | 38 | 41 | 72 | 441 | 675 | 676 | 27 | 376 | 15 | 44 | 37 | 123 | 8 | 167 | 168
        | 223 | 62 | 117 | 53 | 321 => StatusCode::BAD_REQUEST,
        // UNKNOWN_{TABLE, FUNCTION, IDENTIFIER, TYPE, STORAGE, DATABASE, SETTING, DIRECTION_OF_SORTING, AGGREGATE_FUNCTION,
        // FORMAT, DATABASE_ENGINE, TYPE_OF_QUERY, ROLE}
        60 | 46 | 47 | 50 | 56 | 81 | 115 | 152 | 63 | 73 | 336 | 78 | 511 => StatusCode::NOT_FOUND,
        // QUERY_IS_TOO_LARGE
        229 => StatusCode::PAYLOAD_TOO_LARGE,
        // NOT_IMPLEMENTED
        48 => StatusCode::NOT_IMPLEMENTED,
        // SOCKET_TIMEOUT, CANNOT_OPEN_FILE, CANNOT_SCHEDULE_TASK
        209 | 76 | 439 => StatusCode::SERVICE_UNAVAILABLE,
        // HTTP_LENGTH_REQUIRED
        381 => StatusCode::LENGTH_REQUIRED,
        // UNSUPPORTED_MEDIA_TYPE
        779 => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        // TIMEOUT_EXCEEDED
        159 => StatusCode::REQUEST_TIMEOUT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_follow_the_server() {
        for (code, expected) in [
            (60, 404),
            (62, 400),
            (516, 403),
            (194, 401),
            (497, 403),
            (164, 500),
            (159, 408),
            (241, 500),
            (48, 501),
            (115, 404),
            (229, 413),
        ] {
            assert_eq!(status(code).as_u16(), expected, "code {code}");
        }
    }

    #[test]
    fn engine_texts_lose_their_own_version() {
        let check = |text: &str, code: u32, message: &str| {
            let exception = Exception::from_engine(text);
            assert_eq!((exception.code, exception.message("1.2").as_str()), (code, message));
        };
        check(
            "Code: 60. DB::Exception: no. (UNKNOWN_TABLE)",
            60,
            "Code: 60. DB::Exception: no. (UNKNOWN_TABLE) (version 1.2 (official build))",
        );
        check(
            "Code: 27. DB::Exception: bad. (X) (version 26.7.2.1)",
            27,
            "Code: 27. DB::Exception: bad. (X) (version 1.2 (official build))",
        );
        check(
            "strange",
            49,
            "Code: 49. DB::Exception: strange. (LOGICAL_ERROR) (version 1.2 (official build))",
        );
    }

    #[test]
    fn own_exceptions_read_like_the_servers() {
        let exception = Exception::new(Code::SyntaxError, "Empty query");
        assert_eq!(exception.text, "Code: 62. DB::Exception: Empty query. (SYNTAX_ERROR)");
        assert_eq!(exception.status().as_u16(), 400);
    }
}
