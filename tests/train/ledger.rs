//! Tickets that learn.

use super::work;
use crate::kit::{Folder, MIB, assert_matches, on};
use mlx_wired::ffi::RecordingBackend;
use mlx_wired::train::{Error, FileProblem, Ledger};
use mlx_wired::{Manager, SumPolicy};
use std::fs;

/// Where a ledger is, in a folder of the test's own.
const FILE: &str = "ledger.json";

fn bytes(ledger: &Ledger, label: &str) -> u64 {
    let ticket = ledger
        .ticket(&SumPolicy::new(), label)
        .expect("it is known");
    assert_eq!(ticket.get_label(), Some(label));
    ticket.bytes()
}

#[test]
fn the_next_ticket_covers_the_most_that_was_seen() {
    let (manager, backend) = on(RecordingBackend::cpu());
    let mut ledger = Ledger::new(&manager, "model");
    assert!(
        ledger.ticket(&SumPolicy::new(), "step").is_none(),
        "nothing is known"
    );
    ledger
        .measure("step", || work(&backend, 80 * MIB, 80 * MIB))
        .unwrap();
    assert_eq!(bytes(&ledger, "step"), 90 * MIB);

    ledger.observe("step", 90 * MIB, 79 * MIB);
    assert_eq!(bytes(&ledger, "step"), 90 * MIB, "it never shrinks");
    ledger.observe("step", 90 * MIB, 96 * MIB);
    ledger.observe("step", 90 * MIB, 91 * MIB);
    assert_eq!(bytes(&ledger, "step"), 108 * MIB);
    let entry = ledger.get("step").unwrap();
    assert_eq!((entry.largest, entry.last), (96 * MIB, 91 * MIB));
    assert_eq!(
        (entry.observed, entry.over, entry.most_over),
        (3, 2, 6 * MIB)
    );

    // Known, so not run again.
    let ran = || -> () { panic!("it is not measured twice") };
    assert_eq!(ledger.measure("step", ran).unwrap().above_start, 80 * MIB);
}

#[test]
fn the_table_stands_ticket_beside_peak() {
    let (manager, backend) = on(RecordingBackend::cpu());
    let mut ledger = Ledger::new(&manager, "model");
    ledger
        .measure("step", || work(&backend, 80 * MIB, 80 * MIB))
        .unwrap();
    ledger.observe("step", 90 * MIB, 96 * MIB);
    ledger.observe("a\nlong name", 8 * MIB, 7 * MIB);
    ledger
        .measure("unseen", || work(&backend, MIB, MIB))
        .unwrap();
    let expected = "\
work          ticket  largest    last  over by    over     next
a\\nlong name   8 MiB    7 MiB   7 MiB        -  0 of 1    8 MiB
step          90 MiB   96 MiB  96 MiB    6 MiB  1 of 1  108 MiB
unseen             -    1 MiB       -        -  0 of 0    2 MiB";
    assert_eq!(ledger.to_string(), expected);
}

#[test]
fn a_second_start_does_not_probe() {
    let folder = Folder::new();
    let device = || RecordingBackend::cpu().version("0.32.2");
    let (manager, backend) = on(device());
    let mut first = Ledger::open(folder.at(FILE), &manager, "model").unwrap();
    let measured = first
        .measure("step", || work(&backend, 80 * MIB, 79 * MIB))
        .unwrap();
    first.observe("step", 90 * MIB, 100 * MIB);
    first.save().unwrap();

    let (manager, _backend) = on(device());
    let mut second = Ledger::open(folder.at(FILE), &manager, "model").unwrap();
    let ran = || -> () { panic!("it is in the file") };
    assert_eq!(second.measure("step", ran).unwrap(), measured);
    assert_eq!(second.get("step"), first.get("step"));
    assert_eq!(bytes(&second, "step"), bytes(&first, "step"));
    let files = folder.names().len();
    assert_eq!(files, 1, "what was written beside it is gone");
}

#[test]
fn counts_of_a_file_do_not_wrap() {
    let folder = Folder::new();
    let (manager, _backend) = on(RecordingBackend::cpu());
    let mut ledger = Ledger::open(folder.at(FILE), &manager, "model").unwrap();
    ledger.observe("step", MIB, 2 * MIB);
    ledger.save().unwrap();
    let text = fs::read_to_string(folder.at(FILE)).unwrap();
    let most = |text: String, name: &str| {
        let (from, to) = (
            format!("\"{name}\": 1,"),
            format!("\"{name}\": {},", u64::MAX),
        );
        assert!(text.contains(&from), "{text}");
        text.replace(&from, &to)
    };
    fs::write(folder.at(FILE), most(most(text, "observed"), "over")).unwrap();
    let mut ledger = Ledger::open(folder.at(FILE), &manager, "model").unwrap();
    ledger.observe("step", MIB, 2 * MIB);
    let entry = ledger.get("step").unwrap();
    assert_eq!((entry.observed, entry.over), (u64::MAX, u64::MAX));
}

