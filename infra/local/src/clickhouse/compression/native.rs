//! ClickHouse's own block compression, asked for with `compress=1` and `decompress=1`.
//!
//! A frame is a CityHash128 (version 1.0.2) of what follows it, a method byte, the size of header and data as u32 LE, the
//! size of the data once unpacked as u32 LE, and the data (docs: native protocol, compression).

use std::io::{self, Read};

use crate::clickhouse::error::{Code, Exception};

const CHECKSUM: usize = 16;
const HEADER: usize = 9;
const NONE: u8 = 0x02;
const LZ4: u8 = 0x82;
const ZSTD: u8 = 0x90;
/// The server's own limit of either size.
const MAX_SIZE: usize = 0x4000_0000;

/// Packs data into one LZ4 frame, the codec that servers use for HTTP whatever the settings say.
pub(crate) fn compress(data: &[u8]) -> Vec<u8> {
    let bound = lz4_flex::block::get_maximum_output_size(data.len());
    let mut frame = vec![0; CHECKSUM + HEADER + bound];
    let body = frame.get_mut(CHECKSUM + HEADER..).unwrap_or_default();
    // The bound is the algorithm's own, so packing cannot run out of room; an empty body would be a broken frame, which
    // the client's checksum finds.
    let packed = lz4_flex::block::compress_into(data, body).unwrap_or_default();
    frame.truncate(CHECKSUM + HEADER + packed);
    seal(frame, LZ4, data.len())
}

/// Writes header and checksum over the first 25 bytes of a frame.
fn seal(mut frame: Vec<u8>, method: u8, size: usize) -> Vec<u8> {
    let packed = u32::try_from(frame.len() - CHECKSUM).unwrap_or(u32::MAX);
    let size = u32::try_from(size).unwrap_or(u32::MAX);
    let mut header = [method, 0, 0, 0, 0, 0, 0, 0, 0];
    header[1..5].copy_from_slice(&packed.to_le_bytes());
    header[5..9].copy_from_slice(&size.to_le_bytes());
    if let Some(place) = frame.get_mut(CHECKSUM..CHECKSUM + HEADER) {
        place.copy_from_slice(&header);
    }
    let sum = checksum(frame.get(CHECKSUM..).unwrap_or_default());
    if let Some(place) = frame.get_mut(..CHECKSUM) {
        place.copy_from_slice(&sum);
    }
    frame
}

/// The hash as it stands in a frame: the high half first.
fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    cityhash_rs::cityhash_102_128(bytes).rotate_right(64).to_le_bytes()
}

/// Unpacks a stream of frames.
pub(crate) struct NativeReader<R> {
    inner: R,
    verify: bool,
    frame: Vec<u8>,
    data: Vec<u8>,
    at: usize,
}

impl<R: Read> NativeReader<R> {
    /// `verify`: whether checksums count (`http_native_compression_disable_checksumming_on_decompress` says not).
    pub(crate) fn new(inner: R, verify: bool) -> Self {
        Self {
            inner,
            verify,
            frame: Vec::new(),
            data: Vec::new(),
            at: 0,
        }
    }

    /// Reads the next frame into `data`. False at the end of the stream.
    fn next_frame(&mut self) -> io::Result<bool> {
        self.at = 0;
        self.data.clear();
        let mut head = [0; CHECKSUM + HEADER];
        let read = read_up_to(&mut self.inner, &mut head)?;
        if read == 0 {
            return Ok(false);
        }
        if read < head.len() {
            return Err(truncated(head.len(), read));
        }
        let [.., m, p0, p1, p2, p3, s0, s1, s2, s3] = head;
        let packed = u32::from_le_bytes([p0, p1, p2, p3]) as usize;
        let size = u32::from_le_bytes([s0, s1, s2, s3]) as usize;
        if packed > MAX_SIZE || size > MAX_SIZE || packed < HEADER {
            return Err(Exception::new(
                Code::TooLargeCompressed,
                format!("Too large size_compressed_without_checksum: {packed}. Most likely corrupted data"),
            )
            .into());
        }
        if !matches!(m, NONE | LZ4 | ZSTD) {
            return Err(Exception::new(
                Code::UnknownCompressionMethod,
                format!("Unknown codec family code: {m}"),
            )
            .into());
        }
        self.frame.clear();
        self.frame.extend(head.get(CHECKSUM..).unwrap_or_default());
        let wanted = (packed - HEADER) as u64;
        // Grows with what really arrives, so a lying header costs nothing.
        let got = self.inner.by_ref().take(wanted).read_to_end(&mut self.frame)?;
        if (got as u64) < wanted {
            return Err(truncated(packed - HEADER, got));
        }
        let sum = checksum(&self.frame);
        if self.verify && head.get(..CHECKSUM) != Some(sum.as_slice()) {
            return Err(Exception::new(
                Code::ChecksumDoesNotMatch,
                format!("Checksum doesn't match: corrupted data. Size of compressed block: {packed}"),
            )
            .into());
        }
        self.unpack(m, size)?;
        Ok(true)
    }

