//! Moments as people write them on a command line.

use anyhow::Context as _;
use jiff::Timestamp;
use jiff::tz::Offset;

/// A moment: RFC 3339, a UTC day, or how long ago.
pub(crate) fn parse(text: &str, now: Timestamp) -> anyhow::Result<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    if let Ok(day) = text.parse::<jiff::civil::Date>() {
        return Ok(Offset::UTC.to_timestamp(day.to_datetime(jiff::civil::Time::midnight()))?);
    }
    let seconds = text.char_indices().next_back().and_then(|(at, unit)| {
        let factor = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        text.get(..at)?.parse::<u32>().ok()?.checked_mul(factor)
    });
    let seconds = seconds.with_context(|| format!("{text:?} is no date, no time, and no age such as 12h"))?;
    Ok(now.checked_sub(jiff::SignedDuration::from_secs(seconds.into()))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let now: Timestamp = "2024-05-17T12:00:00Z".parse().unwrap();
        let check = |text: &str, expected: Option<&str>| {
            let at = parse(text, now).ok().map(|at| at.to_string());
            assert_eq!(at.as_deref(), expected, "{text}");
        };
        check("2024-05-01", Some("2024-05-01T00:00:00Z"));
        check("2024-05-01T10:00:00+02:00", Some("2024-05-01T08:00:00Z"));
        check("90m", Some("2024-05-17T10:30:00Z"));
        check("7d", Some("2024-05-10T12:00:00Z"));
        for text in ["", "d", "-1d", "1w", "4294967295d", "\u{e9}"] {
            check(text, None);
        }
    }
}
