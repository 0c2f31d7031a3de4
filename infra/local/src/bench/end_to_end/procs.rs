//! What processes cost: processor time and memory, as `/proc` tells.

use std::fs;
use std::time::Duration;

/// A process that is watched.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    /// What it is called.
    pub(super) name: &'static str,
    pid: u32,
    /// Its processor time when watching began.
    before: Duration,
}

/// What a process cost while it was watched.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cost {
    /// What it is called.
    pub(super) name: &'static str,
    /// Its processor time, in both modes.
    pub(super) cpu: Duration,
    /// Its largest resident memory, in bytes.
    pub(super) peak: u64,
}

impl Watched {
    /// Watches a process from now on.
    pub(super) fn begin(name: &'static str, pid: u32) -> Self {
        // proc_pid_clear_refs(5): the peak begins anew. Where that is not allowed it is the process's whole life's.
        let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        Self {
            name,
            pid,
            before: cpu(pid).unwrap_or_default(),
        }
    }

    /// What it cost; `None` when it is gone, or this system has no `/proc`.
    pub(super) fn cost(&self) -> Option<Cost> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        Some(Cost {
            name: self.name,
            cpu: cpu(self.pid)?.saturating_sub(self.before),
            peak: peak(&status)?,
        })
    }
}

/// The processor time of a process and all its threads.
fn cpu(pid: u32) -> Option<Duration> {
    let ticks = ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
    Some(Duration::from_millis(
        ticks * 1000 / rustix::param::clock_ticks_per_second().max(1),
    ))
}

/// Fields 14 and 15 of `/proc/<pid>/stat` (proc_pid_stat(5)): clock ticks in user mode and in the kernel.
fn ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    Some(user + kernel)
}

/// `VmHWM` of `/proc/<pid>/status`, in bytes.
fn peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proc_says_is_read() {
        assert_eq!(
            ticks("12 (a) b) S 1 2 3 4 5 6 7 8 9 10 70 7 0 0 20 0 1 0 777"),
            Some(77)
        );
        assert_eq!(ticks("12 (weir) S 1"), None);
        assert_eq!(peak("VmPeak:\t  9 kB\nVmHWM:\t   2048 kB\n"), Some(2 << 20));
        assert_eq!(peak("VmPeak:\t  9 kB\n"), None);
    }
}
