//! Running the doctor, and what holds of all that it says.

use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::channel;
use std::time::{Duration, SystemTime};

/// No answer takes a second; a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// What it said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// The program if its feature is on, else the example beside this test.
fn path() -> PathBuf {
    // Cargo names it also where it is not built.
    let program = option_env!("CARGO_BIN_EXE_mlx-wired-doctor");
    if let Some(path) = program.filter(|_| cfg!(feature = "doctor")) {
        return path.into();
    }
    let test = std::env::current_exe().expect("this test has a path");
    let built = test
        .parent()
        .and_then(Path::parent)
        .expect("it lies in `deps`");
    let example = built.join("examples").join("doctor");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let time = |path: &Path| path.metadata().and_then(|it| it.modified()).ok();
    let is_new = time(&example).is_some_and(|time| time >= newest(&root.join("src")));
    assert!(
        is_new,
        "the doctor is not built, or not from these sources: run `cargo build --example doctor` first, or \
         `cargo test --features doctor --test doctor`"
    );
    example
}

fn newest(folder: &Path) -> SystemTime {
    let entries = std::fs::read_dir(folder).expect("the sources are there");
    let times = entries.map(|entry| {
        let path = entry.expect("it is listed").path();
        match path.is_dir() {
            true => newest(&path),
            false => path
                .metadata()
                .and_then(|it| it.modified())
                .expect("it has a time"),
        }
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// The doctor with these arguments, and nothing in its environment that concerns it.
pub(crate) fn doctor<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(path());
    command.args(arguments).stdin(Stdio::null());
    for variable in ["MLX_WIRED", "MLX_WIRED_QUIET", "RUST_BACKTRACE"] {
        command.env_remove(variable);
    }
    command
}

/// What it says in the end; never after a minute.
pub(crate) fn ended(child: Child) -> Output {
    let process = child.id();
    let (done, is_done) = channel();
    let waiter = std::thread::spawn(move || {
        let output = child.wait_with_output().expect("it can be waited for");
        // Nobody listens after the time is over.
        let _late = done.send(output);
    });
    let Ok(output) = is_done.recv_timeout(PATIENCE) else {
        let process = process.to_string();
        Command::new("kill")
            .args(["-9", &process])
            .status()
            .expect("it is ours");
        waiter.join().expect("it has ended");
        panic!("no answer in {PATIENCE:?}");
    };
    waiter.join().expect("it has told");
    output
}

#[track_caller]
pub(crate) fn said(mut command: Command) -> Said {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let output = ended(child.expect("it can be run"));
    let text = |bytes| String::from_utf8(bytes).expect("it says text");
    let (out, err) = (text(output.stdout), text(output.stderr));
    let code = output.status.code();
    let code = code.unwrap_or_else(|| panic!("{}: {out}{err}", output.status));
    for text in [&out, &err] {
        let has_control = text.chars().any(|c| c.is_control() && c != '\n');
        assert!(!has_control, "{text:?}");
        assert!(!text.contains("panicked"), "{text}");
    }
    Said { code, out, err }
}

/// What it says for people and for programs, which must agree.
#[track_caller]
pub(crate) fn asked<S: AsRef<OsStr>>(
    arguments: impl IntoIterator<Item = S> + Clone,
) -> (Said, Value) {
    let text = said(doctor(arguments.clone()));
    assert_eq!(text.err, "");
    let mut command = doctor(arguments);
    let object = said({
        command.arg("--json");
        command
    });
    assert_eq!((object.code, object.err.as_str()), (text.code, ""));
    let value = object_of(&object.out);
    let verdict = value["verdict"].as_str();
    let good = verdict.is_none_or(|verdict| matches!(verdict, "fits" | "tight"));
    assert_eq!(text.code, i32::from(!good), "{value:#}");
    if verdict != Some("fits") {
        assert!(!text.out.contains("fits"), "{}", text.out);
    }
    if let Some(verdict) = verdict {
        let first = text.out.lines().next().expect("it says something");
        let mark = match verdict {
            "fits" => "ok",
            "tight" => "warn",
            _ => "FAIL",
        };
        assert!(first.starts_with(&format!("{mark} {verdict}: ")), "{first}");
    }
    // Whatever is wrong is told, and what to do about it.
    for problem in value["problems"].as_array().expect("a list") {
        let (told, cure) = (problem["text"].as_str(), problem["cure"].as_str());
        if problem["severity"] != "note" {
            assert!(text.out.contains(told.expect("text")), "{}", text.out);
            assert!(text.out.contains(cure.expect("text")), "{}", text.out);
        }
    }
    (text, value)
}

/// The one object in it, which keeps what is promised of all.
#[track_caller]
pub(crate) fn object_of(text: &str) -> Value {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert_eq!(value["schema"], 1);
    let verdict = &value["verdict"];
    let known = ["fits", "tight", "impossible", "unknown"];
    assert!(
        verdict.is_null() || known.iter().any(|it| verdict == it),
        "{verdict}"
    );
    let list = |name: &str| {
        value[name]
            .as_array()
            .unwrap_or_else(|| panic!("no list of {name}"))
    };
    let items = list("items");
    let sum: u64 = items
        .iter()
        .map(|item| item["bytes"].as_u64().expect("whole"))
        .sum();
    assert_eq!(
        value["bytes"].as_u64(),
        Some(sum),
        "items add up: {value:#}"
    );
    for item in items {
        is_id(&item["id"]);
        assert!(!item["source"].as_str().expect("text").is_empty());
        assert!(item["exact"].is_boolean(), "{item}");
    }
    let severities = ["error", "warning", "note"];
    let worst = |problem: &Value| severities.iter().position(|it| problem["severity"] == *it);
    let problems = list("problems");
    for problem in problems {
        is_id(&problem["id"]);
        assert!(worst(problem).is_some(), "{problem}");
        for field in ["text", "cure"] {
            assert!(
                !problem[field].as_str().expect("text").is_empty(),
                "{problem}"
            );
        }
    }
    assert!(
        problems.is_sorted_by_key(worst),
        "the worst first: {problems:#?}"
    );
    if verdict == "impossible" || verdict == "unknown" {
        assert_eq!(worst(&problems[0]), Some(0), "it says why: {value:#}");
        assert!(verdict != "fits");
    } else {
        assert!(
            problems.iter().all(|problem| worst(problem) != Some(0)),
            "{value:#}"
        );
    }
    is_plain(&value);
    value
}

#[track_caller]
fn is_id(id: &Value) {
    let id = id.as_str().expect("an id is text");
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    assert!(!id.is_empty() && id.chars().all(is_word), "{id}");
}

/// No text in it acts on a terminal once it is decoded.
fn is_plain(value: &Value) {
    match value {
        Value::String(text) => assert!(!text.chars().any(char::is_control), "{text:?}"),
        Value::Array(all) => all.iter().for_each(is_plain),
        Value::Object(all) => all.iter().for_each(|(name, value)| {
            assert!(!name.chars().any(char::is_control), "{name:?}");
            is_plain(value);
        }),
        _ => {}
    }
}

/// Whether a problem of this kind is there.
pub(crate) fn has(value: &Value, id: &str) -> bool {
    let problems = value["problems"].as_array().expect("a list");
    problems.iter().any(|problem| problem["id"] == id)
}
