//! What `GET /activity` answers.

use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Serialize;

/// The JSON answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Activity<'a> {
    /// One entry a day, in order. A day that the mart does not hold has none.
    pub days: &'a [Day],
}

/// One day of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Day {
    /// The day, UTC.
    #[serde(serialize_with = "iso")]
    #[schemars(with = "String", extend("format" = "date"))]
    pub date: Date,
    /// Users active on the day.
    pub dau: u64,
    /// Users active on the day or the six before it.
    pub wau: u64,
    /// Users active on the day or the twenty-nine before it.
    pub mau: u64,
}

fn iso<S: serde::Serializer>(date: &Date, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(date)
}
