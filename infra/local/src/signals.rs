//! The signals that ask a command to end, and what it then exits with: one convention for every command.

use std::fmt;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A signal that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP: the terminal is gone.
    Hangup,
}

impl Asked {
    /// 128 and the signal's number: what a shell says of a program that the signal itself has ended.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
            Self::Hangup => 129,
        }
    }
}

impl From<Asked> for ExitCode {
    fn from(asked: Asked) -> Self {
        ExitCode::from(asked.code())
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Interrupt => "interrupted",
            Self::Terminate => "terminated",
            Self::Hangup => "hung up",
        })
    }
}

/// Ears for them. From the moment that they are made, the signals no longer end the program by themselves.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Signals {
    /// SIGINT and SIGTERM.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            interrupt: heard(SignalKind::interrupt())?,
            terminate: heard(SignalKind::terminate())?,
            hangup: None,
        })
    }

    /// SIGHUP as well: for commands whose children would outlive them. It takes nohup(1) its effect.
    pub(crate) fn listen_to_hangup() -> anyhow::Result<Self> {
        Ok(Self {
            hangup: Some(heard(SignalKind::hangup())?),
            ..Self::listen()?
        })
    }

    /// The next that asks.
    pub(crate) async fn asked(&mut self) -> Asked {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => drop(hangup.recv().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Interrupt,
            _ = self.terminate.recv() => Asked::Terminate,
            () = hangup => Asked::Hangup,
        }
    }

    /// Works until the work is done, or a signal asks: then what is under way is abandoned.
    pub(crate) async fn or<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Asked> {
        tokio::select! {
            done = work => Ok(done),
            asked = self.asked() => Err(asked),
        }
    }
}

fn heard(kind: SignalKind) -> anyhow::Result<Signal> {
    signal(kind).context("signals cannot be heard")
}
