//! What the kernel says about a process: whether it lives, and whether it is the one meant.
//!
//! **Invariant:** a zombie does not live. `kill(pid, 0)` succeeds for it, so that is not asked.

use std::fs;

/// The part of `/proc/<pid>/stat` that tells processes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    state: char,
    process_group: u32,
    /// When it started, in clock ticks since boot. With the pid, it names one process for good.
    pub(crate) start_ticks: u64,
}

/// The process of this pid, dead or alive.
pub(crate) fn stat(pid: u32) -> Option<ProcessStat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Whether the process that had this pid and start still lives.
pub(crate) fn is_alive(pid: u32, start_ticks: u64) -> bool {
    stat(pid).is_some_and(|stat| stat.start_ticks == start_ticks && stat.lives())
}

/// Whether any member of a process group lives.
pub(crate) fn group_is_alive(group: u32) -> bool {
    let Ok(entries) = fs::read_dir("/proc") else { return false };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(stat).any(|stat| stat.process_group == group && stat.lives())
}

/// Differs between boots: a pid and its start only mean something within one.
pub(crate) fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

impl ProcessStat {
    fn lives(self) -> bool {
        // Z is a zombie, X and x are dead.
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// The name is in parentheses and may hold anything, parentheses and spaces included.
fn parse(text: &str) -> Option<ProcessStat> {
    let (_, after_name) = text.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // Field 3 is the state, 5 the process group, 22 the start.
    let process_group = fields.nth(1)?.parse().ok()?;
    let start_ticks = fields.nth(16)?.parse().ok()?;
    Some(ProcessStat { state, process_group, start_ticks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_the_end_of_the_name() {
        let text = "42 (a) b (c)) S 1 40 40 0 -1 4194304 7 8 9 10 11 12 13 14 20 0 5 0 98765 1 2";
        let expected = ProcessStat { state: 'S', process_group: 40, start_ticks: 98765 };
        assert_eq!(parse(text), Some(expected));
        assert_eq!(parse("42 (a) Z 1"), None);
        assert_eq!(parse(""), None);
    }

    #[test]
    fn this_process_lives_and_another_start_of_it_does_not() {
        let pid = std::process::id();
        let start_ticks = stat(pid).unwrap().start_ticks;
        assert!(is_alive(pid, start_ticks));
        assert!(!is_alive(pid, start_ticks + 1));
    }
}
