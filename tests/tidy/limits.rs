//! The table of limits in `ARCHITECTURE.md`: every limit has a row there, and every row a test that exists.

use std::collections::BTreeSet;

use crate::finding::Finding;
use crate::source::Source;
use crate::workspace::Workspace;

const DOCUMENT: &str = "ARCHITECTURE.md";
const LIMITS: &str = "http2/src/limits.rs";
/// The heading of the section with the tables.
const HEADING: &str = "## Limits";
/// What stands in place of a test where there is none yet.
const NONE_YET: &str = "none yet";

/// Finds limits of a connection without a row, and rows that name no test or one that does not exist.
pub(crate) fn check(workspace: &Workspace) -> Vec<Finding> {
    let (Some(document), Some(limits)) = (workspace.files.get(DOCUMENT), workspace.source(LIMITS)) else {
        return Vec::new();
    };
    let rows = rows(document);
    let functions: BTreeSet<&str> = workspace.sources.iter().flat_map(functions).collect();
    let mut findings = Vec::new();
    for (line, field) in fields(limits) {
        match rows.iter().find(|row| row.name == field) {
            None => {
                let advice =
                    format!("add its default, its attack and its test to \"{HEADING}\" of {DOCUMENT}");
                findings.push(Finding::new(LIMITS, line, format!("the limit {field} has no row"), advice));
            }
            Some(row) if row.tests.is_empty() => {
                let rule = format!("the limit {field} has no test");
                findings.push(Finding::new(
                    DOCUMENT,
                    row.line,
                    rule,
                    "write one and name it in the last column",
                ));
            }
            Some(_) => {}
        }
    }
    for row in &rows {
        if row.tests.is_empty() && !row.is_open {
            let advice = format!("name one in the last column, or write \"{NONE_YET}\"");
            findings.push(Finding::new(DOCUMENT, row.line, format!("{} names no test", row.name), advice));
        }
        for test in row.tests.iter().filter(|test| !functions.contains(*test)) {
            let rule = format!("{} names the test {test}, which does not exist", row.name);
            findings.push(Finding::new(DOCUMENT, row.line, rule, "name the one that took its place"));
        }
    }
    findings
}

/// A row of the tables: the limit's name in its first column, its tests in the last.
struct Row<'a> {
    line: usize,
    name: &'a str,
    tests: Vec<&'a str>,
    is_open: bool,
}

fn rows(document: &str) -> Vec<Row<'_>> {
    let section = (1..).zip(document.lines()).skip_while(|(_, line)| *line != HEADING).skip(1);
    let section = section.take_while(|(_, line)| !line.starts_with("## "));
    section.filter_map(|(line, content)| row(line, content)).collect()
}

fn row(line: usize, content: &str) -> Option<Row<'_>> {
    let cells: Vec<&str> = content.strip_prefix('|')?.strip_suffix('|')?.split('|').collect();
    let [first, .., last] = cells[..] else { return None };
    let name = quoted(first).next()?;
    Some(Row { line, name, tests: quoted(last).collect(), is_open: last.contains(NONE_YET) })
}

/// What stands in backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The public fields of the first struct of a file.
fn fields(source: &Source) -> Vec<(usize, &str)> {
    let start = (0..source.tokens.len()).find(|place| source.is_at(*place, &["pub", "struct"]));
    let Some(start) = start else { return Vec::new() };
    let fields = (start + 1..source.tokens.len()).take_while(|place| !source.is_at(*place, &["}"]));
    fields
        .filter(|place| source.is_at(*place, &["pub"]) && source.is_at(place + 2, &[":"]))
        .filter_map(|place| Some((source.tokens[place].line, source.tokens[place + 1].ident()?)))
        .collect()
}

fn functions(source: &Source) -> Vec<&str> {
    let named = (1..source.tokens.len()).filter(|place| source.tokens[place - 1].is_ident("fn"));
    named.filter_map(|place| source.tokens[place].ident()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_needs_a_row_and_a_row_needs_a_test_that_exists() {
        let document = "# A\n| `c` | 1 | |\n## Limits\n| limit | test |\n|---|---|\n| `a` | 1 | `a_holds` |\n\
                        | `b` | 2 | `b_holds` |\n| `x` | 3 | none yet |\n| `y` | 4 | |\n## B\n| `z` | |\n";
        let limits = "/// L.\npub struct Limits {\n pub a: u8,\n pub b: Rate,\n pub c: u8,\n}\n\
                      pub(crate) struct Rate { pub d: u8 }";
        let files = [(DOCUMENT, document), (LIMITS, limits), ("tests/t.rs", "#[test] fn a_holds() {}")];
        let workspace = Workspace::new(files.map(|(path, text)| (path.to_owned(), text.to_owned())).into());
        let found: Vec<String> = check(&workspace)
            .iter()
            .map(|found| found.to_string().split(';').next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(
            found,
            [
                "http2/src/limits.rs:5: the limit c has no row",
                "ARCHITECTURE.md:7: b names the test b_holds, which does not exist",
                "ARCHITECTURE.md:9: y names no test",
            ]
        );
    }
}
