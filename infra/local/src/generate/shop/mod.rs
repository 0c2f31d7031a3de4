//! The demo shop: an online shop with a main page, a catalogue, four products, a cart and a checkout, and its visitors.
//!
//! Pure: the events depend on the [`Plan`] alone. There is no clock, no I/O and no state outside. The same plan gives the
//! same events with the same event ids; an event id that two plans share (same seed, overlapping periods) belongs to the
//! same event. So sending again changes nothing that was stored.
//!
//! | name | obj | obj_id | url | what |
//! |---|---|---|---|---|
//! | view | page | main, catalog, product, cart, checkout, paid | the page | a page was seen |
//! | click | url | the page it leads to | the page it is on | a link was followed |
//! | click | button | add_to_cart, checkout, pay | the page it is on | a button was pressed |
//! | pay | order | the order's number | checkout | a product was paid: `product_id`, `amount` |
//!
//! `product_id` is set on a product's page and on `pay`, `amount` on `pay` only: its sum is the revenue. Each event carries
//! the visitor's variants in `exp`.

mod catalogue;
mod dice;
mod rhythm;
mod session;
#[cfg(test)]
mod tests;
mod visitor;

use std::borrow::Cow;

use event_model::Row;
use jiff::civil::{Date, Time};
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use uuid::Uuid;

pub(super) use dice::roll;

use catalogue::{PRODUCTS, Page};
use rhythm::DAY;
use session::{Action, Step};
use visitor::{CART_STYLE, CHECKOUT_BUTTON, Variants, Visitor};

/// What to generate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Other seeds make other people do other things.
    pub(crate) seed: u64,
    /// How many people there are: `user_id` runs from 1 to this. A few of them may not show up.
    pub(crate) users: u64,
    /// How many days, the last included.
    pub(crate) days: u32,
    /// The last day (UTC).
    pub(crate) last_day: Date,
    /// No event is at or after this moment, which lies in the last day or ends it.
    pub(crate) until: Timestamp,
}

/// Why a period cannot be generated.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum PlanError {
    /// Nothing to do.
    #[error("at least one day and one user are needed")]
    Empty,
    /// A `dt` must fit ClickHouse's DateTime.
    #[error("{days} days up to {last_day} do not lie between 1970-01-01 and 2106-02-06")]
    Period {
        /// As asked for.
        days: u32,
        /// As asked for.
        last_day: Date,
    },
}

impl Plan {
    /// The plan for whole days.
    pub(crate) fn whole_days(seed: u64, users: u64, days: u32, last_day: Date) -> Result<Self, PlanError> {
        let period = || PlanError::Period { days, last_day };
        if users == 0 || days == 0 {
            return Err(PlanError::Empty);
        }
        let next = last_day.tomorrow().map_err(|_| period())?;
        let until = Offset::UTC
            .to_timestamp(next.to_datetime(Time::midnight()))
            .map_err(|_| period())?;
        let plan = Self {
            seed,
            users,
            days,
            last_day,
            until,
        };
        if plan.first() < 0 || until.as_second() > i64::from(u32::MAX) {
            return Err(period());
        }
        Ok(plan)
    }

    /// The same plan, but nothing from `now` on, if the last day has `now` in it.
    pub(crate) fn until(mut self, now: Timestamp) -> Self {
        self.until = self.until.min(now);
        self
    }

    /// The first day, in days since 1970.
    fn first(&self) -> i64 {
        self.last() - i64::from(self.days) + 1
    }

    /// The last day, in days since 1970.
    fn last(&self) -> i64 {
        day_number(self.last_day)
    }

    /// How many events person `id` causes.
    fn events_of(&self, id: u64, steps: &mut Vec<Step>) -> u64 {
        let mut visitor = Visitor::meet(self.seed, id, self.first(), i64::from(self.days));
        steps.clear();
        for day in self.first()..=self.last() {
            if visitor.visits(self.seed, day) {
                session::day_of(self.seed, &visitor, day, steps);
            }
        }
        let until = self.until.as_second();
        steps.iter().filter(|step| step.at < until).count() as u64
    }

    /// How many events the plan gives.
    pub(crate) fn count(&self) -> u64 {
        let mut steps = Vec::new();
        (1..=self.users).map(|id| self.events_of(id, &mut steps)).sum()
    }

    /// The same plan with as few people as give at least `events` events, at most `self.users`; and the number of events.
    pub(crate) fn sized(mut self, events: u64) -> (Self, u64) {
        let mut steps = Vec::new();
        let mut total = 0;
        for id in 1..=self.users {
            total += self.events_of(id, &mut steps);
            if total >= events {
                self.users = id;
                break;
            }
        }
        (self, total)
    }
}

/// Days since 1970.
fn day_number(date: Date) -> i64 {
    Date::constant(1970, 1, 1)
        .until(date)
        .map_or(0, |span| i64::from(span.get_days()))
}

