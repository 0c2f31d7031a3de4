//! What a long command tells the person who waits: bars and spinners in a terminal, plain lines everywhere else.

use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// One line to standard error, where progress belongs: standard output is for results.
pub(crate) fn say(line: impl AsRef<str>) {
    #[allow(clippy::print_stderr, reason = "this is the command line talking to its user")]
    {
        eprintln!("{}", line.as_ref());
    }
}

/// One line to standard output. Where nobody reads it any more, as behind `head`, it is not written.
pub(crate) fn print(line: impl AsRef<str>) {
    let _nobody_reads = try_print(line);
}

/// As [`print()`]; an error says that nobody reads it.
pub(crate) fn try_print(line: impl AsRef<str>) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", line.as_ref())?;
    out.flush()
}

/// A piece of work that takes a while: its line appears when it begins and again, with its time, when it is done.
pub(crate) struct Step {
    what: String,
    since: Instant,
    bar: Option<ProgressBar>,
}

impl Step {
    /// Announces the work. `what` reads well after nothing and before "done", as in "ClickHouse engine: download".
    pub(crate) fn begin(what: impl Into<String>) -> Self {
        let what = what.into();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
                bar.set_style(style);
            }
            bar.set_message(what.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            say(format!("{what} ..."));
        }
        Self {
            what,
            since: Instant::now(),
            bar,
        }
    }

    /// Turns the spinner into a bar of that many bytes, in a terminal.
    pub(crate) fn expect_bytes(&self, total: u64) {
        let Some(bar) = &self.bar else { return };
        bar.set_length(total);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {bytes}/{total_bytes} ({elapsed})")
        {
            bar.set_style(style);
        }
    }

    /// Turns the spinner into a bar of that many things, in a terminal.
    pub(crate) fn expect_items(&self, total: usize) {
        let Some(bar) = &self.bar else { return };
        bar.set_length(total as u64);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {pos}/{len} ({elapsed})") {
            bar.set_style(style);
        }
    }

    /// How many of them are done.
    pub(crate) fn at_item(&self, done: usize) {
        if let Some(bar) = &self.bar {
            bar.set_position(done as u64);
        }
    }

    /// How far it is.
    pub(crate) fn at_bytes(&self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    /// Says that it is done and how long it took.
    pub(crate) fn done(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        say(format!("{}: done in {}", self.what, seconds(self.since.elapsed())));
    }
}

impl Drop for Step {
    /// A step that fails must not leave its spinner behind on the error's line.
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A duration as people read it: `0.3 s`, `12 s`, `3 min 05 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let whole = duration.as_secs();
    match whole {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{whole} s"),
        _ => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

/// Bytes from outside as text for a terminal, which obeys none of it: what is not printable, or turns the direction of writing, as an escape.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for letter in chunk.valid().chars() {
            let unseen = matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
            if letter.is_control() || unseen {
                text.extend(letter.escape_default());
            } else {
                text.push(letter);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing() {
        for (bytes, expected) in [
            (&b"plain \"text\" \\"[..], "plain \"text\" \\"),
            ("\u{e9}\u{4e16}".as_bytes(), "\u{e9}\u{4e16}"),
            (b"\x1b[31m\r\n\t\x07\0", r"\u{1b}[31m\r\n\t\u{7}\u{0}"),
            ("\u{202e}\u{9b}".as_bytes(), r"\u{202e}\u{9b}"),
            (b"a\xff\xc3", r"a\xff\xc3"),
        ] {
            assert_eq!(escaped(bytes), expected);
        }
    }

    #[test]
    fn durations_read_well() {
        for (millis, expected) in [
            (0, "0.0 s"),
            (340, "0.3 s"),
            (9_990, "10.0 s"),
            (12_400, "12 s"),
            (60_000, "1 min 00 s"),
            (185_000, "3 min 05 s"),
        ] {
            assert_eq!(seconds(Duration::from_millis(millis)), expected, "{millis} ms");
        }
    }
}
