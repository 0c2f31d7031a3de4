//! The event that a client posts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::coerce;
use crate::issue::{BODY, Issue, Loc, Reason, Rejection, Undecodable};
use crate::json::{self, JsonError, Raw, Top};
use crate::limits::{MAX_ISSUES, MAX_LOC_KEY_BYTES};
use crate::schema;

/// The fields of an event, in the order in which issues are reported.
pub const FIELDS: [&str; 10] = [
    "dt",
    "name",
    "user_id",
    "url",
    "obj",
    "obj_id",
    "product_id",
    "amount",
    "exp",
    "event_id",
];

/// One thing that a visitor did on a site. Unknown fields are ignored.
#[derive(Debug, Clone, PartialEq, schemars::JsonSchema)]
#[schemars(
    title = "Event",
    example = example()
)]
pub struct Event<'a> {
    /// When it happened: ISO 8601, or seconds or milliseconds since 1970. Without an offset it is UTC. Fractions of a
    /// second are dropped. From 1970-01-01T00:00:00Z to 2106-02-07T06:28:15Z.
    #[schemars(schema_with = "schema::dt")]
    pub(crate) dt: u32,
    /// What happened: `view`, `click`, …
    pub(crate) name: Cow<'a, str>,
    /// Who did it.
    #[schemars(schema_with = "schema::unsigned")]
    pub(crate) user_id: u64,
    /// The page it happened on, an http or https URL.
    #[schemars(schema_with = "schema::url")]
    pub(crate) url: Cow<'a, str>,
    /// What kind of thing it happened to: `page`, `button`, `url`, …
    pub(crate) obj: Cow<'a, str>,
    /// Which one.
    #[schemars(default)]
    pub(crate) obj_id: Cow<'a, str>,
    /// The product it is about; 0 for none.
    #[schemars(default, schema_with = "schema::unsigned")]
    pub(crate) product_id: u64,
    /// Money that changed hands; finite, 0 for none.
    #[schemars(default, schema_with = "schema::amount")]
    pub(crate) amount: f64,
    /// The experiments the visitor takes part in: experiment → variant.
    #[schemars(default = "no_experiments", with = "Option<BTreeMap<String, String>>")]
    pub(crate) exp: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Makes a retry idempotent: an event that is sent again with the same id is counted once.
    #[schemars(default, schema_with = "schema::event_id")]
    pub(crate) event_id: Option<Uuid>,
}

/// The default of `exp`, as a client would write it.
fn no_experiments() -> Option<BTreeMap<String, String>> {
    None
}

/// The example in the schema.
fn example() -> serde_json::Value {
    serde_json::json!({
        "dt": "2024-05-17T10:20:30Z",
        "name": "click",
        "user_id": 42,
        "url": "https://shop.example/catalog/product/1",
        "obj": "button",
        "obj_id": "add_to_cart",
        "product_id": 1,
        "amount": 9.99,
        "exp": { "cart_style": "new" },
        "event_id": "018f8523-3c5b-7d4a-9d3e-0b6f4c1f2a10"
    })
}

