//! Which faults a test wants, and where: at calls of the simulated disk and at named points in code.
//!
//! A plan is a list of rules; each counts the calls that it matches, so "the third sync of a log" can be said. Whether a
//! rule that has its moment really fires is asked of the world's numbered list, so that a runner can leave some out.

use std::cell::RefCell;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::World;
use super::hosts::HostId;
use super::random::Stream;

/// What happens at a point.
///
/// ```
/// use std::time::Duration;
/// use leveret_runtime::{fs, sim::{self, Effect, Fault}, time};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let start = time::now();
/// sim::inject(Fault::at("fs.sync").then(Effect::Delay(Duration::from_secs(3)))); // a disk that hangs
/// fs::File::create("/log").unwrap().sync_all().unwrap();
/// assert!(time::now() - start >= Duration::from_secs(3));
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Effect {
    /// The call fails with EIO, and has done nothing; a sync leaves in doubt what it should have made durable.
    Fails,
    /// The call fails for want of room (ENOSPC), and has done nothing.
    Full,
    /// The call fails for want of descriptors (EMFILE), and has done nothing.
    TooManyFiles,
    /// A read or write stops somewhere before its end, as the system is free to do. Elsewhere nothing happens.
    Short,
    /// The call takes so much longer.
    Delay(Duration),
    /// The power is cut before the call has an effect: see [`Disk::crash`](crate::sim::Disk::crash). The caller never comes
    /// back from it.
    Crash,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Effect::Fails => f.write_str("EIO"),
            Effect::Full => f.write_str("ENOSPC"),
            Effect::TooManyFiles => f.write_str("EMFILE"),
            Effect::Short => f.write_str("a short transfer"),
            Effect::Delay(delay) => write!(f, "a delay of {delay:?}"),
            Effect::Crash => f.write_str("a crash"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    Always,
    Nth(u64),
    From(u64),
    Chance(f64),
}

/// A rule by which faults come: where, when, and what.
///
/// The calls of [`fs`](crate::fs) are points of these names, each with the path of its file: `fs.open`, `fs.read`,
/// `fs.write`, `fs.sync`, `fs.set_len`, `fs.allocate`, `fs.metadata`, `fs.lock`, `fs.rename`, `fs.remove`, `fs.create_dir`,
/// `fs.list`, `fs.sync_dir`. Code names others with [`fault_point`](crate::sim::fault_point).
///
/// ```
/// use leveret_runtime::sim::{Effect, Fault};
/// Fault::at("fs.sync").path("*.log").nth(3).then(Effect::Fails);      // the third sync of any log
/// Fault::at("fs.*").nth(17).then(Effect::Crash);                      // the 17th call, whatever it is
/// Fault::at("fs.write").chance(0.01).then(Effect::Short);
/// Fault::at("store.before_rename").then(Effect::Delay(std::time::Duration::from_secs(1)));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a rule does nothing until `sim::inject`"]
pub struct Fault {
    point: String,
    path: Option<String>,
    when: When,
    effect: Effect,
}

impl Fault {
    /// At the points of this name; a `*` stands for any characters, or none. Every time, and with [`Effect::Fails`], unless
    /// said otherwise.
    pub fn at(point: &str) -> Fault {
        Fault { point: point.to_owned(), path: None, when: When::Always, effect: Effect::Fails }
    }

    /// Only for files whose whole path matches; a `*` stands for any characters, also `/`.
    pub fn path(mut self, pattern: &str) -> Fault {
        self.path = Some(pattern.to_owned());
        self
    }

    /// At the call of this number among those that match, counted from 1.
    ///
    /// ```
    /// use leveret_runtime::sim::{self, Fault};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// sim::inject(Fault::at("step").nth(2));
    /// assert_eq!([1, 2, 3].map(|_| sim::fault_point("step").is_err()), [false, true, false]);
    /// # }).unwrap();
    /// ```
    pub fn nth(mut self, number: u64) -> Fault {
        self.when = When::Nth(number);
        self
    }

    /// At the call of this number among those that match, counted from 1, and at all after it.
    ///
    /// ```
    /// use leveret_runtime::sim::{self, Fault};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// sim::inject(Fault::at("step").from_nth(2));
    /// assert_eq!([1, 2, 3].map(|_| sim::fault_point("step").is_err()), [false, true, true]);
    /// # }).unwrap();
    /// ```
    pub fn from_nth(mut self, number: u64) -> Fault {
        self.when = When::From(number);
        self
    }

    /// With this probability, from 0 to 1, each time.
    ///
    /// ```
    /// use leveret_runtime::sim::{self, Fault};
    /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
    /// sim::inject(Fault::at("often").chance(0.5));
    /// let failed = (0..100).filter(|_| sim::fault_point("often").is_err()).count();
    /// assert!((20..80).contains(&failed)); // the same ones, by the seed, every time
    /// # }).unwrap();
    /// ```
    pub fn chance(mut self, probability: f64) -> Fault {
        self.when = When::Chance(probability);
        self
    }

    /// What happens.
    pub fn then(mut self, effect: Effect) -> Fault {
        self.effect = effect;
        self
    }

    fn matches(&self, point: &str, path: Option<&Path>) -> bool {
        let path_matches = |pattern: &String| path.is_some_and(|path| matches(pattern, &path.to_string_lossy()));
        matches(&self.point, point) && self.path.as_ref().is_none_or(path_matches)
    }
}

#[derive(Debug)]
struct Rule {
    fault: Fault,
    /// Only where this host's code runs.
    host: HostId,
    /// Calls that matched.
    matched: u64,
}

/// The rules of a simulation.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    rules: RefCell<Vec<Rule>>,
}

