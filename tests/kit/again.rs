//! Tests that run in a process of their own.

use std::env;
use std::process::Command;

const CHILD: &str = "MLX_WIRED_TEST_CHILD";

/// Whether this is a process that [`again`] has started.
pub(crate) fn is_again() -> bool {
    env::var_os(CHILD).is_some()
}

/// Runs one test of this binary again, in a process of its own with these variables and no others of this library. It must
/// pass there. Returns what is written to stdout and to stderr.
#[track_caller]
pub(crate) fn again(test: &str, variables: &[(&str, &str)]) -> (String, String) {
    let binary = env::current_exe().expect("this binary has a path");
    let mut command = Command::new(binary);
    command.args(["--exact", test, "--nocapture"]);
    for inherited in ["MLX_WIRED", "MLX_WIRED_QUIET", "RUST_BACKTRACE"] {
        command.env_remove(inherited);
    }
    command.envs(variables.iter().copied()).env(CHILD, "1");
    let output = command.output().expect("this binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    let passed = output.status.success() && out.contains("1 passed");
    assert!(passed, "{test} with {variables:?}:\n{out}\n{err}");
    (out, err)
}
