//! Running another program to its end, and saying in one line what went wrong when it failed.

use std::{process::Stdio, time::Duration};

use anyhow::{Context as _, bail};
use tokio::process::Command;

/// Runs it and gives back its standard output. `needs` says what to install when the program is not there.
pub(crate) async fn output(command: &mut Command, needs: &str) -> anyhow::Result<String> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let shown = shown(command);
    let program = command.as_std().get_program().to_string_lossy().into_owned();
    let output = match command.output().await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("{program} is not on PATH: {needs}"),
        other => other.with_context(|| format!("{program} could not be started"))?,
    };
    if !output.status.success() {
        let reason = reason(&String::from_utf8_lossy(&output.stderr))
            .or_else(|| reason(&String::from_utf8_lossy(&output.stdout)))
            .unwrap_or_else(|| "it said nothing".to_owned());
        bail!(
            "{program} failed ({}): {reason}; to see all of it, run: {shown}",
            output.status
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The same, calling `tick` a few times a second while the program runs.
pub(super) async fn output_with(command: &mut Command, needs: &str, mut tick: impl FnMut()) -> anyhow::Result<String> {
    let run = output(command, needs);
    tokio::pin!(run);
    let mut timer = tokio::time::interval(Duration::from_millis(250));
    loop {
        tokio::select! {
            done = &mut run => return done,
            _ = timer.tick() => tick(),
        }
    }
}

/// The command as a person would type it.
fn shown(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| quoted(&word.to_string_lossy()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A word for a shell, in quotes only when it needs them.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@+,%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The line of a failed program's output that says most: the last that names an error, else the last.
fn reason(output: &str) -> Option<String> {
    let lines = || output.lines().map(str::trim).filter(|line| !line.is_empty());
    let noise = |line: &str| line.starts_with("npm error A complete log") || line.contains("[notice]");
    let telling = lines().filter(|line| !noise(line)).rfind(|line| {
        let line = line.to_ascii_lowercase();
        [
            "error:",
            "npm error code",
            "npm error 4",
            "npm error network",
            "no module named",
        ]
        .iter()
        .any(|word| line.contains(word))
    });
    telling
        .or_else(|| lines().rfind(|line| !noise(line)))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_telling_line_is_found() {
        let check = |output: &str, expected: Option<&str>| assert_eq!(reason(output).as_deref(), expected, "{output}");
        check("", None);
        check("one\n\ntwo\n", Some("two"));
        check(
            "npm error code E404\nnpm error A complete log of this run can be found in: /x",
            Some("npm error code E404"),
        );
        check(
            "ERROR: No matching distribution found for a==9\n\n[notice] A new release of pip is available: 1 -> 2",
            Some("ERROR: No matching distribution found for a==9"),
        );
        check(
            "Traceback\n  File\nImportError: No module named venv\n",
            Some("ImportError: No module named venv"),
        );
    }

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let mut command = Command::new("pip");
        command.args(["install", "a==1", "with space", "it's", ""]);
        assert_eq!(shown(&command), r"pip install a==1 'with space' 'it'\''s' ''");
    }

    #[tokio::test]
    async fn failures_are_one_line() {
        let missing = output(&mut Command::new("weir-no-such-program"), "install it")
            .await
            .unwrap_err();
        assert_eq!(missing.to_string(), "weir-no-such-program is not on PATH: install it");
        let failed = output(
            Command::new("sh").args(["-c", "echo a; echo 'error: b' >&2; exit 3"]),
            "",
        )
        .await
        .unwrap_err();
        assert_eq!(
            failed.to_string(),
            "sh failed (exit status: 3): error: b; to see all of it, run: sh -c 'echo a; echo '\\''error: b'\\'' >&2; exit 3'"
        );
        assert_eq!(
            output(Command::new("sh").args(["-c", "echo fine"]), "").await.unwrap(),
            "fine\n"
        );
    }
}
