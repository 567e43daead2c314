//! The program, run against a socket of the test's.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::thread;

const LINE: &str = include_str!("line.json");

fn run(arguments: &[&str]) -> Output {
    let program = Command::new(env!("CARGO_BIN_EXE_mlx-wired-watch"))
        .args(arguments)
        .output();
    program.expect("it runs")
}

/// A socket that tells a text to so many.
fn told(name: &str, text: &'static str, times: usize) -> (PathBuf, thread::JoinHandle<()>) {
    let name = format!("mlx-wired-watch-{}-{name}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let listener = UnixListener::bind(&path).expect("it is free");
    let tells = thread::spawn(move || {
        for _ in 0..times {
            let (mut stream, _) = listener.accept().expect("it is asked");
            stream.write_all(text.as_bytes()).expect("it is read");
        }
    });
    (path, tells)
}

#[test]
fn once_prints_the_very_line() {
    let (path, tells) = told("once", LINE, 1);
    let output = run(&["--once", path.to_str().expect("it is text")]);
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), LINE);
    tells.join().expect("nothing panics");
    // Now it is served by no program.
    let output = run(&["--once", path.to_str().expect("it is text")]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("the program has ended"), "{error}");
    fs::remove_file(path).expect("it is the test's");
}

#[test]
fn what_is_no_line_is_an_error() {
    for (name, text) in [
        ("cut", "{\"schema\":1"),
        ("other", "{\"schema\":7}\n"),
        ("none", ""),
    ] {
        let (path, tells) = told(name, text, 1);
        let output = run(&["--once", path.to_str().expect("it is text")]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{name}"
        );
        tells.join().expect("nothing panics");
        fs::remove_file(path).expect("it is the test's");
    }
}

#[test]
fn a_picture_is_written() {
    let (path, tells) = told("picture", LINE, 40);
    let picture = path.with_extension("svg");
    let picture = picture.to_str().expect("it is text");
    let socket = path.to_str().expect("it is text");
    let output = run(&["--picture", picture, "--every", "0.1", socket]);
    assert!(output.status.success(), "{output:?}");
    tells.join().expect("nothing panics");
    let svg = fs::read_to_string(picture).expect("it is written");
    assert!(svg.contains("train  pid 4242"), "{svg}");
    fs::remove_file(path).expect("it is the test's");
    fs::remove_file(picture).expect("it is the test's");
}

#[test]
fn it_is_told_how_to_call_it() {
    assert_eq!(run(&["--kill"]).status.code(), Some(2));
    assert_eq!(run(&[]).status.code(), Some(2));
    let help = run(&["--help"]);
    assert!(help.status.success() && help.stdout.starts_with(b"Shows what"));
    let output = run(&["/nowhere/at/all"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no socket"));
}
