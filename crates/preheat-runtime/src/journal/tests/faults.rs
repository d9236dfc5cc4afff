//! What a full disk, a damaged file, or another process does to the journal.

use preheat_api::journal::JOURNAL_VERSION;

use super::*;

#[test]
fn scaling_goes_on_when_the_disk_is_full() {
    let options = JournalOptions { pages_max: Some(900), ..Default::default() };
    let mut bench = Bench::with(options, |_| {});
    for _ in 0..70 {
        bench.toy.drive(&mut bench.controller, 100);
        bench.journal.flush();
    }
    let health = bench.journal.health();
    let failure = health.failure.clone().unwrap();
    assert!(failure.error.contains("cannot grow: no space is left"), "{failure:?}");
    assert!(failure.hint.unwrap().contains("make room"));
    assert!(failure.since.unwrap() < bench.toy.now);
    assert!(health.dropped_records > 0 && health.written_records > 0, "{health:?}");
    assert_eq!(bench.controller.status().totals.ticks, 7000);

    // There is room again.
    sql(&bench.path(), "DELETE FROM entries");
    bench.toy.drive(&mut bench.controller, 1);
    assert_eq!(bench.journal.flush().failure, None);
}

#[test]
fn after_lost_entries_a_checkpoint_makes_the_rest_replayable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    std::fs::create_dir(&path).unwrap();
    let journal = Journal::open(&path, JournalOptions::default());
    let mut controller = controller(policy(|_| {}), Memory::default(), &journal);
    let mut toy = Toy::new();
    for _ in 0..15 {
        toy.drive(&mut controller, 100);
        journal.flush();
    }
    let health = journal.health();
    assert!(health.failure.is_some() && health.dropped_records > 0, "{health:?}");

    std::fs::remove_dir(&path).unwrap();
    assert_eq!(journal.flush().failure, None);
    toy.drive(&mut controller, 100);
    let health = journal.flush();
    assert_eq!(health.failure, None);
    let reader = JournalReader::open_read_only(&path).unwrap();
    let causes: Vec<CheckpointCause> = reader
        .entries(Selection::default())
        .filter_map(|stored| cause(&stored.unwrap()))
        .filter(|cause| *cause != CheckpointCause::Interval)
        .collect();
    assert_eq!(causes, [CheckpointCause::Start, CheckpointCause::Gap]);
    let report = replay(&reader, None).unwrap();
    assert_eq!((report.skipped, report.first_difference), (0, None));
    assert_eq!(report.records + report.checkpoints_agreed + 2, health.written_records);
}

#[test]
fn what_cannot_be_opened_is_said_and_never_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let journal = Journal::open(file.join("journal.db"), JournalOptions::default());
    let failure = journal.flush().failure.unwrap();
    assert!(failure.error.contains("cannot be opened: Not a directory"), "{failure:?}");
    assert!(failure.hint.unwrap().contains("must exist and be writable"));
    assert_eq!(failure.since, None);
    let mut controller = controller(policy(|_| {}), Memory::default(), &journal);
    let mut toy = Toy::new();
    toy.drive(&mut controller, 3000);
    assert_eq!(journal.flush().written_records, 0);
    assert!(journal.health().dropped_records > 1000);
    let error = JournalReader::open_read_only(file.join("journal.db")).unwrap_err();
    assert!(matches!(error, JournalError::Open { .. }), "{error}");
    let error = JournalReader::open_read_only(dir.path().join("none.db")).unwrap_err();
    assert!(matches!(error, JournalError::Missing { .. }), "{error}");
}

#[test]
fn a_damaged_file_is_left_alone_until_it_is_moved() {
    let mut bench = Bench::new();
    bench.journal.close();
    let garbage = b"this is no database, and somebody may want to look at it".repeat(50);
    std::fs::write(bench.path(), &garbage).unwrap();
    bench.journal = Journal::open(bench.path(), JournalOptions::default());
    bench.controller = controller(policy(|_| {}), Memory::default(), &bench.journal);
    bench.toy.drive(&mut bench.controller, 50);
    let failure = bench.journal.flush().failure.unwrap();
    assert!(failure.error.contains("is damaged: file is not a database"), "{failure:?}");
    assert!(failure.hint.unwrap().contains("journal.db.damaged'"));
    assert_eq!(std::fs::read(bench.path()).unwrap(), garbage);
    let error = JournalReader::open_read_only(bench.path()).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
    assert!(error.hint().unwrap().contains("mv '"));

    std::fs::rename(bench.path(), bench.dir.path().join("journal.db.damaged")).unwrap();
    let report = bench.replay();
    assert_eq!((report.agreed, report.records), (50, 50));
}

