//! What a thread guesses that a state word is, so that it need not wait for it.

use crate::manager::state::word::Word;
use crate::sync::thread_local;
use std::cell::Cell;

thread_local! {
    /// The word that the thread's last release left behind, of whatever group. Right when one thread works.
    static LAST_WORD: Cell<u64> = const { Cell::new(0) };
}

/// The first guess of a swap. A wrong one costs less than a load before it: the failed swap brings the line for writing, so
/// that the next one succeeds, where a load would bring it for reading first and then again for writing.
#[inline(always)]
pub(super) fn guess() -> Word {
    Word(LAST_WORD.with(Cell::get))
}

/// Notes what a release has left behind.
#[inline(always)]
pub(super) fn remember_word(left: Word) {
    LAST_WORD.with(|last| last.set(left.0));
}

/// `word`, which an addition has given. Where it is as guessed, in the register that had it before: the swap by which the
/// guard is released begins with this word, and would stand still until the addition has returned it.
#[inline(always)]
pub(super) fn as_guessed(word: Word, guess: Word) -> Word {
    if word == guess { opaque(guess) } else { word }
}

/// The same word, but the compiler is not told so: it would take the one for the other, since they are equal.
#[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
#[inline(always)]
fn opaque(mut word: Word) -> Word {
    // SAFETY: there is no instruction, and the register is returned as it was.
    unsafe {
        std::arch::asm!("/* {} */", inout(reg) word.0, options(nomem, nostack, preserves_flags));
    }
    word
}

/// Where it is not known how to say so the guard waits for the addition.
#[cfg(not(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
fn opaque(word: Word) -> Word {
    word
}
