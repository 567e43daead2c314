//! Threads, as they are printed for people.

use super::name::Name;
use crate::sync::ThreadId;
use std::fmt;

/// A thread's name, or its number if it has none.
pub(crate) struct ThreadLabel<'a>(pub(crate) Option<&'a str>, pub(crate) ThreadId);

impl fmt::Display for ThreadLabel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => Name::new(name).fmt(f),
            None => write!(f, "thread {}", thread_number(self.1)),
        }
    }
}

/// The number of a thread in the process, which the standard library tells by `Debug` only.
pub(crate) fn thread_number(thread: ThreadId) -> u64 {
    let text = format!("{thread:?}");
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn threads_have_numbers() {
        let own = std::thread::current().id();
        assert_eq!(
            format!("ThreadId({})", thread_number(own)),
            format!("{own:?}")
        );
        assert!(ThreadLabel(None, own).to_string().starts_with("thread "));
    }
}