/// One event of the shop, as a client posts it: `Serialize` writes the JSON object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    /// When, in whole seconds.
    pub(crate) dt: Timestamp,
    /// `view`, `click` or `pay`.
    pub(crate) name: &'static str,
    /// From 1.
    pub(crate) user_id: u64,
    /// The page.
    pub(crate) url: &'static str,
    /// `page`, `url`, `button` or `order`.
    pub(crate) obj: &'static str,
    /// Which of them.
    pub(crate) obj_id: Cow<'static, str>,
    /// 0 for none.
    pub(crate) product_id: u64,
    /// 0 for none.
    pub(crate) amount: f64,
    /// Experiment and variant.
    pub(crate) exp: [(&'static str, &'static str); 2],
    /// Version 4.
    pub(crate) event_id: Uuid,
}

impl From<Step> for Event {
    fn from(step: Step) -> Self {
        let Step {
            at,
            user,
            place: _,
            id,
            action,
            variants: Variants {
                checkout_button,
                cart_style,
            },
        } = step;
        let (name, page, obj, obj_id): (_, _, _, Cow<'static, str>) = match action {
            Action::View(page) => ("view", page, "page", page.name().into()),
            Action::Follow(page, to) => ("click", page, "url", to.name().into()),
            Action::Press(page, button) => ("click", page, "button", button.into()),
            Action::Pay {
                order: (day, place), ..
            } => ("pay", Page::Checkout, "order", format!("{user}-{day}-{place}").into()),
        };
        let (product_id, amount) = match action {
            Action::Pay { product, amount, .. } => (PRODUCTS[product].id, amount),
            Action::View(page) | Action::Follow(page, _) | Action::Press(page, _) => (page.product_id(), 0.0),
        };
        Self {
            // A plan's period lies within what a timestamp can hold.
            dt: Timestamp::from_second(at).unwrap_or(Timestamp::UNIX_EPOCH),
            name,
            user_id: user,
            url: page.url(),
            obj,
            obj_id,
            product_id,
            amount,
            exp: [(CHECKOUT_BUTTON, checkout_button), (CART_STYLE, cart_style)],
            event_id: id,
        }
    }
}

impl Event {
    /// The row that is stored when the event is posted and received `delay` after its time.
    pub(crate) fn into_row(self, delay: SignedDuration) -> Row<'static> {
        Row {
            // A plan's period lies within what ClickHouse's DateTime can hold.
            dt: u32::try_from(self.dt.as_second()).unwrap_or(0),
            name: self.name.into(),
            user_id: self.user_id,
            url: self.url.into(),
            obj: self.obj.into(),
            obj_id: self.obj_id,
            product_id: self.product_id,
            amount: self.amount,
            exp: self
                .exp
                .map(|(experiment, variant)| (experiment.into(), variant.into()))
                .into(),
            event_id: self.event_id,
            received_at: self.dt.as_millisecond() + i64::try_from(delay.as_millis()).unwrap_or(0),
            request_id: "".into(),
        }
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Text<T>(T);
        impl<T: std::fmt::Display> Serialize for Text<T> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }
        struct Exp<'a>(&'a [(&'static str, &'static str); 2]);
        impl Serialize for Exp<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().copied())
            }
        }
        let mut map = serializer.serialize_map(Some(10))?;
        map.serialize_entry("dt", &Text(self.dt))?;
        map.serialize_entry("name", self.name)?;
        map.serialize_entry("user_id", &self.user_id)?;
        map.serialize_entry("url", self.url)?;
        map.serialize_entry("obj", self.obj)?;
        map.serialize_entry("obj_id", &self.obj_id)?;
        map.serialize_entry("product_id", &self.product_id)?;
        map.serialize_entry("amount", &self.amount)?;
        map.serialize_entry("exp", &Exp(&self.exp))?;
        map.serialize_entry("event_id", &Text(self.event_id))?;
        map.end()
    }
}

/// The shop's events in time order; those of the same second by user, then as they happened.
pub(crate) struct Shop {
    plan: Plan,
    visitors: Vec<Visitor>,
    /// The day to live through next.
    next_day: i64,
    /// What happened up to the end of the day before, the last event first.
    ready: Vec<Step>,
    /// What goes on after that midnight.
    after_midnight: Vec<Step>,
}

impl Shop {
    /// Opens the shop on the plan's first day.
    pub(crate) fn new(plan: Plan) -> Self {
        let first = plan.first();
        let visitors = (1..=plan.users)
            .map(|id| Visitor::meet(plan.seed, id, first, i64::from(plan.days)))
            .collect();
        Self {
            plan,
            visitors,
            next_day: first,
            ready: Vec::new(),
            after_midnight: Vec::new(),
        }
    }

    fn live_a_day(&mut self) {
        let day = self.next_day;
        self.next_day += 1;
        let mut steps = std::mem::take(&mut self.after_midnight);
        for visitor in &mut self.visitors {
            if visitor.visits(self.plan.seed, day) {
                session::day_of(self.plan.seed, visitor, day, &mut steps);
            }
        }
        let until = self.plan.until.as_second();
        let midnight = (day + 1) * DAY;
        steps.retain(|step| step.at < until);
        steps.sort_unstable_by_key(|step| std::cmp::Reverse((step.at, step.user, step.place)));
        let today = steps.partition_point(|step| step.at >= midnight);
        self.ready = steps.split_off(today);
        self.after_midnight = steps;
    }
}

impl Iterator for Shop {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        while self.ready.is_empty() && self.next_day <= self.plan.last() {
            self.live_a_day();
        }
        self.ready.pop().map(Event::from)
    }
}
