//! How much memory the control groups around this process allow it.
//!
//! A file that is missing, unreadable or malformed means that it tells nothing. What is read is parsed by functions that
//! take text, so that the tests need no container.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The smallest memory limit of the control groups around this process.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn memory_limit() -> Option<u64> {
    let read = |path: &Path| text_of(path).ok();
    let groups = read(Path::new("/proc/self/cgroup"))?;
    let mounts = read(Path::new("/proc/self/mountinfo"))?;
    smallest_limit(&groups, &mounts, &read)
}

/// What is in a file. Not as UTF-8 throughout: a mount elsewhere may have any name.
pub(super) fn text_of(path: &Path) -> io::Result<String> {
    let bytes = fs::read(path)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The smallest limit from `groups` (`/proc/self/cgroup`) and `mounts` (`/proc/self/mountinfo`).
#[cfg(any(test, target_os = "linux", target_os = "android"))]
fn smallest_limit(
    groups: &str,
    mounts: &str,
    read: &dyn Fn(&Path) -> Option<String>,
) -> Option<u64> {
    [Hierarchy::V2, Hierarchy::V1]
        .into_iter()
        .filter_map(|hierarchy| Some((hierarchy, hierarchy.directories(groups, mounts)?)))
        .flat_map(|(hierarchy, directories)| {
            let files = hierarchy.files();
            directories
                .into_iter()
                .flat_map(move |dir| files.iter().map(move |file| dir.join(file)))
        })
        .filter_map(|file| parse_limit(&read(&file)?))
        .min()
}

/// The two versions of control groups; a machine may run both, with memory in either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hierarchy {
    V1,
    V2,
}

impl Hierarchy {
    /// This process's group: the third field of its line `id:controllers:path`.
    pub(super) fn group(self, groups: &str) -> Option<&str> {
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

    /// What limits a group: above `memory.high` the kernel holds its processes up, so that they hardly go on.
    pub(super) fn files(self) -> &'static [&'static str] {
        match self {
            Self::V1 => &["memory.limit_in_bytes"],
            Self::V2 => &["memory.max", "memory.high"],
        }
    }

    /// The directories of this process's group and of all groups around it, wherever they are mounted. Mounts of other
    /// groups count only where no mount shows this process's: then what is mounted is the nearest.
    pub(super) fn directories(self, groups: &str, mounts: &str) -> Option<Vec<PathBuf>> {
        let group = Path::new(self.group(groups)?);
        let mounts: Vec<Mount> = Mount::all(mounts, self).collect();
        let shown: Vec<PathBuf> = mounts
            .iter()
            .filter_map(|mount| mount.directories(group))
            .flatten()
            .collect();
        Some(if shown.is_empty() {
            mounts.into_iter().map(|mount| mount.point).collect()
        } else {
            shown
        })
    }
}

/// Where a hierarchy is mounted, and which of its groups is seen there.
struct Mount {
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// The mounts of a hierarchy in lines of
    /// `id parent device root point options [tag]... - type source super-options`.
    fn all(mounts: &str, hierarchy: Hierarchy) -> impl Iterator<Item = Self> {
        mounts.lines().filter_map(move |line| {
            let (left, right) = line.split_once(" - ")?;
            let mut right = right.split(' ');
            let (kind, options) = (right.next()?, right.nth(1)?);
            let matches = match hierarchy {
                Hierarchy::V1 => kind == "cgroup" && options.split(',').any(|o| o == "memory"),
                Hierarchy::V2 => kind == "cgroup2",
            };
            let mut left = left.split(' ').skip(3);
            matches.then_some(Self {
                root: unescaped(left.next()?),
                point: unescaped(left.next()?),
            })
        })
    }

    /// The directories of `group` and of all groups around it, from the inside out; `None` if it is not mounted here.
    ///
    /// In a container without a control group namespace the group is named as the host sees it
    /// (`/docker/1234`), while the mount shows only what is below its root: the common part goes. A
    /// group outside the mount (`/../other`) cannot be seen.
    fn directories(&self, group: &Path) -> Option<impl Iterator<Item = PathBuf>> {
        let inner = group.strip_prefix(&self.root).ok()?;
        if inner.components().any(|c| c == Component::ParentDir) {
            return None;
        }
        // The last is the empty path.
        Some(inner.ancestors().map(|part| self.point.join(part)))
    }
}

/// A path as mountinfo writes it: blanks and backslashes are three octal digits.
fn unescaped(path: &str) -> PathBuf {
    let replaced = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    let path = replaced
        .iter()
        .fold(path.to_owned(), |path, (code, c)| path.replace(code, c));
    PathBuf::from(path)
}

/// A limit in bytes; `max`, and the page-rounded `i64::MAX` of version 1, mean none.
pub(super) fn parse_limit(text: &str) -> Option<u64> {
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
    fn r41_high_is_a_limit_too() {
        let read = files(&[
            ("/sys/fs/cgroup/a/memory.max", "8589934592\n"),
            ("/sys/fs/cgroup/a/memory.high", "max\n"),
            ("/sys/fs/cgroup/memory.max", "max\n"),
            ("/sys/fs/cgroup/memory.high", "4294967296\n"),
        ]);
        assert_eq!(smallest_limit("0::/a\n", V2_MOUNT, &read), Some(4 * GIB));
    }

    #[test]
    fn r41_every_mount_of_a_hierarchy_counts() {
        let mounts = format!(
            "{V2_MOUNT}25 23 0:22 / /run/cgroups rw - cgroup2 none rw\n\
             26 23 0:22 /other /mnt/other rw - cgroup2 none rw\n"
        );
        // The first cannot be read, the second tells, the third is another group's.
        let read = files(&[
            ("/run/cgroups/a/memory.max", "5368709120\n"),
            ("/mnt/other/memory.max", "1073741824\n"),
        ]);
        assert_eq!(smallest_limit("0::/a\n", &mounts, &read), Some(5 * GIB));
        // Nothing shows this group: what is mounted is the nearest.
        assert_eq!(smallest_limit("0::/../a\n", &mounts, &read), Some(GIB));
    }

    #[test]
    fn r41_every_mount_of_version_1_counts() {
        let mounts =
            format!("{V1_MOUNT}32 24 0:27 / /cgroup\\040memory rw - cgroup none rw,memory\n");
        let read = files(&[
            ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "broken\n"),
            ("/cgroup memory/memory.limit_in_bytes", "2147483648\n"),
        ]);
        let limit = smallest_limit("4:memory:/a\n", &mounts, &read);
        assert_eq!(limit, Some(2 * GIB));
    }
}
