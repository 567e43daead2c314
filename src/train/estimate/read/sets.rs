//! The weights of one folder, in sets: an index and its shards, shards that name their number, or a single file.

use super::file;
use super::header::{self, Bad, Tensor};
use super::listing::{Entry, Listing};
use crate::print::{Bytes, Name};
use crate::train::estimate::Problem;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

/// How long an index may be.
const MOST_INDEX: u64 = 256 << 20;
/// How many shards a name may speak of.
const MOST_SHARDS: u64 = 100_000;
/// How many names of missing things are told.
const TOLD: usize = 3;

/// Files that are loaded together.
pub(super) struct Set {
    /// The index, the shards' common name, or the file.
    pub(super) name: String,
    pub(super) files: usize,
    pub(super) tensors: Vec<Tensor>,
    /// What the index says is in it, too: the names of all tensors, whether they were read or not.
    pub(super) names: BTreeSet<String>,
    /// Files or tensors that are not there.
    pub(super) missing: Vec<Problem>,
    /// Everything else that was found.
    pub(super) problems: Vec<Problem>,
    /// Some file of it could not be read.
    pub(super) is_broken: bool,
}

impl Set {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            files: 0,
            tensors: Vec::new(),
            names: BTreeSet::new(),
            missing: Vec::new(),
            problems: Vec::new(),
            is_broken: false,
        }
    }

    /// A file by itself.
    pub(super) fn of_file(entry: &Entry) -> Self {
        let mut set = Self::new(&entry.name);
        set.add(entry);
        set.finish()
    }

    pub(super) fn bytes(&self) -> u64 {
        let bytes = self.tensors.iter().map(|tensor| tensor.bytes);
        bytes.fold(0, u64::saturating_add)
    }

    pub(super) fn is_whole(&self) -> bool {
        self.missing.is_empty() && !self.is_broken
    }

    /// The name that Mistral and Meta give to all of a model, under tensors' names of their own.
    pub(super) fn is_consolidated(&self) -> bool {
        self.name.starts_with("consolidated")
    }

    /// Whether these may be the same weights under other names: they are about as many numbers. A smaller part of a
    /// model, a projector say, is none.
    pub(super) fn is_consolidated_of<'a>(
        &self,
        tensors: impl IntoIterator<Item = &'a Tensor>,
    ) -> bool {
        let own = count_numbers(&self.tensors);
        self.is_consolidated() && self.is_whole() && count_numbers(tensors) >= own - own / 16
    }

    /// Whether all of its tensors are among these, by names and shapes. They are sorted by name.
    pub(super) fn is_copy_of(&self, tensors: &[Tensor]) -> bool {
        if self.names.is_empty() {
            return false;
        }
        let is_there =
            |tensor: &Tensor| named(tensors, &tensor.name).any(|there| there.shape == tensor.shape);
        let read: BTreeSet<&str> = self
            .tensors
            .iter()
            .map(|tensor| tensor.name.as_str())
            .collect();
        // Of those that were not read the names alone are known.
        let rest = self
            .names
            .iter()
            .filter(|name| !read.contains(name.as_str()));
        self.tensors.iter().all(is_there)
            && rest
                .into_iter()
                .all(|name| named(tensors, name).next().is_some())
    }

    /// Reads one file's header into it.
    pub(super) fn add(&mut self, entry: &Entry) {
        self.files += 1;
        let shown = entry.shown();
        match header::read(&entry.path) {
            Ok(header) => {
                if header.uncovered > 0 {
                    let rest = Bytes(header.uncovered);
                    self.problems.push(Problem::warning(
                        "uncovered-bytes",
                        format!("{shown} has {rest} that belong to no tensor"),
                        "its tensors are counted; loaders other than MLX's refuse such a file",
                    ));
                }
                self.names
                    .extend(header.tensors.iter().map(|tensor| tensor.name.clone()));
                self.tensors.extend(header.tensors);
            }
            Err(bad) => {
                self.is_broken = true;
                self.problems.push(unread(&shown, bad));
            }
        }
    }
}

