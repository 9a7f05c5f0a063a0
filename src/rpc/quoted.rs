//! [`Quoted`]: what a peer has sent, as the text of an error has it.

use std::fmt;

/// Octets that are quoted; three dots stand for the others. They are enough to recognise a name by, and a request whose
/// octets cost next to nothing, since a table of HPACK has them, gets a short answer all the same.
const MAX_QUOTED: usize = 100;

/// Displays the first octets of a value, those that are not printable ASCII as escapes.
pub(crate) struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.get(..MAX_QUOTED) {
            Some(first) if first.len() < self.0.len() => write!(f, "{}...", first.escape_ascii()),
            _ => self.0.escape_ascii().fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_quoted_than_it_takes_to_recognise_a_name() {
        assert_eq!(Quoted(b"a.B/C").to_string(), "a.B/C");
        assert_eq!(Quoted(b"a\n\xff").to_string(), "a\\n\\xff");
        assert_eq!(Quoted(&[b'a'; 100]).to_string(), "a".repeat(100));
        assert_eq!(Quoted(&[b'a'; 101]).to_string(), "a".repeat(100) + "...");
        assert_eq!(Quoted(&[0; 4_000]).to_string(), "\\x00".repeat(100) + "...");
    }
}
