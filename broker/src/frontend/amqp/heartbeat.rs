//! When to send a heartbeat and when to give a silent client up.
//!
//! "Sender: look every h/2; if nothing was sent since, send a heartbeat. Receiver: look every h; after two looks with no
//! bytes received, close: between 2h and 3h of silence. Any traffic counts." (RabbitMQ)

use std::time::{Duration, Instant};

/// Looks without a byte after which a client is given up.
const SILENT_LOOKS_MAX: u32 = 2;

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Send,
    GiveUp,
}

/// The two clocks of a connection. Knows no socket: it is told what went by since the last look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heartbeat {
    interval: Duration,
    next_send_look: Instant,
    next_receive_look: Instant,
    silent_looks: u32,
}

impl Heartbeat {
    /// `None` for an interval of 0 s: no heartbeats.
    pub(super) fn new(seconds: u16, now: Instant) -> Option<Heartbeat> {
        let interval = Duration::from_secs(seconds.into());
        let (next_send_look, next_receive_look) = (now + interval / 2, now + interval);
        (seconds > 0).then_some(Heartbeat { interval, next_send_look, next_receive_look, silent_looks: 0 })
    }

    /// `take_sent` and `take_received` say whether anything went by since they were last asked.
    pub(super) fn look(
        &mut self,
        now: Instant,
        take_sent: impl FnOnce() -> bool,
        take_received: impl FnOnce() -> bool,
    ) -> Due {
        if now >= self.next_receive_look {
            self.next_receive_look = now + self.interval;
            self.silent_looks = if take_received() { 0 } else { self.silent_looks + 1 };
            if self.silent_looks >= SILENT_LOOKS_MAX {
                return Due::GiveUp;
            }
        }
        if now >= self.next_send_look {
            self.next_send_look = now + self.interval / 2;
            if !take_sent() {
                return Due::Send;
            }
        }
        Due::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: Duration = Duration::from_secs(5);

    fn run(sent: bool, received: bool, halves: u32) -> Vec<Due> {
        leveret_runtime::run(move || {
            let start = leveret_runtime::time::now();
            let mut heartbeat = Heartbeat::new(10, start).expect("an interval");
            (1..=halves).map(|n| heartbeat.look(start + HALF * n, || sent, || received)).collect()
        })
        .expect("no deadlock")
    }

    #[test]
    fn a_quiet_sender_sends_every_half_interval() {
        assert_eq!(run(false, true, 4), [Due::Send; 4]);
        assert_eq!(run(true, true, 4), [Due::Nothing; 4]);
    }

    #[test]
    fn a_silent_client_is_given_up_at_the_second_look() {
        assert_eq!(run(true, false, 4), [Due::Nothing, Due::Nothing, Due::Nothing, Due::GiveUp]);
    }

    #[test]
    fn zero_switches_heartbeats_off() {
        leveret_runtime::run(|| assert!(Heartbeat::new(0, leveret_runtime::time::now()).is_none()))
            .expect("no deadlock");
    }
}
