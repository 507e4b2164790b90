//! What a purge or a deletion leaves behind: messages to be freed.
//!
//! A million messages take a tenth of a second to free, since each may lie anywhere in memory; a shard cannot spend that on one
//! command. So a purge and a deletion only set the messages aside, which is quick, and the shell frees them in slices.

use super::lane::Entries;

/// See the module's description. Dropping it frees all at once.
#[derive(Debug, Default)]
pub struct Remains {
    parts: Vec<Entries>,
}

impl Remains {
    pub(super) fn add(&mut self, part: Entries) {
        if !part.is_empty() {
            self.parts.push(part);
        }
    }

    /// Whether nothing is left to free.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Messages that are left to free.
    pub fn count(&self) -> usize {
        self.parts.iter().map(Entries::len).sum()
    }

    /// Adds those of another queue.
    pub fn append(&mut self, mut other: Remains) {
        self.parts.append(&mut other.parts);
    }

    /// Frees about so many messages.
    pub fn free(&mut self, count: usize) {
        let mut left = count;
        while left > 0
            && let Some(part) = self.parts.last_mut()
        {
            match part.pop_first() {
                Some(_) => left -= 1,
                None => drop(self.parts.pop()),
            }
        }
    }
}
