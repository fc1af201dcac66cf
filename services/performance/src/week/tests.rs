use super::*;
use crate::core::figures::COUNT;

fn mean(number: i64) -> Coarse {
    let value = u16::try_from(number.rem_euclid(2_000)).unwrap();
    [value; COUNT]
}

fn fill(week: &mut Week, intervals: std::ops::Range<i64>) {
    for interval in intervals {
        let means = ["a", "b"].map(|id| (key(Kind::Vm, id), mean(interval)));
        week.append(interval, means.to_vec()).unwrap();
    }
}

fn numbers(week: &Week, id: &str) -> Vec<i64> {
    let means = week.read(&key(Kind::Vm, id), i64::MIN, i64::MAX).unwrap();
    for (interval, found) in &means {
        assert_eq!(*found, mean(*interval));
    }
    means.into_iter().map(|(interval, _)| interval).collect()
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[test]
fn a_week_is_kept_across_restarts_and_what_is_older_goes() {
    let folder = tempfile::tempdir().unwrap();
    let mut week = Week::open(folder.path()).unwrap();
    fill(&mut week, 1_000..1_100);
    assert_eq!(numbers(&week, "a"), Vec::from_iter(1_000..1_100));
    drop(week);
    let mut week = Week::open(folder.path()).unwrap();
    assert_eq!(numbers(&week, "b"), Vec::from_iter(1_000..1_100));
    assert!(numbers(&week, "c").is_empty());
    fill(&mut week, 1_100..2_300);
    let kept = numbers(&week, "a");
    let oldest = kept.first().copied().unwrap();
    assert!(oldest <= 2_300 - INTERVALS && oldest > 2_300 - INTERVALS - 2 * ROWS_I64);
    assert_eq!(kept, Vec::from_iter(oldest..2_300));
    assert!(files(folder.path()) <= 31);
}

#[test]
fn what_was_cut_short_is_cut_off_and_the_rest_is_there() {
    let folder = tempfile::tempdir().unwrap();
    fill(&mut Week::open(folder.path()).unwrap(), 0..10);
    let journal = folder.path().join("journal");
    let bytes = std::fs::read(&journal).unwrap();
    for length in (0..bytes.len()).rev().step_by(3) {
        std::fs::write(&journal, &bytes[..length]).unwrap();
        let week = Week::open(folder.path()).unwrap();
        let kept = numbers(&week, "a");
        assert_eq!(kept.len(), length * 10 / bytes.len());
    }
}

#[test]
fn damage_costs_what_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    fill(&mut Week::open(folder.path()).unwrap(), 0..45);
    let segment = folder.path().join("0.means");
    let whole = std::fs::read(&segment).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        std::fs::write(&segment, bytes).unwrap();
        let week = Week::open(folder.path()).unwrap();
        // What is read is true, and what the journal has is there.
        let kept = numbers(&week, "a");
        assert!(kept.ends_with(&[40, 41, 42, 43, 44]), "{at}: {kept:?}");
    }
}

#[test]
fn after_the_clock_was_set_back_nothing_of_the_future_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let mut week = Week::open(folder.path()).unwrap();
    fill(&mut week, 0..10);
    fill(&mut week, 90_000..90_050);
    fill(&mut week, 10..45);
    assert_eq!(numbers(&week, "a"), Vec::from_iter(10..45));
    fill(&mut week, 20..22);
    assert!(numbers(&week, "a").iter().all(|interval| *interval < 22));
}

#[test]
fn a_segment_that_was_not_finished_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut week = Week::open(folder.path()).unwrap();
    fill(&mut week, 0..40);
    // The segment is there, and the journal was not yet cleared.
    segment::write(folder.path(), 0, &week.journal).unwrap();
    std::fs::write(folder.path().join("unfinished"), "x").unwrap();
    drop(week);
    let mut week = Week::open(folder.path()).unwrap();
    assert_eq!(numbers(&week, "a"), Vec::from_iter(0..40));
    fill(&mut week, 40..41);
    assert_eq!(numbers(&week, "a"), Vec::from_iter(0..41));
}
