//! The journal as a whole: writer, file, reader, replay.

mod faults;
mod toy;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use preheat_api::journal::{CheckpointCause, EntryBody, JournalEntry, MemoryDigest};
use preheat_core::{Instant, Memory, PolicySpec, ReplicaCount};
use rusqlite::{Connection, params};

use self::toy::{Toy, policy};
use super::error::one_line;
use super::*;
use crate::controller::Controller;
use crate::routing::PoolId;

/// A directory with a journal and a pool that writes it.
struct Bench {
    dir: tempfile::TempDir,
    journal: Journal,
    controller: Controller,
    toy: Toy,
}

impl Bench {
    fn new() -> Self {
        Self::with(JournalOptions::default(), |_| {})
    }

    fn with(options: JournalOptions, change: impl FnOnce(&mut PolicySpec)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let journal = Journal::open(dir.path().join("journal.db"), options);
        let controller = controller(policy(change), Memory::default(), &journal);
        Self { dir, journal, controller, toy: Toy::new() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("journal.db")
    }

    /// Runs `ticks` ticks in steps that the queue can hold.
    fn drive(&mut self, ticks: u64) {
        for done in (0..ticks).step_by(100) {
            self.toy.drive(&mut self.controller, (ticks - done).min(100));
            self.journal.flush();
        }
    }

    fn reader(&self) -> JournalReader {
        let health = self.journal.flush();
        assert_eq!((health.failure, health.dropped_records), (None, 0));
        JournalReader::open_read_only(self.path()).unwrap()
    }

    fn entries(&self) -> Vec<StoredEntry> {
        self.reader().entries(Selection::default()).map(Result::unwrap).collect()
    }

    fn replay(&self) -> ReplayReport {
        replay(&self.reader(), None).unwrap()
    }
}

fn controller(policy: preheat_core::Policy, memory: Memory, journal: &Journal) -> Controller {
    Controller::new(PoolId("chat".to_owned()), 1, policy, memory).with_journal(journal.clone())
}

fn is_tick(stored: &StoredEntry) -> bool {
    stored.entry.body.observation().is_some()
}

fn cause(stored: &StoredEntry) -> Option<CheckpointCause> {
    match &stored.entry.body {
        EntryBody::Checkpoint(checkpoint) => Some(checkpoint.cause),
        EntryBody::Decided(_) | EntryBody::Held(_) => None,
    }
}

/// Changes one stored entry, as nobody should.
fn tamper(path: &Path, seq: u64, change: impl FnOnce(&mut JournalEntry)) {
    let reader = JournalReader::open_read_only(path).unwrap();
    let selection = Selection { after_seq: seq - 1, ..Selection::default() };
    let mut entry = reader.entries(selection).next().unwrap().unwrap().entry;
    change(&mut entry);
    let sql = "UPDATE entries SET digest = ?1, body = ?2 WHERE seq = ?3";
    let digest = entry.memory_digest.0.cast_signed();
    let values = params![digest, body::pack(&entry.body).unwrap(), seq.cast_signed()];
    assert_eq!(Connection::open(path).unwrap().execute(sql, values).unwrap(), 1);
}

fn sql(path: &Path, text: &str) {
    Connection::open(path).unwrap().execute_batch(text).unwrap();
}

#[test]
fn what_is_written_is_read_and_exported_bit_for_bit() {
    let mut bench = Bench::new();
    let ticked = bench.toy.drive(&mut bench.controller, 200);
    let entries = bench.entries();
    let written: Vec<&JournalEntry> = ticked.iter().map(|ticked| &*ticked.entry).collect();
    let read: Vec<&JournalEntry> =
        entries.iter().filter(|stored| is_tick(stored)).map(|stored| &stored.entry).collect();
    assert_eq!(read, written);
    assert_eq!(cause(&entries[0]), Some(CheckpointCause::Start));

    let reader = bench.reader();
    assert_eq!(reader.pools().unwrap(), ["chat"]);
    let last = reader.last_record("chat").unwrap().unwrap();
    assert_eq!(&last.entry, *written.last().unwrap());
    assert_eq!(reader.last_record("other").unwrap(), None);

    let (from, until) = (written[20].at, written[29].at);
    let pool = Some("chat".to_owned());
    let some = Selection { pool, from: Some(from), until: Some(until), after_seq: 0 };
    assert_eq!(reader.entries(some).filter(|e| is_tick(e.as_ref().unwrap())).count(), 10);

    let mut lines = Vec::new();
    assert_eq!(reader.export(Selection::default(), &mut lines).unwrap(), entries.len() as u64);
    for (line, stored) in String::from_utf8(lines).unwrap().lines().zip(&entries) {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        let seq = value.as_object_mut().unwrap().remove("seq");
        assert_eq!(seq, Some(stored.seq.into()));
        assert_eq!(serde_json::from_value::<JournalEntry>(value).unwrap(), stored.entry);
    }
}

#[test]
fn a_replay_agrees_with_every_tick() {
    let mut bench = Bench::new();
    bench.drive(700);
    bench.controller.set_policy(policy(|spec| spec.replicas_max = ReplicaCount(3)));
    bench.drive(500);
    let now = bench.toy.now;
    bench.controller.shutdown(now);
    let report = bench.replay();
    assert_eq!(report.first_difference, None);
    assert_eq!((report.records, report.agreed, report.skipped), (1200, 1200, 0));
    // One every five minutes, one for the policy, one at the end.
    assert_eq!(report.checkpoints_agreed, 9);
    let totals = bench.controller.status().totals;
    assert!(totals.starts > 5 && totals.stops > 3 && totals.wakes > 0 && totals.drains > 3);
    assert!(totals.direction_changes > 1 && totals.decisions.len() > 5, "{totals:?}");
}

#[test]
fn a_replay_finds_what_was_changed() {
    #[track_caller]
    fn check(bench: &Bench, seq: u64, change: fn(&mut JournalEntry), what: &str, skipped: u64) {
        tamper(&bench.path(), seq, change);
        let report = bench.replay();
        let first = report.first_difference.as_ref().unwrap();
        assert_eq!((first.what.as_str(), report.skipped), (what, skipped), "{first:?}");
        assert_ne!(first.recorded, first.redecided);
        assert_eq!(report.agreed + report.differed + report.skipped, report.records);
    }
    fn slot_seconds(entry: &mut JournalEntry) {
        let EntryBody::Checkpoint(checkpoint) = &mut entry.body else { panic!("{entry:?}") };
        let bits = checkpoint.memory.work.slot_seconds.to_bits();
        checkpoint.memory.work.slot_seconds = f64::from_bits(bits + 1);
        entry.memory_digest = MemoryDigest::of(&checkpoint.memory);
    }
    let mut bench = Bench::new();
    bench.drive(400);
    let plan = |entry: &mut JournalEntry| {
        let EntryBody::Decided(tick) = &mut entry.body else { panic!("{entry:?}") };
        tick.plan.desired.0 += 1;
    };
    let second_checkpoint = bench.entries().iter().filter(|e| !is_tick(e)).nth(1).unwrap().seq;
    check(&bench, 390, plan, "plan.desired", 0);
    // What memory becomes after it is unknown up to the next checkpoint.
    let digest = |entry: &mut JournalEntry| entry.memory_digest.0 ^= 1;
    check(&bench, second_checkpoint - 11, digest, "memory_digest", 10);
    check(&bench, second_checkpoint - 21, digest, "memory_digest", 20);

    let mut bench = Bench::new();
    bench.drive(400);
    check(&bench, second_checkpoint, slot_seconds, "memory.work.slot_seconds", 149);
}

#[test]
fn missing_entries_are_skipped_up_to_the_next_checkpoint() {
    let mut bench = Bench::new();
    bench.drive(400);
    let second_checkpoint = bench.entries().iter().filter(|e| !is_tick(e)).nth(1).unwrap().seq;
    let last = second_checkpoint - 10;
    sql(&bench.path(), &format!("DELETE FROM entries WHERE seq BETWEEN {} AND {last}", last - 4));
    let report = bench.replay();
    assert_eq!((report.records, report.skipped, report.differed), (395, 9, 0));

    // Without its first checkpoint, nothing is known until the second.
    sql(&bench.path(), "DELETE FROM entries WHERE seq = 1");
    let report = bench.replay();
    assert_eq!((report.skipped, report.first_difference), (145, None));
}

#[test]
fn a_tick_left_out_begins_with_a_checkpoint() {
    let mut bench = Bench::new();
    bench.drive(10);
    let mut observation = bench.toy.observe(bench.controller.next_tick());
    observation.tick.0 += 3;
    bench.controller.tick(observation);
    bench.drive(10);
    let causes: Vec<CheckpointCause> = bench.entries().iter().filter_map(cause).collect();
    assert_eq!(causes, [CheckpointCause::Start, CheckpointCause::Gap]);
    let report = bench.replay();
    assert_eq!((report.agreed, report.skipped, report.first_difference), (21, 0, None));
}

#[test]
fn an_unsound_decision_is_held_recorded_and_replayed() {
    let mut bench = Bench::new();
    bench.drive(250);
    let before = bench.controller.memory().clone();
    let mut observation = bench.toy.observe(bench.controller.next_tick());
    // Time runs backwards: D10.
    observation.now = observation.now.saturating_sub(Duration::from_secs(100));
    let ticked = bench.controller.tick(observation);
    assert_eq!(ticked.plan.actions, []);
    assert!(ticked.plan.desired.0 > 0);
    assert_eq!(bench.controller.memory(), &before);
    let status = bench.controller.status();
    assert_eq!(status.violation.map(|violation| violation.id).as_deref(), Some("D10"));
    assert_eq!(status.totals.violations.get("D10"), Some(&1));
    assert_eq!(status.reason, None);
    bench.drive(10);
    let report = bench.replay();
    assert_eq!((report.agreed, report.skipped, report.first_difference), (261, 0, None));
    assert_eq!(bench.controller.status().violation, None);
}

#[test]
fn a_killed_process_loses_nothing() {
    let mut bench = Bench::new();
    bench.drive(217);
    bench.controller.set_policy(policy(|spec| spec.replicas_max = ReplicaCount(5)));
    bench.drive(50);
    // No shutdown: the file is let go of as the system would.
    bench.journal.close();
    let restored = restore(&bench.reader(), "chat").unwrap().unwrap();
    assert_eq!(&restored.memory, bench.controller.memory());
    assert_eq!(&restored.policy, bench.controller.policy());
    assert_eq!((restored.redecided, restored.differed, restored.skipped), (50, 0, 0));
    assert_eq!(restored.at, bench.controller.last().unwrap().at);

    bench.journal = Journal::open(bench.path(), JournalOptions::default());
    bench.controller = controller(restored.policy, restored.memory, &bench.journal);
    bench.drive(50);
    let report = bench.replay();
    assert_eq!((report.agreed, report.skipped, report.first_difference), (317, 0, None));
    assert_eq!(restore(&bench.reader(), "other").unwrap(), None);
}

/// Tells [`write_until_killed`] where to write.
const CHILD_PATH: &str = "PREHEAT_TEST_JOURNAL";

/// Does nothing, but in the process that [`a_process_killed_while_writing_loses_nothing_stored`]
/// starts: there it writes without end, and says how many ticks are stored.
#[test]
fn write_until_killed() {
    let Some(path) = std::env::var_os(CHILD_PATH) else { return };
    let journal = Journal::open(PathBuf::from(path), JournalOptions::default());
    let mut controller = controller(policy(|_| {}), Memory::default(), &journal);
    let mut toy = Toy::new();
    for batch in 1.. {
        toy.drive(&mut controller, 10);
        assert_eq!(journal.flush().failure, None);
        println!("stored {}", batch * 10);
    }
}

#[test]
fn a_process_killed_while_writing_loses_nothing_stored() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "journal::tests::write_until_killed", "--nocapture"])
        .env(CHILD_PATH, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut stored_by = |at_least: u64| {
        let counts = lines.by_ref().filter_map(|line| line.strip_prefix("stored ")?.parse().ok());
        counts.into_iter().find(|count: &u64| *count >= at_least).unwrap()
    };
    // Beside the writer.
    let stored = stored_by(100);
    let reader = JournalReader::open_read_only(&path).unwrap();
    let report = replay(&reader, None).unwrap();
    assert!(report.agrees() && report.agreed >= stored, "{report:?}");
    assert!(Journal::open(&path, JournalOptions::default()).flush().failure.is_some());

    let stored = stored_by(250);
    child.kill().unwrap();
    child.wait().unwrap();
    let restored = restore(&reader, "chat").unwrap().unwrap();
    assert_eq!((restored.differed, restored.skipped), (0, 0));
    assert!(restored.memory.last.unwrap().tick.0 + 1 >= stored);
    // The system gave the lock back.
    let journal = Journal::open(&path, JournalOptions::default());
    let mut controller = controller(restored.policy, restored.memory, &journal);
    let observation = Toy::new().observe(controller.next_tick());
    controller.tick(observation);
    assert_eq!(journal.flush().failure, None);
    let report = replay(&reader, None).unwrap();
    assert_eq!((report.skipped, report.first_difference), (0, None));
}

