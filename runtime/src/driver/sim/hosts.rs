//! The hosts of a simulation: names, addresses, clocks, and which coroutine runs on which.
//!
//! A host is no shard and no thread: it is a mark that coroutines inherit from whoever spawned them, also by mail to another
//! shard. What a coroutine opens belongs to its host, and a host that crashes takes all of it along.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// The most hosts of a simulation: their addresses are 10.0.0.1 and up.
const HOSTS_MAX: usize = 60_000;

/// A host's place in the list. 0 is where `main` runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HostId(pub(crate) u16);

impl HostId {
    /// Where the main coroutine runs.
    pub(crate) const MAIN: HostId = HostId(0);
}

/// How a host's wall clock differs from the world's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skew {
    Ahead(Duration),
    Behind(Duration),
}

#[derive(Debug)]
struct Host {
    name: String,
    up: bool,
    skew: Skew,
}

/// All hosts.
#[derive(Debug)]
pub(crate) struct Hosts {
    list: RefCell<Vec<Host>>,
    /// Whose code runs now.
    current: Cell<HostId>,
    /// Coroutines by shard and number, of all hosts but the main one.
    residents: RefCell<BTreeMap<(u16, u64), HostId>>,
}

impl Hosts {
    pub(crate) fn new() -> Hosts {
        let main = Host { name: "main".into(), up: true, skew: Skew::Ahead(Duration::ZERO) };
        Hosts {
            list: RefCell::new(vec![main]),
            current: Cell::new(HostId::MAIN),
            residents: RefCell::new(BTreeMap::new()),
        }
    }

    /// The host of this name, made at the first question.
    ///
    /// # Panics
    /// Beyond [`HOSTS_MAX`].
    pub(crate) fn named(&self, name: &str) -> HostId {
        if let Some(host) = self.find(name) {
            return host;
        }
        let mut list = self.list.borrow_mut();
        assert!(list.len() < HOSTS_MAX, "a simulation has at most {HOSTS_MAX} hosts");
        list.push(Host { name: name.to_owned(), up: true, skew: Skew::Ahead(Duration::ZERO) });
        HostId(list.len() as u16 - 1)
    }

    /// The host of this name, if there is one.
    pub(crate) fn find(&self, name: &str) -> Option<HostId> {
        self.list.borrow().iter().position(|host| host.name == name).map(|at| HostId(at as u16))
    }

    pub(crate) fn name(&self, host: HostId) -> String {
        self.list.borrow()[usize::from(host.0)].name.clone()
    }

    /// Its address in the simulated network; every host also has its own loopback addresses.
    pub(crate) fn ip(&self, host: HostId) -> Ipv4Addr {
        let number = u32::from(host.0) + 1;
        Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + number)
    }

    /// Who answers at an address that `from` uses.
    pub(crate) fn at(&self, from: HostId, ip: IpAddr) -> Option<HostId> {
        if ip.is_loopback() || ip.is_unspecified() {
            return Some(from);
        }
        let IpAddr::V4(ip) = ip else { return None };
        let number = u32::from(ip).checked_sub(u32::from(Ipv4Addr::new(10, 0, 0, 1)))?;
        let index = usize::try_from(number).ok().filter(|&index| index < self.list.borrow().len())?;
        Some(HostId(index as u16))
    }

    pub(crate) fn is_up(&self, host: HostId) -> bool {
        self.list.borrow()[usize::from(host.0)].up
    }

    pub(crate) fn set_up(&self, host: HostId, up: bool) {
        self.list.borrow_mut()[usize::from(host.0)].up = up;
    }

    pub(crate) fn skew(&self, host: HostId) -> Skew {
        self.list.borrow()[usize::from(host.0)].skew
    }

    pub(crate) fn set_skew(&self, host: HostId, skew: Skew) {
        self.list.borrow_mut()[usize::from(host.0)].skew = skew;
    }

    // ---- who runs where

    /// Whose code runs now.
    pub(crate) fn current(&self) -> HostId {
        self.current.get()
    }

    /// From now on code of this host runs; answers whose did.
    pub(crate) fn enter(&self, host: HostId) -> HostId {
        self.current.replace(host)
    }

    /// A coroutine was spawned: it lives where its spawner does.
    pub(crate) fn settle(&self, shard: u16, number: u64) {
        let host = self.current.get();
        if host != HostId::MAIN {
            self.residents.borrow_mut().insert((shard, number), host);
        }
    }

    /// A coroutine has ended.
    pub(crate) fn leave(&self, shard: u16, number: u64) {
        self.residents.borrow_mut().remove(&(shard, number));
    }

    /// Where a coroutine lives.
    pub(crate) fn of(&self, shard: u16, number: u64) -> HostId {
        self.residents.borrow().get(&(shard, number)).copied().unwrap_or_default()
    }

    /// How many coroutines live on a host that is not the main one.
    pub(crate) fn residents(&self, host: HostId) -> usize {
        self.residents.borrow().values().filter(|&&home| home == host).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_found_by_name_and_address() {
        let hosts = Hosts::new();
        let (a, b) = (hosts.named("a"), hosts.named("b"));
        assert_eq!(hosts.named("a"), a);
        assert_eq!((hosts.find("b"), hosts.find("c")), (Some(b), None));
        let check = |from, ip: &str, expected| assert_eq!(hosts.at(from, ip.parse().unwrap()), expected, "{ip}");
        check(a, "127.0.0.1", Some(a));
        check(b, "::1", Some(b));
        check(b, "0.0.0.0", Some(b));
        check(b, "10.0.0.1", Some(HostId::MAIN));
        check(a, &hosts.ip(b).to_string(), Some(b));
        check(a, "10.0.0.4", None);
        check(a, "9.255.255.255", None);
        check(a, "2001:db8::1", None);
    }

    #[test]
    fn coroutines_live_where_their_spawner_does() {
        let hosts = Hosts::new();
        let a = hosts.named("a");
        hosts.settle(0, 1);
        assert_eq!(hosts.enter(a), HostId::MAIN);
        hosts.settle(0, 2);
        hosts.settle(1, 2);
        assert_eq!((hosts.of(0, 1), hosts.of(0, 2), hosts.of(1, 2)), (HostId::MAIN, a, a));
        assert_eq!(hosts.residents(a), 2);
        hosts.leave(0, 2);
        assert_eq!((hosts.of(0, 2), hosts.residents(a)), (HostId::MAIN, 1));
    }
}
