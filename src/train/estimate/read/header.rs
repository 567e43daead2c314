//! The header of one safetensors file: which tensors it holds, of what type and shape, and how many bytes each takes.
//!
//! The format (<https://github.com/huggingface/safetensors>): eight bytes with the header's length, little-endian; the
//! header, a JSON object; the data. A tensor's `data_offsets` are exact whatever its type is, so types that are
//! not known here are counted, too.

use super::file::{self, Unread};
use crate::print::{Bytes, Name};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use std::fmt;
use std::io::Read;
use std::path::Path;

/// The format's own bound on a header.
const MOST_HEADER: u64 = 100_000_000;
const NO_HEADER: &str = "has a header that is not in the safetensors format";
/// No tensor has more.
const MOST_SIDES: usize = 32;
/// How many bytes of a type's name are kept.
const TYPE_NAME: usize = 16;

/// A tensor of a model's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::train::estimate) struct Tensor {
    pub(in crate::train::estimate) name: String,
    /// As the file says, escaped and cut.
    pub(in crate::train::estimate) dtype: String,
    pub(in crate::train::estimate) shape: Vec<u64>,
    pub(in crate::train::estimate) bytes: u64,
}

impl Tensor {
    /// How many numbers its shape has.
    pub(in crate::train::estimate) fn numbers(&self) -> u64 {
        self.shape
            .iter()
            .fold(1, |all, side| all.saturating_mul(*side))
    }
}

/// What a header says, and what is odd about it though the bytes are known.
pub(super) struct Header {
    pub(super) tensors: Vec<Tensor>,
    /// Bytes of the file that no tensor covers.
    pub(super) uncovered: u64,
}

/// Why a file's tensors are not known.
pub(super) enum Bad {
    Unread(Unread),
    /// A pointer of Git LFS, and the size of the file that it stands for.
    Pointer(Option<u64>),
    /// What is wrong with it.
    Malformed(String),
}

impl From<Unread> for Bad {
    fn from(unread: Unread) -> Self {
        Self::Unread(unread)
    }
}

/// Reads the header alone.
pub(super) fn read(path: &Path) -> Result<Header, Bad> {
    let (mut file, size) = file::open(path)?;
    let mut first = Vec::new();
    file.by_ref()
        .take(8)
        .read_to_end(&mut first)
        .map_err(Unread::from)?;
    let Ok(length) = <[u8; 8]>::try_from(first.as_slice()) else {
        let text = format!("has {size} bytes, and the format begins with eight");
        return Err(Bad::Malformed(text));
    };
    if &length == b"version " {
        let mut rest = first;
        file.take(1024)
            .read_to_end(&mut rest)
            .map_err(Unread::from)?;
        if let Some(stands_for) = file::lfs_pointer(&rest) {
            return Err(Bad::Pointer(stands_for));
        }
        return Err(Bad::Malformed("is a text".to_owned()));
    }
    let length = u64::from_le_bytes(length);
    if length > MOST_HEADER {
        let text = "is not in the safetensors format (its header would be longer than any)";
        return Err(Bad::Malformed(text.to_owned()));
    }
    // It may have grown since its size was asked, and what the system itself offers as files has no size.
    let Some(data) = size.saturating_sub(8).checked_sub(length) else {
        let (has, needs) = (Bytes(size), Bytes(length));
        let text = format!("ends within its header: {has} of which the header alone takes {needs}");
        return Err(Bad::Malformed(text));
    };
    // The format says so, and much that is no header is known by it before all of that is read.
    let mut text = Vec::new();
    file.by_ref()
        .take(length.min(1))
        .read_to_end(&mut text)
        .map_err(Unread::from)?;
    if text != b"{" {
        return Err(Bad::Malformed(NO_HEADER.to_owned()));
    }
    file.take(length.saturating_sub(1))
        .read_to_end(&mut text)
        .map_err(Unread::from)?;
    parse(&text, data).map_err(Bad::Malformed)
}

/// Reads a header's text; `data` is how long the data behind it is.
pub(super) fn parse(text: &[u8], data: u64) -> Result<Header, String> {
    let Entries(entries) = serde_json::from_slice(text).map_err(|_| NO_HEADER.to_owned())?;
    let mut ranges = Vec::with_capacity(entries.len());
    let mut tensors = Vec::with_capacity(entries.len());
    for (name, entry) in entries {
        let (begin, end) = entry.data_offsets;
        let shown = Name::new(&name);
        if begin > end {
            return Err(format!("says that tensor {shown} ends before it begins"));
        }
        if end > data {
            let (has, needs) = (Bytes(data), Bytes(end));
            return Err(format!(
                "was cut off: its tensors take {needs}, and {has} of them are there (tensor {shown})"
            ));
        }
        if entry.shape.len() > MOST_SIDES {
            return Err(format!(
                "says that tensor {shown} has {} sides",
                entry.shape.len()
            ));
        }
        let tensor = Tensor {
            dtype: Name::cut(&entry.dtype, TYPE_NAME).to_string(),
            shape: entry.shape,
            bytes: end - begin,
            name,
        };
        let shown = Name::new(&tensor.name);
        if bits(&entry.dtype).is_some_and(|bits| !agree(&tensor, bits)) {
            return Err(format!(
                "says that tensor {shown} is {} {:?} in {} bytes, which do not agree",
                tensor.dtype, tensor.shape, tensor.bytes
            ));
        }
        let mut sides = tensor.shape.iter();
        let numbers = sides.try_fold(1_u64, |all, side| all.checked_mul(*side));
        if numbers.is_none() {
            let shape = &tensor.shape;
            return Err(format!(
                "says that tensor {shown} is {shape:?}, more than there can be"
            ));
        }
        ranges.push((begin, end));
        tensors.push(tensor);
    }
    let covered = covered(ranges).ok_or("has tensors that overlap")?;
    tensors.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = tensors.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let shown = Name::new(&pair[0].name);
        return Err(format!("names tensor {shown} twice"));
    }
    Ok(Header {
        tensors,
        uncovered: data - covered,
    })
}

/// How many bytes the ranges take, unless two of them overlap.
fn covered(mut ranges: Vec<(u64, u64)>) -> Option<u64> {
    ranges.sort_unstable();
    let mut all = 0;
    let mut last = 0;
    for (begin, end) in ranges.into_iter().filter(|(begin, end)| begin < end) {
        if begin < last {
            return None;
        }
        all += end - begin;
        last = end;
    }
    Some(all)
}

/// Whether a tensor's shape and bytes agree. Types of less than a byte may be padded to one.
fn agree(tensor: &Tensor, bits: u64) -> bool {
    let all = tensor.numbers().checked_mul(bits);
    all.is_some_and(|all| all.div_ceil(8) == tensor.bytes)
}

/// How wide a type is, as far as the format defines it.
fn bits(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "BOOL" | "U8" | "I8" => 8,
        "F8_E4M3" | "F8_E5M2" | "F8_E8M0" | "F8_E4M3FNUZ" | "F8_E5M2FNUZ" => 8,
        "I16" | "U16" | "F16" | "BF16" => 16,
        "I32" | "U32" | "F32" => 32,
        "I64" | "U64" | "F64" | "C64" => 64,
        _ => return None,
    })
}

/// A tensor's entry. Further fields are no harm.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// All entries, names that come twice included, which a map would hide.
struct Entries(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        entries.push((name, map.next_value()?));
                    }
                }
                Ok(Entries(entries))
            }
        }

        from.deserialize_map(Reader)
    }
}
