//! Ids for events that have none.

use std::cell::RefCell;

use jiff::Timestamp;
use uuid::Uuid;

/// Random bytes are asked of the kernel so many at a time: what it gives at once without a second look.
const BLOCK_BYTES: usize = 256;

/// Of the 74 bits that are random in a UUIDv7, the highest is left zero in the first id, so that counting does not run over.
const FIRST_MASK: u128 = (1 << 73) - 1;

thread_local! {
    /// Asking the kernel takes as long as reading an event does, so requests share what it gave. No byte is used twice.
    static BLOCK: RefCell<Block> = const {
        RefCell::new(Block {
            bytes: [0; BLOCK_BYTES],
            used: BLOCK_BYTES,
        })
    };
}

/// The ids of one request: UUIDv7 of its time. The first is random; each further one is larger by a random number, as RFC 9562 has it
/// (section 6.2, method 2). So they follow time and each other.
#[derive(Debug)]
pub struct Ids {
    millisecond: u64,
    /// The 74 bits of the last id, once there is one.
    last: Option<u128>,
}

impl Ids {
    /// For a request at that time.
    pub fn new(now: Timestamp) -> Ids {
        Ids {
            millisecond: u64::try_from(now.as_millisecond()).unwrap_or_default(),
            last: None,
        }
    }

    /// The next id.
    pub fn next_id(&mut self) -> Uuid {
        let random = match self.last {
            None => random().map(|first| u128::from_le_bytes(first) & FIRST_MASK),
            Some(last) => random().map(|step| last + 1 + u128::from(u32::from_le_bytes(step))),
        };
        // Without random numbers this one ends the request.
        let Some(random) = random else { return Uuid::now_v7() };
        self.last = Some(random);
        uuid_v7(self.millisecond, random)
    }
}

/// Random bytes that are not used yet.
struct Block {
    bytes: [u8; BLOCK_BYTES],
    /// How many of them are used.
    used: usize,
}

/// Random bytes; `None` when the kernel has none.
fn random<const N: usize>() -> Option<[u8; N]> {
    BLOCK.with_borrow_mut(|block| {
        if block.used + N > BLOCK_BYTES {
            getrandom::fill(&mut block.bytes).ok()?;
            block.used = 0;
        }
        let bytes = block.bytes.get_mut(block.used..)?.first_chunk_mut()?;
        block.used += N;
        // What was given is kept nowhere else.
        Some(std::mem::replace(bytes, [0; N]))
    })
}

/// The version and the variant stand within the random bits (RFC 9562, section 5.7).
fn uuid_v7(millisecond: u64, random: u128) -> Uuid {
    const LOW_BITS: u32 = 62;
    let high = (random >> LOW_BITS) & 0xFFF;
    let low = random & ((1 << LOW_BITS) - 1);
    Uuid::from_u128(u128::from(millisecond) << 80 | 0x7 << 76 | high << 64 | 0b10 << LOW_BITS | low)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_v7_of_the_request_and_follow_each_other() {
        let now: Timestamp = "2024-05-17T10:20:31.5Z".parse().unwrap();
        let (mut ids, mut others) = (Ids::new(now), Ids::new(now));
        let many: Vec<Uuid> = (0..10_000).map(|_| ids.next_id()).collect();
        assert!(many.is_sorted_by(|one, next| one < next));
        for id in &many {
            assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
            assert_eq!(id.get_timestamp().unwrap().to_unix(), (1_715_941_231, 500_000_000));
        }
        assert!(!many.contains(&others.next_id()));
        // What one knows of an id says little of the next.
        let steps: std::collections::BTreeSet<u128> = many
            .windows(2)
            .map(|pair| pair[1].as_u128() - pair[0].as_u128())
            .collect();
        assert!(steps.len() > 9_900, "{}", steps.len());
    }

    #[test]
    fn the_bits_have_their_places() {
        let id = uuid_v7(0x0123_4567_89AB, (0xABC << 62) | 0x1234_5678_9ABC_DEF0);
        assert_eq!(id.to_string(), "01234567-89ab-7abc-9234-56789abcdef0");
        assert_eq!(uuid_v7(0, 0).to_string(), "00000000-0000-7000-8000-000000000000");
        assert_eq!(
            uuid_v7((1 << 48) - 1, (1 << 74) - 1).to_string(),
            "ffffffff-ffff-7fff-bfff-ffffffffffff"
        );
    }
}