impl Set {
    /// Counts each name once, after its files were added.
    fn finish(mut self) -> Self {
        // The larger first: which one a loader keeps differs between loaders.
        self.tensors
            .sort_unstable_by(|a, b| (&a.name, b.bytes).cmp(&(&b.name, a.bytes)));
        let before = self.tensors.len();
        self.tensors
            .dedup_by(|second, first| second.name == first.name);
        let twice = before - self.tensors.len();
        if twice > 0 {
            self.problems.push(Problem::warning(
                "tensors-twice",
                format!(
                    "{} of {} in more than one of its files: the larger is counted",
                    count(twice, "tensor"),
                    Name::new(&self.name)
                ),
                "fetch the files again: they may be of different versions",
            ));
        }
        self
    }
}

/// Those of this name; the tensors are sorted by name.
fn named<'a>(tensors: &'a [Tensor], name: &'a str) -> impl Iterator<Item = &'a Tensor> {
    let first = tensors.partition_point(|tensor| tensor.name.as_str() < name);
    let rest = tensors.iter().skip(first);
    rest.take_while(move |tensor| tensor.name == name)
}

fn count_numbers<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> u64 {
    let numbers = tensors.into_iter().map(Tensor::numbers);
    numbers.fold(0, u64::saturating_add)
}

/// What is told of a file whose tensors are not known.
fn unread(shown: &str, bad: Bad) -> Problem {
    match bad {
        Bad::Pointer(stands_for) => {
            let size = stands_for.map(|bytes| format!(" of {}", Bytes(bytes)));
            Problem::error(
                "lfs-pointer",
                format!(
                    "{shown} is a pointer of Git LFS in place of the file{}",
                    size.unwrap_or_default()
                ),
                "fetch it with `git lfs pull`",
            )
        }
        Bad::Unread(unread) => Problem::error(
            "unread-file",
            format!("{shown} {}", unread.why()),
            "give its reader access, fetch it again, or move it away if it is no part of the model",
        ),
        Bad::Malformed(what) => Problem::error(
            "malformed-file",
            format!("{shown} {what}"),
            "fetch it again, or move it away if it is no part of the model",
        ),
    }
}

/// All sets of a folder.
pub(super) fn of(listing: &Listing) -> Vec<Set> {
    let mut taken = BTreeSet::new();
    let mut sets: Vec<Set> = listing
        .indexes
        .iter()
        .map(|index| by_index(index, listing, &mut taken))
        .collect();
    let free = |entry: &&Entry| !taken.contains(&entry.name);
    let mut families: BTreeMap<(String, u64), Vec<(u64, &Entry)>> = BTreeMap::new();
    for entry in listing.weights.iter().filter(free) {
        match shard(&entry.name) {
            Some((family, n, of)) => families.entry((family, of)).or_default().push((n, entry)),
            None => sets.push(Set::of_file(entry)),
        }
    }
    sets.extend(
        families
            .into_iter()
            .map(|((family, of), shards)| by_number(&family, of, &shards)),
    );
    sets
}

/// What an index may say. Further fields are no harm.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

fn by_index(entry: &Entry, listing: &Listing, taken: &mut BTreeSet<String>) -> Set {
    let mut set = Set::new(&entry.name);
    let shown = entry.shown();
    let index = match read_index(&entry.path) {
        Ok(index) => index,
        Err(why) => {
            set.is_broken = true;
            set.problems.push(Problem::error(
                "unread-index",
                format!("{shown} {why}"),
                "fetch it again: which shards belong to the model is not known without it",
            ));
            return set;
        }
    };
    let mut missing = Vec::new();
    for shard in index.weight_map.values().collect::<BTreeSet<_>>() {
        let weights = &listing.weights;
        match weights.binary_search_by(|entry| entry.name.cmp(shard)) {
            Ok(at) => {
                let entry = &weights[at];
                taken.insert(entry.name.clone());
                set.add(entry);
            }
            Err(_) => missing.push(shard.as_str()),
        }
    }
    if !missing.is_empty() {
        let text = format!(
            "{} that {shown} names: {}",
            count(missing.len(), "shard"),
            some(&missing)
        );
        set.missing.push(missing_shards(&text));
    } else if !set.is_broken {
        let absent: Vec<&str> = index.weight_map.keys().map(String::as_str).collect();
        let absent: Vec<&str> = absent
            .into_iter()
            .filter(|name| !set.names.contains(*name))
            .collect();
        if !absent.is_empty() {
            let which = some(&absent);
            set.missing.push(Problem::error(
                "missing-tensors",
                format!(
                    "{} that {shown} names are in no shard: {which}",
                    count(absent.len(), "tensor")
                ),
                "fetch the shards again: index and shards are of different versions",
            ));
        }
    }
    set.names.extend(index.weight_map.into_keys());
    set.finish()
}

