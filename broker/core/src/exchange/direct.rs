//! Direct matching: a binding key is a routing key, whole.

use crate::hash::FastMap;
use crate::ids::Name;

use super::targets::{Target, TargetSet};

#[derive(Debug, Default)]
pub(crate) struct DirectTable {
    by_key: FastMap<Name, TargetSet>,
}

impl DirectTable {
    /// Adds a pair that is not in the table.
    pub(crate) fn insert(&mut self, key: &Name, target: Target) {
        self.by_key.entry(key.clone()).or_default().insert(target);
    }

    pub(crate) fn remove(&mut self, key: &str, target: Target) {
        let Some(targets) = self.by_key.get_mut(key) else { return };
        targets.remove(target);
        if targets.is_empty() {
            self.by_key.remove(key);
        }
    }

    pub(crate) fn matches(&self, key: &str) -> &[Target] {
        self.by_key.get(key).map_or(&[], TargetSet::as_slice)
    }
}
