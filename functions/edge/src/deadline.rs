//! How long a handler may take.

use std::time::Duration;

use jiff::Timestamp;
use lambda_http::{Request, RequestExt};

/// What a request may take where nothing says otherwise: outside Lambda.
pub const DEFAULT_BUDGET: Duration = Duration::from_secs(25);

/// What is kept back from Lambda's deadline to answer in: a function that is killed answers nothing.
pub const MARGIN: Duration = Duration::from_millis(500);

/// Deadlines before this instant (2001-09-09) are not deadlines: `cargo lambda watch` always says 600000, which is 1970.
const PLAUSIBLE_MS: u64 = 1_000_000_000_000;

/// How long the handler of this request may still take.
pub fn remaining(request: &Request, now: Timestamp) -> Duration {
    let deadline_ms = request.lambda_context_ref().map_or(0, |context| context.deadline);
    until(deadline_ms, now)
}

fn until(deadline_ms: u64, now: Timestamp) -> Duration {
    if deadline_ms < PLAUSIBLE_MS {
        return DEFAULT_BUDGET;
    }
    let now_ms = u64::try_from(now.as_millisecond()).unwrap_or(0);
    Duration::from_millis(deadline_ms.saturating_sub(now_ms)).saturating_sub(MARGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(until(deadline_ms, now), expected, "{deadline_ms}");
        }
    }
}
