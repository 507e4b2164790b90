//! What goes wrong in a life, drawn from the seed.

use std::time::Duration;

use leveret_runtime::sim::{Effect, Fault};

use super::clients::below;

/// The plan of a life.
#[derive(Debug)]
pub(super) struct Plan {
    /// Rules for the broker's machine.
    pub(super) faults: Vec<Fault>,
    /// How long it lives if nothing ends it before.
    pub(super) after: Duration,
    pub(super) end: End,
    /// Calls fail, so that the broker may refuse to start, or stop by itself.
    pub(super) has_failures: bool,
    /// When the consumers' machine dies.
    pub(super) eaters_die: Option<Duration>,
    /// From when on, and for how long, there is no room for segments.
    pub(super) full: Option<(Duration, Duration)>,
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The machine loses its power.
    PowerCut,
    /// The broker is asked to stop.
    Stop {
        /// The machine goes on, so that also what was not synced is there.
        stays_up: bool,
    },
}

/// What there is no room for, when the disk is full: all that is no log file, for those have their blocks.
const FULL_PATHS: &str = "/data/messages/segments/*";

/// What needs room.
const FULL_CALLS: [&str; 3] = ["fs.write", "fs.set_len", "fs.allocate"];

impl Plan {
    /// A life without faults, that ends as said.
    pub(super) fn calm(end: End) -> Plan {
        let after = Duration::from_millis(200 + below(600));
        Plan { faults: Vec::new(), after, end, has_failures: false, eaters_die: None, full: None }
    }

    /// One that the seed chooses.
    pub(super) fn draw() -> Plan {
        let end = match below(6) {
            0 => End::Stop { stays_up: below(2) == 0 },
            _ => End::PowerCut,
        };
        let mut plan = Plan { after: Duration::from_millis(100 + below(1500)), ..Plan::calm(end) };
        match below(10) {
            0..6 => plan.cut_at_a_call(),
            6 => plan.fail_at_a_call(),
            7 => plan.full = Some((Duration::from_millis(below(600)), Duration::from_millis(100 + below(3000)))),
            8 => plan.be_slow(),
            _ => {}
        }
        plan.eaters_die = (below(3) == 0).then(|| Duration::from_millis(200 + below(800)));
        plan
    }

    /// At any call: of starting (the small numbers), of working, of what tidies up.
    fn cut_at_a_call(&mut self) {
        let call = 1 + below([40, 120, 400, 1200][below(4) as usize]);
        let rule = match below(6) {
            0 => Fault::at("fs.*").path("/data/messages/segments*").nth(1 + below(20)),
            1 => Fault::at("fs.*").path("*MANIFEST*").nth(1 + below(20)),
            2 => Fault::at("fs.*").path("*meta.redb").nth(1 + below(60)),
            _ => Fault::at("fs.*").nth(call),
        };
        self.faults.push(rule.then(Effect::Crash));
        self.after += Duration::from_secs(1);
    }

    fn fail_at_a_call(&mut self) {
        let effect = [Effect::Fails, Effect::Full, Effect::TooManyFiles][below(3) as usize];
        let call = 1 + below([60, 300, 900][below(3) as usize]);
        self.faults.push(Fault::at("fs.*").nth(call).then(effect));
        self.has_failures = true;
    }

    fn be_slow(&mut self) {
        let (long, short) = (Duration::from_millis(below(400)), Duration::from_millis(below(60)));
        self.faults.push(Fault::at("fs.write").chance(0.05).then(Effect::Short));
        self.faults.push(Fault::at("fs.read").chance(0.05).then(Effect::Short));
        self.faults.push(Fault::at("fs.sync*").chance(0.1).then(Effect::Delay(short)));
        self.faults.push(Fault::at("fs.rename").chance(0.3).then(Effect::Delay(long)));
    }

    /// The rules of a full disk.
    pub(super) fn fullness() -> impl Iterator<Item = Fault> {
        FULL_CALLS.into_iter().map(|call| Fault::at(call).path(FULL_PATHS).then(Effect::Full))
    }

    /// Whether the time that it takes to start says anything.
    pub(super) fn is_quick(&self) -> bool {
        self.faults.is_empty() && self.full.is_none()
    }
}
