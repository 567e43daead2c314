//! Whether Apple's systems have residency sets, which MLX does not tell.
//!
//! The few C functions are declared here, so that no Apple-only crate is needed and the file can be
//! type-checked elsewhere: `RUSTFLAGS='--cfg check_apple' cargo check`.

#![cfg_attr(not(target_vendor = "apple"), allow(dead_code))]

use std::ffi::{c_char, c_void};
use std::ptr::NonNull;

use super::sysctl::{at_least, sysctl_text};

#[cfg_attr(target_vendor = "apple", link(name = "objc", kind = "dylib"))]
unsafe extern "C" {
    fn sel_registerName(name: *const c_char) -> *const c_void;
    /// Called through a pointer of the message's own type.
    fn objc_msgSend();
    fn objc_release(object: *mut c_void);
    fn objc_autoreleasePoolPush() -> *mut c_void;
    fn objc_autoreleasePoolPop(pool: *mut c_void);
}

#[cfg_attr(target_vendor = "apple", link(name = "Metal", kind = "framework"))]
unsafe extern "C" {
    /// Returns an object that the caller owns, or null.
    fn MTLCreateSystemDefaultDevice() -> *mut c_void;
}

/// Why there are no residency sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoResidencySets {
    /// The system has none.
    SystemTooOld,
    /// The GPU has none.
    NoMetal3,
}

/// Whether MLX has residency sets here, by its own two conditions: the system's version and a GPU of
/// the Metal 3 family.
pub(crate) fn residency_sets() -> Result<(), NoResidencySets> {
    let version = system_version();
    let new_enough = version.is_some_and(|version| at_least(&version, NEEDED));
    if !new_enough {
        return Err(NoResidencySets::SystemTooOld);
    }
    // If the GPU cannot be asked: all that run these systems are of this family, except in virtual
    // machines and on a few iPhones and iPads.
    match is_metal3() {
        Some(false) => Err(NoResidencySets::NoMetal3),
        Some(true) | None => Ok(()),
    }
}

/// The first version with residency sets.
const NEEDED: u32 = if cfg!(any(target_os = "macos", target_abi = "macabi")) {
    15
} else if cfg!(target_os = "visionos") {
    2
} else {
    18
};

/// The version that `NEEDED` is about, for example `15.6.1`.
fn system_version() -> Option<String> {
    if cfg!(target_abi = "sim") {
        // A simulator's processes see the Mac's version.
        return std::env::var("SIMULATOR_RUNTIME_VERSION").ok();
    }
    if cfg!(all(target_os = "ios", not(target_abi = "macabi"))) {
        // An iPad program on a Mac: there only, the system names the iOS that it stands for.
        if let Some(version) = sysctl_text(c"kern.iossupportversion") {
            return Some(version);
        }
    }
    sysctl_text(c"kern.osproductversion")
}

/// Whether the GPU is of the Metal 3 family, if there is one to ask.
fn is_metal3() -> Option<bool> {
    /// `MTLGPUFamilyMetal3`.
    const METAL3: isize = 5001;
    /// `-[MTLDevice supportsFamily:]`. The answer is a `BOOL`: one byte on every system.
    type SupportsFamily = unsafe extern "C" fn(*mut c_void, *const c_void, isize) -> u8;

    let _pool = Pool::push();
    // SAFETY: takes nothing; the object returned is ours.
    let device = Owned(NonNull::new(unsafe { MTLCreateSystemDefaultDevice() })?);
    // SAFETY: the name is a C string.
    let selector = unsafe { sel_registerName(c"supportsFamily:".as_ptr()) };
    // SAFETY: a message is sent by calling `objc_msgSend` as a function of the method's type.
    let send =
        unsafe { std::mem::transmute::<unsafe extern "C" fn(), SupportsFamily>(objc_msgSend) };
    // SAFETY: every Metal device answers this message (macOS 10.15, iOS 13), and this one lives.
    Some(unsafe { send(device.0.as_ptr(), selector, METAL3) } != 0)
}

/// Owns one reference to an Objective-C object.
struct Owned(NonNull<c_void>);

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: the reference is ours and given back once.
        unsafe { objc_release(self.0.as_ptr()) };
    }
}

/// Frees what the system's functions leave behind; a thread of Rust's has no such pool.
struct Pool(*mut c_void);

impl Pool {
    fn push() -> Self {
        // SAFETY: takes nothing; popped by `drop` on the same thread, since the type is not `Send`.
        Self(unsafe { objc_autoreleasePoolPush() })
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: pushed on this thread, and pools are popped in reverse order, as locals drop.
        unsafe { objc_autoreleasePoolPop(self.0) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_system_answers() {
        let version = system_version().expect("the system has a version");
        assert!(at_least(&version, 1), "{version}");
        let _either = residency_sets();
    }
}
