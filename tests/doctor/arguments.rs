//! Arguments: what is refused, and how.

use crate::checkpoints::half;
use crate::kit::Folder;
use crate::program::{doctor, has, object_of, said};

#[test]
fn bad_arguments_are_told_and_end_with_2() {
    for (arguments, told) in [
        (&["--nonsense"][..], "nonsense"),
        (&["a", "b"], "one at a time"),
        (&[""], "names no folder"),
        (&["a", "--context"], "--context"),
        (&["a", "--context", "0"], "at least 1"),
        (&["a", "--context", "8k"], "whole number"),
        (&["a", "--batch=-1"], "whole number"),
        (&["a", "--train", "lion"], "sgd, momentum, adam or adamw"),
        (&["a", "--lora", "8"], "--lora needs --train"),
        (&["a", "--step", "1GiB"], "--step needs --train"),
        (&["a", "--train", "sgd", "--step", "1GB"], "1.5GiB"),
        (
            &["a", "--train", "sgd", "--lora-layers", "4"],
            "needs --lora",
        ),
        (
            &[
                "a",
                "--train",
                "sgd",
                "--lora",
                "8",
                "--lora-matrices",
                "q,",
            ],
            "commas",
        ),
        (&["a", "--json=yes"], "--json"),
        (&["\u{1b}[2J", "--\u{1b}[2J"], "\\u{1b}"),
    ] {
        let text = said(doctor(arguments));
        assert_eq!(text.code, 2, "{arguments:?}: {}", text.err);
        assert!(text.err.contains(told), "{arguments:?}: {}", text.err);
        assert!(text.err.contains("--help"), "{}", text.err);
        assert_eq!(text.out, "");
    }
}

#[test]
fn programs_get_an_object_for_bad_arguments_too() {
    for arguments in [&["--json", "--nonsense"][..], &["--context", "x", "--json"]] {
        let told = said(doctor(arguments));
        assert_eq!(told.code, 2);
        assert!(!told.err.is_empty());
        let value = object_of(&told.out);
        assert_eq!(value["verdict"], "unknown");
        assert!(has(&value, "arguments"), "{value:#}");
    }
    // Behind the two dashes it is a folder's name.
    let told = said(doctor(["--nonsense", "--", "--json"]));
    assert_eq!((told.code, told.out.as_str()), (2, ""));
}

#[test]
fn a_folder_may_be_named_like_an_option() {
    let folder = Folder::with("--json/model.safetensors", &[half("up", 3)]);
    let mut command = doctor(["--", "--json"]);
    command.current_dir(folder.path());
    let told = said(command);
    assert_eq!(told.code, 0, "{}", told.out);
    assert!(told.out.contains("3 MiB"), "{}", told.out);
}

#[test]
fn help_and_version_are_told() {
    for option in ["--help", "-h"] {
        let help = said(doctor([option]));
        assert_eq!((help.code, help.err.as_str()), (0, ""));
        for told in [
            "--context",
            "--batch",
            "--train",
            "--lora",
            "--step",
            "--json",
            "exit status",
        ] {
            assert!(help.out.contains(told), "{told}");
        }
        assert!(
            help.out.lines().all(|line| line.chars().count() <= 125),
            "{}",
            help.out
        );
    }
    let version = said(doctor(["--version"]));
    assert_eq!(version.code, 0);
    assert!(
        version.out.contains(env!("CARGO_PKG_VERSION")),
        "{}",
        version.out
    );
}