#[test]
fn a_file_moved_away_while_in_use_is_begun_anew() {
    let mut bench = Bench::new();
    bench.drive(50);
    for suffix in ["", "-wal", "-shm"] {
        let moved = bench.dir.path().join(format!("moved.db{suffix}"));
        std::fs::rename(bench.dir.path().join(format!("journal.db{suffix}")), moved).unwrap();
    }
    // Noticed when pruning.
    bench.drive(100);
    bench.drive(50);
    let causes: Vec<CheckpointCause> = bench.entries().iter().filter_map(cause).collect();
    assert!(causes.contains(&CheckpointCause::Gap), "{causes:?}");
    let report = bench.replay();
    assert!(report.agreed >= 50 && report.first_difference.is_none(), "{report:?}");
}

#[test]
fn damage_within_the_file_is_an_error_and_no_panic() {
    let mut bench = Bench::new();
    bench.drive(600);
    bench.journal.close();
    let whole = std::fs::read(bench.path()).unwrap();
    let mut errors = 0;
    for page in (1..whole.len() / 4096).step_by(7) {
        let mut bytes = whole.clone();
        bytes[page * 4096..][..4096].fill(0xa5);
        let path = bench.dir.path().join(format!("{page}.db"));
        std::fs::write(&path, bytes).unwrap();
        let replayed =
            JournalReader::open_read_only(&path).and_then(|reader| replay(&reader, None));
        if let Err(error) = replayed {
            errors += 1;
            assert!(error.hint().is_some(), "{}", one_line(&error));
        }
    }
    assert!(errors > 5, "{errors}");
}

#[test]
fn foreign_files_and_those_of_other_versions_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let foreign = dir.path().join("foreign.db");
    sql(&foreign, "CREATE TABLE mine (x)");
    let newer = dir.path().join("newer.db");
    Journal::open(&newer, JournalOptions::default()).close();
    let (known, next) = (JOURNAL_VERSION, JOURNAL_VERSION + 1);
    sql(&newer, &format!("UPDATE schema_version SET version = {next}"));
    let older = dir.path().join("older.db");
    Journal::open(&older, JournalOptions::default()).close();
    sql(&older, "UPDATE schema_version SET version = 1");
    for (path, expected) in [
        (foreign, "is a database, but no journal of preheat".to_owned()),
        (newer, format!("has version {next}; this preheat reads version {known}")),
        (older, format!("has version 1; this preheat reads version {known}")),
    ] {
        let before = std::fs::read(&path).unwrap();
        let failure = Journal::open(&path, JournalOptions::default()).flush().failure.unwrap();
        assert!(failure.error.contains(&expected) && failure.hint.is_some(), "{failure:?}");
        let error = JournalReader::open_read_only(&path).unwrap_err();
        assert!(error.to_string().contains(&expected) && error.hint().is_some(), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[test]
fn a_second_writer_waits_for_the_first_to_end() {
    let mut first = Bench::new();
    first.drive(10);
    let second = Journal::open(first.path(), JournalOptions::default());
    let failure = second.flush().failure.unwrap();
    assert!(failure.error.contains("is being written by another process"), "{failure:?}");
    let mut later = controller(policy(|_| {}), first.controller.memory().clone(), &second);
    first.toy.drive(&mut later, 10);
    assert_eq!(second.flush().written_records, 0);
    first.journal.close();
    assert_eq!(second.flush().failure, None);
    assert_eq!((second.health().written_records, second.health().dropped_records), (11, 0));
    let reader = JournalReader::open_read_only(first.path()).unwrap();
    assert_eq!(replay(&reader, None).unwrap().agreed, 20);
}

#[test]
fn a_reader_works_beside_the_writer_and_sees_what_comes() {
    let mut bench = Bench::new();
    bench.drive(10);
    let reader = bench.reader();
    let count = || reader.entries(Selection::default()).count();
    assert_eq!(count(), 11);
    let mut under_way = reader.entries(Selection::default());
    under_way.next().unwrap().unwrap();
    bench.drive(200);
    assert_eq!(bench.journal.health().failure, None);
    assert_eq!(count(), 212);
    assert_eq!(under_way.count(), 10);
}

#[test]
fn without_shared_memory_only_a_complete_file_is_read() {
    let mut bench = Bench::new();
    bench.drive(10);
    let copy = bench.dir.path().join("copy.db");
    let beside = |suffix: &str| bench.dir.path().join(format!("copy.db{suffix}"));
    std::fs::copy(bench.path(), &copy).unwrap();
    std::fs::copy(bench.dir.path().join("journal.db-wal"), beside("-wal")).unwrap();
    // Stands for a directory that may not be written to.
    std::os::unix::fs::symlink("/nowhere/at/all", beside("-shm")).unwrap();
    let error = JournalReader::open_read_only(&copy).unwrap_err();
    assert!(matches!(error, JournalError::Unshared { .. }), "{}", one_line(&error));
    assert!(error.hint().unwrap().contains("read the copy"));

    bench.journal.close();
    std::fs::copy(bench.path(), &copy).unwrap();
    std::fs::remove_file(beside("-wal")).unwrap();
    let reader = JournalReader::open_read_only(&copy).unwrap();
    assert_eq!(reader.entries(Selection::default()).count(), 11);
}
