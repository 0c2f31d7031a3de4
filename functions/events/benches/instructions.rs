//! One case of the benchmark `edge`, once, for callgrind to count. `--list` names the cases.
//! `valgrind --tool=callgrind --collect-atstart=no --toggle-collect='*measured*' PROGRAM CASE`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is a command line")]

mod cases;
mod sample;

use std::hint::black_box;
use std::process::ExitCode;

use crate::cases::{Case, NAMES};

/// A single event is too little to count alone.
const REPEATED: usize = 500;

fn main() -> ExitCode {
    // `cargo bench` adds arguments of its own.
    let asked = std::env::args().skip(1).find(|argument| argument != "--bench");
    let Some(name) = asked else {
        return ExitCode::SUCCESS;
    };
    if name == "--list" {
        NAMES.iter().for_each(|name| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    let (name, run): (_, fn(&Case) -> usize) = match name.strip_prefix("serde/") {
        Some(name) => (name, Case::serde),
        None => (name.as_str(), Case::edge),
    };
    let Some(case) = Case::named(name) else {
        eprintln!("there is no case {name}");
        return ExitCode::FAILURE;
    };
    let times = if case.events == 1 { REPEATED } else { 1 };
    // What is made once is made before.
    let once = run(&case);
    if once == 0 || measured(&case, times, run) != once * times {
        eprintln!("{name}: events are missing");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// What is counted. No closure: its name would have this one's in it, and callgrind stop at it.
#[inline(never)]
pub(crate) fn measured(case: &Case, times: usize, run: fn(&Case) -> usize) -> usize {
    let mut done = 0;
    for _ in 0..times {
        done += run(black_box(case));
    }
    done
}
