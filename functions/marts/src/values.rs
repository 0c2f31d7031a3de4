//! The values of a row: as ClickHouse sends them, and as they are written.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// A day, UTC. ClickHouse sends the days since 1970; it is written as `2026-11-23`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Day(u16);

impl Day {
    /// The calendar's day.
    pub fn date(self) -> Date {
        jiff::civil::date(1970, 1, 1).saturating_add(i32::from(self.0).days())
    }

    /// That many days after the first of January 1970.
    pub const fn since_1970(days: u16) -> Self {
        Day(days)
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.date())
    }
}

/// A second, UTC. ClickHouse sends the seconds since 1970; it is written as `2026-11-23T10:20:30Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Instant(u32);

impl Instant {
    /// That many seconds after 1970 began.
    pub const fn since_1970(seconds: u32) -> Self {
        Instant(seconds)
    }

    /// The day that it is in.
    pub const fn day(self) -> Day {
        // 49,710 at most.
        Day((self.0 / 86_400) as u16)
    }

    /// The seconds since 1970 began.
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

impl Serialize for Instant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // No number of these is out of range.
        serializer.collect_str(&Timestamp::from_second(i64::from(self.0)).unwrap_or_default())
    }
}

/// A number that may be undefined. JSON has no infinities: what is not finite is null, in CSV empty.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Number(pub Option<f64>);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.filter(|number| number.is_finite()).serialize(serializer)
    }
}

/// The schema of a type that is written as text or as another type.
macro_rules! schema {
    ($type:ty, $name:literal, $schema:tt) => {
        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    };
}

schema!(Day, "Day", { "type": "string", "format": "date" });
schema!(Instant, "Instant", { "type": "string", "format": "date-time" });
schema!(Number, "Number", { "type": ["number", "null"] });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written() {
        let row = (
            Day::since_1970(20_780),
            Instant::since_1970(u32::MAX),
            Number(Some(0.5)),
            [Number(None), Number(Some(f64::NAN)), Number(Some(f64::INFINITY))],
        );
        let expected = r#"["2026-11-23","2106-02-07T06:28:15Z",0.5,[null,null,null]]"#;
        assert_eq!(serde_json::to_string(&row).unwrap(), expected);
        let text = crate::format::csv_text(&["a", "b"], &[(Number(None), Number(Some(f64::NAN)))]).unwrap();
        assert_eq!(text, "a,b\n,\n");
    }
}
