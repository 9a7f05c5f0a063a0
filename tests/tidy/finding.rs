//! [`Finding`]: one thing that is out of order.

use std::fmt;

/// Where something breaks a rule, which rule, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    place: String,
    line: usize,
    rule: String,
    advice: String,
}

impl Finding {
    /// A finding in a line of a file; lines count from 1.
    pub(crate) fn new(place: &str, line: usize, rule: impl Into<String>, advice: impl Into<String>) -> Self {
        Finding { place: place.to_owned(), line, rule: rule.into(), advice: advice.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}; {}", self.place, self.line, self.rule, self.advice)
    }
}

/// Fails with everything that was found.
#[track_caller]
pub(crate) fn assert_none(mut findings: Vec<Finding>) {
    findings.sort();
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(lines.is_empty(), "{} findings\n{}\n", lines.len(), lines.join("\n"));
}
