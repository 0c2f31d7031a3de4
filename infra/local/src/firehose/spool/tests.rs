use proptest::prelude::*;

use super::*;

fn cursor(assigned: Position, synced: u64) -> Cursor {
    Cursor {
        assigned,
        synced,
        ..Cursor::default()
    }
}

fn read(spool: &Spool, from: u64) -> (Vec<Vec<u8>>, Vec<(u64, u64)>) {
    let (mut records, mut damage) = (Vec::new(), Vec::new());
    spool
        .scan(from, spool.tail().offset, &mut |item| {
            match item {
                Item::Record(frame, _) => records.push(frame.data.to_vec()),
                Item::Damaged { from, to } => damage.push((from, to)),
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    (records, damage)
}

fn append(spool: &Spool, records: &[Vec<u8>]) -> Vec<RecordId> {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(spool.append(records.to_vec(), 1))
        .unwrap()
}

/// The last segment's file.
fn last_file(folder: &Path) -> PathBuf {
    let (&base, _) = segment::list(folder)
        .unwrap()
        .last_key_value()
        .map(|(a, b)| (a, *b))
        .as_ref()
        .map(|(a, b)| (*a, b))
        .unwrap();
    segment::path(folder, base)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Appends, forgets what is acknowledged, is cut at any byte of the last call's frames: exactly the calls before it
    /// and the whole records of it are found, and the log can be appended to.
    #[test]
    fn a_cut_at_any_byte_recovers_exactly_what_was_stored(
        calls in prop::collection::vec(prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..6), 1..12),
        segment_bytes in 100_u64..4000,
        acked in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut ends = vec![(Position::default(), 0_usize)];
        let (spool, _) = Spool::open(folder.path(), &Cursor::default(), 1, segment_bytes).unwrap();
        let mut all = Vec::new();
        for call in &calls {
            append(&spool, call);
            all.extend(call.iter().cloned());
            ends.push((spool.tail(), all.len()));
        }
        let (before_last, _) = ends[ends.len() - 2];
        let (assigned, acked) = ends[acked.index(ends.len() - 1)];
        spool.forget(&spool.done_before(assigned.offset)).unwrap();
        spool.close();

        let file = last_file(folder.path());
        let length = std::fs::metadata(&file).unwrap().len();
        let base = spool.tail().offset - length;
        let keep = before_last.offset.max(base) - base;
        let kept = keep + cut.index(usize::try_from(length - keep).unwrap() + 1) as u64;
        OpenOptions::new().write(true).open(&file).unwrap().set_len(kept).unwrap();

        let (again, recovery) = Spool::open(folder.path(), &cursor(assigned, before_last.offset), 2, segment_bytes).unwrap();
        prop_assert_eq!(recovery.lost_bytes, 0);
        let mut whole = usize::try_from(before_last.records).unwrap();
        let mut offset = before_last.offset;
        for record in &all[whole..] {
            offset += (frame::HEADER + record.len()) as u64;
            if offset > base + kept {
                break;
            }
            whole += 1;
        }
        prop_assert_eq!(again.tail().records, whole as u64);
        let (found, damage) = read(&again, assigned.offset);
        prop_assert_eq!(&found[..], &all[acked..whole]);
        prop_assert!(damage.is_empty());

        append(&again, &[b"after".to_vec()]);
        let (found, _) = read(&again, assigned.offset);
        prop_assert_eq!(found.last().unwrap(), b"after");
        again.close();
    }

    /// A byte changed anywhere among synced records is reported, and costs only the record it is in.
    #[test]
    fn a_changed_byte_is_reported_and_the_others_are_found(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20),
        segment_bytes in 100_u64..2000,
        at in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(folder.path(), &Cursor::default(), 1, segment_bytes).unwrap();
        for record in &records {
            append(&spool, std::slice::from_ref(record));
        }
        let synced = spool.tail().offset;
        spool.close();
        let at = at.index(usize::try_from(synced).unwrap()) as u64;
        let segments = segment::list(folder.path()).unwrap();
        let (&base, _) = segments.range(..=at).next_back().unwrap();
        let file = segment::path(folder.path(), base);
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[usize::try_from(at - base).unwrap()] ^= flip;
        std::fs::write(&file, bytes).unwrap();

        let (again, _) = Spool::open(folder.path(), &cursor(Position::default(), synced), 2, segment_bytes).unwrap();
        let (found, damage) = read(&again, 0);
        again.close();
        let mut offset = 0;
        let mut expected = records.clone();
        for (index, record) in records.iter().enumerate() {
            let end = offset + (frame::HEADER + record.len()) as u64;
            if (offset..end).contains(&at) {
                expected.remove(index);
                prop_assert_eq!(&damage, &[(offset, end)]);
            }
            offset = end;
        }
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn acknowledged_bytes_that_are_gone_are_reported_as_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(folder.path(), &Cursor::default(), 1, SEGMENT_BYTES).unwrap();
    append(&spool, &[vec![1; 100], vec![2; 100]]);
    let synced = spool.tail().offset;
    spool.close();
    OpenOptions::new()
        .write(true)
        .open(last_file(folder.path()))
        .unwrap()
        .set_len(synced - 10)
        .unwrap();
    let (again, recovery) = Spool::open(folder.path(), &cursor(Position::default(), synced), 2, SEGMENT_BYTES).unwrap();
    assert_eq!(
        recovery,
        Recovery {
            torn_bytes: 0,
            lost_bytes: 136
        }
    );
    assert_eq!(
        again.tail(),
        Position {
            offset: synced,
            records: 1
        }
    );
    append(&again, &[vec![3; 100]]);
    let (found, damage) = read(&again, 0);
    assert_eq!(found, [vec![1; 100], vec![3; 100]]);
    assert_eq!(damage.iter().map(|(from, to)| to - from).sum::<u64>(), 136);
    again.close();
}

#[test]
fn concurrent_calls_are_all_stored_once_and_in_whole_calls() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(folder.path(), &Cursor::default(), 1, 2000).unwrap();
    let spool = Arc::new(spool);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    runtime.block_on(async {
        let calls = (0..200_u32).map(|call| {
            let spool = Arc::clone(&spool);
            tokio::spawn(async move {
                let records = (0..3_u32).map(|part| format!("{call} {part}").into_bytes()).collect();
                spool.append(records, 7).await.unwrap()
            })
        });
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.unwrap().len(), 3);
        }
    });
    let (found, damage) = read(&spool, 0);
    assert!(damage.is_empty());
    assert_eq!(found.len(), 600);
    for call in found.chunks(3) {
        let words = call
            .iter()
            .map(|text| String::from_utf8(text.clone()).unwrap())
            .collect::<Vec<_>>();
        let number = words[0].split(' ').next().unwrap();
        assert_eq!(
            words,
            [format!("{number} 0"), format!("{number} 1"), format!("{number} 2")]
        );
    }
    spool.close();
}

