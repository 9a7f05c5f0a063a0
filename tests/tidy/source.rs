//! [`Source`]: one Rust file, with what the rules ask of it: which of it is tests, which modules it declares, which
//! paths it writes.

use crate::lexer::{Spanned, Token, tokenize};

/// A Rust file. Its path is relative to the workspace, with `/`.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) tokens: Vec<Spanned>,
    /// For each token, whether it belongs to an item that only tests compile.
    tests: Vec<bool>,
    /// For each token, the inline modules around it.
    scopes: Vec<Vec<String>>,
}

/// `mod name;`
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Declaration {
    pub(crate) name: String,
    /// The inline modules around it.
    pub(crate) scope: Vec<String>,
    pub(crate) in_test: bool,
}

/// A path as written, in a `use` or anywhere else. A `use` of several things is several paths.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) segments: Vec<String>,
    /// What a `use` calls it from there on.
    pub(crate) name: String,
    /// Begins with `::`.
    pub(crate) is_global: bool,
    pub(crate) line: usize,
    pub(crate) in_test: bool,
    scope: Vec<String>,
}

impl Source {
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let tokens = tokenize(&text);
        let tests = mark_tests(&tokens);
        let scopes = find_scopes(&tokens);
        Source { path: path.into(), text, tokens, tests, scopes }
    }

    /// The tokens that not only tests compile, each with its place among all.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &Spanned)> {
        self.tokens.iter().enumerate().filter(|(place, _)| !self.tests[*place])
    }

    /// Whether the tokens from `place` on are these: identifiers, or single characters of punctuation.
    pub(crate) fn is_at(&self, place: usize, pattern: &[&str]) -> bool {
        pattern.iter().enumerate().all(|(offset, expected)| {
            self.tokens.get(place + offset).is_some_and(|token| match &token.token {
                Token::Ident(ident) => ident == expected,
                Token::Punct(punct) => expected.chars().eq([*punct]),
                Token::PathSep => *expected == "::",
                Token::Text(_) | Token::Other => false,
            })
        })
    }

    /// The modules that it expects in files of their own.
    pub(crate) fn declarations(&self) -> Vec<Declaration> {
        let is_declaration = |place: &usize| {
            self.tokens[*place].is_ident("mod")
                && self.tokens.get(place + 2).is_some_and(|end| end.is_punct(';'))
        };
        let declaration = |place: usize| {
            let name = self.tokens[place + 1].ident()?.to_owned();
            Some(Declaration { name, scope: self.scopes[place].clone(), in_test: self.tests[place] })
        };
        (0..self.tokens.len()).filter(is_declaration).filter_map(declaration).collect()
    }

    /// The files it includes as source, as written.
    pub(crate) fn includes(&self) -> Vec<&str> {
        let content = |place: usize| match &self.tokens.get(place + 3)?.token {
            Token::Text(path) if self.is_at(place, &["include", "!", "("]) => Some(path.as_str()),
            _ => None,
        };
        (0..self.tokens.len()).filter_map(content).collect()
    }

    /// All paths of two segments or more, those of `use` in full.
    pub(crate) fn paths(&self) -> Vec<Path> {
        let mut paths = Vec::new();
        let mut place = 0;
        while let Some(token) = self.tokens.get(place) {
            let before = place.checked_sub(1).map(|before| &self.tokens[before].token);
            if token.is_ident("use") && !self.is_at(place + 1, &["<"]) {
                place = self.use_tree(place + 1, Vec::new(), false, &mut paths);
            } else if token.ident().is_some() && !matches!(before, Some(Token::PathSep | Token::Punct('.'))) {
                place = self.plain_path(place, false, &mut paths);
            } else if token.token == Token::PathSep
                && !matches!(before, Some(Token::Ident(_) | Token::Punct('>')))
            {
                place = self.plain_path(place + 1, true, &mut paths);
            } else {
                place += 1;
            }
        }
        paths
    }

    fn plain_path(&self, mut place: usize, is_global: bool, paths: &mut Vec<Path>) -> usize {
        let first = place;
        let mut segments = Vec::new();
        while let Some(ident) = self.tokens.get(place).and_then(Spanned::ident) {
            segments.push(ident.to_owned());
            place += 1;
            if !self.is_at(place, &["::"]) {
                break;
            }
            place += 1;
        }
        if place > first + 1 {
            paths.push(self.path_at(first, segments, None, is_global));
        }
        place.max(first + 1)
    }

    /// Reads a tree of `use` and returns the place behind it.
    fn use_tree(
        &self,
        mut place: usize,
        mut segments: Vec<String>,
        mut is_global: bool,
        paths: &mut Vec<Path>,
    ) -> usize {
        while let Some(token) = self.tokens.get(place) {
            match &token.token {
                Token::PathSep => {
                    is_global |= segments.is_empty();
                    place += 1;
                }
                Token::Ident(_) | Token::Punct('*') => {
                    segments.push(token.ident().unwrap_or("*").to_owned());
                    place += 1;
                    if self.is_at(place, &["::"]) {
                        continue;
                    }
                    let mut name = None;
                    if self.is_at(place, &["as"]) {
                        name = self.tokens.get(place + 1).and_then(Spanned::ident).map(str::to_owned);
                        place += 2;
                    }
                    paths.push(self.path_at(place - 1, segments, name, is_global));
                    return place;
                }
                Token::Punct('{') => {
                    place += 1;
                    while self.tokens.get(place).is_some_and(|token| !token.is_punct('}')) {
                        let next = self.use_tree(place, segments.clone(), is_global, paths);
                        place = if self.is_at(next, &[","]) { next + 1 } else { next.max(place + 1) };
                        if self.is_at(next, &["}"]) {
                            place = next;
                        }
                    }
                    return place + 1;
                }
                _ => return place,
            }
        }
        place
    }

    fn path_at(&self, place: usize, segments: Vec<String>, name: Option<String>, is_global: bool) -> Path {
        let name = name.or_else(|| segments.last().cloned()).unwrap_or_default();
        let line = self.tokens[place].line;
        Path {
            segments,
            name,
            is_global,
            line,
            in_test: self.tests[place],
            scope: self.scopes[place].clone(),
        }
    }
}

