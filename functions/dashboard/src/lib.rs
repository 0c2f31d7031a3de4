//! `GET /dashboard`: a page with the marts and with what happens now. The page and its files hold no data and are given to everybody;
//! `/dashboard/data` and `/dashboard/live`, which it loads, are the data, for who may read. Everything is in the binary: the page
//! loads nothing from elsewhere.

mod context;
mod data;
mod files;
mod handler;
mod live;
mod panel;

pub use context::Context;
pub use live::{Health, Live, Minute};
pub use panel::{MAX_PANEL_BYTES, Panel, of_mart};
