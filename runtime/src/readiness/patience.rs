//! Read and write timeouts that cost a request next to nothing: no clock is read and no timer is set or cancelled for a
//! wait that ends in time.
//!
//! ```text
//!   a wait begins      its limit is noted, and the descriptor is put on the shard's list
//!   the turn ends      the clock is read once for all on the list: each one's deadline is now + limit; a timer is set where
//!                      none is, or where the one that is set is later
//!   the wait ends      nothing
//!   the timer fires    nobody waits with a limit: nothing. The deadline is later by now: set again for it. Else: time out
//! ```
//!
//! So a descriptor has at most one timer a direction, which outlives the waits, and is set once a timeout's time however
//! many waits there were. A deadline counts from the end of the turn in which the wait began: never early, and late by no
//! more than others computed in that turn.

use std::cell::Cell;
use std::time::Duration;

use super::{Direction, Source, Sources, Token};
use crate::shard::Shard;
use crate::time::wheel::TimerKey;

/// How long a wait may last, in nanoseconds: worked out when it is set and not at every wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit(u64);

impl Limit {
    pub(crate) const NONE: Limit = Limit(u64::MAX);

    /// More than 584 years count as so many.
    pub(crate) fn of(timeout: Option<Duration>) -> Limit {
        let nanos = |timeout: Duration| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        timeout.map_or(Limit::NONE, |timeout| Limit(nanos(timeout).min(u64::MAX - 1)))
    }

    pub(crate) fn duration(self) -> Option<Duration> {
        (self != Limit::NONE).then(|| Duration::from_nanos(self.0))
    }
}

impl Default for Limit {
    fn default() -> Limit {
        Limit::NONE
    }
}

/// What the waits of one direction have in common.
#[derive(Default)]
pub(super) struct Patience {
    /// Of the wait that began last.
    limit: Cell<Limit>,
    /// When that wait is over, in nanoseconds since the shard started; set at the end of the turn in which it began.
    deadline: Cell<u64>,
    /// The timer that is set, and for when.
    timer: Cell<Option<(TimerKey, u64)>>,
}

/// Names one direction of a registration, as one number: generation (31 bits), direction, slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Side(u64);

/// Of a [`Side`]: set for writing.
const WRITING: u64 = 1 << 32;

impl Side {
    #[inline(always)]
    pub(super) fn new(token: Token, direction: Direction) -> Side {
        let direction = if direction == Direction::Write { WRITING } else { 0 };
        Side(u64::from(token.generation) << 33 | direction | u64::from(token.slot))
    }

    #[inline(always)]
    fn slot(self) -> usize {
        self.0 as u32 as usize
    }

    #[inline(always)]
    fn generation(self) -> u32 {
        (self.0 >> 33) as u32
    }

    #[inline(always)]
    fn direction(self) -> Direction {
        if self.0 & WRITING == 0 { Direction::Read } else { Direction::Write }
    }
}

impl Patience {
    /// A wait begins that has no limit of this kind.
    #[inline(always)]
    pub(super) fn endless(&self) {
        self.limit.set(Limit::NONE);
    }
}

impl Sources {
    /// A wait begins that may last `limit`.
    #[inline(always)]
    pub(super) fn be_patient(&self, patience: &Patience, side: Side, limit: Limit) {
        patience.limit.set(limit);
        self.patient.borrow_mut().push(side);
    }

    /// The turn ends: gives the waits that began in it their deadlines. `now` is in nanoseconds since the shard started.
    #[inline]
    pub(crate) fn end_turn(&self, shard: &Shard, now: impl FnOnce() -> u64) {
        let mut patient = self.patient.borrow_mut();
        if patient.is_empty() {
            return;
        }
        let (now, slots) = (now(), self.slots.borrow());
        for side in patient.drain(..) {
            let Some(source) = slots.get(side.slot()) else { continue };
            if source.generation == side.generation() {
                source.set_deadline(shard, side, now);
            }
        }
    }

    /// The timer of a side fires at `now`.
    pub(crate) fn on_timer(&self, shard: &Shard, side: Side, now: u64) {
        let slots = self.slots.borrow();
        let source = slots.get(side.slot()).filter(|source| source.generation == side.generation());
        let Some(source) = source else { return };
        let patience = source.patience(side.direction());
        patience.timer.set(None);
        if patience.limit.get() == Limit::NONE || !source.is_waited_for(side.direction()) {
            return;
        }
        match patience.deadline.get() {
            deadline if deadline > now => patience.set_timer(shard, side, deadline),
            _ => source.time_out(side.direction()),
        }
    }
}

impl Source {
    #[inline(always)]
    fn set_deadline(&self, shard: &Shard, side: Side, now: u64) {
        let patience = self.patience(side.direction());
        let limit = patience.limit.get();
        if limit == Limit::NONE {
            return;
        }
        let deadline = now.saturating_add(limit.0);
        patience.deadline.set(deadline);
        match patience.timer.get() {
            Some((_, at)) if at <= deadline => {}
            _ => patience.set_timer(shard, side, deadline),
        }
    }

