//! Typed values that a resolver attaches to what it found, for a balancer that knows their types.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A set of values with at most one of each type. The empty set, which is the usual one, allocates nothing; a clone
/// shares the values.
#[derive(Clone, Default)]
pub struct Attributes(Option<Arc<Values>>);

type Values = HashMap<TypeId, Arc<dyn Any + Send + Sync>>;

impl Attributes {
    /// The empty set.
    pub const NONE: Attributes = Attributes(None);

    /// Whether both are empty, or one a clone of the other that was not changed since. Two sets that were made one by
    /// one are never the same.
    pub fn is_same(&self, other: &Attributes) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(own), Some(others)) => Arc::ptr_eq(own, others),
            _ => false,
        }
    }

    /// Adds a value; an earlier one of the same type is replaced.
    pub fn insert<T: Any + Send + Sync>(&mut self, value: T) {
        let values = self.0.get_or_insert_default();
        Arc::make_mut(values).insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// The value of this type, if there is one.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.as_ref()?.get(&TypeId::of::<T>())?.downcast_ref()
    }

    /// Whether there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attributes({} values)", self.0.as_ref().map_or(0, |values| values.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Weight(u32);
    #[derive(Debug, PartialEq)]
    struct Zone(&'static str);

    #[test]
    fn values_are_found_by_their_type() {
        let mut attributes = Attributes::default();
        assert!(attributes.is_empty());
        attributes.insert(Weight(3));
        attributes.insert(Zone("a"));
        attributes.insert(Weight(4));
        assert_eq!(attributes.get::<Weight>(), Some(&Weight(4)));
        assert_eq!(attributes.get::<Zone>(), Some(&Zone("a")));
        assert_eq!(attributes.get::<u32>(), None);
        assert!(!attributes.is_empty());
    }

    #[test]
    fn a_clone_is_the_same_until_it_is_changed() {
        let mut original = Attributes::default();
        assert!(original.is_same(&Attributes::NONE));
        original.insert(Weight(1));
        let mut clone = original.clone();
        assert!(original.is_same(&clone) && !original.is_same(&Attributes::NONE));
        clone.insert(Weight(1));
        assert!(!original.is_same(&clone));
    }

    #[test]
    fn a_change_to_a_clone_leaves_the_original_alone() {
        let mut original = Attributes::default();
        original.insert(Weight(1));
        let mut clone = original.clone();
        clone.insert(Weight(2));
        assert_eq!(original.get::<Weight>(), Some(&Weight(1)));
        assert_eq!(clone.get::<Weight>(), Some(&Weight(2)));
    }
}
