//! Processes by pid: alive or not, the same one or a later one of that number, which belong to a stack, which holds a
//! port. Linux tells all of that under `/proc`; elsewhere the answers are "unknown" and only process groups are used.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};

/// The variable that marks every process of a stack, whoever its parent is by now.
pub(super) const MARK: &str = "WEIR_STACK";

/// When the process of that pid started, in clock ticks since boot: a pid that is used again has another.
pub(super) fn started(pid: u32) -> Option<u64> {
    start_ticks(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Field 22 of `/proc/<pid>/stat` (proc_pid_stat(5)). The name in field 2 may hold blanks and parentheses.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

/// Whether that very process runs: the pid is in use, and by the process that started then.
pub(super) fn is_running(pid: u32, since: Option<u64>) -> bool {
    let alive = to_pid(pid).is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH));
    alive && since.is_none_or(|since| started(pid).is_none_or(|now| now == since))
}

/// Sends a signal to one process. One that is gone already is no error.
pub(super) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = to_pid(pid) {
        let _ = kill_process(pid, signal);
    }
}

/// Sends a signal to a whole process group.
pub(super) fn signal_group(leader: u32, signal: Signal) {
    if let Some(pid) = to_pid(leader) {
        let _ = kill_process_group(pid, signal);
    }
}

/// Lets a process make files up to that size, or of any size again. Writing more fails with EFBIG, as on a disk that is full
/// (setrlimit(2), RLIMIT_FSIZE); who does not handle the signal SIGXFSZ is ended by it.
#[cfg(target_os = "linux")]
pub(super) fn limit_file_size(pid: u32, bytes: Option<u64>) -> std::io::Result<()> {
    use rustix::process::{Resource, Rlimit, prlimit};
    let Some(pid) = to_pid(pid) else {
        return Err(std::io::ErrorKind::NotFound.into());
    };
    let limit = Rlimit {
        current: bytes,
        // Only what holds now: it can be lifted again without privileges.
        maximum: None,
    };
    prlimit(Some(pid), Resource::Fsize, limit)?;
    Ok(())
}

/// Only Linux can do this to another process.
#[cfg(not(target_os = "linux"))]
pub(super) fn limit_file_size(_: u32, _: Option<u64>) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Every process with that variable, such as the mark of a stack, this one excepted.
pub(super) fn marked(variable: &str, value: &str) -> Vec<u32> {
    let wanted = format!("{variable}={value}");
    let carries = |path: &Path| {
        fs::read(path.join("environ")).is_ok_and(|list| list.split(|byte| *byte == 0).any(|it| it == wanted.as_bytes()))
    };
    let own = std::process::id();
    all()
        .filter(|(pid, path)| *pid != own && carries(path))
        .map(|(pid, _)| pid)
        .collect()
}

/// The children of a process, each with the name of the program that it runs.
pub(super) fn children(parent: u32) -> BTreeMap<u32, String> {
    let child = |(pid, path): (u32, PathBuf)| {
        let stat = fs::read_to_string(path.join("stat")).ok()?;
        let (before, after) = stat.rsplit_once(')')?;
        let of_parent = after.split_whitespace().nth(1)?.parse() == Ok(parent);
        let zombie = after.split_whitespace().next() == Some("Z");
        let (_, name) = before.split_once('(')?;
        (of_parent && !zombie).then(|| (pid, name.to_owned()))
    };
    all().filter_map(child).collect()
}

/// Who listens on that port of 127.0.0.1 or of every address. `None` when it is another user's process.
pub(super) fn listener(port: u16) -> Option<u32> {
    let inode = listening_inode(&fs::read_to_string("/proc/net/tcp").ok()?, port)
        .or_else(|| listening_inode(&fs::read_to_string("/proc/net/tcp6").ok()?, port))?;
    let wanted = format!("socket:[{inode}]");
    let holds = |path: &Path| {
        let Ok(open) = fs::read_dir(path.join("fd")) else {
            return false;
        };
        open.flatten()
            .any(|file| fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == wanted.as_str()))
    };
    all().find(|(_, path)| holds(path)).map(|(pid, _)| pid)
}

/// The inode of the socket that listens on the port, out of `/proc/net/tcp` (proc_net(5)): state 0A is LISTEN.
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    let ending = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&ending) && *fields.get(3)? == "0A";
        listens.then(|| fields.get(9)?.parse().ok()).flatten()
    })
}

fn all() -> impl Iterator<Item = (u32, PathBuf)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
}

fn to_pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_times_survive_odd_program_names() {
        let check = |stat: &str, expected| assert_eq!(start_ticks(stat), expected, "{stat}");
        let rest = "S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        check(&format!("12 (weir) {rest}"), Some(777));
        check(&format!("12 (a) b (c) {rest}"), Some(777));
        check("12 (weir) S 1", None);
        check("", None);
    }

    #[test]
    fn listening_sockets_are_found_in_the_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:2328 0100007F:9999 01 0:0 0:0 0 0 0 111 1\n\
            1: 0100007F:2328 00000000:0000 0A 0:0 00:0 0 0 0 222 1\n";
        assert_eq!(listening_inode(table, 9000), Some(222));
        assert_eq!(listening_inode(table, 9001), None);
    }

    #[test]
    fn this_process_runs_and_an_older_one_of_its_pid_does_not() {
        let own = std::process::id();
        assert!(is_running(own, started(own)));
        assert!(is_running(own, None));
        if let Some(since) = started(own) {
            assert!(!is_running(own, Some(since + 1)));
        }
        assert!(!is_running(u32::MAX, None));
    }
}
