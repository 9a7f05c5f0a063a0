//! The habits of the code: nothing unsafe, nothing left undone, lines that fit, no panic that a peer or a user could
//! cause.

use crate::finding::Finding;
use crate::lexer::Token;
use crate::source::Source;
use crate::workspace::Workspace;

/// The most columns that a line may have.
const MAX_COLUMNS: usize = 120;

/// The libraries that are published: in them a careless panic is somebody else's outage.
const LIBRARIES: [&str; 4] = ["src/", "frame/src/", "http2/src/", "codegen/src/"];

/// Words that mark what is not done; in two pieces so that this file has none.
const MARKERS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Finds the keyword that lets code break Rust's promises.
pub(crate) fn check_unsafe(workspace: &Workspace) -> Vec<Finding> {
    let advice = "write it in safe Rust: the lints forbid the rest in every crate";
    find_tokens(workspace, |source, place| source.tokens[place].is_ident("unsafe"), "unsafe code", advice)
}

/// Finds what is left undone: macros that stand for code to come, and notes about it.
pub(crate) fn check_undone(workspace: &Workspace) -> Vec<Finding> {
    let is_macro = |source: &Source, place: usize| {
        ["todo", "unimplemented"].iter().any(|name| source.is_at(place, &[name, "!"]))
    };
    let mut findings =
        find_tokens(workspace, is_macro, "a macro that stands for code to come", "write the code");
    for (path, text) in &workspace.files {
        for (line, content) in (1..).zip(text.lines()) {
            if let Some(marker) = MARKERS.iter().find(|marker| has_word(content, marker)) {
                let advice = "do it now, or open an issue and drop the note";
                findings.push(Finding::new(path, line, format!("a note that says {marker}"), advice));
            }
        }
    }
    findings
}

/// Finds lines that are too long, except those that cannot be broken: rows of a table in documentation, and the insides
/// of string literals. Generated code may be as wide as it likes.
pub(crate) fn check_columns(workspace: &Workspace) -> Vec<Finding> {
    let sources = workspace.sources.iter().filter(|source| !is_generated(source));
    sources.flat_map(check_columns_of).collect()
}

fn check_columns_of(source: &Source) -> Vec<Finding> {
    let is_inside_text = |line: usize| {
        source.tokens.iter().any(|token| {
            matches!(token.token, Token::Text(_))
                && token.line < token.last_line
                && token.line <= line
                && line <= token.last_line
        })
    };
    let is_row = |content: &str| content.trim_start().trim_start_matches(['/', '!']).starts_with(" |");
    let lines = (1..).zip(source.text.lines());
    let too_long = lines.filter(|(line, content)| {
        content.chars().count() > MAX_COLUMNS && !is_row(content) && !is_inside_text(*line)
    });
    too_long
        .map(|(line, content)| {
            let rule = format!("{} columns", content.chars().count());
            Finding::new(&source.path, line, rule, format!("break the line: {MAX_COLUMNS} are the most"))
        })
        .collect()
}

fn is_generated(source: &Source) -> bool {
    source.text.lines().take(3).any(|line| line.contains("@generated"))
}

/// Finds `unwrap` in library code.
pub(crate) fn check_unwrap(workspace: &Workspace) -> Vec<Finding> {
    let is_library = |source: &&Source| LIBRARIES.iter().any(|folder| source.path.starts_with(folder));
    let sources =
        workspace.sources.iter().filter(is_library).filter(|source| !workspace.is_test(&source.path));
    sources.flat_map(check_unwrap_of).collect()
}

fn check_unwrap_of(source: &Source) -> Vec<Finding> {
    let unwraps = source.code().filter(|(place, _)| source.is_at(*place, &[".", "unwrap", "(", ")"]));
    let advice = "handle the error, or make the case impossible by the types";
    unwraps.map(|(_, dot)| Finding::new(&source.path, dot.line, "unwrap in library code", advice)).collect()
}

fn find_tokens(
    workspace: &Workspace,
    is_found: impl Fn(&Source, usize) -> bool,
    rule: &str,
    advice: &str,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in &workspace.sources {
        let found = (0..source.tokens.len()).filter(|place| is_found(source, *place));
        findings
            .extend(found.map(|place| Finding::new(&source.path, source.tokens[place].line, rule, advice)));
    }
    findings
}

fn has_word(text: &str, word: &str) -> bool {
    let is_end = |c: Option<char>| !c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    text.match_indices(word).any(|(at, _)| {
        is_end(text[..at].chars().next_back()) && is_end(text[at + word.len()..].chars().next())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(path: &str, text: &str) -> Workspace {
        Workspace::new([(path.to_owned(), text.to_owned())].into())
    }

    fn lines(findings: Vec<Finding>) -> Vec<String> {
        findings
            .iter()
            .map(|found| found.to_string().split(';').next().unwrap_or_default().to_owned())
            .collect()
    }

    #[test]
    fn unsafe_code_is_found_and_its_name_is_not() {
        let text = "#![forbid(unsafe_code)] // unsafe\nfn f() {\nunsafe {} }";
        assert_eq!(lines(check_unsafe(&workspace("a.rs", text))), ["a.rs:3: unsafe code"]);
    }

    #[test]
    fn what_is_left_undone_is_found_in_code_and_in_notes() {
        let found = lines(check_undone(&workspace("a.rs", "todo!()\n, unimplemented!(\"x\")")));
        let expected = "a macro that stands for code to come";
        assert_eq!(found, [format!("a.rs:1: {expected}"), format!("a.rs:2: {expected}")]);
        assert_eq!(lines(check_undone(&workspace("a.rs", "Status::unimplemented(); fn todo() {}"))), [""; 0]);
        for marker in MARKERS {
            let found = lines(check_undone(&workspace("a.md", &format!("\n<!-- {marker}: more -->"))));
            assert_eq!(found, [format!("a.md:2: a note that says {marker}")]);
            assert_eq!(lines(check_undone(&workspace("a.md", &format!("MAS{marker}")))), [""; 0]);
        }
    }

    #[test]
    fn long_lines_are_found_unless_nothing_can_be_done() {
        let long = "x".repeat(121);
        let columns = |text: String| lines(check_columns(&workspace("a.rs", &text)));
        assert_eq!(columns(format!("a\n{long}")), ["a.rs:2: 121 columns"]);
        assert_eq!(columns("é".repeat(120)), [""; 0]);
        assert_eq!(columns(format!("//! | {long} |")), [""; 0]);
        assert_eq!(columns(format!("const A: &str = \"\n{long}\n\";")), [""; 0]);
        assert_eq!(columns(format!("// @generated\n{long}")), [""; 0]);
    }

    #[test]
    fn unwrap_is_found_in_libraries_and_not_in_their_tests() {
        let text =
            "fn f() { a\n.unwrap() }\n/// b.unwrap()\n#[cfg(test)] mod tests { fn g() { c.unwrap() } }";
        let found = lines(check_unwrap(&workspace("src/a.rs", text)));
        assert_eq!(found, ["src/a.rs:2: unwrap in library code"]);
        assert_eq!(lines(check_unwrap(&workspace("src/a.rs", "a.unwrap_or_else(b)"))), [""; 0]);
        assert_eq!(lines(check_unwrap(&workspace("examples/a.rs", text))), [""; 0]);
    }
}
