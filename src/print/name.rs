//! Names and locations, escaped and cut.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::panic::Location;

/// How many bytes of a name are printed where there is room.
const LONG: usize = 80;
/// How many bytes of a path.
const LONG_PATH: usize = 120;

/// A name that a program was given, safe to print: control and format characters are escaped, and what is over its length
/// is cut.
///
/// ```
/// use mlx_wired::print::Name;
///
/// assert_eq!(Name::new("qwen\n\u{1b}[2J").to_string(), "qwen\\n\\u{1b}[2J");
/// assert_eq!(Name::cut("llama-3.1-8b", 5).to_string(), "llama…");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Name<'a> {
    text: &'a str,
    most: usize,
}

impl<'a> Name<'a> {
    /// At most 80 bytes of it.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Self { text, most: LONG }
    }

    /// At most so many bytes of it as printed, and `…` for the rest.
    #[must_use]
    pub fn cut(text: &'a str, most: usize) -> Self {
        Self { text, most }
    }

    /// All of it, escaped: for messages that are told whole.
    #[must_use]
    pub fn whole(text: &'a str) -> Self {
        Self::cut(text, usize::MAX)
    }

    /// As text, which is copied only if it is not printed as it is.
    #[cfg_attr(
        not(any(feature = "tracing", feature = "timeline")),
        allow(dead_code, reason = "only what is recorded or traced is kept as text")
    )]
    pub(crate) fn text(&self) -> Cow<'a, str> {
        if self.text.len() <= self.most && !self.text.chars().any(is_unprintable) {
            Cow::Borrowed(self.text)
        } else {
            Cow::Owned(self.to_string())
        }
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.most;
        for c in self.text.chars() {
            let escaped = is_unprintable(c).then(|| c.escape_default());
            let width = escaped
                .as_ref()
                .map_or(c.len_utf8(), ExactSizeIterator::len);
            if width > left {
                return f.write_char('…');
            }
            left -= width;
            match escaped {
                Some(escaped) => write!(f, "{escaped}")?,
                None => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

/// A location in the source, safe to print: of a long path the end is told.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a>(pub &'a Location<'a>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cut, end) = end_of(self.0.file(), LONG_PATH);
        // Escaping makes it longer.
        let end = Name::cut(end, 2 * LONG_PATH);
        write!(f, "{cut}{end}:{}:{}", self.0.line(), self.0.column())
    }
}

/// The last bytes of a path, at most so many, and a mark before them if there is more.
fn end_of(path: &str, most: usize) -> (&'static str, &str) {
    let mut begin = path.len().saturating_sub(most);
    while !path.is_char_boundary(begin) {
        begin += 1;
    }
    (if begin > 0 { "…" } else { "" }, &path[begin..])
}

/// Whether a character does something other than stand in its line: control characters, line and paragraph separators,
/// and those that change the direction or are not seen.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r42_what_acts_on_a_terminal_or_a_log_is_escaped() {
        let name = Name::new("qwen\n\u{1b}[2J\u{202e}x").to_string();
        assert_eq!(name, "qwen\\n\\u{1b}[2J\\u{202e}x");
        assert_eq!(Name::new("größe 模型").to_string(), "größe 模型");
    }

    #[test]
    fn r42_what_is_too_long_is_cut_between_characters() {
        assert_eq!(Name::cut("abcdef", 6).to_string(), "abcdef");
        assert_eq!(Name::cut("abcdefg", 6).to_string(), "abcdef…");
        assert_eq!(Name::cut("abcd\n\n", 5).to_string(), "abcd…");
        assert_eq!(Name::cut("模型x", 6).to_string(), "模型…");
        let long = "x".repeat(1 << 20);
        assert_eq!(Name::new(&long).to_string().chars().count(), 81);
        assert_eq!(Name::whole(&long).to_string(), long);
    }

    #[test]
    fn r42_text_is_copied_only_where_it_is_not_printed_as_it_is() {
        assert_eq!(Name::new("größe").text(), Cow::Borrowed("größe"));
        for name in ["a\nb", &"x".repeat(81)] {
            let name = Name::new(name);
            assert!(matches!(name.text(), Cow::Owned(text) if text == name.to_string()));
        }
    }

    #[test]
    fn r42_a_place_is_told_as_the_standard_library_does_unless_it_is_long() {
        let here = Location::caller();
        assert_eq!(Place(here).to_string(), here.to_string());
        assert_eq!(end_of("src/lib.rs", 10), ("", "src/lib.rs"));
        assert_eq!(end_of("src/lib.rs", 6), ("…", "lib.rs"));
        assert_eq!(end_of("模/lib.rs", 9), ("…", "/lib.rs"));
    }
}
