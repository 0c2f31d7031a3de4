//! How long a handler may take.

use std::time::Duration;

use jiff::Timestamp;
use lambda_http::{Request, RequestExt};

/// What a request may take where nothing says otherwise: outside Lambda.
pub const DEFAULT_BUDGET: Duration = Duration::from_secs(25);

/// What an invocation with an event may take where nothing says otherwise: as long as Lambda ever lets one run.
pub const DEFAULT_INVOCATION_BUDGET: Duration = Duration::from_secs(15 * 60);

/// What is kept back from Lambda's deadline to answer in: a function that is killed answers nothing.
pub const MARGIN: Duration = Duration::from_millis(500);

/// Deadlines before this instant (2001-09-09) are not deadlines: `cargo lambda watch` always says 600000, which is 1970.
const PLAUSIBLE_MS: u64 = 1_000_000_000_000;

/// How long the handler of this request may still take.
pub fn remaining(request: &Request, now: Timestamp) -> Duration {
    let deadline_ms = request.lambda_context_ref().map_or(0, |context| context.deadline);
    until(deadline_ms, now, DEFAULT_BUDGET)
}

/// How long an invocation with an event may still take; `deadline_ms` is that of its context.
pub fn remaining_of_invocation(deadline_ms: u64, now: Timestamp) -> Duration {
    until(deadline_ms, now, DEFAULT_INVOCATION_BUDGET)
}

fn until(deadline_ms: u64, now: Timestamp, otherwise: Duration) -> Duration {
    if deadline_ms < PLAUSIBLE_MS {
        return otherwise;
    }
    let now_ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
    Duration::from_millis(deadline_ms.saturating_sub(now_ms)).saturating_sub(MARGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The instant of 1970 that `cargo lambda watch` gives is not over: it is none.
    #[test]
    fn an_emulated_invocation_has_time() {
        let now = Timestamp::from_millisecond(1_700_000_000_000).unwrap();
        assert_eq!(remaining_of_invocation(600_000, now), DEFAULT_INVOCATION_BUDGET);
        assert_eq!(
            remaining_of_invocation(1_700_000_001_000, now),
            Duration::from_millis(500)
        );
    }

    #[test]
    fn budgets() {
        let now = Timestamp::from_millisecond(1_700_000_000_000).unwrap();
        for (deadline_ms, expected) in [
            (0, DEFAULT_BUDGET),
            (600_000, DEFAULT_BUDGET),
            (1_700_000_010_000, Duration::from_millis(9500)),
            (1_700_000_000_100, Duration::ZERO),
            (1_600_000_000_000, Duration::ZERO),
        ] {
            assert_eq!(until(deadline_ms, now, DEFAULT_BUDGET), expected, "{deadline_ms}");
        }
    }
}