fn problem(result: Result<Ledger, Error>) -> FileProblem {
    match result {
        Err(Error::File { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_of_another_key_says_so_and_can_be_replaced() {
    let folder = Folder::new();
    let open = |manager: &Manager, model: &str| Ledger::open(folder.at(FILE), manager, model);
    let (manager, backend) = on(RecordingBackend::cpu().version("0.32.2"));
    let mut ledger = open(&manager, "model").unwrap();
    ledger.measure("step", || work(&backend, MIB, MIB)).unwrap();

    let (newer, _) = on(RecordingBackend::cpu().version("0.32.4"));
    let (card, _) = on(RecordingBackend::cuda().version("0.32.2"));
    for other in [
        open(&manager, "other"),
        open(&newer, "model"),
        open(&card, "model"),
    ] {
        match problem(other) {
            FileProblem::OtherKey { found, wanted } => {
                assert_eq!(*found, *ledger.key());
                assert_ne!(found, wanted);
            }
            other => panic!("{other:?}"),
        }
    }
    let mut anew = Ledger::replacing(folder.at(FILE), &newer, "model");
    anew.measure("step", || ()).unwrap();
    assert!(open(&newer, "model").is_ok() && open(&manager, "model").is_err());
}

#[test]
fn a_malformed_file_is_an_error_and_never_a_wrong_number() {
    let folder = Folder::new();
    let (manager, backend) = on(RecordingBackend::cpu().version("0.32.2"));
    let open = || Ledger::open(folder.at(FILE), &manager, "model");
    let mut ledger = open().unwrap();
    ledger
        .measure("step", || work(&backend, 80 * MIB, 79 * MIB))
        .unwrap();
    ledger.observe("step", 90 * MIB, 100 * MIB);
    ledger.save().unwrap();
    let good = fs::read_to_string(folder.at(FILE)).unwrap();
    assert!(open().is_ok());

    // Every file that was cut short.
    for end in 0..good.len() - 2 {
        fs::write(folder.at(FILE), &good[..end]).unwrap();
        assert!(
            matches!(problem(open()), FileProblem::Malformed(_)),
            "{end}"
        );
    }
    let peak = (80 + 3) * MIB;
    for (old, new) in [
        ("\"format\": 1", "\"format\": 2".to_owned()),
        (&*format!("\"peak\": {peak}"), "\"peak\": 5".to_owned()),
        (&*format!("\"peak\": {peak}"), "\"peak\": -5".to_owned()),
        (&*format!("\"peak\": {peak}"), "\"peak\": 1e40".to_owned()),
        ("\"runs\": 2", "\"runs\": 0".to_owned()),
        ("\"spread\": 0.0", "\"spread\": 2.0".to_owned()),
        ("\"over\": 1", "\"over\": 2".to_owned()),
        ("\"over\": 1", "\"over\": 0".to_owned()),
        ("\"over\": 1", "\"over\": 1, \"more\": 1".to_owned()),
        (
            &*format!("\"largest\": {}", 100 * MIB),
            "\"largest\": 1".to_owned(),
        ),
    ] {
        let bad = good.replace(old, &new);
        assert_ne!(bad, good, "{old} is there");
        fs::write(folder.at(FILE), bad).unwrap();
        assert!(
            matches!(problem(open()), FileProblem::Malformed(_)),
            "{new}"
        );
    }
    fs::write(folder.at(FILE), &good).unwrap();
    assert!(open().is_ok());
}

#[test]
fn a_file_that_cannot_be_written_leaves_what_was_there() {
    let folder = Folder::new();
    let (manager, backend) = on(RecordingBackend::cpu());
    // A folder is in its place.
    fs::create_dir_all(folder.at(FILE).join("full")).unwrap();
    assert_matches!(
        problem(Ledger::open(folder.at(FILE), &manager, "m")),
        FileProblem::Io(_)
    );
    let mut ledger = Ledger::replacing(folder.at(FILE), &manager, "m");
    let result = ledger.measure("step", || work(&backend, MIB, MIB));
    assert!(matches!(result, Err(Error::File { .. })), "{result:?}");
    assert_eq!(ledger.get("step").unwrap().high_water(), MIB, "it is kept");
    assert!(folder.at(FILE).join("full").is_dir());
    assert_eq!(folder.names().len(), 1, "nothing is left beside it");
}