#[test]
fn a_clock_set_back_between_two_processes_does_not_hold_the_pool() {
    let mut bench = Bench::new();
    bench.drive(300);
    let memory = bench.controller.memory().clone();
    assert!(!memory.cold_starts.is_empty());
    bench.toy.now = bench.toy.now.saturating_sub(Duration::from_secs(3600));
    bench.controller = controller(policy(|_| {}), memory.clone(), &bench.journal);
    bench.drive(50);
    assert!(bench.controller.status().totals.violations.is_empty());
    assert_eq!(bench.controller.memory().cold_starts.front(), memory.cold_starts.front());
    let report = bench.replay();
    assert_eq!((report.agreed, report.skipped, report.first_difference), (350, 0, None));
}

#[test]
fn pools_are_followed_apart() {
    let mut bench = Bench::new();
    let id = PoolId("other".to_owned());
    let other = Controller::new(id, 4, policy(|_| {}), Memory::default());
    let mut other = other.with_journal(bench.journal.clone());
    let mut toy = Toy::ready(3);
    for _ in 0..200 {
        bench.drive(1);
        toy.step(&mut other);
    }
    let reader = bench.reader();
    assert_eq!(reader.pools().unwrap(), ["chat", "other"]);
    assert_eq!((bench.replay().agreed, bench.replay().skipped), (400, 0));
    assert_eq!(replay(&reader, Some("other")).unwrap().agreed, 200);
    assert_eq!(&restore(&reader, "other").unwrap().unwrap().memory, other.memory());
    let totals = other.status().totals;
    // Three replicas of four GPUs for 398 seconds, at least.
    assert!(totals.gpu_seconds >= 3.0 * 4.0 * 398.0, "{}", totals.gpu_seconds);
    assert!(totals.replicas_peak >= 3);
}

