//! How much memory Linux lets this process use: the machine's, and the container's.
//!
//! Everything here degrades quietly: a file that is missing or unreadable means that nothing is
//! known, never an error. What is read is parsed by functions that take text, so that the tests need
//! no container.

use std::fs;
use std::path::{Component, Path, PathBuf};

/// Physical memory in bytes.
pub(super) fn physical_memory() -> Option<u64> {
    mem_total(&fs::read_to_string("/proc/meminfo").ok()?)
}

/// The smallest memory limit of the control groups around this process.
pub(super) fn memory_limit() -> Option<u64> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let groups = read(Path::new("/proc/self/cgroup"))?;
    let mounts = read(Path::new("/proc/self/mountinfo"))?;
    smallest_limit(&groups, &mounts, &read)
}

/// `MemTotal` of `/proc/meminfo`, which is in KiB.
fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The smallest limit from `groups` (`/proc/self/cgroup`) and `mounts` (`/proc/self/mountinfo`).
fn smallest_limit(
    groups: &str,
    mounts: &str,
    read: &dyn Fn(&Path) -> Option<String>,
) -> Option<u64> {
    [Hierarchy::V2, Hierarchy::V1]
        .into_iter()
        .filter_map(|hierarchy| {
            let group = hierarchy.group(groups)?;
            let mount = Mount::find(mounts, hierarchy)?;
            mount
                .directories(group)
                .filter_map(|dir| parse_limit(&read(&dir.join(hierarchy.file()))?))
                .min()
        })
        .min()
}

/// The two versions of control groups; a machine may run both, with memory in either.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hierarchy {
    V1,
    V2,
}

impl Hierarchy {
    /// This process's group: the third field of its line `id:controllers:path`.
    fn group(self, groups: &str) -> Option<&str> {
        groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            let matches = match self {
                Self::V1 => controllers.split(',').any(|name| name == "memory"),
                Self::V2 => id == "0" && controllers.is_empty(),
            };
            matches.then_some(path)
        })
    }

    fn file(self) -> &'static str {
        match self {
            Self::V1 => "memory.limit_in_bytes",
            Self::V2 => "memory.max",
        }
    }
}

/// Where a hierarchy is mounted, and which of its groups is seen there.
struct Mount {
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// Finds the mount in lines of
    /// `id parent device root point options [tag]... - type source super-options`.
    fn find(mounts: &str, hierarchy: Hierarchy) -> Option<Self> {
        mounts.lines().find_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut right = right.split(' ');
            let (kind, options) = (right.next()?, right.nth(1)?);
            let matches = match hierarchy {
                Hierarchy::V1 => kind == "cgroup" && options.split(',').any(|o| o == "memory"),
                Hierarchy::V2 => kind == "cgroup2",
            };
            let mut left = left.split(' ').skip(3);
            matches.then_some(Self {
                root: PathBuf::from(left.next()?),
                point: PathBuf::from(left.next()?),
            })
        })
    }

    /// The directories of `group` and of all groups around it, from the inside out.
    ///
    /// In a container without a control group namespace the group is named as the host sees it
    /// (`/docker/1234`), while the mount shows only what is below its root: the common part goes. A
    /// group outside the mount (`/../other`) cannot be seen; then what is mounted is the nearest.
    fn directories(&self, group: &str) -> impl Iterator<Item = PathBuf> {
        let group = Path::new(group);
        let inner = group.strip_prefix(&self.root).unwrap_or(Path::new(""));
        let inner: PathBuf = if inner.components().any(|c| c == Component::ParentDir) {
            PathBuf::new()
        } else {
            inner.to_path_buf()
        };
        let point = self.point.clone();
        let depth = inner.components().count();
        (0..=depth).rev().map(move |n| {
            let part: PathBuf = inner.components().take(n).collect();
            point.join(part)
        })
    }
}

