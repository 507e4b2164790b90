//! What every body begins with: which run, which producer, which message, and when.

/// Bytes of a stamp.
pub(super) const STAMP_SIZE: usize = 28;

/// The beginning of a body: four numbers, big-endian, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) run: u64,
    pub(super) producer: u32,
    /// From 0.
    pub(super) sequence: u64,
    /// Nanoseconds since the epoch, so that producer and consumer may be two processes.
    pub(super) sent: u64,
}

impl Stamp {
    pub(super) fn write(&self, body: &mut [u8]) {
        let (run, producer) = (self.run.to_be_bytes(), self.producer.to_be_bytes());
        let stamp = [&run[..], &producer, &self.sequence.to_be_bytes(), &self.sent.to_be_bytes()];
        for (place, byte) in body.iter_mut().zip(stamp.into_iter().flatten()) {
            *place = *byte;
        }
    }

    /// `None` for a body that is too short to be ours.
    pub(super) fn read(body: &[u8]) -> Option<Stamp> {
        let (run, rest) = body.split_first_chunk()?;
        let (producer, rest) = rest.split_first_chunk()?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (sent, _) = rest.split_first_chunk()?;
        Some(Stamp {
            run: u64::from_be_bytes(*run),
            producer: u32::from_be_bytes(*producer),
            sequence: u64::from_be_bytes(*sequence),
            sent: u64::from_be_bytes(*sent),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_come_back() {
        let stamp = Stamp { run: u64::MAX, producer: 7, sequence: 1 << 40, sent: 1_700_000_000_000_000_001 };
        let mut body = [0xaa; STAMP_SIZE + 3];
        stamp.write(&mut body);
        assert_eq!(Stamp::read(&body), Some(stamp));
        assert_eq!(body[STAMP_SIZE..], [0xaa; 3]);
        assert_eq!(Stamp::read(&body[..STAMP_SIZE]), Some(stamp));
        assert_eq!(Stamp::read(&body[..STAMP_SIZE - 1]), None);
    }
}
