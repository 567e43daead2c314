//! Where the system has no room in its table of maps any more. In a process of its own, which it is in the way of.

use super::{KIB, pool};
use std::process::Command;
use std::ptr::null_mut;

const PAGE: usize = 4096;
/// Where the table is larger, it is not filled.
const MOST: usize = 300_000;

#[test]
fn memory_goes_back_though_the_system_cannot_split_a_map() {
    let name = "maps::a_map_that_cannot_be_split";
    let program = std::env::current_exe().unwrap();
    let run = Command::new(program)
        .args(["--ignored", "--exact", name, "--test-threads=1"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && told.contains("1 passed"), "{told}");
}

/// Maps memory, at a place of the caller's if that is not null and free.
fn map(at: *mut u8, len: usize, access: i32) -> *mut u8 {
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let fixed = if at.is_null() {
        0
    } else {
        libc::MAP_FIXED_NOREPLACE
    };
    // SAFETY: it replaces no map that exists.
    let mapped = unsafe { libc::mmap(at.cast(), len, access, kind | fixed, -1, 0) };
    assert_ne!(mapped, libc::MAP_FAILED, "the place is free");
    mapped.cast()
}

/// Has the system split a map until its table is full. Returns the map, or none where the table is very large.
fn fill_the_table() -> Option<*mut u8> {
    let all = map(null_mut(), 2 * MOST * PAGE, libc::PROT_NONE);
    for part in 0..MOST {
        let page = all.wrapping_add(2 * part * PAGE);
        // SAFETY: a page of the map made above.
        if unsafe { libc::mprotect(page.cast(), PAGE, libc::PROT_READ) } != 0 {
            return Some(all);
        }
    }
    None
}

#[test]
#[ignore = "run by the test above"]
fn a_map_that_cannot_be_split() {
    let rw = libc::PROT_READ | libc::PROT_WRITE;
    let pool = pool(16 << 20);
    let mut buffer = pool.get(64 * KIB).unwrap();
    buffer.fill(1);
    let start = buffer.as_mut_ptr();
    // One map with the buffer in the middle.
    for at in [start.wrapping_sub(PAGE), start.wrapping_add(64 * KIB)] {
        if !is_mapped(at) {
            map(at, PAGE, rw);
        }
    }
    let mut pages = [1_u8; 16];
    let Some(filling) = fill_the_table() else {
        return;
    };
    drop(buffer);
    pool.trim_to(0);
    let idle = pool.stats().idle;
    // SAFETY: it only tells of pages, into memory of one byte for each.
    let told = unsafe { libc::mincore(start.cast(), 64 * KIB, pages.as_mut_ptr()) };
    // SAFETY: the map made above, which nothing uses.
    unsafe { libc::munmap(filling.cast(), 2 * MOST * PAGE) };
    assert_eq!(idle, 0);
    // Where it could be unmapped, there is nothing to tell of.
    assert!(
        told != 0 || pages.iter().all(|page| page & 1 == 0),
        "{pages:?}"
    );
    assert_eq!(told, 0, "the map was split: the test shows nothing");
}

fn is_mapped(at: *mut u8) -> bool {
    let mut page = 0_u8;
    // SAFETY: it only tells of a page.
    unsafe { libc::mincore(at.cast(), PAGE, &raw mut page) == 0 }
}