#[test]
fn a_tally_comes_to_what_the_controller_counted() {
    let mut bench = Bench::new();
    bench.drive(450);
    let now = bench.toy.now;
    bench.controller.shutdown(now);
    let totals = tally(&bench.reader(), "chat", 1).unwrap();
    assert_eq!(totals, bench.controller.status().totals);
    assert!(totals.gpu_seconds > 0.0 && totals.starts > 0);
}

#[test]
fn old_entries_go_and_what_is_left_can_be_replayed() {
    let retention = Duration::from_secs(1200);
    let mut bench = Bench::with(JournalOptions { retention, ..Default::default() }, |_| {});
    bench.drive(2000);
    let entries = bench.entries();
    let now = entries.last().unwrap().entry.at;
    let kept = now.since(entries[0].entry.at);
    // A checkpoint interval and a pruning interval more.
    assert!(kept >= retention && kept <= retention + Duration::from_secs(360), "{kept:?}");
    assert!(cause(&entries[0]).is_some());
    assert_eq!(bench.replay().skipped, 0);
    let start = bench.reader().checkpoint_at("chat", now).unwrap().unwrap();
    assert!(now.since(start.entry.at) < Duration::from_secs(300));
    assert_eq!(bench.reader().checkpoint_at("chat", Instant::ORIGIN).unwrap(), None);
}