impl Path {
    /// The path from its crate's root, written in the module `module`; `None` if it leads to another crate or stays
    /// where it is.
    pub(crate) fn in_crate(&self, module: &[String]) -> Option<Vec<String>> {
        let mut base: Vec<String> = module.iter().chain(&self.scope).cloned().collect();
        let mut rest = self.segments.iter().peekable();
        match rest.next()?.as_str() {
            _ if self.is_global => return None,
            "crate" => base.clear(),
            "self" => {}
            "super" => drop(base.pop()),
            _ => return None,
        }
        while rest.next_if(|segment| *segment == "super").is_some() {
            base.pop();
        }
        base.extend(rest.cloned());
        Some(base)
    }

    /// The name of the crate it may lead to, if it begins with none of this one's.
    pub(crate) fn package(&self) -> Option<&str> {
        let first = self.segments.first()?;
        (!matches!(first.as_str(), "crate" | "self" | "super" | "Self")).then_some(first)
    }
}

/// Finds the items behind `#[cfg(test)]` and `#[test]`.
fn mark_tests(tokens: &[Spanned]) -> Vec<bool> {
    let mut tests = vec![false; tokens.len()];
    let mut place = 0;
    while place < tokens.len() {
        match attribute_at(tokens, place) {
            Some((attribute, behind)) if is_for_tests(attribute) => {
                let end = end_of_item(tokens, behind);
                tests[place..end].fill(true);
                place = end;
            }
            Some((_, behind)) => place = behind,
            None => place += 1,
        }
    }
    tests
}

/// The tokens within `#[..]`, and the place behind it.
fn attribute_at(tokens: &[Spanned], place: usize) -> Option<(&[Spanned], usize)> {
    let opening = place + 1;
    if !tokens.get(place)?.is_punct('#') || !tokens.get(opening)?.is_punct('[') {
        return None;
    }
    let closing = closing_bracket(tokens, opening)?;
    Some((&tokens[opening + 1..closing], closing + 1))
}

fn is_for_tests(attribute: &[Spanned]) -> bool {
    let has = |name: &str| attribute.iter().any(|token| token.is_ident(name));
    match attribute {
        [only] => only.is_ident("test"),
        [first, ..] => first.is_ident("cfg") && (has("test") || has("doctest")) && !has("not"),
        [] => false,
    }
}

