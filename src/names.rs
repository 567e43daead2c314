//! Names that programs give (labels, policies, paths), as they may be printed for people: escaped, and cut.
//!
//! A server names its tickets after what a request says. A line break in such a name forges a line of the log, an escape
//! sequence commands the terminal, a megabyte makes each message a megabyte long.

use std::fmt::{self, Write};

/// How many characters of a name are printed where there is room.
const LONG: usize = 80;

/// A name that a program gave, safe to print: control and format characters are escaped, and what is over its length is cut.
pub(crate) struct Name<'a> {
    text: &'a str,
    most: usize,
}

impl<'a> Name<'a> {
    /// At most 80 characters of it.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, most: LONG }
    }

    /// At most so many characters of it.
    pub(crate) fn cut(text: &'a str, most: usize) -> Self {
        Self { text, most }
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.most;
        for c in self.text.chars() {
            let escaped = is_unprintable(c).then(|| c.escape_default());
            let width = escaped.as_ref().map_or(1, ExactSizeIterator::len);
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

/// Whether a character does something other than stand in its line: control characters, line and paragraph separators, and
/// those that change the direction or are not seen.
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
        assert_eq!(
            Name::new(&"x".repeat(1 << 20)).to_string().chars().count(),
            81
        );
    }
}
