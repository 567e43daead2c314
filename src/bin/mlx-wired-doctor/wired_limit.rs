//! What the system of a Mac allows to be wired, and a higher limit that leaves it enough.

use super::finding::Finding;
use mlx_wired::print::Bytes;
use serde::Serialize;

/// A higher limit than the one in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Raise {
    /// What sets it, until the next start.
    pub(crate) command: String,
    /// The limit, in bytes.
    pub(crate) bytes: u64,
    /// How much more than is in force.
    pub(crate) more: u64,
}

/// The least memory with which a higher limit is named.
const SMALLEST: u64 = 24 << 30;

/// What there is to gain on a Mac with so much memory, of which so much may be wired: `None` where it is not worth it.
///
/// An eighth of the memory is left to the system, at least 4 GiB: twice of what the library calls the least. Smaller Macs
/// than those of 24 GB are left alone: one of 16 GB froze with 10.6 GB wired, less than its limit (`docs/NUMBERS.md`).
pub(crate) fn raise(in_force: u64, memory: u64) -> Option<Raise> {
    if memory < SMALLEST {
        return None;
    }
    let kept = (memory / 8).max(4 << 30);
    let mib = memory.checked_sub(kept)? >> 20;
    let bytes = mib << 20;
    let more = bytes.checked_sub(in_force)?;
    (more > 0 && more >= memory / 64).then(|| Raise {
        command: format!("sudo sysctl iogpu.wired_limit_mb={mib}"),
        bytes,
        more,
    })
}

/// What is wrong with the limit in force.
pub(crate) fn finding(in_force: u64, memory: u64) -> Option<Finding> {
    // What the library keeps, too, when it names a limit.
    let least = (memory / 16).max(2 << 30);
    let left = memory.saturating_sub(in_force);
    (left < least).then(|| {
        Finding::warning(
            "wired-limit-high",
            format!(
                "the limit of wired memory leaves the system {} of {}: with so little a Mac freezes",
                Bytes(left),
                Bytes(memory)
            ),
            format!("lower `iogpu.wired_limit_mb`, so that {} are left, or start the Mac anew", Bytes(least)),
        )
    })
}

/// `iogpu.wired_limit_mb` as it is set, in bytes; 0 is the system's default. `None` where there is none.
pub(crate) fn set() -> Option<u64> {
    if !cfg!(target_os = "macos") {
        return None;
    }
    let asked = std::process::Command::new("/usr/sbin/sysctl")
        .args(["-n", "iogpu.wired_limit_mb"])
        .output();
    let text = String::from_utf8(asked.ok()?.stdout).ok()?;
    let mib: u64 = text.trim().parse().ok()?;
    mib.checked_mul(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Macs as they are sold, in GiB, and what may be wired without a setting, in MiB. Some systems give more than others.
    const MACS: [(u64, u64); 20] = [
        (8, 5_461),
        (16, 10_923),
        (16, 12_124),
        (18, 12_288),
        (24, 16_384),
        (24, 18_186),
        (32, 21_845),
        (32, 27_852),
        (36, 27_648),
        (36, 30_965),
        (48, 36_864),
        (48, 38_338),
        (64, 49_152),
        (64, 55_050),
        (96, 73_728),
        (128, 98_304),
        (128, 110_100),
        (192, 147_456),
        (256, 196_608),
        (512, 393_216),
    ];

    #[test]
    fn what_is_advised_raises_the_limit_in_force_and_stays_below_the_memory() {
        for (gib, mib) in MACS {
            let (memory, in_force) = (gib << 30, mib << 20);
            let raise = raise(in_force, memory);
            assert!(gib >= 24 || raise.is_none(), "{gib} GiB with {mib} MiB");
            if gib >= 32 {
                assert!(raise.is_some(), "{gib} GiB with {mib} MiB");
            }
            let Some(raise) = raise else { continue };
            assert!(in_force < raise.bytes && raise.bytes < memory, "{raise:?}");
            assert_eq!(raise.more, raise.bytes - in_force);
            let command = format!("sudo sysctl iogpu.wired_limit_mb={}", raise.bytes >> 20);
            assert_eq!(raise.command, command);
            assert!(
                finding(in_force, memory).is_none(),
                "it is the system's own"
            );
            assert!(
                finding(raise.bytes, memory).is_none(),
                "what is advised is no fault"
            );
            assert_eq!(super::raise(raise.bytes, memory), None, "once is enough");
        }
    }

    #[test]
    fn a_limit_that_leaves_the_system_too_little_is_a_finding() {
        let gib = |n: u64| n << 30;
        let found = finding(gib(63), gib(64)).expect("1 GiB is too little");
        assert_eq!(found.id, "wired-limit-high");
        assert!(found.text.contains("1 GiB of 64 GiB"), "{}", found.text);
        assert!(finding(gib(60), gib(64)).is_none());
    }

    #[test]
    fn no_size_wraps() {
        for memory in [0, 1, 1 << 30, u64::MAX] {
            for in_force in [0, 1, 1 << 30, u64::MAX] {
                let raise = raise(in_force, memory);
                assert!(raise.is_none_or(|raise| raise.bytes > in_force));
                let _any = finding(in_force, memory);
            }
        }
    }
}
