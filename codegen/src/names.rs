//! Names of generated items, without collisions.

use std::collections::BTreeSet;

/// Names that are taken in one scope.
///
/// Names are compared without case and underscores: that is coarser than how protobuf names become Rust
/// names, so what differs here differs there.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    taken: BTreeSet<String>,
}

impl Scope {
    /// Marks a name as taken, whether or not it already is.
    pub(crate) fn reserve(&mut self, name: &str) {
        self.taken.insert(key(name));
    }

    /// Takes `name`, or when that is taken the first free one among `name_`, `name__`, ...
    pub(crate) fn take(&mut self, name: &str) -> String {
        let suffix = self.take_suffix(name);
        match suffix.is_empty() {
            true => name.to_owned(),
            // With an underscore it is no keyword any more.
            false => format!("{}{suffix}", name.strip_prefix("r#").unwrap_or(name)),
        }
    }

    /// As `take`, but returns just what is to be appended to the name.
    pub(crate) fn take_suffix(&mut self, name: &str) -> String {
        let (plain, mut suffix) = (key(name), String::new());
        while !self.taken.insert(format!("{plain}{suffix}")) {
            suffix.push('_');
        }
        suffix
    }
}

fn key(name: &str) -> String {
    name.strip_prefix("r#")
        .unwrap_or(name)
        .chars()
        .filter(|&c| c != '_')
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_name_stays_as_it_is() {
        assert_eq!(Scope::default().take("say_hello"), "say_hello");
        assert_eq!(Scope::default().take("r#type"), "r#type");
    }

    #[test]
    fn a_taken_name_gets_an_underscore_and_a_third_one_two() {
        let mut scope = Scope::default();
        scope.reserve("GET_FOO");
        assert_eq!(scope.take("get_foo"), "get_foo_");
        assert_eq!(scope.take("get_foo"), "get_foo__");
    }

    #[test]
    fn a_raw_identifier_loses_its_mark_with_the_underscore() {
        let mut scope = Scope::default();
        scope.reserve("type");
        assert_eq!(scope.take("r#type"), "type_");
    }
}
