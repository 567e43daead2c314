//! Linux's own account of memory: `/proc`, and system calls where that is not mounted.
//!
//! What is read is parsed by functions that take text, so that the tests need no machine of a certain kind.

use super::machine::kib;
use std::fs;
use std::io::Read;

/// Physical memory in bytes.
pub(super) fn physical_memory() -> Option<u64> {
    let told = fs::read_to_string("/proc/meminfo").ok();
    told.and_then(|text| kib(&text, "MemTotal:"))
        .or_else(by_sysinfo)
}

/// What this process uses and cannot give back.
pub(super) fn footprint() -> Option<u64> {
    // Some 1,500 bytes. Not on the heap: a trainer asks after its steps.
    let mut buffer = [0; 4096];
    let told = read_into("/proc/self/status", &mut buffer);
    told.and_then(in_use).or_else(peak_by_rusage)
}

/// The beginning of a file, as much as the buffer holds.
fn read_into<'a>(path: &str, buffer: &'a mut [u8]) -> Option<&'a str> {
    let mut file = fs::File::open(path).ok()?;
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]).ok()? {
            0 => break,
            more => filled += more,
        }
    }
    // The process's name stands in it, which may be any bytes: what is no text ends there.
    let chunks = buffer[..filled].utf8_chunks();
    chunks
        .map(|chunk| chunk.valid())
        .max_by_key(|text| text.len())
}

/// The pages of no file, shared memory and page tables, from `/proc/self/status`; all resident pages where a kernel does not
/// tell them apart.
fn in_use(status: &str) -> Option<u64> {
    let tables = kib(status, "VmPTE:").unwrap_or(0);
    let pages = match kib(status, "RssAnon:") {
        Some(anonymous) => {
            let shared = kib(status, "RssShmem:").unwrap_or(0);
            anonymous.saturating_add(shared)
        }
        None => kib(status, "VmRSS:")?,
    };
    Some(pages.saturating_add(tables))
}

/// Physical memory, by sysinfo(2).
fn by_sysinfo() -> Option<u64> {
    // SAFETY: all fields are numbers, for which zero is a value.
    let mut info: libc::sysinfo = unsafe { std::mem::zeroed() };
    // SAFETY: `info` may be written to; the call keeps no pointer.
    let code = unsafe { libc::sysinfo(&raw mut info) };
    #[allow(clippy::useless_conversion, reason = "32 bits on a system of 32 bits")]
    let (total, unit) = (u64::from(info.totalram), u64::from(info.mem_unit));
    let bytes = total.checked_mul(unit.max(1))?;
    (code == 0 && bytes > 0).then_some(bytes)
}

/// The most that this process has had resident so far, by getrusage(2): what it has now is told by `/proc` alone.
fn peak_by_rusage() -> Option<u64> {
    // SAFETY: all fields are numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` may be written to; the call keeps no pointer.
    let code = unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    let kib = u64::try_from(usage.ru_maxrss).ok()?;
    (code == 0).then(|| kib.saturating_mul(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r41_pages_of_files_are_given_back() {
        let status = "VmRSS:\t 900 kB\nRssAnon:\t 100 kB\nRssFile:\t 700 kB\nRssShmem:\t 20 kB\nVmPTE:\t 4 kB\n";
        assert_eq!(in_use(status), Some(124 << 10));
        assert_eq!(in_use("VmRSS:\t 900 kB\n"), Some(900 << 10));
        assert_eq!(in_use("Name:\tx\n"), None);
    }

    #[test]
    fn r41_the_kernel_tells_without_proc() {
        let read = physical_memory().expect("/proc/meminfo has MemTotal");
        let asked = by_sysinfo().expect("sysinfo(2) tells");
        assert!(asked.abs_diff(read) < read / 16, "{asked} and {read}");
        assert!(peak_by_rusage().is_some_and(|peak| peak > 1 << 16));
    }
}
