//! How far a run is: a bar on a terminal, a plain line every few seconds elsewhere. Both on stderr.

use std::convert::Infallible;
use std::io::IsTerminal as _;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::conduct::Conductor;
use crate::report;

const BAR_EVERY: Duration = Duration::from_millis(500);
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Shows it until dropped out of: never returns. Run it beside the work in a `select!`.
pub(super) async fn show(conductor: &Conductor, faults: usize, events: u64) -> Infallible {
    // Lines of --verbose would run into a bar.
    let terminal = std::io::stderr().is_terminal() && !conductor.verbose;
    let bar = Cleared(if terminal {
        ProgressBar::new(events)
    } else {
        ProgressBar::hidden()
    });
    if let Ok(style) = ProgressStyle::with_template("[{elapsed_precise}] {bar:30} {wide_msg}") {
        bar.0.set_style(style);
    }
    let mut ticks = tokio::time::interval(if terminal { BAR_EVERY } else { PLAIN_EVERY });
    // The first tick comes at once.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let (sent, settled) = conductor.ledger.progress();
        let text = format!(
            "{sent} events sent, {settled} settled, {} of {faults} faults, {} processes started again",
            conductor.begun.load(Ordering::Relaxed),
            conductor.stack.restarts(),
        );
        if terminal {
            bar.0.set_position(settled);
            bar.0.set_message(text);
        } else {
            report::say(text);
        }
    }
}

/// Leaves the terminal clean however the bar ends.
struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
