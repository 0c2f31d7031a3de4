//! The schedule: which faults, and when. Pure: all of it is drawn from the seed before anything starts, so that the same
//! seed and length plan the same faults.
//!
//! Faults are dealt from a shuffled deck that holds each kind once, and shuffled anew when it is empty: a run of a minute
//! meets every kind, a longer one meets each again beside others.

use std::fmt;
use std::time::Duration;

use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// The connections that faults are put on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// From the clients to the function `events`.
    Events,
    /// From `events` to Firehose.
    Firehose,
    /// From Firehose to the function `loader`.
    Loader,
    /// From `loader` to ClickHouse.
    Clickhouse,
}

impl Way {
    /// All of them, in the order of the flow.
    pub(super) const ALL: [Self; 4] = [Self::Events, Self::Firehose, Self::Loader, Self::Clickhouse];
}

impl fmt::Display for Way {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Events => "clients → events",
            Self::Firehose => "events → Firehose",
            Self::Loader => "Firehose → loader",
            Self::Clickhouse => "loader → ClickHouse",
        })
    }
}

/// The processes that faults end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Victim {
    Events,
    Firehose,
    Loader,
    Clickhouse,
}

impl Victim {
    /// The name of its process.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Firehose => "firehose",
            Self::Loader => "loader",
            Self::Clickhouse => "clickhouse",
        }
    }
}

/// How a process ends. Either way another is started in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// SIGKILL.
    Killed,
    /// SIGTERM, as at a deploy.
    Deployed,
}

/// What is done to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mischief {
    /// It is not passed on. For ClickHouse `code` is the exception's number, elsewhere 0.
    Refuse { status: u16, code: u16 },
    /// It is passed on late.
    Delay { ms: u64 },
    /// It is passed on; once the answer is there, the connection is cut instead.
    LoseAnswer,
    /// It is passed on; the answer is kept back until the sender has stopped waiting.
    Withhold,
    /// Half of its body is passed on, then both connections are cut.
    Cut,
    /// It is passed on twice, one after the other.
    Twice,
    /// It is passed on twice at the same time.
    TwiceAtOnce,
    /// It is passed on, and later once more.
    Late { ms: u64 },
    /// A delivery: its records are passed on under another request id first.
    OtherId,
    /// It is passed on after the next one on its way.
    Hold,
    /// A put: only some of its records are passed on, the others are answered an error code.
    Partial { percent: u32, seed: u64 },
    /// It is passed on, and a process ends meanwhile.
    End { victim: Victim, how: End, after_ms: u64 },
}

/// One fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// To the next requests on a way.
    Requests {
        way: Way,
        mischief: Mischief,
        requests: u32,
    },
    /// Nobody listens there for a while, and the connections that are open are cut.
    Unreachable { way: Way, ms: u64 },
    /// Firehose cannot make a file larger than this for a while: 0 stops all its writing, the size of its cursor only that
    /// of the spool.
    DiskFull { bytes: u64, ms: u64 },
    /// Lines that cannot be rows are put straight into Firehose, among lines that can.
    Poison { lines: u32, seed: u64 },
}

