//! Who may log in: for every front-end.
//!
//! A password that was right is remembered by a fingerprint, until it changes: clients that come and go by the thousand do
//! not pay for argon2 each time. A password that is wrong always costs the same, whether the user exists or not, and one more
//! after some failures from an address or for a user costs a delay too. Computing goes on the runtime's threads, few at a time: a
//! flood of logins must not use up memory, threads or the processors that clients are served on.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use leveret_core::access::NAME_SIZE_MAX;
use leveret_core::access::password::{PasswordHash, equal, fingerprint};
use leveret_core::access::throttle::Throttle;
use leveret_core::{FastMap, Name};
use leveret_runtime as runtime;
use runtime::sync::Semaphore;

use super::Shard;

/// Computations of a shard at a time: each takes 19 MiB and a processor for tens of milliseconds.
const COMPUTATIONS_MAX: usize = 2;
/// Users whose passwords are remembered; with more all are forgotten.
const KNOWN_MAX: usize = 10_000;

/// Why somebody is not let in. `Display` is for the log: clients learn nothing of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginRefused {
    /// No such user, or not the password.
    InvalidCredentials(Box<str>),
    /// A user without a password, or a login without one.
    BlankPassword(Box<str>),
    /// A user who may only come from this machine, from elsewhere.
    OnlyFromLoopback(Box<str>),
}

impl fmt::Display for LoginRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidCredentials(user) => write!(f, "user '{user}' - invalid credentials"),
            Self::BlankPassword(user) => write!(f, "user '{user}' attempted to log in with a blank password"),
            Self::OnlyFromLoopback(user) => write!(f, "user '{user}' can only connect via localhost"),
        }
    }
}

impl std::error::Error for LoginRefused {}

/// A password that was right.
struct Known {
    /// Against which it was.
    hash: PasswordHash,
    fingerprint: [u8; 32],
}

/// A shard's part of it.
pub struct Logins {
    secret: Cell<[u8; 16]>,
    known: RefCell<FastMap<Name, Known>>,
    addresses: RefCell<Throttle<IpAddr>>,
    users: RefCell<Throttle<Name>>,
    computations: Semaphore,
}

impl Default for Logins {
    fn default() -> Self {
        let mut secret = [0; 16];
        runtime::random::fill(&mut secret);
        Self {
            secret: Cell::new(secret),
            known: RefCell::default(),
            addresses: RefCell::default(),
            users: RefCell::default(),
            computations: Semaphore::new(COMPUTATIONS_MAX),
        }
    }
}

impl Shard {
    /// The user of that name, if the password is right and `peer` is near enough. May wait: for the computation, and longer after
    /// failures.
    ///
    /// # Errors
    /// See [`LoginRefused`].
    pub fn authenticate(&self, user: &str, password: &[u8], peer: IpAddr) -> Result<Name, LoginRefused> {
        if password.is_empty() {
            return Err(LoginRefused::BlankPassword(user.into()));
        }
        let found = self.user_with_hash(user);
        let is_known = found.as_ref().is_some_and(|(name, hash)| self.logins.knows(name, hash.as_ref(), password));
        if !is_known {
            self.compute(user, found.as_ref(), password, peer)?;
        }
        let (name, _) = found.ok_or_else(|| LoginRefused::InvalidCredentials(user.into()))?;
        self.check_place(user, peer)?;
        Ok(name)
    }

    /// The user of that name, whom something else than a password has shown to be the one: a verified certificate.
    ///
    /// # Errors
    /// There is no such user, or it may not come from there.
    pub fn admit(&self, user: &str, peer: IpAddr) -> Result<Name, LoginRefused> {
        let (name, _) = self.user_with_hash(user).ok_or_else(|| LoginRefused::InvalidCredentials(user.into()))?;
        self.check_place(user, peer)?;
        Ok(name)
    }

    fn check_place(&self, user: &str, peer: IpAddr) -> Result<(), LoginRefused> {
        match self.config.loopback_users.contains(user) && !peer.to_canonical().is_loopback() {
            true => Err(LoginRefused::OnlyFromLoopback(user.into())),
            false => Ok(()),
        }
    }

