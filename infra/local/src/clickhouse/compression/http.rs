//! Content-Encoding and Accept-Encoding.

use std::io::{self, BufRead, Read, Write as _};

use crate::clickhouse::error::{Code, Exception};

/// An encoding of HTTP that both directions know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Zstandard.
    Zstd,
    /// Brotli.
    Brotli,
    /// LZ4 frames.
    Lz4,
    /// gzip.
    Gzip,
    /// zlib, as HTTP's `deflate` is.
    Deflate,
}

impl Encoding {
    /// What to answer in, in the server's order of preference (`chooseHTTPCompressionMethod`).
    pub(crate) fn choose(accepted: &str) -> Option<Self> {
        let accepted = accepted.to_ascii_lowercase();
        [Self::Zstd, Self::Brotli, Self::Lz4, Self::Gzip, Self::Deflate]
            .into_iter()
            .find(|encoding| accepted.contains(encoding.name()))
    }

    /// The token of the headers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Lz4 => "lz4",
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

/// Unpacks a request body as its Content-Encoding says.
pub(crate) fn decoder<'a>(
    encoding: &str,
    body: impl BufRead + Send + 'a,
) -> Result<Box<dyn Read + Send + 'a>, Exception> {
    Ok(match encoding.trim().to_ascii_lowercase().as_str() {
        "" | "identity" | "none" => Box::new(body),
        "gzip" | "gz" | "x-gzip" => Box::new(Named {
            inner: flate2::bufread::MultiGzDecoder::new(body),
            code: Code::ZlibInflateFailed,
        }),
        "deflate" => Box::new(Named {
            inner: flate2::bufread::ZlibDecoder::new(body),
            code: Code::ZlibInflateFailed,
        }),
        "br" => Box::new(Named {
            inner: brotli::Decompressor::new(body, 1 << 16),
            code: Code::BrotliReadFailed,
        }),
        "lz4" => Box::new(Named {
            inner: lz4_flex::frame::FrameDecoder::new(body),
            code: Code::Lz4DecoderFailed,
        }),
        "zstd" | "zst" => {
            let inner = zstd::stream::read::Decoder::with_buffer(body)
                .map_err(|error| Exception::new(Code::ZstdDecoderFailed, error))?;
            Box::new(Named {
                inner,
                code: Code::ZstdDecoderFailed,
            })
        }
        other => {
            return Err(Exception::new(
                Code::NotImplemented,
                format!(
                    "Unknown compression method '{other}'. Only 'auto', 'none', 'gzip', 'deflate', 'br', 'zstd', 'lz4' are supported as compression methods"
                ),
            ));
        }
    })
}

/// Gives a decoder's own complaints ClickHouse's error code; errors of the connection pass through.
struct Named<R> {
    inner: R,
    code: Code,
}

impl<R: Read> Read for Named<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => error,
            _ => Exception::new(self.code, format!("Cannot decode the request body: {error}")).into(),
        })
    }
}

/// Packs a response body piece by piece.
pub(crate) enum Encoder {
    /// Zstandard.
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    /// Brotli.
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    /// LZ4 frames.
    Lz4(Box<lz4_flex::frame::FrameEncoder<Vec<u8>>>),
    /// gzip.
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    /// zlib.
    Deflate(flate2::write::ZlibEncoder<Vec<u8>>),
}

