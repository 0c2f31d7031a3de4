//! How far it is: a bar on a terminal, a plain line every few seconds elsewhere. Both on stderr.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a plain line is written.
const PLAIN_EVERY: Duration = Duration::from_secs(5);

/// How often the bar moves.
const BAR_EVERY: Duration = Duration::from_millis(200);

/// The counts at a moment.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Events acknowledged.
    pub(super) acknowledged: u64,
    /// Events refused.
    pub(super) refused: u64,
    /// Events given up on.
    pub(super) failed: u64,
    /// Attempts made again.
    pub(super) retried: u64,
    /// Why the last of them was.
    pub(super) last_setback: Option<String>,
}

impl Counts {
    fn done(&self) -> u64 {
        self.acknowledged + self.refused + self.failed
    }

    fn text(&self, seconds: f64) -> String {
        #[allow(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = self.acknowledged as f64 / seconds.max(1e-9);
        let mut text = format!(
            "{rate:.0} events/s, {} acknowledged, {} refused",
            self.acknowledged, self.refused
        );
        if self.failed > 0 {
            text.push_str(&format!(", {} failed", self.failed));
        }
        if self.retried > 0 {
            text.push_str(&format!(", {} retries", self.retried));
        }
        if let Some(setback) = &self.last_setback {
            text.push_str(&format!(", last after: {setback}"));
        }
        text
    }
}

/// Shows `counts()` until dropped out of: never returns. Run it beside the work in a `select!`.
pub(super) async fn show(total: u64, counts: impl Fn() -> Counts) -> std::convert::Infallible {
    let began = Instant::now();
    let terminal = std::io::stderr().is_terminal();
    let bar = if terminal {
        ProgressBar::new(total)
    } else {
        ProgressBar::hidden()
    };
    if let Ok(style) = ProgressStyle::with_template("[{elapsed_precise}] {bar:30} {pos}/{len} {wide_msg}") {
        bar.set_style(style);
    }
    let _cleared = ClearOnDrop(&bar);
    let every = if terminal { BAR_EVERY } else { PLAIN_EVERY };
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    loop {
        ticks.tick().await;
        let now = counts();
        let text = now.text(began.elapsed().as_secs_f64());
        if terminal {
            bar.set_position(now.done());
            bar.set_message(text);
        } else {
            #[allow(clippy::print_stderr, reason = "the progress of a command line without a terminal")]
            {
                eprintln!("{} of {total} events: {text}", now.done());
            }
        }
    }
}

/// Leaves the terminal clean however the bar ends.
struct ClearOnDrop<'a>(&'a ProgressBar);

impl Drop for ClearOnDrop<'_> {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