impl Plan {
    pub(crate) fn add(&self, host: HostId, fault: Fault) {
        self.rules.borrow_mut().push(Rule { fault, host, matched: 0 });
    }

    pub(crate) fn clear(&self) {
        self.rules.borrow_mut().clear();
    }

    /// What happens at this point now. Every rule counts the call; the first whose moment it is decides.
    pub(crate) fn consult(&self, world: &World, point: &str, path: Option<&Path>) -> Option<Effect> {
        let host = world.hosts.current();
        let mut rules = self.rules.borrow_mut();
        let mut due = None;
        for rule in rules.iter_mut().filter(|rule| rule.host == host && rule.fault.matches(point, path)) {
            rule.matched += 1;
            let now = match rule.fault.when {
                When::Always => true,
                When::Nth(number) => rule.matched == number,
                When::From(number) => rule.matched >= number,
                When::Chance(probability) => world.chance(Stream::Fault, probability),
            };
            if now && due.is_none() {
                due = Some(rule.fault.effect);
            }
        }
        drop(rules);
        let effect = due?;
        let place = path.map(|path| format!(" of {}", path.display())).unwrap_or_default();
        world.fault_fires(format!("{effect} at {point}{place}")).then_some(effect)
    }
}

/// Whether `text` is `pattern`, in which a `*` stands for any characters, or none.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let check = |pattern, text, expected| assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        check("fs.sync", "fs.sync", true);
        check("fs.sync", "fs.sync_dir", false);
        check("fs.*", "fs.sync_dir", true);
        check("*", "", true);
        check("*.log", "/a/1.log", true);
        check("*.log", "/a/1.log.tmp", false);
        check("/a/*/b*c", "/a/x/y/b-c", true);
        check("a*a", "a", false);
        check("", "a", false);
    }

    #[test]
    fn rules_count_what_they_match() {
        let world = World::new(1, 1);
        let host = world.hosts.current();
        world.plan.add(host, Fault::at("fs.sync").path("*.log").nth(2));
        world.plan.add(host, Fault::at("fs.*").from_nth(4).then(Effect::Full));
        let calls = [("fs.sync", "1.log"), ("fs.sync", "1.seg"), ("fs.sync", "2.log"), ("fs.write", ""), ("other", "")];
        let effects = calls.map(|(point, path)| world.plan.consult(&world, point, Some(Path::new(path))));
        assert_eq!(effects, [None, None, Some(Effect::Fails), Some(Effect::Full), None]);
        let fired: Vec<_> = world.faults.fired().into_iter().map(|firing| firing.what).collect();
        assert_eq!(fired, ["EIO at fs.sync of 2.log", "ENOSPC at fs.write of "]);
        world.plan.clear();
        assert_eq!(world.plan.consult(&world, "fs.write", None), None);
    }

    #[test]
    fn chances_come_from_the_seed() {
        let count = |seed| {
            let world = World::new(seed, 1);
            world.plan.add(world.hosts.current(), Fault::at("point").chance(0.5));
            (0..1000).filter(|_| world.plan.consult(&world, "point", None).is_some()).count()
        };
        assert!((400..600).contains(&count(1)));
        assert_eq!(count(1), count(1));
        assert_ne!(count(1), count(2));
    }
}
