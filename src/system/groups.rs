//! What the control groups around this process use of their memory, and how long they wait for it.

use super::container::{Hierarchy, parse_limit, text_of};
use super::machine::malformed;
use std::io;
use std::path::{Path, PathBuf};

/// The control groups around this process: the one that it is in, and those around that one, of both versions.
///
/// A process that is moved to another group later makes a new one of these.
///
/// ```
/// use mlx_wired::system::ControlGroups;
///
/// // Without control groups there is nothing to tell, and no error.
/// if let Ok(groups) = ControlGroups::of_this_process()
///     && let Ok(Some(memory)) = groups.memory()
/// {
///     println!("{} of {} bytes are in use in {}", memory.used, memory.limit, memory.group.display());
/// }
/// ```
#[derive(Debug, Clone)]
pub struct ControlGroups {
    /// From the inside out, with the version whose files are there.
    directories: Vec<(Hierarchy, PathBuf)>,
}

/// What a control group with a limit uses. In bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupMemory {
    /// What it uses and the kernel cannot drop at once: without the pages of files that were not used lately
    /// (`inactive_file`).
    pub used: u64,
    /// What it may use: the smaller of `memory.max` and `memory.high`; `memory.limit_in_bytes` of version 1.
    pub limit: u64,
    /// Its directory.
    pub group: PathBuf,
}

impl ControlGroups {
    /// Those of this process.
    ///
    /// # Errors
    ///
    /// If `/proc/self/cgroup` or `/proc/self/mountinfo` cannot be read.
    pub fn of_this_process() -> io::Result<Self> {
        Self::under(Path::new("/"))
    }

    /// The same from files below `root`, for tests: `root/proc/self/cgroup`, `root/proc/self/mountinfo`, and the mounts that
    /// this names.
    ///
    /// # Errors
    ///
    /// As [`of_this_process`](Self::of_this_process).
    pub fn under(root: &Path) -> io::Result<Self> {
        let groups = text_of(&root.join("proc/self/cgroup"))?;
        let mounts = text_of(&root.join("proc/self/mountinfo"))?;
        let of = |hierarchy: Hierarchy| {
            let found = hierarchy.directories(&groups, &mounts).unwrap_or_default();
            found.into_iter().map(move |directory| {
                let below = directory.strip_prefix("/").unwrap_or(&directory);
                (hierarchy, root.join(below))
            })
        };
        let directories = of(Hierarchy::V2).chain(of(Hierarchy::V1)).collect();
        Ok(Self { directories })
    }

    /// What the group uses that has the largest part of its limit in use, of all that have a limit; `None` if none has one.
    ///
    /// Three files for each group with a limit.
    ///
    /// # Errors
    ///
    /// If a file of a group with a limit cannot be read, or is not what it should be. No error tells a use or a limit.
    pub fn memory(&self) -> io::Result<Option<GroupMemory>> {
        let mut fullest: Option<GroupMemory> = None;
        for (hierarchy, directory) in &self.directories {
            let Some(limit) = limit_of(*hierarchy, directory)? else {
                continue;
            };
            let found = GroupMemory {
                used: used_in(*hierarchy, directory)?,
                limit,
                group: directory.clone(),
            };
            if fullest
                .as_ref()
                .is_none_or(|other| is_fuller(&found, other))
            {
                fullest = Some(found);
            }
        }
        Ok(fullest)
    }

    /// The `memory.pressure` of the innermost group that has one. The group of all processes counts as none: its file is
    /// `/proc/pressure/memory` under another name.
    #[must_use]
    pub fn pressure_file(&self) -> Option<PathBuf> {
        let own = self.directories.iter().filter(|(hierarchy, directory)| {
            // The root alone has no events.
            *hierarchy == Hierarchy::V2 && directory.join("cgroup.events").exists()
        });
        let mut files = own.map(|(_, directory)| directory.join("memory.pressure"));
        files.find(|file| file.exists())
    }
}

fn is_fuller(one: &GroupMemory, other: &GroupMemory) -> bool {
    // In 128 bits a product of two numbers of 64 is exact.
    u128::from(one.used) * u128::from(other.limit) > u128::from(other.used) * u128::from(one.limit)
}

/// The limit of one group, if it has one.
fn limit_of(hierarchy: Hierarchy, directory: &Path) -> io::Result<Option<u64>> {
    let mut least: Option<u64> = None;
    for file in hierarchy.files() {
        let path = directory.join(file);
        let text = match text_of(&path) {
            Ok(text) => text,
            // The root has none, nor has a group whose parent does not share the controller out.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let text = text.trim();
        if text != "max" && text.parse::<u64>().is_err() {
            return Err(malformed(format!("{} is no limit", path.display())));
        }
        // A group that may use nothing cannot be full to a part.
        let limit = parse_limit(text).filter(|limit| *limit > 0);
        least = super::smaller(least, limit);
    }
    Ok(least)
}

/// What one group uses and cannot give back at once.
fn used_in(hierarchy: Hierarchy, directory: &Path) -> io::Result<u64> {
    let (usage, inactive) = match hierarchy {
        Hierarchy::V2 => ("memory.current", "inactive_file"),
        // Without the groups inside it; the usage is with them.
        Hierarchy::V1 => ("memory.usage_in_bytes", "total_inactive_file"),
    };
    let path = directory.join(usage);
    let text = text_of(&path)?;
    let used = text.trim().parse::<u64>();
    let used = used.map_err(|_| malformed(format!("{} is no number", path.display())))?;
    let path = directory.join("memory.stat");
    let text = text_of(&path)?;
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let value = lines.find_map(|(name, value)| (name == inactive).then_some(value));
    let value = value.and_then(|value| value.trim().parse::<u64>().ok());
    let value = value.ok_or_else(|| malformed(format!("{} has no {inactive}", path.display())))?;
    // The two are not read at one moment.
    Ok(used.saturating_sub(value))
}
