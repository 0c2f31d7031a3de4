//! Who visits, and on which days: people who come once, now and then, or all the time, fall asleep and come back.

use super::dice::roll;
use super::rhythm;

/// The experiment on the button that leads to the checkout. Variant `b` makes a few more people go on: a true effect that
/// an analysis should find.
pub(super) const CHECKOUT_BUTTON: &str = "checkout_button";

/// The experiment on the cart's looks. It changes nothing: an analysis should find no effect.
pub(super) const CART_STYLE: &str = "cart_style";

/// What the draws of a visitor are for, so that no two decisions share one.
mod purpose {
    pub(super) const KIND: u64 = 1;
    pub(super) const KNOWN: u64 = 2;
    pub(super) const JOINED: u64 = 3;
    pub(super) const AWAKE: u64 = 4;
    pub(super) const CHECKOUT_BUTTON: u64 = 5;
    pub(super) const CART_STYLE: u64 = 6;
    pub(super) const SLEEP_OR_WAKE: u64 = 7;
    pub(super) const VISIT: u64 = 8;
}

/// How attached a visitor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Comes once, and hardly ever again.
    Passer,
    /// Comes now and then.
    Casual,
    /// Comes every few days.
    Regular,
    /// Comes most days.
    Fan,
}

impl Kind {
    /// The chance of a visit on an average day while awake.
    fn visits(self) -> f64 {
        match self {
            Self::Passer => 0.004,
            Self::Casual => 0.13,
            Self::Regular => 0.40,
            Self::Fan => 0.65,
        }
    }

    /// The chance each day to lose interest.
    fn sleeps(self) -> f64 {
        match self {
            Self::Passer => 0.1,
            Self::Casual => 0.02,
            Self::Regular => 0.012,
            Self::Fan => 0.006,
        }
    }

    /// The chance each day to find it again.
    fn wakes(self) -> f64 {
        match self {
            Self::Passer => 0.002,
            Self::Casual => 0.015,
            Self::Regular | Self::Fan => 0.02,
        }
    }
}

/// The variants that a visitor sees, the same on every visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Variants {
    /// `a` or `b` of [`CHECKOUT_BUTTON`].
    pub(super) checkout_button: &'static str,
    /// `default` or `compact` of [`CART_STYLE`].
    pub(super) cart_style: &'static str,
}

impl Variants {
    /// The chance that someone in the cart goes on to the checkout.
    pub(super) fn checkout(self) -> f64 {
        if self.checkout_button == "b" { 0.60 } else { 0.50 }
    }
}

/// One person: what they are, and whether the shop is on their mind.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    /// Their `user_id`, from 1.
    pub(super) id: u64,
    /// What they see.
    pub(super) variants: Variants,
    kind: Kind,
    /// The day of their first visit, in days since 1970; before the first day for those known already.
    joined: i64,
    awake: bool,
}

impl Visitor {
    /// The person with this id in a shop that is watched for `days` days from `first_day`.
    pub(super) fn meet(seed: u64, id: u64, first_day: i64, days: i64) -> Self {
        let draw = |purpose| roll(seed, id, 0, purpose);
        let known = draw(purpose::KNOWN) < 0.40;
        let kind = match draw(purpose::KIND) {
            draw if draw < 0.40 && !known => Kind::Passer,
            draw if draw < 0.78 => Kind::Casual,
            draw if draw < 0.96 => Kind::Regular,
            _ => Kind::Fan,
        };
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            reason = "a fraction of some days"
        )]
        let part_of = |days: i64| (draw(purpose::JOINED) * days as f64) as i64;
        Self {
            id,
            variants: Variants {
                checkout_button: if draw(purpose::CHECKOUT_BUTTON) < 0.5 { "a" } else { "b" },
                cart_style: if draw(purpose::CART_STYLE) < 0.5 {
                    "default"
                } else {
                    "compact"
                },
            },
            kind,
            joined: if known {
                first_day - 1 - part_of(90)
            } else {
                first_day + part_of(days)
            },
            awake: !known || draw(purpose::AWAKE) < 0.6,
        }
    }

    /// Lives through a day; true when the person visits on it. Days must be passed in order, each once.
    pub(super) fn visits(&mut self, seed: u64, day: i64) -> bool {
        if day <= self.joined {
            return day == self.joined;
        }
        let change = roll(seed, self.id, day, purpose::SLEEP_OR_WAKE);
        self.awake = if self.awake {
            change >= self.kind.sleeps()
        } else {
            change < self.kind.wakes()
        };
        if !self.awake {
            return false;
        }
        // What is new is visited more: the chance is up to 2.2 times the usual on the first days, and falls to it.
        #[allow(clippy::cast_precision_loss, reason = "a number of days")]
        let fresh = 1.0 + 1.2 / (day - self.joined) as f64;
        let chance = self.kind.visits() * fresh * rhythm::of_week(day);
        roll(seed, self.id, day, purpose::VISIT) < chance.min(0.95)
    }
}
