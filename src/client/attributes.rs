//! Typed values that a resolver attaches to what it found, for a balancer that knows their types.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A set of values with at most one of each type. The empty set, which is the usual one, allocates nothing; a clone
/// shares the values. Two sets are equal if their values are.
#[derive(Clone, Default)]
pub struct Attributes(Option<Arc<Values>>);

type Values = HashMap<TypeId, Arc<dyn Value>>;

/// A value of any type that can be compared.
trait Value: Any + Send + Sync {
    fn equals(&self, other: &dyn Any) -> bool;
}

impl<T: Any + Send + Sync + PartialEq> Value for T {
    fn equals(&self, other: &dyn Any) -> bool {
        other.downcast_ref() == Some(self)
    }
}

impl Attributes {
    /// The empty set.
    pub const NONE: Attributes = Attributes(None);

    /// Adds a value; an earlier one of the same type is replaced.
    pub fn insert<T: Any + Send + Sync + PartialEq>(&mut self, value: T) {
        let values = self.0.get_or_insert_default();
        Arc::make_mut(values).insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// Removes the value of this type.
    pub fn remove<T: Any + Send + Sync + PartialEq>(&mut self) {
        if let Some(values) = self.0.as_mut().filter(|values| values.contains_key(&TypeId::of::<T>())) {
            Arc::make_mut(values).remove(&TypeId::of::<T>());
            self.0.take_if(|values| values.is_empty());
        }
    }

    /// The value of this type, if there is one.
    pub fn get<T: Any + Send + Sync + PartialEq>(&self) -> Option<&T> {
        let value: &dyn Any = self.0.as_ref()?.get(&TypeId::of::<T>())?.as_ref();
        value.downcast_ref()
    }

    /// Whether there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl PartialEq for Attributes {
    fn eq(&self, other: &Attributes) -> bool {
        let (Some(own), Some(others)) = (&self.0, &other.0) else {
            return self.0.is_none() == other.0.is_none();
        };
        let equals = |(id, value): (&TypeId, &Arc<dyn Value>)| {
            others.get(id).is_some_and(|other| Arc::ptr_eq(value, other) || value.equals(other.as_ref()))
        };
        Arc::ptr_eq(own, others) || own.len() == others.len() && own.iter().all(equals)
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
    fn sets_are_equal_if_their_values_are() {
        let mut original = Attributes::default();
        assert!(original == Attributes::NONE);
        original.insert(Weight(1));
        assert!(original == original.clone() && original != Attributes::NONE);
        let mut other = Attributes::default();
        other.insert(Weight(1));
        assert!(original == other);
        other.insert(Zone("a"));
        assert!(original != other);
        original.insert(Zone("b"));
        assert!(original != other);
        original.insert(Zone("a"));
        assert!(original == other);
    }

    #[test]
    fn a_set_whose_last_value_is_removed_is_empty() {
        let mut attributes = Attributes::default();
        attributes.insert(Weight(1));
        let original = attributes.clone();
        attributes.remove::<Zone>();
        assert!(attributes == original);
        attributes.remove::<Weight>();
        assert!(attributes.is_empty() && original.get() == Some(&Weight(1)));
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
