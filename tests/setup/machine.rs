//! A machine that has what a test says: a `PATH` of one folder.

use parking_lot::Mutex;
use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// What the script itself is made of.
const TOOLS: [&str; 30] = [
    "basename",
    "bash",
    "cat",
    "chmod",
    "cmp",
    "cp",
    "cut",
    "dirname",
    "env",
    "flock",
    "getconf",
    "grep",
    "gzip",
    "head",
    "ln",
    "ls",
    "mkdir",
    "mv",
    "rm",
    "rmdir",
    "sed",
    "sha256sum",
    "sleep",
    "sort",
    "split",
    "tail",
    "tar",
    "tr",
    "uname",
    "wc",
];

/// Held while a program is written, and until a child runs its own program. A child that another thread starts meanwhile would
/// have the new program open for writing, and the system starts none that is.
static PROGRAMS: Mutex<()> = Mutex::new(());

/// A machine: a `PATH` of one folder, and a place for what is built. Gone with it.
pub(crate) struct Machine {
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
}

impl Machine {
    /// One with all that `with-mlx` asks for. Its Python says of each installation what `pip` says, and fails.
    pub(crate) fn new(pip: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "setup-{}-{}",
            std::process::id(),
            MADE.fetch_add(1, Relaxed)
        );
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let machine = Self {
            target: root.join("target"),
            root,
        };
        fs::create_dir_all(machine.bin()).expect("a folder of the test's own");
        for tool in TOOLS {
            machine.tool(tool);
        }
        for compiler in ["cc", "c++"] {
            machine.program(compiler, "exit 0");
        }
        machine.program("cargo", "echo 'no cargo is needed here' >&2; exit 1");
        machine.program(
            "rustc",
            &format!("echo host: {}-unknown-linux-gnu", env::consts::ARCH),
        );
        machine.program("getconf", "echo glibc 2.36");
        machine.python(pip);
        machine
    }

    pub(crate) fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    /// Puts a tool of this machine in its place.
    pub(crate) fn tool(&self, name: &str) {
        let place = self.bin().join(name);
        let _absent = fs::remove_file(&place);
        if let Some(found) = find(name) {
            symlink(found, place).expect("a new link");
        }
    }

    pub(crate) fn program(&self, name: &str, script: &str) {
        let script = format!("#!/usr/bin/env bash\n{script}\n");
        self.program_at(&self.bin().join(name), &script);
    }

    pub(crate) fn program_at(&self, path: &Path, script: &str) {
        let _lock = PROGRAMS.lock();
        // A link would be written through.
        let _absent = fs::remove_file(path);
        fs::write(path, script).expect("a new file");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("its mode");
    }

    fn python(&self, pip: &str) {
        let script =
            format!("if [[ $* == *--version* ]]; then exit 0; fi\ncat <<'LOG'\n{pip}\nLOG\nexit 1");
        self.program("python3", &script);
    }

    pub(crate) fn without(self, name: &str) -> Self {
        fs::remove_file(self.bin().join(name)).expect("it is there");
        self
    }

    pub(crate) fn with(self, name: &str, script: &str) -> Self {
        self.program(name, script);
        self
    }

    /// What `with-mlx` says of a command. It must fail.
    pub(crate) fn says(&self) -> Option<String> {
        let (code, said) = self.with_mlx(&["cargo", "--version"])?;
        assert_eq!(code, Some(1), "{said}");
        Some(said)
    }

    /// How `with-mlx` ends with these arguments, and what it says.
    pub(crate) fn with_mlx(&self, arguments: &[&str]) -> Option<(Option<i32>, String)> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/with-mlx");
        script.exists().then(|| self.run(&script, arguments))
    }

    /// How commands end, and what they say, that have the functions of `with-mlx` and of `--cuda`.
    pub(crate) fn functions(&self, commands: &str) -> Option<(Option<i32>, String)> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let script = format!(
            r#"#!/usr/bin/env bash
set -euo pipefail
root='{root}' mlx='{target}/mlx' arch={arch}
parts=$root/scripts/mlx
source <(sed -n '/^[a-z_]*() {{/,/^}}/p' "$root/scripts/with-mlx")
source "$parts/cuda.sh"
mkdir -p "$mlx/log"
exec {{lock}}>"$mlx/lock"
step_count=1
{commands}
"#,
            root = root.display(),
            target = self.target.display(),
            arch = env::consts::ARCH,
        );
        let path = self.root.join("functions");
        self.program_at(&path, &script);
        let is_there = root.join("scripts/with-mlx").exists();
        is_there.then(|| self.run(&path, &[]))
    }

    /// The same of any script.
    pub(crate) fn run(&self, script: &Path, arguments: &[&str]) -> (Option<i32>, String) {
        let said = self.root.join("said");
        // Into a file: a pipe would stay open as long as the last of the script's dots.
        let file = fs::File::create(&said).expect("a new file");
        let mut command = Command::new(script);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", self.bin())
            .env("HOME", &self.root)
            .env("CARGO_TARGET_DIR", &self.target)
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("the same file"))
            .stderr(file);
        let started = {
            let _lock = PROGRAMS.lock();
            command.spawn()
        };
        let status = started.and_then(|mut child| child.wait());
        let status = status.expect("the script starts");
        let said = fs::read_to_string(&said).expect("what it said");
        (status.code(), said)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _left_for_cargo_clean = fs::remove_dir_all(&self.root);
    }
}

fn find(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let places = env::split_paths(&path).map(|folder| folder.join(tool));
    places.into_iter().find(|place| place.is_file())
}
