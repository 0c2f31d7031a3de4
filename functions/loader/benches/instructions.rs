//! The same work once, for callgrind to count: `instructions --list` names the cases, `instructions CASE` does one.
//!
//! `valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*measured*' BIN CASE`

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program of its own")]

mod cases;
mod sample;

use std::hint::black_box;
use std::process::ExitCode;

/// What is counted.
#[inline(never)]
pub fn measured(body: &[u8]) -> usize {
    match loader::blocks(black_box(body)) {
        Ok((groups, rejected)) => black_box(groups).iter().map(|group| group.rows).sum::<usize>() + rejected.len(),
        Err(_) => 0,
    }
}

fn main() -> ExitCode {
    // Cargo adds an option of its own.
    let case = std::env::args().skip(1).find(|argument| argument != "--bench");
    match case.as_deref() {
        Some("--list") => {
            cases::CASES.iter().for_each(|case| println!("{case}"));
            ExitCode::SUCCESS
        }
        // `cargo bench` without a name runs every bench.
        None => ExitCode::SUCCESS,
        Some(case) => match cases::body(case) {
            Some(body) if measured(&body) == cases::rows(case) => ExitCode::SUCCESS,
            Some(_) => {
                eprintln!("{case}: rows are missing");
                ExitCode::FAILURE
            }
            None => {
                eprintln!("there is no case {case}");
                ExitCode::FAILURE
            }
        },
    }
}