#[test]
fn a_disk_that_refuses_is_an_error_and_later_calls_work_again() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(folder.path(), &Cursor::default(), 1, 100).unwrap();
    append(&spool, &[vec![1; 200]]);
    // The next call needs a new segment, and something else has its name.
    let next = segment::path(folder.path(), spool.tail().offset);
    std::fs::create_dir(&next).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let refused = runtime.block_on(spool.append(vec![vec![2; 10]], 1));
    assert!(matches!(refused, Err(AppendError::Io(_))));
    std::fs::remove_dir(&next).unwrap();
    append(&spool, &[vec![3; 10]]);
    assert_eq!(read(&spool, 0).0, [vec![1; 200], vec![3; 10]]);
    spool.close();
    assert_eq!(
        runtime.block_on(spool.append(vec![vec![4]], 1)),
        Err(AppendError::Closed)
    );
}

#[test]
fn a_segment_that_lost_everything_is_damage_and_has_an_end() {
    for (emptied, expected) in [
        (1, [vec![1; 200], vec![3; 200]].to_vec()),
        (2, vec![vec![1; 200], vec![2; 200]]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (spool, _) = Spool::open(folder.path(), &Cursor::default(), 1, 100).unwrap();
        for record in 1..=3 {
            append(&spool, &[vec![record; 200]]);
        }
        let end = spool.tail().offset;
        spool.close();
        let base = emptied * end / 3;
        std::fs::write(segment::path(folder.path(), base), b"").unwrap();

        let (spool, _) = Spool::open(folder.path(), &cursor(Position::default(), end), 2, 100).unwrap();
        let (mut records, mut damage) = (Vec::new(), Vec::new());
        let mut visit = |item: Item<'_>| {
            match item {
                Item::Record(frame, _) => records.push(frame.data.to_vec()),
                Item::Damaged { from, to } => damage.push((from, to)),
            }
            // Before it ended, it met the same nothing for ever.
            if damage.len() > 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        spool.scan(0, spool.tail().offset, &mut visit).unwrap();
        assert_eq!(records, expected);
        assert_eq!(damage, [(base, base + end / 3)]);
        spool.close();
    }
}
