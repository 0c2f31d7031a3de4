use super::*;
use crate::firehose::spool::cursor::Cursor;

/// A millisecond of the third hour of 1970.
const AT: i64 = 3 * HOUR_MS + 7;

fn line(number: u128) -> Vec<u8> {
    let id = Uuid::from_u128(number);
    format!("{{\"event_id\":\"{id}\",\"received_at\":\"…\"}}\n").into_bytes()
}

fn entry(hour: i64, key: Uuid) -> Entry {
    Entry {
        hour,
        key,
        waiting: false,
    }
}

/// Segments of one record each, in the third and the fourth hour. Gives the entries that they hold.
async fn spool(folder: &Path) -> (Spool, Vec<Entry>) {
    let (spool, _) = Spool::open(folder, &Cursor::default(), 1, 1).unwrap();
    spool.append(vec![[line(1), line(2)].concat()], AT).await.unwrap();
    spool.append(vec![b"broken\n\n".to_vec()], AT).await.unwrap();
    spool.append(vec![line(1)], AT + HOUR_MS).await.unwrap();
    spool.append(vec![line(3)], AT + HOUR_MS).await.unwrap();
    let broken = key(b"broken");
    let [one, two, three] = [1, 2, 3].map(Uuid::from_u128);
    let all = [(3, one), (3, two), (3, broken), (4, one), (4, three)];
    (spool, all.map(|(hour, key)| entry(hour, key)).into())
}

fn read_between(ledger: &Ledger, spool: &Spool, undone: &[(u64, u64)], since: i64) -> (Vec<Entry>, u64) {
    let mut entries = Vec::new();
    let mut take = |some: &[Entry]| {
        entries.extend_from_slice(some);
        ControlFlow::Continue(())
    };
    let lost = ledger.read_between(spool, undone, since, spool.bounds(), &mut take);
    (entries, lost.unwrap())
}

fn read(ledger: &Ledger, spool: &Spool, since: i64) -> Vec<Entry> {
    let (mut entries, lost) = read_between(ledger, spool, &[], since);
    assert_eq!(lost, 0);
    entries.sort_by_key(|entry| (entry.hour, entry.key));
    entries
}

#[track_caller]
fn check(ledger: &Ledger, spool: &Spool, mut expected: Vec<Entry>) {
    expected.sort_by_key(|entry| (entry.hour, entry.key));
    assert_eq!(read(ledger, spool, i64::MIN), expected);
    expected.retain(|entry| entry.hour >= 4);
    assert_eq!(read(ledger, spool, 4), expected);
}

#[tokio::test]
async fn what_was_taken_stays_known_when_its_segment_goes() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, all) = spool(folder.path()).await;
    let ledger = Ledger::in_stream(folder.path());
    check(&ledger, &spool, all.clone());
    let (_, tail) = spool.bounds();
    let done = spool.done_before(tail);
    assert_eq!(done.len(), 3);
    // Killed between the two steps: the segments are there, and their keys are kept already.
    for &(from, to) in &done {
        ledger.keep(from, &Stretch::read(&spool, from, to)).unwrap();
    }
    check(&ledger, &spool, all.clone());
    ledger.forget(&spool, &done).unwrap();
    assert!(spool.done_before(tail).is_empty());
    check(&ledger, &spool, all);
}

#[tokio::test]
async fn what_is_not_delivered_waits() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = spool(folder.path()).await;
    let (_, tail) = spool.bounds();
    let undone = [(spool.done_before(tail)[2].0, tail)];
    let ledger = Ledger::in_stream(folder.path());
    let (entries, _) = read_between(&ledger, &spool, &undone, 0);
    let waiting: Vec<_> = entries.iter().map(|entry| entry.waiting).collect();
    assert_eq!(waiting, [false, false, false, true, true]);
    // A delivery that has not begun has done nothing.
    let mut take = |some: &[Entry]| {
        assert!(some.iter().all(|entry| entry.waiting));
        ControlFlow::Continue(())
    };
    ledger.read(&spool, &Status::default(), 0, &mut take).unwrap();
}

