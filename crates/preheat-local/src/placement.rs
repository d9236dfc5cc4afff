//! Which port and which GPUs a replica gets.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpListener};

use preheat_api::config::PortRange;

/// GPUs by index, and which of them are taken.
#[derive(Debug)]
pub(crate) struct GpuSlots {
    /// Absent when GPUs are not handed out: then every request succeeds and gets none.
    total: Option<u32>,
    taken: BTreeSet<u32>,
}

impl GpuSlots {
    pub(crate) const fn new(total: Option<u32>) -> Self {
        Self { total, taken: BTreeSet::new() }
    }

    /// The lowest free ones. `None` when there are not enough.
    pub(crate) fn take(&mut self, count: u32) -> Option<Vec<u32>> {
        let Some(total) = self.total else { return Some(Vec::new()) };
        let wanted = usize::try_from(count).ok()?;
        let free = (0..total).filter(|slot| !self.taken.contains(slot));
        let slots: Vec<u32> = free.take(wanted).collect();
        if slots.len() < wanted {
            return None;
        }
        self.taken.extend(&slots);
        Some(slots)
    }

    /// Marks slots that an adopted replica holds already.
    pub(crate) fn hold(&mut self, slots: &[u32]) {
        self.taken.extend(slots);
    }

    pub(crate) fn release(&mut self, slots: &[u32]) {
        for slot in slots {
            self.taken.remove(slot);
        }
    }

    /// Replicas of `gpus_each` that would still fit when `spoken_for` more are taken. `None` when
    /// no number of GPUs bounds them.
    pub(crate) fn fitting(&self, gpus_each: u32, spoken_for: u32) -> Option<u32> {
        let total = self.total?;
        let taken = self.taken.iter().filter(|&&slot| slot < total).count();
        let taken = u32::try_from(taken).unwrap_or(u32::MAX);
        let free = total.saturating_sub(taken).saturating_sub(spoken_for);
        free.checked_div(gpus_each)
    }
}

/// The lowest port of `range` that neither a replica of ours nor anyone else listens on.
pub(crate) fn free_port(range: PortRange, ours: &BTreeSet<u16>) -> Option<u16> {
    (range.first..=range.last).find(|port| !ours.contains(port) && is_free(*port))
}

/// Whether a listener could be opened there now. Another process may still be faster.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_given_once_and_come_back() {
        let mut slots = GpuSlots::new(Some(4));
        assert_eq!(slots.take(2), Some(vec![0, 1]));
        slots.hold(&[3]);
        assert_eq!(slots.fitting(1, 0), Some(1));
        assert_eq!(slots.take(2), None);
        slots.release(&[0, 1]);
        assert_eq!(slots.take(3), Some(vec![0, 1, 2]));
        assert_eq!(slots.fitting(0, 0), None);
        assert_eq!(GpuSlots::new(None).take(8), Some(vec![]));
        assert_eq!(GpuSlots::new(None).fitting(8, 0), None);
    }

    #[test]
    fn a_port_that_is_listened_on_is_skipped() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let first = taken.local_addr().unwrap().port();
        let range = PortRange { first, last: first.saturating_add(20) };
        let port = free_port(range, &BTreeSet::new()).unwrap();
        assert!(range.contains(port) && port != first);
        assert_ne!(free_port(range, &BTreeSet::from([port])), Some(port));
    }
}