fn closing_bracket(tokens: &[Spanned], opening: usize) -> Option<usize> {
    let mut depth = 0;
    for (place, token) in tokens.iter().enumerate().skip(opening) {
        match token.token {
            Token::Punct('(' | '[' | '{') => depth += 1,
            Token::Punct(')' | ']' | '}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(place);
        }
    }
    None
}

/// The place behind the item that begins here, its further attributes included.
fn end_of_item(tokens: &[Spanned], mut place: usize) -> usize {
    while let Some((_, behind)) = attribute_at(tokens, place) {
        place = behind;
    }
    while let Some(token) = tokens.get(place) {
        match token.token {
            Token::Punct('(' | '[') => place = closing_bracket(tokens, place).unwrap_or(tokens.len()),
            Token::Punct('{') => {
                return closing_bracket(tokens, place).map_or(tokens.len(), |closing| closing + 1);
            }
            Token::Punct(';') => return place + 1,
            Token::Punct(')' | ']' | '}') => return place,
            _ => {}
        }
        place += 1;
    }
    place.min(tokens.len())
}

fn find_scopes(tokens: &[Spanned]) -> Vec<Vec<String>> {
    let mut open: Vec<(String, usize)> = Vec::new();
    let mut scopes = Vec::with_capacity(tokens.len());
    for (place, token) in tokens.iter().enumerate() {
        while open.last().is_some_and(|(_, end)| place >= *end) {
            open.pop();
        }
        if token.is_punct('{')
            && let Some([keyword, name]) = place.checked_sub(2).and_then(|start| tokens.get(start..place))
            && let (true, Some(name)) = (keyword.is_ident("mod"), name.ident())
        {
            open.push((name.to_owned(), closing_bracket(tokens, place).unwrap_or(tokens.len())));
        }
        scopes.push(open.iter().map(|(name, _)| name.clone()).collect());
    }
    scopes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        Source::new("a.rs", text).paths().iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn the_paths_of_a_use_are_written_out() {
        assert_eq!(
            paths("pub(crate) use crate::{a::{self, B as C, d::*}, e}; use ::f::g;"),
            ["crate::a::self", "crate::a::B", "crate::a::d::*", "crate::e", "f::g"]
        );
        let aliased = Source::new("a.rs", "use a::{B as C};").paths();
        assert_eq!((aliased[0].name.as_str(), aliased[0].is_global), ("C", false));
    }

    #[test]
    fn paths_outside_of_use_are_found_too() {
        let text =
            "fn f(x: a::B<c::D>) -> ::e::F { x.g::<H>(crate::i::J::new(), k::l!()); <M as n::O>::p() }";
        assert_eq!(paths(text), ["a::B", "c::D", "e::F", "crate::i::J::new", "k::l", "n::O"]);
        assert!(paths("// use a::b;\nconst C: &str = \"d::e\";").is_empty());
    }

    #[test]
    fn a_path_is_followed_from_its_module_to_the_root() {
        let module = ["net".to_owned(), "sleep".to_owned()];
        let resolved = |text: &str| {
            let path = Source::new("a.rs", text).paths().pop().expect("one path");
            path.in_crate(&module).map(|segments| segments.join("::"))
        };
        assert_eq!(resolved("use crate::rpc::Status;").as_deref(), Some("rpc::Status"));
        assert_eq!(resolved("use super::Address;").as_deref(), Some("net::Address"));
        assert_eq!(resolved("use super::super::rpc::Code;").as_deref(), Some("rpc::Code"));
        assert_eq!(resolved("mod tests { use super::*; }").as_deref(), Some("net::sleep::*"));
        assert_eq!(resolved("use bytes::Bytes;"), None);
    }

    #[test]
    fn what_only_tests_compile_is_told_apart() {
        let text = "
            #[cfg(test)] mod inside { fn a() {} }
            #[test] #[ignore] fn b(x: [u8; 3]) { c }
            #[cfg(not(test))] fn d() {}
            #[cfg(test)] mod outside;
            fn e() {}";
        let source = Source::new("a.rs", text);
        let code: Vec<&str> = source.code().filter_map(|(_, token)| token.ident()).collect();
        assert_eq!(code, ["cfg", "not", "test", "fn", "d", "fn", "e"]);
        assert!(source.declarations()[0].in_test);
    }

    #[test]
    fn declared_and_included_files_are_listed() {
        let source =
            Source::new("a.rs", "mod b; mod c { pub(crate) mod d; fn mod_e() {} } include!(\"f.rs\");");
        let declared: Vec<_> =
            source.declarations().into_iter().map(|found| (found.name, found.scope)).collect();
        assert_eq!(declared, [("b".to_owned(), vec![]), ("d".to_owned(), vec!["c".to_owned()])]);
        assert_eq!(source.includes(), ["f.rs"]);
    }
}
