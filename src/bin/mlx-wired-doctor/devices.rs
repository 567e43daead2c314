//! What is said on Macs and cards, which a recording device plays.

use super::finding::Finding;
use super::machine::Machine;
use super::options::{self, Asked, Options};
use super::{Report, json, output, text};
use mlx_wired::Manager;
use mlx_wired::ffi::{RecordingBackend, Support};
use mlx_wired::train::estimate::Verdict;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// A folder with one sparse file of weights, removed in the end.
struct Model(PathBuf);

impl Model {
    fn new(name: &str, gib: u64) -> Self {
        let path = std::env::temp_dir().join(format!("mlx-wired-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the folder can be made");
        let bytes = gib << 30;
        let header = format!(
            r#"{{"a":{{"dtype":"F16","shape":[{}],"data_offsets":[0,{bytes}]}}}}"#,
            bytes / 2
        );
        let length = header.len() as u64;
        let mut file = File::create(path.join("model.safetensors")).expect("it can be made");
        let written = file
            .write_all(&length.to_le_bytes())
            .and_then(|()| file.write_all(header.as_bytes()))
            .and_then(|()| file.set_len(8 + length + bytes));
        written.expect("it can be sparse");
        Self(path)
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // A rest in the temporary folder does no harm.
        let _rest = fs::remove_dir_all(&self.0);
    }
}

/// A Mac of so many GiB, of which so many MiB may be wired.
fn mac(gib: u64, recommended: u64) -> Machine {
    let backend = RecordingBackend::metal()
        .memory_size(gib << 30)
        .recommended(recommended << 20);
    let manager = Manager::builder().backend(backend.build()).build();
    Machine::of(&manager.expect("the settings are valid"))
}

fn asked(folder: &Path) -> Options {
    let arguments = ["doctor".into(), folder.into()];
    match options::parse(arguments) {
        Ok(Asked::Report(options)) => options,
        _ => panic!("these are good arguments"),
    }
}

fn on(machine: impl FnOnce() -> Machine, folder: Option<&Path>) -> Report {
    let options = folder.map(asked).unwrap_or_default();
    Report::of(&options, machine)
}

fn found<'a>(report: &'a Report, id: &str) -> Option<&'a Finding> {
    report.findings.iter().find(|finding| finding.id == id)
}

#[test]
fn the_machine_alone_says_what_may_be_wired_and_what_raises_it() {
    let report = on(|| mac(64, 49_152), None);
    assert_eq!(report.code(), 0);
    let text = text::report(&report, false, output::marks());
    for told in [
        "Metal",
        "48 GiB",
        "sudo sysctl iogpu.wired_limit_mb=57344   (8 GiB more, until the next start)",
        "admitted and wired",
    ] {
        assert!(text.contains(told), "{told} is not in {text}");
    }
    for (gib, mib, why) in [
        (16, 10_923, "a Mac of 16 GB froze with less"),
        (32, 28_500, "it would gain next to nothing"),
    ] {
        let report = on(|| mac(gib, mib), None);
        let text = text::report(&report, false, output::marks());
        assert!(!text.contains("sysctl"), "{why}: {text}");
    }
}

#[test]
fn a_model_that_the_limit_alone_keeps_out_is_told_the_command() {
    let model = Model::new("kept-out", 50);
    let report = on(|| mac(64, 49_152), Some(&model.0));
    let answer = report.answer.as_ref().expect("a folder was named");
    assert_eq!((answer.verdict, report.code()), (Verdict::Impossible, 1));
    let finding = found(&report, "wired-limit").expect("it is the limit");
    assert!(
        finding.cure.contains("iogpu.wired_limit_mb=57344"),
        "{}",
        finding.cure
    );
    assert!(finding.text.contains("raised by 8 GiB"), "{}", finding.text);
    assert!(answer.tickets.is_empty());
    let said = text::report(&report, true, output::marks());
    assert!(!said.contains("fits"), "{said}");
    // Where it would not help, it is not named.
    let larger = Model::new("too-large", 60);
    let report = on(|| mac(64, 49_152), Some(&larger.0));
    assert!(found(&report, "wired-limit").is_none());
    assert!(found(&report, "too-large").is_some());
}

#[test]
fn what_serves_stays_wired() {
    let model = Model::new("serves", 4);
    let report = on(|| mac(64, 49_152), Some(&model.0));
    let answer = report.answer.as_ref().expect("a folder was named");
    assert_eq!((answer.verdict, report.code()), (Verdict::Fits, 0));
    let lines = answer.tickets.join("\n");
    assert!(
        lines.contains("policy.ticket(4294967296).resident()"),
        "{lines}"
    );
    let object = json::report(&report);
    assert!(
        object.contains("sudo sysctl iogpu.wired_limit_mb=57344"),
        "{object}"
    );
}

#[test]
fn without_a_look_at_the_machine_nothing_is_good() {
    let model = Model::new("unseen", 1);
    let report = on(|| panic!("no look"), Some(&model.0));
    let answer = report.answer.as_ref().expect("a folder was named");
    assert_eq!((answer.verdict, report.code()), (Verdict::Unknown, 1));
    for id in ["machine-check-failed", "no-budget"] {
        assert!(found(&report, id).is_some_and(Finding::is_error), "{id}");
    }
    let said = text::report(&report, true, output::marks());
    assert!(!said.contains("fits") && said.contains("no look"), "{said}");
    assert!(
        answer
            .plan
            .as_ref()
            .is_some_and(|plan| plan.estimate.bytes == 1 << 30)
    );
}

#[test]
fn a_card_is_told_apart_from_the_machine() {
    let card = || {
        let backend = RecordingBackend::cuda().version("0.32.2").build();
        let manager = Manager::builder().backend(backend).build();
        Machine::of(&manager.expect("the settings are valid"))
    };
    let report = on(card, None);
    let text = text::report(&report, false, output::marks());
    for told in [
        "CUDA, recorded CUDA device",
        "0.32.2 is linked",
        "card's memory  80 GiB, 79 GiB free",
        "budget         76 GiB",
        "nothing is wired",
    ] {
        assert!(text.contains(told), "{told} is not in {text}");
    }
    // What other programs have of the machine's memory is no concern of a card's.
    let model = Model::new("on-a-card", 70);
    let report = on(card, Some(&model.0));
    assert_eq!(report.code(), 0);
    assert!(found(&report, "memory-in-use").is_none());
}

#[test]
fn a_system_that_wires_nothing_is_a_warning() {
    let old = || {
        let backend = RecordingBackend::metal().support(Support::SystemTooOld);
        let manager = Manager::builder().backend(backend.build()).build();
        Machine::of(&manager.expect("the settings are valid"))
    };
    let model = Model::new("not-wired", 4);
    let report = on(old, Some(&model.0));
    assert_eq!(report.code(), 0, "it goes in all the same");
    assert!(found(&report, "system-too-old").is_some());
    let answer = report.answer.as_ref().expect("a folder was named");
    assert!(answer.tickets.join("\n").contains(".reservation()"));
    let text = text::report(&report, false, output::marks());
    assert!(!text.contains("sysctl"), "it would wire nothing: {text}");
}
