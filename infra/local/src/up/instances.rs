//! A watch over the function instances that cargo-lambda runs.
//!
//! cargo-lambda 1.9.2 does not always notice that an instance was killed: it keeps counting it as idle, starts no other,
//! and the function answers nothing any more. So an instance that vanishes, without another one coming in its place as
//! on a reload, is a reason to start cargo-lambda again. An instance that is still `cargo` when it ends has failed to
//! compile: that is for the person at the editor, and the next change starts it again.

use std::collections::BTreeMap;

use super::{processes, settings::FUNCTIONS};

/// How many looks a vanished instance may stay unreplaced: a reload ends them all and starts them again.
const LOOKS: u32 = 3;

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct Instances {
    seen: BTreeMap<u32, String>,
    missing: Option<Missing>,
}

#[derive(Debug)]
struct Missing {
    pid: u32,
    function: String,
    looks: u32,
}

/// An instance that is gone for good.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Vanished {
    pub(super) pid: u32,
    pub(super) function: String,
}

impl Instances {
    /// Forgets everything: cargo-lambda itself is new.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Looks at the children of that cargo-lambda. Gives the instance that vanished and was not replaced.
    pub(super) fn look(&mut self, cargo_lambda: u32) -> Option<Vanished> {
        self.note(processes::children(cargo_lambda))
    }

    /// `now`: the children by pid, with the name of the program each runs at this moment.
    fn note(&mut self, now: BTreeMap<u32, String>) -> Option<Vanished> {
        let is_function = |name: &str| FUNCTIONS.contains(&name);
        let replaced = now.keys().any(|pid| !self.seen.contains_key(pid));
        let gone = self
            .seen
            .iter()
            .find(|(pid, name)| !now.contains_key(pid) && is_function(name));
        let gone = gone.map(|(pid, name)| Missing {
            pid: *pid,
            function: name.clone(),
            looks: 0,
        });
        self.seen = now;
        if replaced {
            self.missing = None;
            return None;
        }
        self.missing = self.missing.take().or(gone);
        let missing = self.missing.as_mut()?;
        missing.looks += 1;
        if missing.looks < LOOKS {
            return None;
        }
        self.missing
            .take()
            .map(|Missing { pid, function, .. }| Vanished { pid, function })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(looks: &[&[(u32, &str)]]) -> Vec<Vanished> {
        let mut instances = Instances::default();
        let children = |look: &[(u32, &str)]| look.iter().map(|(pid, name)| (*pid, (*name).to_owned())).collect();
        looks.iter().filter_map(|look| instances.note(children(look))).collect()
    }

    #[test]
    fn a_killed_instance_is_reported_once() {
        let (both, one): (&[_], &[_]) = (&[(1, "events"), (2, "loader")], &[(1, "events")]);
        assert_eq!(looks(&[both, one]), []);
        assert_eq!(
            looks(&[both, one, one, one, one, one, one]),
            [Vanished {
                pid: 2,
                function: "loader".into()
            }]
        );
    }

    #[test]
    fn a_reload_and_a_failed_build_are_not_deaths() {
        let before: &[_] = &[(1, "events"), (2, "loader")];
        let compiling: &[_] = &[(3, "cargo"), (4, "cargo")];
        assert_eq!(
            looks(&[before, compiling, compiling, &[(3, "events"), (4, "loader")]]),
            []
        );
        assert_eq!(looks(&[before, &[], compiling, compiling, compiling, compiling]), []);
        assert_eq!(looks(&[&[(3, "cargo")], &[], &[], &[], &[]]), []);
    }
}
