//! [`Hierarchy`]: which of a policy's children an endpoint is for.

use super::Update;
use crate::client::endpoint::Endpoint;

/// An attribute of an endpoint in a tree of policies: the names of the children that it goes down by, from the root.
/// `weighted_target` and `priority` give a child those endpoints whose first name is the child's, without that name,
/// and without the attribute if it was the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hierarchy(
    /// The names that are still to go.
    pub Vec<String>,
);

/// Of an update the part for the child of this name, with the configuration that it has.
pub(super) fn part_for(name: &str, update: &Update, config: super::PolicyConfig) -> Update {
    let part = |endpoint: &Endpoint| {
        let (first, rest) = endpoint.attributes.get::<Hierarchy>()?.0.split_first()?;
        let mut endpoint = (first == name).then(|| endpoint.clone())?;
        match rest {
            [] => endpoint.attributes.remove::<Hierarchy>(),
            rest => endpoint.attributes.insert(Hierarchy(rest.to_vec())),
        }
        Some(endpoint)
    };
    let endpoints = update.endpoints.iter().filter_map(part).collect();
    Update::new(endpoints, update.attributes.clone(), config)
}