impl<'a> Event<'a> {
    /// Parses a body that holds one event. All problems are reported at once, in the order of [`FIELDS`].
    pub fn from_json(body: &'a [u8]) -> Result<Event<'a>, Rejection> {
        Event::from_text(decode(body)?)
    }

    /// Parses the text of one event.
    pub(crate) fn from_text(text: &'a str) -> Result<Event<'a>, Rejection> {
        let top = json::read(text, &FIELDS).map_err(|error| unreadable(error, text))?;
        Event::from_top(top).map_err(Rejection::Invalid)
    }

    /// Makes an event of a value.
    pub(crate) fn from_top(top: Top<'a, { FIELDS.len() }>) -> Result<Event<'a>, Vec<Issue>> {
        match top {
            Top::Object { values, span } => from_values(&values, span),
            Top::Other(value) => {
                let reason = if matches!(value, Raw::Null) {
                    Reason::Missing
                } else {
                    Reason::NotAnObject
                };
                Err(vec![Issue::of_body(reason, json::echo(value))])
            }
        }
    }

    /// When it happened, in seconds since 1970.
    pub fn dt(&self) -> u32 {
        self.dt
    }

    /// What happened.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who did it.
    pub fn user_id(&self) -> u64 {
        self.user_id
    }

    /// The page, normalised.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What kind of thing it happened to.
    pub fn obj(&self) -> &str {
        &self.obj
    }

    /// Which one.
    pub fn obj_id(&self) -> &str {
        &self.obj_id
    }

    /// The product.
    pub fn product_id(&self) -> u64 {
        self.product_id
    }

    /// Money; finite and not negative.
    pub fn amount(&self) -> f64 {
        self.amount
    }

    /// Experiment and variant, each experiment once, in the client's order.
    pub fn exp(&self) -> &[(Cow<'a, str>, Cow<'a, str>)] {
        &self.exp
    }

    /// The same event, with that id.
    pub fn identified(self, event_id: Uuid) -> Event<'a> {
        Event {
            event_id: Some(event_id),
            ..self
        }
    }

    /// The id that the client gave.
    pub fn event_id(&self) -> Option<Uuid> {
        self.event_id
    }
}

/// As a client would post it, normalised. Parsing it again gives the same event, unless the URL grew over its limit: percent
/// signs take room.
impl Serialize for Event<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let dt = crate::write::dt_text(self.dt);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("dt", &dt)?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("user_id", &self.user_id)?;
        map.serialize_entry("url", &self.url)?;
        map.serialize_entry("obj", &self.obj)?;
        map.serialize_entry("obj_id", &self.obj_id)?;
        map.serialize_entry("product_id", &self.product_id)?;
        map.serialize_entry("amount", &self.amount)?;
        map.serialize_entry("exp", &Pairs(&self.exp))?;
        if let Some(event_id) = self.event_id {
            map.serialize_entry("event_id", &event_id)?;
        }
        map.end()
    }
}

struct Pairs<'a>(&'a [(Cow<'a, str>, Cow<'a, str>)]);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

/// Why a text that is not JSON, or more of it than is read, holds nothing.
pub(crate) fn unreadable(error: JsonError, text: &str) -> Rejection {
    match error {
        JsonError::TooDeep => Undecodable::TooDeep.into(),
        JsonError::IntTooLong => Undecodable::IntTooLong.into(),
        // No body at all is a missing one, not bad JSON.
        JsonError::Syntax { .. } if text.is_empty() => {
            Rejection::Invalid(vec![Issue::of_body(Reason::Missing, RawValue::NULL.to_owned())])
        }
        JsonError::Syntax { at, error } => {
            let characters = text.get(..at).unwrap_or(text).chars().count();
            Rejection::Invalid(vec![Issue {
                reason: Reason::JsonInvalid { error },
                loc: vec![BODY, Loc::Index(characters)],
                input: RawValue::from_string("{}".to_owned()).unwrap_or_default(),
            }])
        }
    }
}

/// The text of a body: UTF-8, a byte order mark skipped. What CPython would take for UTF-16 or UTF-32 is refused.
pub(crate) fn decode(body: &[u8]) -> Result<&str, Undecodable> {
    let text = match body.strip_prefix(b"\xEF\xBB\xBF") {
        Some(text) => text,
        // A zero byte beside one of the first two characters is UTF-16 or UTF-32: JSON in UTF-8 holds no zero byte.
        None if matches!(body, [0, _, _, _, ..] | [_, 0, _, _, ..] | [0, _] | [_, 0]) => {
            return Err(Undecodable::NotUtf8);
        }
        None => body,
    };
    std::str::from_utf8(text).map_err(|_| Undecodable::NotUtf8)
}