fn missing_shards(which: &str) -> Problem {
    Problem::error(
        "missing-shards",
        format!("missing: {which}"),
        "fetch them: a download was cut off",
    )
}

fn read_index(path: &Path) -> Result<Index, String> {
    let bytes = file::read(path, MOST_INDEX).map_err(|unread| unread.why())?;
    if file::lfs_pointer(&bytes).is_some() {
        return Err("is a pointer of Git LFS in place of the file".to_owned());
    }
    let index: Index = serde_json::from_slice(&bytes)
        .map_err(|_| "is no index (a JSON object with a `weight_map` of names)".to_owned())?;
    // What an index names may not lie outside its folder.
    let is_plain = |shard: &&String| {
        let mut parts = Path::new(shard.as_str()).components();
        matches!(
            (parts.next(), parts.next()),
            (Some(Component::Normal(_)), None)
        )
    };
    match index.weight_map.values().find(|shard| !is_plain(shard)) {
        Some(shard) => Err(format!(
            "names a file outside its folder: {}",
            Name::new(shard)
        )),
        None => Ok(index),
    }
}

/// Shards without an index: their names say how many there are.
fn by_number(family: &str, of: u64, shards: &[(u64, &Entry)]) -> Set {
    let mut set = Set::new(family);
    for (_, entry) in shards {
        set.add(entry);
    }
    let there: BTreeSet<u64> = shards.iter().map(|(n, _)| *n).collect();
    let first = u64::from(!there.contains(&0));
    let missing: Vec<u64> = (first..first + of).filter(|n| !there.contains(n)).collect();
    if !missing.is_empty() {
        let names: Vec<String> = missing
            .iter()
            .take(TOLD)
            .map(|n| format!("{family}-{n:05}-of-{of:05}"))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let more = missing.len().saturating_sub(names.len());
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        let which = format!("{}: {}{more}", count(missing.len(), "shard"), some(&names));
        set.missing.push(missing_shards(&which));
    }
    set.finish()
}

/// `model-00001-of-00003.safetensors`, of whatever widths: the name before it, its number, and how many there are.
pub(super) fn shard(name: &str) -> Option<(String, u64, u64)> {
    let (front, back) = name.strip_suffix(".safetensors")?.rsplit_once("-of-")?;
    let (of, variant) = back.split_once('.').unwrap_or((back, ""));
    let (family, n) = front.rsplit_once(['-', '_'])?;
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u64>().ok())?
    };
    let (n, of) = (number(n)?, number(of)?);
    let family = if variant.is_empty() {
        family.to_owned()
    } else {
        format!("{family}.{variant}")
    };
    (n <= of && (1..=MOST_SHARDS).contains(&of)).then_some((family, n, of))
}

/// The first few of some names, as they may be printed.
pub(super) fn some(names: &[&str]) -> String {
    let told: Vec<String> = names
        .iter()
        .take(TOLD)
        .map(|name| Name::new(name).to_string())
        .collect();
    let more = names.len().saturating_sub(TOLD);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    told.join(", ") + &more
}

/// `1 shard`, `2 shards`.
pub(super) fn count(n: usize, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {what}{plural}")
}