    fn unpack(&mut self, method: u8, size: usize) -> io::Result<()> {
        let packed = self.frame.get(HEADER..).unwrap_or_default();
        let failed = |why: String| io::Error::from(Exception::new(Code::CannotDecompress, why));
        match method {
            NONE => self.data.extend(packed),
            LZ4 => {
                // LZ4 cannot grow data more than 255-fold: a larger claim is refused before the memory is taken.
                if size > packed.len().saturating_mul(255) {
                    return Err(failed(format!(
                        "Cannot decompress LZ4-encoded data: {size} bytes from {}",
                        packed.len()
                    )));
                }
                self.data.resize(size, 0);
                let written = lz4_flex::block::decompress_into(packed, &mut self.data)
                    .map_err(|error| failed(format!("Cannot decompress LZ4-encoded data: {error}")))?;
                self.data.truncate(written);
            }
            _ => {
                let decoder = zstd::stream::read::Decoder::with_buffer(packed)
                    .map_err(|error| failed(format!("Cannot decompress ZSTD-encoded data: {error}")))?;
                decoder
                    .take(size as u64 + 1)
                    .read_to_end(&mut self.data)
                    .map_err(|error| failed(format!("Cannot decompress ZSTD-encoded data: {error}")))?;
            }
        }
        if self.data.len() != size {
            return Err(failed(format!(
                "Cannot decompress: {} bytes where the header says {size}",
                self.data.len()
            )));
        }
        Ok(())
    }
}

fn truncated(expected: usize, read: usize) -> io::Error {
    Exception::new(
        Code::CannotReadAllData,
        format!("Cannot read all data. Bytes read: {read}. Bytes expected: {expected}"),
    )
    .into()
}

fn read_up_to(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

impl<R: Read> Read for NativeReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.data.len() {
            if buffer.is_empty() || !self.next_frame()? {
                return Ok(0);
            }
        }
        let rest = self.data.get(self.at..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), rest.get(..length)) {
            to.copy_from_slice(from);
        }
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unpack(frames: &[u8]) -> Result<Vec<u8>, u32> {
        let mut data = Vec::new();
        match NativeReader::new(frames, true).read_to_end(&mut data) {
            Ok(_) => Ok(data),
            Err(error) => Err(error
                .get_ref()
                .and_then(|e| e.downcast_ref::<Exception>())
                .map_or(0, |e| e.code)),
        }
    }

    fn frame(method: u8, packed: &[u8], size: usize) -> Vec<u8> {
        let mut frame = vec![0; CHECKSUM + HEADER];
        frame.extend(packed);
        seal(frame, method, size)
    }

    #[test]
    fn a_frame_of_the_server_is_read() {
        // What `SELECT 1 FORMAT TSV` with compress=1 gives.
        let bytes = compress(b"1\n");
        assert_eq!(bytes.len(), 28);
        assert_eq!(bytes[16..25], [0x82, 12, 0, 0, 0, 2, 0, 0, 0]);
        assert_eq!(unpack(&bytes).unwrap(), b"1\n");
    }

    #[test]
    fn other_methods_are_read() {
        assert_eq!(unpack(&frame(NONE, b"plain", 5)).unwrap(), b"plain");
        let packed = zstd::bulk::compress(b"zstandard", 1).unwrap();
        assert_eq!(unpack(&frame(ZSTD, &packed, 9)).unwrap(), b"zstandard");
    }

    #[test]
    fn broken_frames_are_refused() {
        let good = compress(b"hello hello hello");
        let mut corrupt = good.clone();
        corrupt[30] ^= 1;
        assert_eq!(unpack(&corrupt), Err(40));
        assert_eq!(unpack(&good[..good.len() - 1]), Err(33));
        assert_eq!(unpack(&good[..10]), Err(33));
        assert_eq!(unpack(&frame(0x55, b"x", 1)), Err(89));
        assert_eq!(unpack(&frame(LZ4, b"x", MAX_SIZE + 1)), Err(39));
        assert_eq!(unpack(&frame(LZ4, b"x", 1 << 29)), Err(271));
        assert_eq!(
            unpack(&frame(ZSTD, &zstd::bulk::compress(b"zstandard", 1).unwrap(), 5)),
            Err(271)
        );
        assert_eq!(unpack(&frame(NONE, b"abc", 2)), Err(271));
    }

    proptest! {
        #[test]
        fn round_trip(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..2000), 0..4)) {
            let frames: Vec<u8> = blocks.iter().flat_map(|block| compress(block)).collect();
            prop_assert_eq!(unpack(&frames), Ok(blocks.concat()));
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack(&bytes);
        }
    }
}
