//! Comments of `.proto` files as Markdown that is sound in a Rust doc comment.
//!
//! Authors of `.proto` files write for other readers than rustdoc. Taken as they are, an indented example
//! becomes a doctest that fails, `repeated<Foo>` an unknown HTML tag, `[start, end)` half a link; and clippy
//! has its rules for lists. What is done here keeps the reader's view the same and those tools quiet.
//! prost-build does the rest when it writes the comment: it makes links of URLs.

/// A comment in Markdown, from an item's leading and trailing comment. `None` when both are blank.
pub(crate) fn markdown(leading: &str, trailing: &str) -> Option<String> {
    let parts: Vec<String> =
        [leading, trailing].into_iter().map(convert).filter(|part| !part.is_empty()).collect();
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

fn convert(comment: &str) -> String {
    let mut page = Page::default();
    for line in comment.lines() {
        let line = clean(line);
        page.line(text_of(&line).trim_end());
    }
    page.end()
}

/// A line without the blank that separates it from the comment sign, and without the rest of the sign where
/// the comment is written as in Rust (`///` and `//!`).
fn text_of(line: &str) -> &str {
    let line = match line.strip_prefix(['/', '!']) {
        Some(rest) if rest.is_empty() || rest.starts_with(' ') => rest,
        _ => line,
    };
    line.strip_prefix(' ').unwrap_or(line)
}

/// Replaces characters that rustc or clippy refuse in doc comments: tabs, control characters such as a lone
/// carriage return, and marks that change the direction of writing (they can make source read differently
/// from what it says).
fn clean(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            '\t' => out.push_str("    "),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// A fenced block of code that is open.
struct Fence {
    /// The fence itself: three or more backticks or tildes.
    mark: String,
    indent: usize,
}

/// A list item that is open: the column where its text starts, in the comment and in the result.
#[derive(Clone, Copy, Default)]
struct Item {
    from: usize,
    to: usize,
}

/// Markdown under construction.
#[derive(Default)]
struct Page {
    lines: Vec<String>,
    items: Vec<Item>,
    fence: Option<Fence>,
    /// A block of code by indentation is open.
    indented_code: bool,
    /// The line before belongs to a paragraph, which the next line may continue.
    in_paragraph: bool,
}

impl Page {
    fn line(&mut self, line: &str) {
        let body = line.trim_start();
        let indent = line.len() - body.len();
        if let Some(fence) = &self.fence {
            if body.starts_with(&fence.mark) && body.chars().all(|c| fence.mark.starts_with(c)) {
                self.fence = None;
                self.push(self.item().to, "```");
            } else {
                let cut = indent.min(fence.indent);
                self.push(self.item().to, line.get(cut..).unwrap_or(body));
            }
        } else if body.is_empty() {
            self.in_paragraph = false;
            self.lines.push(String::new());
        } else if self.indented_code && indent >= self.item().from + CODE_INDENT {
            self.push_code(line);
        } else {
            self.close_indented_code();
            self.text(line, body, indent);
        }
    }

    fn text(&mut self, line: &str, body: &str, indent: usize) {
        if let Some(mark) = fence_mark(body) {
            self.leave_items(indent);
            self.fence = Some(Fence { mark: mark.to_owned(), indent });
            self.in_paragraph = false;
            self.push(self.item().to, "```text");
        } else if !self.in_paragraph && indent >= self.enclosing(indent).from + CODE_INDENT {
            self.leave_items(indent);
            self.indented_code = true;
            self.push(self.item().to, "```text");
            self.push_code(line);
        } else if let Some(width) = list_mark(body).filter(|_| self.may_start_item(body)) {
            self.leave_items(indent);
            let parent = self.item();
            let (mark, text) = body.split_at(width);
            let text_indent = width + text.len() - text.trim_start().len();
            self.items.push(Item { from: indent + text_indent, to: parent.to + width + 1 });
            self.in_paragraph = true;
            self.push(parent.to, &format!("{mark} {}", escape(text.trim_start())));
        } else {
            if !self.in_paragraph {
                self.leave_items(indent);
            }
            self.in_paragraph = true;
            // A leading `>` would begin a quotation.
            let quote = if body.starts_with('>') { "\\" } else { "" };
            self.push(self.item().to, &format!("{quote}{}", escape(body)));
        }
    }

    fn end(mut self) -> String {
        self.close_indented_code();
        if self.fence.is_some() {
            self.push(self.item().to, "```");
        }
        self.lines.join("\n").trim_matches('\n').to_owned()
    }

    /// The innermost list item that is open.
    fn item(&self) -> Item {
        self.items.last().copied().unwrap_or_default()
    }

    /// The innermost list item that text at column `indent` can belong to.
    fn enclosing(&self, indent: usize) -> Item {
        self.items.iter().rev().find(|item| item.from <= indent).copied().unwrap_or_default()
    }

    /// Closes the list items that text at column `indent` does not belong to.
    fn leave_items(&mut self, indent: usize) {
        while self.items.last().is_some_and(|item| indent < item.from) {
            self.items.pop();
        }
    }

    /// Inside of a paragraph, a number begins a list only when it is a one, or when a list is there already:
    /// otherwise it is a number that happened to come first in its line.
    fn may_start_item(&self, body: &str) -> bool {
        !self.in_paragraph
            || !self.items.is_empty()
            || !body.starts_with(|c: char| c.is_ascii_digit() && c != '1')
    }

    fn push(&mut self, indent: usize, text: &str) {
        self.lines.push(match text.is_empty() {
            true => String::new(),
            false => format!("{:indent$}{text}", ""),
        });
    }

    fn push_code(&mut self, line: &str) {
        let Item { from, to } = self.item();
        self.push(to, line.get(from + CODE_INDENT..).unwrap_or_default());
    }

    /// Closes a block of code by indentation, before the blank lines that follow it.
    fn close_indented_code(&mut self) {
        if std::mem::take(&mut self.indented_code) {
            let end = self.lines.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
            self.lines.insert(end, format!("{:1$}```", "", self.item().to));
        }
    }
}

/// Text that is indented so far beyond what is around it is code (CommonMark, section 4.4).
const CODE_INDENT: usize = 4;

/// The fence that begins a block of code, if the line is one (CommonMark, section 4.5).
fn fence_mark(body: &str) -> Option<&str> {
    let first = body.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let (mark, info) = body.split_at(body.len() - body.trim_start_matches(first).len());
    (mark.len() >= 3 && !(first == '`' && info.contains('`'))).then_some(mark)
}

/// The width of the mark that begins a list item, if the line is one: `-`, `*`, `+`, `1.` or `1)`.
fn list_mark(body: &str) -> Option<usize> {
    let digits = body.bytes().take_while(u8::is_ascii_digit).count();
    let (marks, width) = match digits {
        0 => ("-*+", 1),
        1..=9 => (".)", digits + 1),
        _ => return None,
    };
    let mut rest = body.get(digits..)?.chars();
    (rest.next().is_some_and(|c| marks.contains(c)) && rest.next() == Some(' ')).then_some(width)
}

/// Escapes what rustdoc would take for a link or for HTML. Code spans stay as they are, and so do links to a
/// URL.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let verbatim = match c {
            '`' => code_span(rest),
            '[' => link(rest),
            '\\' => rest.get(..2),
            _ => None,
        };
        if let Some(verbatim) = verbatim {
            out.push_str(verbatim);
            rest = rest.get(verbatim.len()..).unwrap_or_default();
            continue;
        }
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        match c {
            '[' | ']' => out.extend(['\\', c]),
            // prost-build puts the angle brackets around a URL again.
            '<' if rest.starts_with("http://") || rest.starts_with("https://") => {
                let (url, after) = rest.split_once('>').unwrap_or((rest, ""));
                out.push_str(url);
                rest = after;
            }
            '<' if rest.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?')) => {
                out.push_str("\\<");
            }
            _ => out.push(c),
        }
    }
    out
}

