//! What the store keeps beside each reference to a message: a few small facts, packed into eight bytes.
//!
//! ```text
//!   bit 0                          48          56          64
//!   | expiry, ms since 1970; 0 none | priority  | marks     |
//! ```
//!
//! The store does not act on any of them: it gives back what it was given, without reading the message.

const EXPIRY_BITS: u32 = 48;
const EXPIRY_MAX: u64 = (1 << EXPIRY_BITS) - 1;
const PRIORITY_SHIFT: u32 = EXPIRY_BITS;
const MARKS_SHIFT: u32 = 56;

/// See the module's description.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Attributes(pub(crate) u64);

impl Attributes {
    /// None of them.
    pub const NONE: Attributes = Attributes(0);

    /// With the moment when the message expires, in milliseconds since 1970, at most 2^48 - 1 (some 8,900 years) and at
    /// least 1: 0 means never.
    #[must_use]
    pub fn with_expiry_ms(self, at: Option<u64>) -> Attributes {
        let at = at.map_or(0, |at| at.clamp(1, EXPIRY_MAX));
        Attributes(self.0 & !EXPIRY_MAX | at)
    }

    /// With a priority.
    #[must_use]
    pub fn with_priority(self, priority: u8) -> Attributes {
        Attributes(self.0 & !(0xff << PRIORITY_SHIFT) | u64::from(priority) << PRIORITY_SHIFT)
    }

    /// With eight bits of the caller's own meaning.
    #[must_use]
    pub fn with_marks(self, marks: u8) -> Attributes {
        Attributes(self.0 & !(0xff << MARKS_SHIFT) | u64::from(marks) << MARKS_SHIFT)
    }

    /// When the message expires, in milliseconds since 1970.
    pub fn expiry_ms(self) -> Option<u64> {
        Some(self.0 & EXPIRY_MAX).filter(|&at| at != 0)
    }

    /// The priority.
    pub fn priority(self) -> u8 {
        (self.0 >> PRIORITY_SHIFT) as u8
    }

    /// The caller's eight bits.
    pub fn marks(self) -> u8 {
        (self.0 >> MARKS_SHIFT) as u8
    }
}

impl std::fmt::Debug for Attributes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attributes")
            .field("expiry_ms", &self.expiry_ms())
            .field("priority", &self.priority())
            .field("marks", &self.marks())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_do_not_touch_each_other() {
        let check = |expiry: Option<u64>, priority: u8, marks: u8, kept: Option<u64>| {
            let forth = Attributes::NONE.with_expiry_ms(expiry).with_priority(priority).with_marks(marks);
            let back = Attributes(u64::MAX).with_marks(marks).with_priority(priority).with_expiry_ms(expiry);
            assert_eq!(forth, back);
            assert_eq!((forth.expiry_ms(), forth.priority(), forth.marks()), (kept, priority, marks));
        };
        check(None, 0, 0, None);
        check(Some(1), 255, 0, Some(1));
        check(Some(1_764_000_000_000), 9, 0x81, Some(1_764_000_000_000));
        check(Some(0), 0, 255, Some(1));
        check(Some(u64::MAX), 0, 255, Some(EXPIRY_MAX));
    }
}
