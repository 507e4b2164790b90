//! What the store keeps beside each reference to a message: a few small facts, packed into eight bytes.
//!
//! ```text
//!   bit 0                          48                      64
//!   | expiry, ms since 1970; 0 none | size of the head      |
//! ```
//!
//! The store does not act on any of them: it gives back what it was given, and says of messages that nobody has read how many
//! bytes of content they have and when the first of them expires. What a queue takes the time for is its own affair: a stream, in
//! which nothing expires, has there when a message came.

const EXPIRY_BITS: u32 = 48;
const EXPIRY_MAX: u64 = (1 << EXPIRY_BITS) - 1;
const HEAD_SHIFT: u32 = EXPIRY_BITS;

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

    /// With the size of what stands in front of the content in the body: it does not count as content. 65,535 is the greatest
    /// size that can be said.
    #[must_use]
    pub fn with_head_size(self, size: usize) -> Attributes {
        let size = u64::from(u16::try_from(size).unwrap_or(u16::MAX));
        Attributes(self.0 & EXPIRY_MAX | size << HEAD_SHIFT)
    }

    /// When the message expires, in milliseconds since 1970.
    pub fn expiry_ms(self) -> Option<u64> {
        Some(self.0 & EXPIRY_MAX).filter(|&at| at != 0)
    }

    /// Bytes of the body that are no content.
    pub fn head_size(self) -> u16 {
        (self.0 >> HEAD_SHIFT) as u16
    }

    /// Bytes of the content of a body of this size.
    pub(crate) fn content_size(self, body_size: u32) -> u64 {
        u64::from(body_size).saturating_sub(u64::from(self.head_size()))
    }
}

impl std::fmt::Debug for Attributes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attributes")
            .field("expiry_ms", &self.expiry_ms())
            .field("head_size", &self.head_size())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_do_not_touch_each_other() {
        let check = |expiry: Option<u64>, head: usize, kept: (Option<u64>, u16)| {
            let forth = Attributes::NONE.with_expiry_ms(expiry).with_head_size(head);
            let back = Attributes(u64::MAX).with_head_size(head).with_expiry_ms(expiry);
            assert_eq!(forth, back);
            assert_eq!((forth.expiry_ms(), forth.head_size()), kept);
        };
        check(None, 0, (None, 0));
        check(Some(1), 255, (Some(1), 255));
        check(Some(1_764_000_000_000), 0x8109, (Some(1_764_000_000_000), 0x8109));
        check(Some(0), 65_535, (Some(1), 65_535));
        check(Some(u64::MAX), 65_536, (Some(EXPIRY_MAX), 65_535));
    }

    #[test]
    fn content_is_what_is_left_of_the_body() {
        let check = |head, body, expected| {
            assert_eq!(Attributes::NONE.with_head_size(head).content_size(body), expected);
        };
        check(0, 10, 10);
        check(4, 10, 6);
        check(11, 10, 0);
    }
}