/// A limit in bytes; `max`, and the page-rounded `i64::MAX` of version 1, mean none.
fn parse_limit(text: &str) -> Option<u64> {
    const NONE: u64 = 1 << 60;
    text.trim().parse().ok().filter(|bytes| *bytes < NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    const V2_MOUNT: &str = "24 23 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
    const V1_MOUNT: &str = "\
        30 24 0:26 / /sys/fs/cgroup/cpu rw shared:10 - cgroup cgroup rw,cpu,cpuacct\n\
        31 24 0:27 / /sys/fs/cgroup/memory rw shared:11 - cgroup cgroup rw,memory\n";

    /// A file system of the files given.
    fn files(files: &[(&str, &str)]) -> impl Fn(&Path) -> Option<String> {
        let files: Vec<(PathBuf, String)> = files
            .iter()
            .map(|(path, text)| (PathBuf::from(path), (*text).to_owned()))
            .collect();
        move |path| {
            files
                .iter()
                .find(|(p, _)| p == path)
                .map(|(_, text)| text.clone())
        }
    }

    #[test]
    fn mem_total_is_in_kib() {
        let text = "MemFree:  5 kB\nMemTotal:       16316412 kB\nMemAvailable: 7 kB\n";
        assert_eq!(mem_total(text), Some(16_316_412 * 1024));
        assert_eq!(mem_total("MemTotal: many kB"), None);
        assert_eq!(mem_total("MemTotal: 18446744073709551615 kB"), None);
        assert_eq!(mem_total(""), None);
    }

    #[test]
    fn limits_that_are_none() {
        assert_eq!(parse_limit("max\n"), None);
        assert_eq!(parse_limit("9223372036854771712\n"), None);
        assert_eq!(parse_limit("18446744073709551615"), None);
        assert_eq!(parse_limit(""), None);
        assert_eq!(parse_limit("-1"), None);
        assert_eq!(parse_limit("0\n"), Some(0));
        assert_eq!(parse_limit("8589934592\n"), Some(8 * GIB));
    }

    #[test]
    fn v2_takes_the_smallest_on_the_way_up() {
        let read = files(&[
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/memory.max", "4294967296\n"),
            ("/sys/fs/cgroup/memory.max", "8589934592\n"),
        ]);
        assert_eq!(smallest_limit("0::/a/b\n", V2_MOUNT, &read), Some(4 * GIB));
    }

    #[test]
    fn v2_with_a_namespace() {
        let read = files(&[("/sys/fs/cgroup/memory.max", "2147483648\n")]);
        assert_eq!(smallest_limit("0::/\n", V2_MOUNT, &read), Some(2 * GIB));
        assert_eq!(
            smallest_limit("0::/../../outside\n", V2_MOUNT, &read),
            Some(2 * GIB)
        );
    }

    #[test]
    fn v2_without_a_namespace() {
        let mounts =
            "24 23 0:22 /docker/1234 /sys/fs/cgroup ro shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        let read = files(&[
            ("/sys/fs/cgroup/memory.max", "2147483648\n"),
            ("/sys/fs/cgroup/inner/memory.max", "1073741824\n"),
        ]);
        assert_eq!(
            smallest_limit("0::/docker/1234\n", mounts, &read),
            Some(2 * GIB)
        );
        assert_eq!(
            smallest_limit("0::/docker/1234/inner\n", mounts, &read),
            Some(GIB)
        );
        // Another root altogether: what is mounted is the nearest.
        assert_eq!(
            smallest_limit("0::/system.slice\n", mounts, &read),
            Some(2 * GIB)
        );
    }

    #[test]
    fn v1_takes_the_memory_controller() {
        let groups = "5:cpu,cpuacct:/jobs/9\n4:memory:/jobs/7\n0::/\n";
        let read = files(&[
            (
                "/sys/fs/cgroup/memory/jobs/7/memory.limit_in_bytes",
                "3221225472\n",
            ),
            (
                "/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            ("/sys/fs/cgroup/memory/jobs/9/memory.limit_in_bytes", "1\n"),
        ]);
        assert_eq!(smallest_limit(groups, V1_MOUNT, &read), Some(3 * GIB));
    }

    #[test]
    fn both_versions_at_once() {
        let groups = "4:memory:/\n0::/user.slice\n";
        let mounts = format!("{V1_MOUNT}{V2_MOUNT}");
        let read = files(&[
            (
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            ("/sys/fs/cgroup/user.slice/memory.max", "5368709120\n"),
        ]);
        assert_eq!(smallest_limit(groups, &mounts, &read), Some(5 * GIB));
    }

    #[test]
    fn nothing_known() {
        let nothing = files(&[]);
        assert_eq!(smallest_limit("0::/a\n", V2_MOUNT, &nothing), None);
        assert_eq!(smallest_limit("0::/a\n", "", &nothing), None);
        assert_eq!(smallest_limit("", V2_MOUNT, &nothing), None);
        assert_eq!(smallest_limit("x\n::\n0:", "a - b\n - \n", &nothing), None);
        let unlimited = files(&[("/sys/fs/cgroup/a/memory.max", "max\n")]);
        assert_eq!(smallest_limit("0::/a\n", V2_MOUNT, &unlimited), None);
    }

    #[test]
    fn this_machine_has_memory() {
        let physical = physical_memory().expect("/proc/meminfo has MemTotal");
        assert!(physical > 1 << 20);
        if let Some(limit) = memory_limit() {
            assert!(limit > 0);
        }
    }
}