    fn user_with_hash(&self, user: &str) -> Option<(Name, Option<PasswordHash>)> {
        let access = self.access.borrow();
        access.user(user).map(|record| (Name::from(user), record.password.clone()))
    }

    /// Compares digests, and remembers how it came out.
    fn compute(
        &self,
        user: &str,
        found: Option<&(Name, Option<PasswordHash>)>,
        password: &[u8],
        peer: IpAddr,
    ) -> Result<(), LoginRefused> {
        let logins = &self.logins;
        // Longer names than any user can have share one entry.
        let name = if user.len() > NAME_SIZE_MAX { "" } else { user };
        let (peer, key) = (peer.to_canonical(), Name::from(name));
        let delay = logins.delay_ms(peer, &key, self.now());
        if delay > 0 {
            runtime::sleep(Duration::from_millis(delay));
        }
        let hash = found.and_then(|(_, hash)| hash.clone());
        let permit = logins.computations.acquire();
        if found.is_some_and(|(name, hash)| logins.knows(name, hash.as_ref(), password)) {
            return Ok(()); // somebody before in the line had the same
        }
        let (theirs, secret, floor) = (hash.clone(), password.to_vec(), self.config.login_work);
        let is_right = runtime::offload(move || PasswordHash::verify(theirs.as_ref(), &secret, floor));
        drop(permit);
        self.read_clock();
        let (Some((name, _)), Some(hash), true) = (found, hash, is_right) else {
            logins.addresses.borrow_mut().note_failure(&peer, self.now());
            logins.users.borrow_mut().note_failure(&key, self.now());
            return Err(LoginRefused::InvalidCredentials(user.into()));
        };
        logins.users.borrow_mut().forgive(&key);
        logins.remember(name, hash, password);
        Ok(())
    }
}

impl Logins {
    /// The longer of two delays. This machine's own address is not slowed down: proxies and tests come from there.
    fn delay_ms(&self, peer: IpAddr, user: &Name, now: leveret_core::Time) -> u64 {
        let by_address = if peer.is_loopback() { 0 } else { self.addresses.borrow().delay_ms(&peer, now) };
        by_address.max(self.users.borrow().delay_ms(user, now))
    }

    fn knows(&self, user: &Name, hash: Option<&PasswordHash>, password: &[u8]) -> bool {
        let known = self.known.borrow();
        let Some((known, hash)) = known.get(user).zip(hash) else { return false };
        known.hash == *hash && equal(&known.fingerprint, &fingerprint(&self.secret.get(), password))
    }

    fn remember(&self, user: &Name, hash: PasswordHash, password: &[u8]) {
        let mut known = self.known.borrow_mut();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.insert(user.clone(), Known { hash, fingerprint: fingerprint(&self.secret.get(), password) });
    }
}