impl Fault {
    /// Faults of one kind share this name.
    pub(super) fn kind(&self) -> String {
        match self {
            Self::Requests { way, mischief, .. } => match mischief {
                Mischief::Refuse { .. } if *way == Way::Firehose => format!("{way}: throttled"),
                Mischief::Refuse { .. } => format!("{way}: refused"),
                Mischief::Delay { .. } => format!("{way}: slow"),
                Mischief::LoseAnswer => format!("{way}: done, answer lost"),
                Mischief::Withhold => format!("{way}: done, answer too late"),
                Mischief::Cut => format!("{way}: cut in the middle"),
                Mischief::Twice => format!("{way}: twice"),
                Mischief::TwiceAtOnce => format!("{way}: twice at once"),
                Mischief::Late { .. } => format!("{way}: again later"),
                Mischief::OtherId => format!("{way}: also under another id"),
                Mischief::Hold => format!("{way}: overtaken"),
                Mischief::Partial { .. } => format!("{way}: taken in part"),
                Mischief::End { victim, how, .. } => {
                    let how = match how {
                        End::Killed => "SIGKILL",
                        End::Deployed => "deploy (SIGTERM)",
                    };
                    format!("{way}: {how} of {} meanwhile", victim.name())
                }
            },
            Self::Unreachable { way, .. } => format!("{way}: connection refused"),
            Self::DiskFull { bytes: 0, .. } => "disk full for Firehose".to_owned(),
            Self::DiskFull { .. } => "disk full for the spool".to_owned(),
            Self::Poison { .. } => "poison put into Firehose".to_owned(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.kind())?;
        match self {
            Self::Requests { mischief, requests, .. } => {
                match mischief {
                    Mischief::Refuse { status, code: 0 } => write!(out, " ({status})")?,
                    Mischief::Refuse { status, code } => write!(out, " ({status}, code {code})")?,
                    Mischief::Delay { ms } | Mischief::Late { ms } => write!(out, " ({ms} ms)")?,
                    Mischief::Partial { percent, .. } => write!(out, " ({percent} % refused)")?,
                    Mischief::End { after_ms, .. } => return write!(out, " (after {after_ms} ms)"),
                    _ => {}
                }
                write!(out, ", {requests} requests")
            }
            Self::Unreachable { ms, .. } => write!(out, " for {ms} ms"),
            Self::DiskFull { bytes, ms } => write!(out, " for {ms} ms (files up to {bytes} bytes)"),
            Self::Poison { lines, .. } => write!(out, ", {lines} lines"),
        }
    }
}

/// A fault and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Planned {
    /// Since traffic began.
    pub(super) at: Duration,
    pub(super) fault: Fault,
}

/// The pause before the first fault.
const QUIET: Duration = Duration::from_secs(1);

/// The pauses between faults, in milliseconds.
const GAP_MS: std::ops::RangeInclusive<u64> = 500..=1900;

/// What Firehose's delivery cursor takes on disk: see `firehose::spool::cursor`. It never grows.
const CURSOR_BYTES: u64 = 128 * 1024;

/// Exceptions of ClickHouse that are about the server and not about the data: memory, parts, queries, read-only, a table
/// that is not there yet. (<https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp>)
const EXCEPTIONS: [(u16, u16); 5] = [(500, 241), (500, 252), (500, 202), (500, 242), (404, 60)];

/// The faults of a run of that length.
pub(super) fn draw(seed: u64, length: Duration) -> Vec<Planned> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut plan = Vec::new();
    let mut deck = Vec::new();
    let mut at = QUIET;
    while at < length {
        if deck.is_empty() {
            deck = self::deck(&mut random);
            deck.shuffle(&mut random);
        }
        plan.extend(deck.pop().map(|fault| Planned { at, fault }));
        at += Duration::from_millis(random.random_range(GAP_MS));
    }
    plan
}

