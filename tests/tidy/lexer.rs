//! Rust source as tokens: enough of the language's lexis to tell code from comments and from the insides of literals.

/// A token, as far as the rules care.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// An identifier or keyword; raw ones without their `r#`.
    Ident(String),
    /// `::`
    PathSep,
    /// Any other punctuation, one character each.
    Punct(char),
    /// The content of a string literal, escapes as written.
    Text(String),
    /// A number, a character, a lifetime or an arrow.
    Other,
}

/// A token with the lines it begins and ends in, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spanned {
    pub(crate) token: Token,
    pub(crate) line: usize,
    pub(crate) last_line: usize,
}

impl Spanned {
    pub(crate) fn is_ident(&self, name: &str) -> bool {
        matches!(&self.token, Token::Ident(ident) if ident == name)
    }

    pub(crate) fn is_punct(&self, punct: char) -> bool {
        self.token == Token::Punct(punct)
    }

    pub(crate) fn ident(&self) -> Option<&str> {
        match &self.token {
            Token::Ident(ident) => Some(ident),
            _ => None,
        }
    }
}

/// The tokens of a source text. Comments are dropped. Text that is no Rust gives some tokens or other.
pub(crate) fn tokenize(text: &str) -> Vec<Spanned> {
    let mut lexer = Lexer { rest: text, line: 1 };
    let mut tokens = Vec::new();
    while let Some(first) = lexer.rest.chars().next() {
        let line = lexer.line;
        if let Some(token) = lexer.next(first) {
            tokens.push(Spanned { token, line, last_line: lexer.line });
        }
    }
    tokens
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Lexer<'a> {
    /// Takes one token, or whatever is none.
    fn next(&mut self, first: char) -> Option<Token> {
        if first.is_whitespace() {
            self.take(first.len_utf8());
        } else if self.rest.starts_with("//") {
            self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.block_comment();
        } else if let Some(text) = self.string() {
            return Some(Token::Text(text.to_owned()));
        } else if first == '\'' || self.rest.starts_with("b'") {
            self.char_or_lifetime();
            return Some(Token::Other);
        } else if self.rest.starts_with("::") {
            self.take(2);
            return Some(Token::PathSep);
        } else if self.rest.starts_with("->") || self.rest.starts_with("=>") {
            self.take(2);
            return Some(Token::Other);
        } else if is_word(first) {
            let raw = self.rest.strip_prefix("r#").map_or(0, |_| 2);
            self.take(raw);
            let word = self.word();
            return Some(match first.is_ascii_digit() {
                true => Token::Other,
                false => Token::Ident(word.to_owned()),
            });
        } else {
            self.take(first.len_utf8());
            return Some(Token::Punct(first));
        }
        None
    }

    fn take(&mut self, octets: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(octets);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn word(&mut self) -> &'a str {
        self.take(self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len()))
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while !self.rest.is_empty() {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.take(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.take(2);
                if depth == 0 {
                    return;
                }
            } else {
                self.take(self.rest.chars().next().map_or(0, char::len_utf8));
            }
        }
    }

    /// Takes a string literal of any kind, if there is one, and returns its content.
    fn string(&mut self) -> Option<&'a str> {
        let prefix = ["", "b", "c", "r", "br", "cr"].into_iter().find(|prefix| {
            let rest = self.rest.strip_prefix(prefix).unwrap_or_default();
            let hashes = if prefix.ends_with('r') { rest.trim_start_matches('#') } else { rest };
            hashes.starts_with('"')
        })?;
        self.take(prefix.len());
        let hashes = self.rest.find('"')?;
        self.take(hashes + 1);
        let end = if prefix.ends_with('r') {
            self.rest.find(&format!("\"{}", "#".repeat(hashes)))?
        } else {
            let mut escaped = false;
            self.rest.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            })?
        };
        let content = self.take(end);
        self.take(1 + hashes);
        Some(content)
    }

    fn char_or_lifetime(&mut self) {
        self.take(self.rest.find('\'').unwrap_or_default() + 1);
        let mut chars = self.rest.char_indices();
        let first = chars.next().map(|(_, c)| c);
        let second = chars.next().filter(|(_, c)| *c == '\'');
        match (first, second) {
            (Some('\\'), _) => {
                // What is escaped may itself be a quote or a backslash.
                self.take(2.min(self.rest.len()));
                self.take(self.rest.find('\'').map_or(0, |quote| quote + 1));
            }
            (_, Some((quote, _))) => drop(self.take(quote + 1)),
            _ => drop(self.word()),
        }
    }
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idents(text: &str) -> Vec<String> {
        tokenize(text).iter().filter_map(|token| token.ident().map(str::to_owned)).collect()
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        let text = r###"
            a // b
            /* c /* d */ e */ f
            "g \" h" b"i\\" j r#"k " l"# 'm' '\'' n 'o: loop p<'q> b'\\' r r#type 1u8 c"s"
        "###;
        assert_eq!(idents(text), ["a", "f", "j", "n", "loop", "p", "r", "type"]);
    }

    #[test]
    fn lines_are_counted_through_comments_and_literals() {
        let tokens = tokenize("/*\n*/ a \"\n\n\" b");
        let lines: Vec<_> = tokens.iter().map(|token| (token.line, token.last_line)).collect();
        assert_eq!(lines, [(2, 2), (2, 4), (4, 4)]);
    }

    #[test]
    fn paths_and_punctuation_come_apart() {
        let tokens: Vec<Token> = tokenize("a::b.c!()").into_iter().map(|token| token.token).collect();
        let ident = |name: &str| Token::Ident(name.to_owned());
        let punct = Token::Punct;
        assert_eq!(
            tokens,
            [
                ident("a"),
                Token::PathSep,
                ident("b"),
                punct('.'),
                ident("c"),
                punct('!'),
                punct('('),
                punct(')')
            ]
        );
    }
}