/// Secrets do not show.
impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logins").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::rc::Rc;
    use std::sync::Arc;

    use leveret_core::access::password::Algorithm;
    use leveret_core::access::{Command, PasswordUpdate};
    use runtime::Runtime;

    use super::*;
    use crate::boot;
    use crate::config::Config;
    use crate::metadata::Recovered;
    use crate::shard::administration::administer;

    /// A user with a password.
    fn put(name: &str, algorithm: Algorithm, password: &[u8]) {
        let password = PasswordUpdate::Set(PasswordHash::create(algorithm, password, [9; 16]));
        let put = Command::PutUser { name: name.into(), password, tags: vec![], limits: None };
        administer(vec![put]).expect("it makes sense");
    }

    /// Runs on the only shard of a simulated broker, where time passes only in sleeps.
    fn on_a_shard(main: impl FnOnce(&Rc<Shard>) + Send + 'static) {
        let main = move || {
            let config = Config { shards: 1, data_dir: PathBuf::new(), ..Config::default() };
            boot::start_shards(&Arc::new(config), &Arc::new(Recovered::one_vhost())).expect("the shard starts");
            main(&Shard::current());
            Shard::uninstall();
        };
        Runtime::builder().shards(1).simulated(0).build().expect("valid").run(main).expect("no deadlock");
    }

    fn outcome(shard: &Shard, user: &str, password: &str, from: &str) -> String {
        let peer = from.parse().expect("an address");
        match shard.authenticate(user, password.as_bytes(), peer) {
            Ok(name) => format!("{name} is in"),
            Err(refused) => refused.to_string(),
        }
    }

    #[test]
    fn passwords_of_every_kind_are_checked_each_time() {
        on_a_shard(|shard| {
            for algorithm in Algorithm::ALL {
                put("u", algorithm, b"canary-secret");
                for _ in 0..2 {
                    assert_eq!(outcome(shard, "u", "canary-secret", "10.0.0.1"), "u is in", "{algorithm:?}");
                    assert_eq!(outcome(shard, "u", "wrong", "10.0.0.1"), "user 'u' - invalid credentials");
                    shard.logins.users.take();
                    shard.logins.addresses.take();
                }
            }
            assert_eq!(outcome(shard, "nobody", "canary-secret", "10.0.0.1"), "user 'nobody' - invalid credentials");
            assert_eq!(outcome(shard, "u", "", "10.0.0.1"), "user 'u' attempted to log in with a blank password");
            assert!(!format!("{:?}", shard.logins).contains("canary"));
        });
    }

    #[test]
    fn a_new_password_counts_at_once() {
        on_a_shard(|shard| {
            put("u", Algorithm::Sha256, b"old");
            assert_eq!(outcome(shard, "u", "old", "::1"), "u is in");
            assert!(shard.logins.knows(&"u".into(), shard.user_with_hash("u").and_then(|it| it.1).as_ref(), b"old"));
            put("u", Algorithm::Sha256, b"new");
            assert_eq!(outcome(shard, "u", "old", "::1"), "user 'u' - invalid credentials");
            assert_eq!(outcome(shard, "u", "new", "::1"), "u is in");
            administer(vec![Command::DeleteUser { name: "u".into() }]).expect("it is there");
            assert_eq!(outcome(shard, "u", "new", "::1"), "user 'u' - invalid credentials");
        });
    }

    #[test]
    fn guest_comes_from_this_machine_only() {
        on_a_shard(|shard| {
            put("guest", Algorithm::Sha256, b"guest");
            for near in ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"] {
                assert_eq!(outcome(shard, "guest", "guest", near), "guest is in", "{near}");
            }
            for far in ["10.0.0.1", "192.0.2.7", "::ffff:10.0.0.1", "2001:db8::1", "0.0.0.0"] {
                assert_eq!(outcome(shard, "guest", "guest", far), "user 'guest' can only connect via localhost");
            }
            let refused = outcome(shard, "guest", "wrong", "10.0.0.1");
            assert_eq!(refused, "user 'guest' - invalid credentials", "whether it would help tells nobody");
        });
    }

    #[test]
    fn guessing_gets_slower_but_not_for_those_who_are_known() {
        on_a_shard(|shard| {
            put("u", Algorithm::Sha256, b"right");
            let took = |user: &str, password: &str, from: &str| {
                let before = runtime::time::now();
                let _ = outcome(shard, user, password, from);
                runtime::time::now().saturating_duration_since(before).as_millis()
            };
            assert_eq!(took("u", "right", "10.0.0.1"), 0);
            let guesses: Vec<_> = (0..8).map(|_| took("u", "wrong", "10.0.0.2")).collect();
            assert_eq!(guesses, [0, 0, 0, 0, 0, 50, 100, 200]);
            assert_eq!(took("u", "right", "10.0.0.1"), 0, "known");
            assert_eq!(took("nobody", "x", "10.0.0.2"), 400, "by address, whoever the user");
            assert_eq!(took("u", "wrong", "10.0.0.3"), 400, "by user, wherever from");
            assert_eq!(took("nobody", "x", "127.0.0.1"), 0, "this machine is not slowed down");
        });
    }
}
