//! One record of a function, as `functions/edge/src/record.rs` writes it: a line of CloudWatch's embedded metric format.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

/// How each record begins. Within a string of JSON it cannot stand: there a quotation mark has a backslash before it.
const BEGINNING: &[u8] = br#"{"_aws":{"#;

/// The namespace of the functions' metrics. What others write in the same format is none of ours.
const NAMESPACE: &str = "Weir";

/// What the name of a reason's member begins with.
const REJECTED: &str = "rejected.";

/// The longest time that is believed, in milliseconds: since 1970.
const LONGEST_MS: f64 = 1e13;

/// What a record says that metrics are made of; times in seconds. What is `None` does not concern the request.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Record<'l> {
    /// The dimension.
    pub(crate) function: Cow<'l, str>,
    pub(crate) method: Option<Cow<'l, str>>,
    pub(crate) route: Option<Cow<'l, str>>,
    pub(crate) status: Option<u16>,
    pub(crate) outcome: Option<Cow<'l, str>>,
    pub(crate) bytes: Option<u32>,
    pub(crate) duration: f64,
    pub(crate) accepted: Option<u32>,
    /// Events, by reason.
    pub(crate) rejected: Vec<(Cow<'l, str>, u32)>,
    pub(crate) not_stored: Option<u32>,
    pub(crate) firehose_retries: Option<u32>,
    pub(crate) stored: Option<u32>,
    pub(crate) quarantined: Option<u32>,
    pub(crate) insert: Option<f64>,
    pub(crate) data_age: Option<f64>,
}

impl<'l> Record<'l> {
    /// The record at the end of a line, and how many bytes stand before it: what a killed process has left half-written.
    /// `None` for any other line, and for a record that is cut or says what no request counts.
    pub(crate) fn in_line(line: &'l [u8]) -> Option<(usize, Self)> {
        let last = line.len().checked_sub(BEGINNING.len())?;
        // Nearly always the first look finds it.
        let found = (line.starts_with(BEGINNING)).then_some(0);
        let read = |at: usize| Some((at, serde_json::from_slice(line.get(at..)?).ok()?));
        found.and_then(read).or_else(|| {
            let at = (1..=last).rev().find(|at| line[*at..].starts_with(BEGINNING))?;
            read(at)
        })
    }
}

impl<'de> Deserialize<'de> for Record<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

/// Reads the members of a record; those that no metric is made of are passed over.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Record<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut record = Record::default();
        let mut ours = false;
        let mut duration = None;
        while let Some(Text(name)) = members.next_key()? {
            match &*name {
                "_aws" => ours = members.next_value::<Directives>()?.are_ours(),
                "function" => record.function = members.next_value::<Text<'_>>()?.0,
                "method" => record.method = text(&mut members)?,
                "route" => record.route = text(&mut members)?,
                "outcome" => record.outcome = text(&mut members)?,
                "status" => record.status = Some(members.next_value()?),
                "Bytes" => record.bytes = Some(members.next_value()?),
                "Accepted" => record.accepted = Some(members.next_value()?),
                "NotStored" => record.not_stored = Some(members.next_value()?),
                "FirehoseRetries" => record.firehose_retries = Some(members.next_value()?),
                "Stored" => record.stored = Some(members.next_value()?),
                "Quarantined" => record.quarantined = Some(members.next_value()?),
                "InsertMilliseconds" => record.insert = Some(seconds(&mut members)?),
                "DataAgeMilliseconds" => record.data_age = Some(seconds(&mut members)?),
                "DurationMilliseconds" => duration = Some(seconds(&mut members)?),
                name if name.starts_with(REJECTED) => {
                    let reason = name.trim_start_matches(REJECTED).to_owned();
                    record.rejected.push((reason.into(), members.next_value()?));
                }
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        match duration {
            Some(duration) if ours && !record.function.is_empty() => Ok(Record { duration, ..record }),
            _ => Err(A::Error::custom("no record of a function")),
        }
    }
}

/// What `_aws` holds.
#[derive(serde::Deserialize)]
struct Directives<'l> {
    #[serde(rename = "CloudWatchMetrics", borrow)]
    directives: Vec<Directive<'l>>,
}

#[derive(serde::Deserialize)]
struct Directive<'l> {
    #[serde(rename = "Namespace", borrow)]
    namespace: Cow<'l, str>,
}

impl Directives<'_> {
    fn are_ours(&self) -> bool {
        self.directives.iter().any(|directive| directive.namespace == NAMESPACE)
    }
}

/// A text that is copied only if it holds escapes.
#[derive(serde::Deserialize)]
struct Text<'l>(#[serde(borrow)] Cow<'l, str>);

fn text<'de, A: MapAccess<'de>>(members: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    Ok(Some(members.next_value::<Text<'_>>()?.0))
}

fn seconds<'de, A: MapAccess<'de>>(members: &mut A) -> Result<f64, A::Error> {
    let milliseconds: f64 = members.next_value()?;
    if (0.0..=LONGEST_MS).contains(&milliseconds) {
        Ok(milliseconds / 1e3)
    } else {
        Err(A::Error::custom("no time that a request takes"))
    }
}

#[cfg(test)]
mod tests;
