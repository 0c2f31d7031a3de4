//! What someone does on a day: one or more sessions, each a walk from page to page.
//!
//! The walk depends on the seed, the visitor and the calendar day alone. So an event has one event id wherever it is
//! generated again: over another period, in a larger shop.

use uuid::Uuid;

use super::catalogue::{PRODUCTS, Page};
use super::dice::Dice;
use super::rhythm::{self, DAY};
use super::visitor::{Variants, Visitor};

/// The longest walk, in pages: a guard, reached by next to nobody.
const MAX_PAGES: usize = 60;

/// At least as long, in seconds, does someone stay away between two sessions of a day.
const APART: i64 = 40 * 60;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Action {
    /// A page was seen.
    View(Page),
    /// A link on the first page to the second was followed.
    Follow(Page, Page),
    /// A button was pressed on a page.
    Press(Page, &'static str),
    /// One product of an order was paid; the lines of an order share its number.
    Pay {
        /// Its index in [`PRODUCTS`].
        product: usize,
        /// The price of all pieces of it.
        amount: f64,
        /// The order's number: the day the session began, in days since 1970, and the place in it.
        order: (i64, u32),
    },
}

/// One thing that one person did: an event before it is spelled out.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// When, in seconds since 1970.
    pub(super) at: i64,
    /// Who.
    pub(super) user: u64,
    /// Its place among what the person did on the day: orders what happened in the same second.
    pub(super) place: u32,
    /// The event id.
    pub(super) id: Uuid,
    /// What.
    pub(super) action: Action,
    /// What the person saw.
    pub(super) variants: Variants,
}

/// Appends all that `visitor` does in the sessions begun on `day`, in time order. The last may end after midnight.
pub(super) fn day_of(seed: u64, visitor: &Visitor, day: i64, steps: &mut Vec<Step>) {
    let mut walk = Walk {
        dice: Dice::new(seed, visitor.id, day),
        day,
        at: 0,
        place: 0,
        visitor,
        cart: [0; PRODUCTS.len()],
        steps,
    };
    let mut starts = vec![rhythm::start(&mut walk.dice, day)];
    while starts.len() < 4 && walk.dice.chance(0.28) {
        starts.push(rhythm::start(&mut walk.dice, day));
    }
    starts.sort_unstable();
    for start in starts {
        let earliest = if walk.place == 0 { 0 } else { walk.at + APART };
        let start = (day * DAY + start).max(earliest);
        if start < (day + 1) * DAY {
            walk.at = start;
            walk.session();
        }
    }
}

struct Walk<'a> {
    dice: Dice,
    day: i64,
    /// Now, in seconds since 1970.
    at: i64,
    place: u32,
    visitor: &'a Visitor,
    /// Pieces of each product. It keeps from session to session of a day.
    cart: [u32; PRODUCTS.len()],
    steps: &'a mut Vec<Step>,
}

impl Walk<'_> {
    fn session(&mut self) {
        let mut page = match self.dice.weighted(&[0.55, 0.20, 0.25]) {
            0 => Page::Main,
            1 => Page::Catalog,
            _ => self.some_product(),
        };
        for _ in 0..MAX_PAGES {
            self.record(Action::View(page));
            self.at += rhythm::pause(&mut self.dice);
            match self.leave(page) {
                Some(next) => page = next,
                None => return,
            }
        }
    }

    /// What happens on a page that is being looked at; the page it leads to, or none when the visitor goes away.
    fn leave(&mut self, page: Page) -> Option<Page> {
        match page {
            Page::Main => match self.dice.weighted(&[0.55, 0.20, 0.25]) {
                0 => self.follow(page, Page::Catalog),
                1 => {
                    let product = self.some_product();
                    self.follow(page, product)
                }
                _ => None,
            },
            Page::Catalog => match self.dice.weighted(&[0.72, 0.06, 0.22]) {
                0 => {
                    let product = self.some_product();
                    self.follow(page, product)
                }
                1 => self.follow(page, Page::Main),
                _ => None,
            },
            Page::Product(index) => match self.dice.weighted(&[0.11, 0.54, 0.35]) {
                0 => {
                    self.press(page, "add_to_cart");
                    self.cart[index] += 1;
                    let next = if self.dice.chance(0.65) {
                        Page::Cart
                    } else {
                        Page::Catalog
                    };
                    self.follow(page, next)
                }
                1 => self.follow(page, Page::Catalog),
                _ => None,
            },
            Page::Cart => {
                let goes_on = self.visitor.variants.checkout();
                if self.dice.chance(goes_on) {
                    self.press(page, "checkout");
                    Some(Page::Checkout)
                } else if self.dice.chance(0.4) {
                    self.follow(page, Page::Catalog)
                } else {
                    None
                }
            }
            Page::Checkout => match self.dice.weighted(&[0.70, 0.08, 0.22]) {
                0 => {
                    self.pay();
                    Some(Page::Paid)
                }
                1 => self.follow(page, Page::Cart),
                _ => None,
            },
            Page::Paid => {
                if self.dice.chance(0.15) {
                    self.follow(page, Page::Main)
                } else {
                    None
                }
            }
        }
    }

    fn some_product(&mut self) -> Page {
        Page::Product(self.dice.weighted(&PRODUCTS.each_ref().map(|product| product.appeal)))
    }

    /// Goes on by a link. Some use the address line or the back button instead, which no event tells.
    fn follow(&mut self, from: Page, to: Page) -> Option<Page> {
        if self.dice.chance(0.8) {
            self.record(Action::Follow(from, to));
            self.at += self.dice.between(1, 3);
        }
        Some(to)
    }

    fn press(&mut self, page: Page, button: &'static str) {
        self.record(Action::Press(page, button));
        self.at += self.dice.between(1, 4);
    }

    fn pay(&mut self) {
        self.press(Page::Checkout, "pay");
        let order = (self.day, self.place);
        for (product, pieces) in std::mem::take(&mut self.cart).into_iter().enumerate() {
            if pieces > 0 {
                // Whole cents, so that the nearest f64 of the amount is the one that its two decimals read back as.
                let amount = (PRODUCTS[product].price * f64::from(pieces) * 100.0).round() / 100.0;
                self.record(Action::Pay { product, amount, order });
            }
        }
        self.at += self.dice.between(1, 3);
    }

    fn record(&mut self, action: Action) {
        self.steps.push(Step {
            at: self.at,
            user: self.visitor.id,
            place: self.place,
            id: self.dice.uuid(),
            action,
            variants: self.visitor.variants,
        });
        self.place += 1;
    }
}