/// What cannot be read is not passed over in silence, not even once its segment is gone.
#[tokio::test]
async fn what_is_damaged_or_gone_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, all) = spool(folder.path()).await;
    let ledger = Ledger::in_stream(folder.path());
    let (_, tail) = spool.bounds();
    let done = spool.done_before(tail);
    let file = |(from, _): (u64, u64)| folder.path().join(format!("{from:020}.log"));
    let mut bytes = std::fs::read(file(done[1])).unwrap();
    bytes[40] ^= 1;
    std::fs::write(file(done[1]), bytes).unwrap();
    std::fs::remove_file(file(done[2])).unwrap();
    let damaged = done[1].1 - done[1].0;
    ledger.forget(&spool, &done[..2]).unwrap();
    ledger.forget(&spool, &done[2..]).unwrap();
    let (entries, lost) = read_between(&ledger, &spool, &[], 0);
    assert_eq!(lost, damaged + done[2].1 - done[2].0);
    assert_eq!(entries, [all[0], all[1], all[4]]);
}

#[tokio::test]
async fn nothing_goes_while_the_ledger_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = spool(folder.path()).await;
    let ledger = Ledger::in_stream(folder.path());
    let (_, tail) = spool.bounds();
    let done = spool.done_before(tail);
    let mut take = |_: &[Entry]| {
        ledger.forget(&spool, &done).unwrap();
        assert_eq!(spool.done_before(tail), done);
        ControlFlow::Continue(())
    };
    ledger.read(&spool, &Status::default(), 0, &mut take).unwrap();
    ledger.forget(&spool, &done).unwrap();
    assert!(spool.done_before(tail).is_empty());
}

/// Space is freed even where nothing can be written.
#[tokio::test]
async fn a_segment_goes_though_its_keys_cannot_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, all) = spool(folder.path()).await;
    let ledger = Ledger::in_stream(folder.path());
    std::fs::write(folder.path().join("ledger"), "no folder").unwrap();
    let (_, tail) = spool.bounds();
    assert!(ledger.forget(&spool, &spool.done_before(tail)).is_err());
    assert!(spool.done_before(tail).is_empty());
    std::fs::remove_file(folder.path().join("ledger")).unwrap();
    let (entries, lost) = read_between(&ledger, &spool, &[], 0);
    assert_eq!((entries, lost), (all[4..].to_vec(), spool.bounds().0));
}

#[tokio::test]
async fn old_hours_go() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = spool(folder.path()).await;
    let ledger = Ledger::in_stream(folder.path());
    let keep = |segment, hour| {
        let keys = BTreeMap::from([(hour, vec![Uuid::nil()])]);
        ledger.keep(segment, &Stretch { keys, lost: 0 }).unwrap();
    };
    keep(0, 5);
    keep(1, 6 + KEPT_HOURS);
    let hours: Vec<_> = ledger.files().unwrap().iter().map(|file| file.hour).collect();
    assert_eq!(hours, [6 + KEPT_HOURS]);
    drop(spool);
}

#[test]
fn a_key_is_the_events_id_or_the_lines_own() {
    let id = Uuid::from_u128(5);
    let other_order = concat!(
        r#"{"amount":0,"dt":"2024-05-17T10:20:30Z","event_id":"00000000-0000-0000-0000-000000000005","exp":{},"#,
        r#""name":"view","obj":"page","obj_id":"","product_id":0,"received_at":"2024-05-17T10:20:31.500Z","#,
        r#""url":"http://site/main","user_id":1}"#
    );
    assert_eq!(key(&line(5)), id);
    assert_eq!(key(other_order.as_bytes()), id);
    assert_eq!(key(b"x"), key(b"x"));
    assert_ne!(key(b"x"), key(b"y"));
}

#[test]
fn what_is_sent_is_received() {
    let entries = [
        entry(-1, Uuid::max()),
        Entry {
            waiting: true,
            ..entry(7, Uuid::nil())
        },
    ];
    let mut rest = BytesMut::from(&[send(&entries), send_end(u64::MAX), vec![7]].concat()[..]);
    let mut next = || receive(&mut rest);
    assert_eq!(next(), Ok(Some(Sent::Line(entries[0]))));
    assert_eq!(next(), Ok(Some(Sent::Line(entries[1]))));
    assert_eq!(next(), Ok(Some(Sent::End(u64::MAX))));
    assert_eq!(next(), Ok(None));
    assert_eq!(receive(&mut BytesMut::from(&[7; SENT_BYTES][..])), Err(NotSent));
}
