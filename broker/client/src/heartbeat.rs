//! When to send a heartbeat and when to give the server up. Pure: somebody looks twice an interval and says what happened.
//!
//! "If a peer detects no incoming traffic for two heartbeat intervals or longer, it should close the connection." Any bytes
//! count as traffic, in both directions.

/// Looks an interval; sending after half an interval of silence leaves room for delays on the way.
pub(crate) const LOOKS_PER_INTERVAL: u32 = 2;

/// Looks without traffic after which the server is taken for dead: two intervals.
const SILENT_LOOKS_MAX: u32 = 2 * LOOKS_PER_INTERVAL;

/// What has to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Send,
    GiveUp,
}

/// How long the server has been silent.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heartbeat {
    silent_looks: u32,
}

impl Heartbeat {
    /// Called [`LOOKS_PER_INTERVAL`] times an interval. `sent` and `received`: whether anything was since the last look.
    pub(crate) fn look(&mut self, sent: bool, received: bool) -> Due {
        self.silent_looks = if received { 0 } else { self.silent_looks + 1 };
        if self.silent_looks >= SILENT_LOOKS_MAX {
            Due::GiveUp
        } else if sent {
            Due::Nothing
        } else {
            Due::Send
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Looks as characters: `s` sent, `r` received, `b` both, `.` neither; answers `s` send, `X` give up, `.` nothing.
    fn check(looks: &str, expected: &str) {
        let mut heartbeat = Heartbeat::default();
        let answers = looks.chars().map(|look| match heartbeat.look("sb".contains(look), "rb".contains(look)) {
            Due::Nothing => '.',
            Due::Send => 's',
            Due::GiveUp => 'X',
        });
        assert_eq!(answers.collect::<String>(), expected, "{looks}");
    }

    #[test]
    fn silence_is_broken_and_noticed() {
        check("b", ".");
        check("r", "s");
        check("rrrr", "ssss");
        check("bbbb", "....");
        check("....", "sssX");
        check("ssss", "...X");
        check("...r...", "sssssss");
        check("...r....", "sssssssX");
    }
}
