//! A fixed number of fresh inputs for each target, and every input that ever failed.

#![allow(clippy::unwrap_used, clippy::panic)]

use fuzz::target;

fn holds(name: &str, count: usize) {
    let target = target(name).unwrap();
    for (path, input) in target.kept().unwrap() {
        if let Err(why) = target.try_one(&input) {
            panic!("{}: {why}", path.display());
        }
    }
    for sample in (target.samples)() {
        target.try_one(&sample).unwrap();
    }
    let seed = std::time::UNIX_EPOCH
        .elapsed()
        .unwrap()
        .subsec_nanos()
        .into();
    println!("seed {seed}");
    for input in target.inputs(seed).take(count) {
        if let Err(why) = target.try_one(&input) {
            let small = target.smallest(&input);
            panic!(
                "seed {seed}: {why}\n{:?}\nfind and keep it: cargo run -p fuzz -- --target {name} --seed {seed}",
                String::from_utf8_lossy(&small)
            );
        }
    }
}

macro_rules! targets {
    ($($name:ident: $count:expr,)*) => {
        $(#[test]
        fn $name() {
            holds(stringify!($name), $count);
        })*

        #[test]
        fn every_target_is_run() {
            let run = [$(stringify!($name)),*];
            for target in fuzz::TARGETS {
                assert!(run.contains(&target.name), "{} is not run", target.name);
            }
        }
    };
}

targets! {
    qmp_line: 2_000,
    qmp_session: 300,
    guest_session: 300,
    image_header: 20_000,
    image_reports: 1_000,
    definition: 1_000,
    stored: 1_000,
    package: 2_000,
    archive: 5_000,
    rest_bodies: 1_000,
    rest_lists: 10_000,
    messages: 10_000,
    reports: 10_000,
    requests: 10_000,
    headers: 20_000,
    placements: 10_000,
}
