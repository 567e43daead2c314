//! Assertions that tell what was found instead.

/// `text` has `part` in it.
#[track_caller]
pub(crate) fn assert_says(text: &str, part: &str) {
    assert!(text.contains(part), "{part:?} is missing in\n{text}");
}

/// A value is of a pattern; else the value is told.
macro_rules! assert_matches {
    ($value:expr, $($pattern:tt)+) => {
        match &$value {
            $($pattern)+ => {}
            other => panic!("{other:?} is not {}", stringify!($($pattern)+)),
        }
    };
}

pub(crate) use assert_matches;