/// The code span at the front of the text, with its backticks.
fn code_span(text: &str) -> Option<&str> {
    let body = text.trim_start_matches('`');
    let mark = text.get(..text.len() - body.len())?;
    let mut from = 0;
    while let Some(found) = body.get(from..)?.find(mark) {
        let end = from + found + mark.len();
        let after = body.get(end..)?;
        if !after.starts_with('`') {
            return text.get(..mark.len() + end);
        }
        from = body.len() - after.trim_start_matches('`').len();
    }
    // No span: the backticks stand for themselves.
    Some(mark)
}

/// The link to a URL at the front of the text: `[..](https://..)`.
fn link(text: &str) -> Option<&str> {
    let (label, rest) = text.split_once("](")?;
    let (target, _) = rest.split_once(')')?;
    let inner = label.get(1..)?;
    (!inner.contains(['[', ']']) && target.contains("://"))
        .then(|| text.get(..label.len() + 2 + target.len() + 1))?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(comment: &str, expected: &str) {
        assert_eq!(convert(comment), expected, "from:\n{comment}");
    }

    #[test]
    fn plain_text_stays_as_it_is() {
        check(" One line.\n And another.\n\n A paragraph.\n", "One line.\nAnd another.\n\nA paragraph.");
    }

    #[test]
    fn blank_comments_are_none() {
        assert_eq!(markdown(" \n\n", "\t"), None);
    }

    #[test]
    fn leading_and_trailing_comment_become_two_paragraphs() {
        assert_eq!(markdown(" One.", " Two."), Some("One.\n\nTwo.".to_owned()));
    }

    #[test]
    fn a_fenced_block_becomes_text_whatever_its_language() {
        check(" ```rust\n panic!()\n ```\n After.", "```text\npanic!()\n```\nAfter.");
        check(" ~~~\n let x = [1];\n ~~~", "```text\nlet x = [1];\n```");
    }

    #[test]
    fn a_fence_that_is_never_closed_is_closed_at_the_end() {
        check(" ```\n one\n", "```text\none\n```");
    }

    #[test]
    fn an_indented_block_becomes_text() {
        check(
            " Example:\n\n     fn main() {\n         run();\n\n     }\n\n Done.",
            "Example:\n\n```text\nfn main() {\n    run();\n\n}\n```\n\nDone.",
        );
    }

    #[test]
    fn deep_indentation_inside_of_a_paragraph_is_no_code() {
        check(" name:    the name\n          of it", "name:    the name\nof it");
    }

    #[test]
    fn list_items_are_continued_at_the_column_of_their_text() {
        check(" - one\n two\n -   three\n     four", "- one\n  two\n- three\n  four");
        check(" 10. ten\n 11) eleven\n lazy", "10. ten\n11) eleven\n    lazy");
    }

    #[test]
    fn lists_nest_and_end() {
        check(" * a\n   * b\n     c\n\n   d\n\n e", "* a\n  * b\n    c\n\n  d\n\ne");
    }

    #[test]
    fn code_inside_of_a_list_item_stays_in_it() {
        check(" - a\n\n       code()\n\n   b", "- a\n\n  ```text\n  code()\n  ```\n\n  b");
    }

    #[test]
    fn a_number_that_begins_a_line_begins_no_list() {
        check(" introduced in version\n 3. It is\n 1. list", "introduced in version\n3. It is\n1. list");
    }

    #[test]
    fn brackets_and_html_are_escaped() {
        check(" The range [start, end) of a List<Foo>.", "The range \\[start, end) of a List\\<Foo>.");
        check(" See [Foo][google.Foo], a < b, </p>", "See \\[Foo\\]\\[google.Foo\\], a < b, \\</p>");
    }

    #[test]
    fn code_spans_and_links_to_urls_stay() {
        check(" `Vec<[u8]>` and ``a`[b]``", "`Vec<[u8]>` and ``a`[b]``");
        check(" [docs](https://example.com/a) [no](here)", "[docs](https://example.com/a) \\[no\\](here)");
        check(" <https://example.com/>.", "https://example.com/.");
        check(" a ` alone [x]", "a ` alone \\[x\\]");
    }

    #[test]
    fn comment_signs_as_in_rust_are_recognised() {
        check("/ One.\n/\n/     code()", "One.\n\n```text\ncode()\n```");
        check("! One.", "One.");
        check("/etc/passwd", "/etc/passwd");
    }

    #[test]
    fn a_quotation_mark_is_no_quotation() {
        check(" > 5\n or", "\\> 5\nor");
    }

    #[test]
    fn characters_that_rustc_refuses_are_replaced() {
        check(" a\tb\rc\u{202e}d", "a    b cd");
    }
}
