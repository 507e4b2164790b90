//! The channels of one connection, by number.
//!
//! Clients number channels from 1 upwards and reuse numbers, so nearly all live in a small array; a client may pick any
//! number up to 65535 though, and those live in a tree, so that one high number does not cost an array of that length.

use std::collections::BTreeMap;

use super::publish::Incoming;

/// Channels with numbers below this live in the array.
const LOW_NUMBER_END: u16 = 256;

/// One channel, as far as the protocol is concerned. A channel that is closed is not there at all.
#[derive(Debug)]
pub(super) enum Channel {
    /// In use; with the message that is being received, if one is.
    Open(Option<Box<Incoming>>),
    /// The client asked to close it and the shell is cleaning up.
    Leaving,
    /// We sent channel.close: "any received methods except Close and Close-OK MUST be discarded".
    Closing {
        /// Whether the client's own channel.close crossed ours. It then may reopen the number without a close-ok to ours.
        crossed: bool,
    },
}

/// All channels that are not closed.
#[derive(Debug, Default)]
pub(super) struct Channels {
    low: Vec<Option<Channel>>,
    high: BTreeMap<u16, Channel>,
    /// Open and leaving ones: what counts against the negotiated channel-max.
    open_count: usize,
}

impl Channels {
    pub(super) fn open_count(&self) -> usize {
        self.open_count
    }

    #[inline]
    pub(super) fn find_mut(&mut self, number: u16) -> Option<&mut Channel> {
        if number < LOW_NUMBER_END {
            self.low.get_mut(usize::from(number))?.as_mut()
        } else {
            self.high.get_mut(&number)
        }
    }

    pub(super) fn open(&mut self, number: u16) {
        self.replace(number, Some(Channel::Open(None)));
    }

    /// Marks a channel that is open as leaving, forgetting half a content. Returns whether it was open.
    pub(super) fn leave(&mut self, number: u16) -> bool {
        self.turn_open_into(number, Channel::Leaving)
    }

    /// Marks a channel that is open as closing, forgetting half a content. Returns whether it was open.
    pub(super) fn close(&mut self, number: u16) -> bool {
        self.turn_open_into(number, Channel::Closing { crossed: false })
    }

    pub(super) fn remove(&mut self, number: u16) {
        self.replace(number, None);
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn turn_open_into(&mut self, number: u16, next: Channel) -> bool {
        let is_open = matches!(self.find_mut(number), Some(Channel::Open(_)));
        if is_open {
            self.replace(number, Some(next));
        }
        is_open
    }

    /// The only place that changes what is there, so that the count stays true.
    fn replace(&mut self, number: u16, next: Option<Channel>) {
        let counts = |channel: &Option<Channel>| matches!(channel, Some(Channel::Open(_) | Channel::Leaving));
        let gained = counts(&next);
        let previous = if number < LOW_NUMBER_END {
            self.replace_low(usize::from(number), next)
        } else if let Some(channel) = next {
            self.high.insert(number, channel)
        } else {
            self.high.remove(&number)
        };
        let lost = counts(&previous);
        self.open_count = self.open_count + usize::from(gained) - usize::from(lost);
    }

    fn replace_low(&mut self, index: usize, next: Option<Channel>) -> Option<Channel> {
        if self.low.len() <= index {
            self.low.resize_with(index + 1, || None);
        }
        self.low.get_mut(index).and_then(|slot| std::mem::replace(slot, next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_and_leaving_channels_count() {
        let mut channels = Channels::default();
        for number in [1, 255, 256, 65535] {
            channels.open(number);
            channels.open(number);
        }
        assert_eq!(channels.open_count(), 4);
        assert!(channels.leave(255) && !channels.leave(255) && !channels.close(255));
        assert_eq!(channels.open_count(), 4);
        assert!(channels.close(65535) && !channels.close(65535) && !channels.close(7));
        assert_eq!(channels.open_count(), 3);
        for number in [1, 2, 255, 256, 65535] {
            channels.remove(number);
            assert!(channels.find_mut(number).is_none());
        }
        assert_eq!(channels.open_count(), 0);
    }
}
