//! What `weir clickhouse` unpacks: ClickHouse's own frames, and every Content-Encoding.
//!
//! Input: a byte that chooses, a byte and two more that say where to damage, and data.

#![no_main]

#[path = "../../../infra/local/src/clickhouse"]
#[allow(dead_code, reason = "the server uses the rest")]
mod clickhouse {
    pub(crate) mod compression;
    pub(crate) mod error;
}

use std::io::Read;

use clickhouse::compression::http::{Encoder, Encoding, decoder};
use clickhouse::compression::native::{NativeReader, compress};
use clickhouse::error::Exception;
use libfuzzer_sys::fuzz_target;

const ENCODINGS: [Encoding; 5] = [
    Encoding::Zstd,
    Encoding::Brotli,
    Encoding::Lz4,
    Encoding::Gzip,
    Encoding::Deflate,
];

/// As much of what is unpacked as is looked at.
const ENOUGH: u64 = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let Some(([choice, flip, low, high], data)) = data.split_first_chunk() else {
        return;
    };
    let at = usize::from(u16::from_le_bytes([*low, *high]));
    match choice % 9 {
        0 => frames(data, at, *flip),
        1 => {
            let _ = unpack(NativeReader::new(data, true));
        }
        // Without its checksum a frame reaches the codecs.
        2 | 3 => {
            let _ = unpack(NativeReader::new(data, false));
        }
        other => encoded(ENCODINGS[usize::from(other - 4)], data, at, *flip),
    }
});

/// Everything, or ClickHouse's code of what is wrong.
fn unpack(reader: impl Read) -> Result<Vec<u8>, u32> {
    let mut out = Vec::new();
    match reader.take(ENOUGH).read_to_end(&mut out) {
        Ok(_) => Ok(out),
        Err(error) => {
            let exception = error.get_ref().and_then(|inner| inner.downcast_ref::<Exception>());
            let exception = exception.expect("a broken body is an exception of ClickHouse");
            assert!(
                exception
                    .text
                    .starts_with(&format!("Code: {}. DB::Exception: ", exception.code)),
                "{exception}"
            );
            Err(exception.code)
        }
    }
}

/// Frames come back as they were, and one changed bit or missing byte is noticed.
fn frames(data: &[u8], at: usize, flip: u8) {
    let chunks = data.chunks(1 + at % 300).map(compress).collect::<Vec<_>>();
    let ends = chunks.iter().scan(0, |end, chunk| {
        *end += chunk.len();
        Some(*end)
    });
    let ends: Vec<usize> = ends.collect();
    let mut packed = chunks.concat();
    assert_eq!(unpack(NativeReader::new(&packed[..], true)).as_deref(), Ok(data));
    assert_eq!(unpack(NativeReader::new(&packed[..], false)).as_deref(), Ok(data));
    if packed.is_empty() {
        return;
    }
    let at = at % packed.len();
    match unpack(NativeReader::new(&packed[..at], true)) {
        // Cut between two frames, it is a shorter stream.
        Ok(out) => assert!(data.starts_with(&out) && ends.contains(&at) || at == 0),
        Err(code) => assert_eq!(code, 33, "CANNOT_READ_ALL_DATA"),
    }
    packed[at] ^= flip.max(1);
    assert!(
        unpack(NativeReader::new(&packed[..], true)).is_err(),
        "a changed byte at {at}"
    );
}

/// A body in an encoding of HTTP: what was packed comes back; what is damaged, or no such body at all, ends in an error or
/// in other bytes, but ends.
fn encoded(encoding: Encoding, data: &[u8], at: usize, flip: u8) {
    let read = |body: &[u8]| unpack(decoder(encoding.name(), body).map_err(|error| error.code)?);
    let _ = read(data);

    let (first, second) = data.split_at(at % (data.len() + 1));
    let mut encoder = Encoder::new(encoding, u32::from(flip % 4)).expect("an encoder");
    let mut packed = encoder.write(first).expect("memory takes everything");
    packed.extend(encoder.flush().expect("memory takes everything"));
    // What was flushed can be read before the rest is there.
    let mut early = vec![0; first.len()];
    let mut reader = decoder(encoding.name(), &packed[..]).expect("a known encoding");
    reader.read_exact(&mut early).expect("what was flushed");
    assert_eq!(early, first);
    drop(reader);
    packed.extend(encoder.write(second).expect("memory takes everything"));
    packed.extend(encoder.finish().expect("memory takes everything"));
    assert_eq!(read(&packed).as_deref(), Ok(data));

    if let Some(byte) = packed.get_mut(at) {
        *byte ^= flip.max(1);
        let _ = read(&packed);
    }
}