/// One fault of each kind.
fn deck(random: &mut ChaCha8Rng) -> Vec<Fault> {
    use Mischief::{
        Cut, Delay, End as Ends, Hold, Late, LoseAnswer, OtherId, Partial, Refuse, Twice, TwiceAtOnce, Withhold,
    };
    use Way::{Clickhouse, Events, Firehose, Loader};
    let requests = |way, mischief, requests| Fault::Requests {
        way,
        mischief,
        requests,
    };
    let (status, code) = EXCEPTIONS[random.random_range(0..EXCEPTIONS.len())];
    let mut deck = vec![
        requests(Events, LoseAnswer, random.random_range(3..=15)),
        requests(Events, Cut, random.random_range(2..=8)),
        Fault::Unreachable {
            way: Events,
            ms: random.random_range(300..=1500),
        },
        requests(
            Firehose,
            Partial {
                percent: random.random_range(20..=80),
                seed: random.random(),
            },
            random.random_range(5..=30),
        ),
        requests(Firehose, Refuse { status: 503, code: 0 }, random.random_range(3..=20)),
        requests(Firehose, LoseAnswer, random.random_range(2..=8)),
        requests(Firehose, Cut, random.random_range(2..=5)),
        Fault::Unreachable {
            way: Firehose,
            ms: random.random_range(300..=2000),
        },
        requests(Loader, LoseAnswer, random.random_range(1..=3)),
        requests(Loader, Twice, random.random_range(1..=4)),
        requests(Loader, TwiceAtOnce, random.random_range(1..=3)),
        requests(
            Loader,
            Late {
                ms: random.random_range(1000..=12_000),
            },
            random.random_range(1..=3),
        ),
        requests(Loader, OtherId, random.random_range(1..=3)),
        requests(Loader, Hold, random.random_range(1..=3)),
        requests(Loader, Cut, random.random_range(1..=2)),
        requests(Loader, Refuse { status: 500, code: 0 }, random.random_range(1..=3)),
        Fault::Unreachable {
            way: Loader,
            ms: random.random_range(300..=2000),
        },
        requests(Clickhouse, Refuse { status, code }, random.random_range(2..=6)),
        requests(
            Clickhouse,
            Delay {
                ms: random.random_range(500..=4000),
            },
            random.random_range(2..=5),
        ),
        requests(Clickhouse, LoseAnswer, random.random_range(1..=4)),
        requests(Clickhouse, Withhold, 1),
        requests(Clickhouse, Cut, random.random_range(1..=3)),
        Fault::Unreachable {
            way: Clickhouse,
            ms: random.random_range(500..=3000),
        },
        Fault::DiskFull {
            bytes: 0,
            ms: random.random_range(500..=3000),
        },
        Fault::DiskFull {
            bytes: CURSOR_BYTES,
            ms: random.random_range(1000..=4000),
        },
    ];
    for (way, victim, how) in [
        (Events, Victim::Events, End::Killed),
        (Events, Victim::Events, End::Deployed),
        (Firehose, Victim::Firehose, End::Killed),
        (Loader, Victim::Firehose, End::Killed),
        (Loader, Victim::Firehose, End::Deployed),
        (Loader, Victim::Loader, End::Killed),
        (Clickhouse, Victim::Loader, End::Killed),
        (Clickhouse, Victim::Loader, End::Deployed),
        (Clickhouse, Victim::Clickhouse, End::Killed),
    ] {
        let after_ms = random.random_range(0..=60);
        deck.push(requests(way, Ends { victim, how, after_ms }, 1));
    }
    for _ in 0..3 {
        deck.push(Fault::Poison {
            lines: random.random_range(1..=30),
            seed: random.random(),
        });
    }
    deck
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_same_seed_plans_the_same_faults() {
        let minute = Duration::from_secs(60);
        assert_eq!(draw(1, minute), draw(1, minute));
        assert_ne!(draw(1, minute), draw(2, minute));
        // A longer run begins like a shorter one.
        let short = draw(1, minute);
        assert_eq!(draw(1, 2 * minute)[..short.len()], short[..]);
        assert!(short.iter().all(|planned| planned.at >= QUIET && planned.at < minute));
    }

    #[test]
    fn every_kind_comes_before_any_comes_back() {
        let mut random = ChaCha8Rng::seed_from_u64(7);
        let size = deck(&mut random).len();
        let kinds = |plan: &[Planned]| plan.iter().map(|it| it.fault.kind()).collect::<BTreeSet<_>>();
        let plan = draw(7, Duration::from_secs(600));
        let (first, rest) = plan.split_at(size);
        assert_eq!(kinds(first), kinds(rest));
        // The two refusals of ClickHouse and the lines of poison share a name.
        assert!(kinds(first).len() >= size - 3, "{size}");
    }
}