impl Encoder {
    /// `level`: `http_zlib_compression_level`, 3 by default as on a server.
    pub(crate) fn new(encoding: Encoding, level: u32) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Zstd => {
                let level = i32::try_from(level.clamp(1, 19)).unwrap_or(3);
                Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), level)?)
            }
            Encoding::Brotli => Self::Brotli(Box::new(brotli::CompressorWriter::new(
                Vec::new(),
                1 << 16,
                level.min(11),
                22,
            ))),
            Encoding::Lz4 => Self::Lz4(Box::new(lz4_flex::frame::FrameEncoder::new(Vec::new()))),
            Encoding::Gzip => Self::Gzip(flate2::write::GzEncoder::new(
                Vec::new(),
                flate2::Compression::new(level.min(9)),
            )),
            Encoding::Deflate => Self::Deflate(flate2::write::ZlibEncoder::new(
                Vec::new(),
                flate2::Compression::new(level.min(9)),
            )),
        })
    }

    /// Takes a piece and gives what is ready.
    pub(crate) fn write(&mut self, data: &[u8]) -> io::Result<Vec<u8>> {
        let ready = match self {
            Self::Zstd(encoder) => {
                encoder.write_all(data)?;
                encoder.get_mut()
            }
            Self::Brotli(encoder) => {
                encoder.write_all(data)?;
                encoder.get_mut()
            }
            Self::Lz4(encoder) => {
                encoder.write_all(data)?;
                encoder.get_mut()
            }
            Self::Gzip(encoder) => {
                encoder.write_all(data)?;
                encoder.get_mut()
            }
            Self::Deflate(encoder) => {
                encoder.write_all(data)?;
                encoder.get_mut()
            }
        };
        Ok(std::mem::take(ready))
    }

    /// Makes everything written so far readable for the other side, and gives it.
    pub(crate) fn flush(&mut self) -> io::Result<Vec<u8>> {
        let ready = match self {
            Self::Zstd(encoder) => {
                encoder.flush()?;
                encoder.get_mut()
            }
            Self::Brotli(encoder) => {
                encoder.flush()?;
                encoder.get_mut()
            }
            Self::Lz4(encoder) => {
                encoder.flush()?;
                encoder.get_mut()
            }
            Self::Gzip(encoder) => {
                encoder.flush()?;
                encoder.get_mut()
            }
            Self::Deflate(encoder) => {
                encoder.flush()?;
                encoder.get_mut()
            }
        };
        Ok(std::mem::take(ready))
    }

    /// Ends the stream and gives its last bytes.
    pub(crate) fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Zstd(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
            Self::Lz4(encoder) => encoder.finish().map_err(io::Error::other),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Deflate(encoder) => encoder.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Encoding; 5] = [
        Encoding::Zstd,
        Encoding::Brotli,
        Encoding::Lz4,
        Encoding::Gzip,
        Encoding::Deflate,
    ];

    #[test]
    fn the_servers_order_decides() {
        let check = |accepted: &str, expected: Option<Encoding>| assert_eq!(Encoding::choose(accepted), expected);
        check("gzip, deflate, br", Some(Encoding::Brotli));
        check("gzip;q=1.0, zstd", Some(Encoding::Zstd));
        check("GZIP", Some(Encoding::Gzip));
        check("deflate", Some(Encoding::Deflate));
        check("identity", None);
        check("", None);
    }

    #[test]
    fn unknown_encodings_are_not_implemented() {
        assert_eq!(decoder("rot13", &b""[..]).err().map(|e| e.code), Some(48));
    }

    #[test]
    fn broken_bodies_have_their_own_codes() {
        for (encoding, code) in [("gzip", 354), ("zstd", 561), ("lz4", 618), ("br", 448)] {
            let mut out = Vec::new();
            let error = decoder(encoding, &b"this is not packed at all"[..])
                .unwrap()
                .read_to_end(&mut out)
                .unwrap_err();
            let exception = error.get_ref().and_then(|e| e.downcast_ref::<Exception>()).unwrap();
            assert_eq!(exception.code, code, "{encoding}");
        }
    }

    proptest! {
        #[test]
        fn round_trip(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 0..4), pick in 0..5usize) {
            let encoding = ALL[pick];
            let mut encoder = Encoder::new(encoding, 3).unwrap();
            let mut packed = Vec::new();
            for piece in &pieces {
                packed.extend(encoder.write(piece).unwrap());
            }
            packed.extend(encoder.flush().unwrap());
            packed.extend(encoder.finish().unwrap());
            let mut out = Vec::new();
            decoder(encoding.name(), &packed[..]).unwrap().read_to_end(&mut out).unwrap();
            prop_assert_eq!(out, pieces.concat());
        }
    }
}