/// Parses each field, and collects what is wrong. `text` is the object.
fn from_values<'a>(values: &[Option<Raw<'a>>; FIELDS.len()], text: &str) -> Result<Event<'a>, Vec<Issue>> {
    let [dt, name, user_id, url, obj, obj_id, product_id, amount, exp, event_id] = *values;
    let mut problems = Problems {
        issues: Vec::new(),
        text,
    };
    let dt = problems.required(0, dt, coerce::datetime);
    let name = problems.required(1, name, coerce::string);
    let user_id = problems.required(2, user_id, coerce::unsigned);
    let url = problems.required(3, url, coerce::url);
    let obj = problems.required(4, obj, coerce::string);
    let obj_id = problems.optional(5, obj_id, coerce::string);
    let product_id = problems.optional(6, product_id, coerce::unsigned);
    let amount = problems.optional(7, amount, coerce::amount);
    let exp = problems.exp(exp);
    let event_id = problems.optional(9, event_id, coerce::uuid);
    match (dt, name, user_id, url, obj, obj_id, product_id, amount, exp, event_id) {
        (
            Some(dt),
            Some(name),
            Some(user_id),
            Some(url),
            Some(obj),
            Some(obj_id),
            Some(product_id),
            Some(amount),
            Some(exp),
            Some(event_id),
        ) => Ok(Event {
            dt,
            name,
            user_id,
            url,
            obj,
            obj_id,
            product_id,
            amount,
            exp,
            event_id,
        }),
        _ => Err(problems.issues),
    }
}

/// What is wrong with an event so far. Each method gives the field's value, or `None` after it has noted why not.
struct Problems<'a> {
    issues: Vec<Issue>,
    /// The whole object, echoed when a field is missing.
    text: &'a str,
}

impl Problems<'_> {
    fn required<'v, T>(
        &mut self,
        field: usize,
        value: Option<Raw<'v>>,
        parse: impl FnOnce(Raw<'v>) -> Result<T, Reason>,
    ) -> Option<T> {
        match value {
            Some(value) => self.parse(field, value, parse),
            None => {
                let input = json::echo(Raw::Object(self.text));
                self.note(Reason::Missing, vec![BODY, field_loc(field)], input);
                None
            }
        }
    }

    fn optional<'v, T: Default>(
        &mut self,
        field: usize,
        value: Option<Raw<'v>>,
        parse: impl FnOnce(Raw<'v>) -> Result<T, Reason>,
    ) -> Option<T> {
        match value {
            Some(value) => self.parse(field, value, parse),
            None => Some(T::default()),
        }
    }

    fn parse<'v, T>(
        &mut self,
        field: usize,
        value: Raw<'v>,
        parse: impl FnOnce(Raw<'v>) -> Result<T, Reason>,
    ) -> Option<T> {
        match parse(value) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.note(reason, vec![BODY, field_loc(field)], json::echo(value));
                None
            }
        }
    }

    fn exp<'v>(&mut self, value: Option<Raw<'v>>) -> Option<Vec<(Cow<'v, str>, Cow<'v, str>)>> {
        const EXP: usize = 8;
        match value {
            None | Some(Raw::Null) => return Some(Vec::new()),
            Some(value) => {
                if let Some(pairs) = coerce::plain_pairs(value) {
                    return Some(pairs);
                }
            }
        }
        let pairs = self.parse(EXP, value.unwrap_or(Raw::Null), coerce::pairs)?;
        let mut exp = Vec::with_capacity(pairs.len());
        let mut good = true;
        for (key, value) in pairs {
            match coerce::string(value) {
                Ok(variant) => exp.push((key, variant)),
                Err(reason) => {
                    good = false;
                    let key = Loc::Key(Cow::Owned(json::cut(&key, MAX_LOC_KEY_BYTES).into_owned()));
                    self.note(reason, vec![BODY, field_loc(EXP), key], json::echo(value));
                }
            }
        }
        good.then_some(exp)
    }

    fn note(&mut self, reason: Reason, loc: Vec<Loc>, input: Box<RawValue>) {
        if self.issues.len() < MAX_ISSUES {
            self.issues.push(Issue { reason, loc, input });
        }
    }
}

fn field_loc(field: usize) -> Loc {
    Loc::Key(Cow::Borrowed(FIELDS[field]))
}

#[cfg(test)]
mod tests;