#[test]
fn the_file_does_not_outgrow_its_limit() {
    let bytes_max = 600 * 1024;
    let mut bench = Bench::with(JournalOptions { bytes_max, ..Default::default() }, |_| {});
    bench.drive(3000);
    bench.journal.close();
    let bytes = std::fs::metadata(bench.path()).unwrap().len();
    // One batch more, and what a vacuum leaves for the next.
    assert!(bytes > bytes_max / 4 && bytes < 2 * bytes_max, "{bytes}");
    let entries = bench.entries();
    assert!(entries[0].seq > 1000 && cause(&entries[0]).is_some(), "{}", entries[0].seq);
    assert_eq!(bench.replay().first_difference, None);
}

#[test]
fn an_entry_of_a_hundred_replicas_is_small() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::open(dir.path().join("journal.db"), JournalOptions::default());
    let policy = policy(|spec| spec.replicas_max = ReplicaCount(100));
    let mut controller = controller(policy, Memory::default(), &journal);
    let ticked = Toy::ready(100).drive(&mut controller, 20);
    let entry = &ticked.last().unwrap().entry;
    let json = serde_json::to_vec(&entry.body).unwrap().len();
    let packed = body::pack(&entry.body).unwrap().len();
    println!("an entry of 100 replicas: {json} bytes of JSON, {packed} stored");
    assert!(json < 120_000 && packed < 16_000, "{json} {packed}");
}