    /// Takes back the timers of both directions.
    pub(super) fn lose_patience(&self, shard: &Shard) {
        for direction in [Direction::Read, Direction::Write] {
            self.patience(direction).cancel(shard);
        }
    }
}

impl Patience {
    #[inline(never)]
    fn set_timer(&self, shard: &Shard, side: Side, at: u64) {
        self.cancel(shard);
        self.timer.set(Some((shard.set_side_timer(at, side), at)));
    }

    fn cancel(&self, shard: &Shard) {
        if let Some((key, _)) = self.timer.take() {
            shard.cancel_side_timer(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::UnixStream;
    use crate::{Runtime, sleep, spawn, time};
    use std::io::{ErrorKind, Read, Write};
    use std::time::Duration;

    const MS: Duration = Duration::from_millis(1);

    /// Reads a byte with a timeout; says how long that took, in milliseconds, or how long it took to time out.
    fn read(stream: &UnixStream, timeout: Option<u64>) -> Result<u128, u128> {
        stream.set_read_timeout(timeout.map(Duration::from_millis)).unwrap();
        let start = time::now();
        let read = (&mut &*stream).read(&mut [0]);
        let took = (time::now() - start).as_millis();
        match read {
            Ok(count) => {
                assert_eq!(count, 1);
                Ok(took)
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::TimedOut);
                Err(took)
            }
        }
    }

    /// A byte comes at each of these moments; the timeouts of the reads after each other, and how they end.
    fn check(bytes_at: &'static [u32], reads: &'static [(Option<u64>, Result<u128, u128>)]) {
        let runtime = Runtime::builder().simulated(1).build().unwrap();
        let test = move || {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let start = time::now();
            let _writer = spawn(move || {
                for &at in bytes_at {
                    time::sleep_until(start + MS * at);
                    theirs.write_all(b"x").unwrap();
                }
                sleep(Duration::from_secs(86_400)); // silent, and not gone
            });
            for (timeout, expected) in reads {
                let near = |a: u128, b: u128| a.abs_diff(b) <= 2;
                match (read(&ours, *timeout), expected) {
                    (Ok(took), Ok(expected)) => assert!(near(took, *expected), "{reads:?}: {took} ms"),
                    (Err(took), Err(expected)) => {
                        assert!(near(took, *expected) && took >= *expected, "{reads:?}: {took} ms")
                    }
                    (read, _) => panic!("{reads:?}: {read:?}"),
                }
            }
        };
        runtime.run(test).unwrap();
    }

    #[test]
    fn a_wait_ends_at_its_own_limit_whatever_timer_was_set_before() {
        check(&[], &[(Some(100), Err(100))]);
        check(&[], &[(Some(100), Err(100)), (Some(100), Err(100))]);
        check(&[60], &[(Some(100), Ok(60)), (Some(100), Err(100))]);
        check(&[60, 120, 180], &[(Some(100), Ok(60)), (Some(100), Ok(60)), (Some(100), Ok(60)), (Some(100), Err(100))]);
        check(&[60], &[(Some(1000), Ok(60)), (Some(100), Err(100))]);
        check(&[60], &[(Some(100), Ok(60)), (Some(1000), Err(1000))]);
        check(&[60, 400], &[(Some(100), Ok(60)), (None, Ok(340))]);
        check(&[60, 400], &[(Some(100), Ok(60)), (None, Ok(340)), (Some(100), Err(100))]);
    }

    #[test]
    fn a_timer_that_is_left_over_hides_no_deadlock() {
        let deadlock = crate::run(|| {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(b"x").unwrap();
            let writer = spawn(move || {
                crate::yield_now();
                theirs.write_all(b"x").unwrap();
                theirs
            });
            assert!((0..2).all(|_| read(&ours, Some(3_600_000)).is_ok()));
            let _theirs = writer.join().unwrap();
            crate::sync::Event::new().wait();
        });
        assert!(deadlock.is_err());
    }

    #[test]
    fn limits_in_nanoseconds_saturate() {
        let check = |limit, expected| {
            assert_eq!(Limit::of(limit).0, expected);
            assert_eq!(Limit::of(limit).duration(), limit.map(|_| Duration::from_nanos(expected)));
        };
        check(None, u64::MAX);
        check(Some(Duration::from_nanos(1)), 1);
        check(Some(Duration::new(2, 3)), 2_000_000_003);
        check(Some(Duration::from_nanos(u64::MAX - 1)), u64::MAX - 1);
        check(Some(Duration::from_nanos(u64::MAX)), u64::MAX - 1);
        check(Some(Duration::MAX), u64::MAX - 1);
    }

    #[test]
    fn a_side_keeps_what_it_was_made_of() {
        for (slot, generation) in [(0, 0), (1, 2), (u32::MAX, u32::MAX >> 1)] {
            for direction in [Direction::Read, Direction::Write] {
                let side = Side::new(Token { slot, generation }, direction);
                assert_eq!((side.slot(), side.generation(), side.direction()), (slot as usize, generation, direction));
            }
        }
    }
}
