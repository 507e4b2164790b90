//! How passwords are kept: never themselves, only salted digests.
//!
//! New ones are argon2id, which is slow on purpose; RabbitMQ's three algorithms are understood so that its users can be
//! imported and go on logging in. What a digest looks like in text is RabbitMQ's: base64 of a salt of four bytes and the
//! digest of salt and password; argon2's is its usual `$argon2id$v=19$m=...,t=...,p=...$salt$digest`.
//!
//! Everything here is pure and takes long (tens of milliseconds, and [`Work`]'s memory): the shell runs it off
//! its shards. Salts are arguments.

use argon2::password_hash::{PasswordHash as Phc, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Argon2, Params};
use base64ct::{Base64, Encoding};
use sha2::digest::Digest;

/// Stored digests may ask for at most this much (kibibytes and passes): an import must not be able to stop the broker.
const ARGON2_MEMORY_MAX: u32 = 256 * 1024;
const ARGON2_PASSES_MAX: u32 = 10;
/// Bytes of salt before RabbitMQ's digests.
const RABBIT_SALT_SIZE: usize = 4;
/// The longest text of a digest.
pub const DIGEST_TEXT_MAX: usize = 1024;

/// What one argon2id computation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Kibibytes; at least 8.
    pub memory: u32,
    /// How often all of it is gone over; at least once.
    pub passes: u32,
}

impl Default for Work {
    /// OWASP's recommendation.
    fn default() -> Self {
        Self { memory: 19 * 1024, passes: 2 }
    }
}

/// How a password was digested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Ours: slow and memory-hard.
    #[default]
    Argon2id,
    /// RabbitMQ's default.
    Sha256,
    /// RabbitMQ's.
    Sha512,
    /// RabbitMQ's before 3.6.
    Md5,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Argon2id, Self::Sha256, Self::Sha512, Self::Md5];

    /// The value of `hashing_algorithm` in definitions and in the HTTP API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Argon2id => "leveret_password_hashing_argon2id",
            Self::Sha256 => "rabbit_password_hashing_sha256",
            Self::Sha512 => "rabbit_password_hashing_sha512",
            Self::Md5 => "rabbit_password_hashing_md5",
        }
    }

    /// The algorithm of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// A digested password. Its `Debug` shows the algorithm only.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    algorithm: Algorithm,
    text: Box<str>,
}

/// A text that is no digest of the algorithm it is said to be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidHash(pub Algorithm);

impl PasswordHash {
    /// Digests a password. Slow.
    pub fn create(algorithm: Algorithm, password: &[u8], salt: [u8; 16]) -> Self {
        let text = match algorithm {
            Algorithm::Argon2id => argon2_text(password, &salt, Work::default()),
            _ => {
                let [a, b, c, d, ..] = salt;
                let salt = [a, b, c, d];
                Base64::encode_string(&[&salt[..], &salted(algorithm, &salt, password)].concat())
            }
        };
        Self { algorithm, text: text.into() }
    }

    /// Takes a digest that was made elsewhere, in its text form.
    pub fn parse(algorithm: Algorithm, text: &str) -> Result<Self, InvalidHash> {
        let is_valid = text.len() <= DIGEST_TEXT_MAX
            && match algorithm {
                Algorithm::Argon2id => argon2_params(text).is_some(),
                _ => split(algorithm, text).is_some(),
            };
        if is_valid { Ok(Self { algorithm, text: text.into() }) } else { Err(InvalidHash(algorithm)) }
    }

    /// Whether this is the password. Slow for argon2id; compares in constant time.
    pub fn matches(&self, password: &[u8]) -> bool {
        match self.algorithm {
            Algorithm::Argon2id => {
                #[cfg(test)]
                tests::note_work(argon2_params(&self.text));
                let phc = Phc::new(&self.text);
                phc.is_ok_and(|phc| Argon2::default().verify_password(password, &phc).is_ok())
            }
            algorithm => split(algorithm, &self.text)
                .is_some_and(|(salt, digest)| equal(&digest, &salted(algorithm, &salt, password))),
        }
    }

    /// As [`PasswordHash::matches`], but takes as long for a user that does not exist and for one with a fast digest as
    /// for any other: time tells nothing about who exists. `floor` is the least work that anybody's password takes.
    pub fn verify(of: Option<&Self>, password: &[u8], floor: Work) -> bool {
        if !of.is_some_and(|hash| hash.takes(floor)) {
            std::hint::black_box(argon2_text(password, &[0; 16], floor));
        }
        of.is_some_and(|hash| hash.matches(password))
    }

    /// Whether comparing takes at least so much work; imported digests of argon2id may ask for less than our own.
    fn takes(&self, floor: Work) -> bool {
        let params = (self.algorithm == Algorithm::Argon2id).then(|| argon2_params(&self.text)).flatten();
        params.is_some_and(|params| params.m_cost() >= floor.memory && params.t_cost() >= floor.passes)
    }

    /// How it was made.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The text form, for the store and for exports. A secret: with it passwords can be guessed.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PasswordHash({})", self.algorithm.as_str())
    }
}

/// What a cache remembers of a password that was right: SHA-256 of it and of a secret of the process, so that who reads the
/// memory of one process learns nothing for another.
pub fn fingerprint(secret: &[u8; 16], password: &[u8]) -> [u8; 32] {
    sha2::Sha256::new().chain_update(secret).chain_update(password).finalize().into()
}

/// Compares in a time that depends on the lengths only.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

fn argon2_text(password: &[u8], salt: &[u8; 16], work: Work) -> String {
    let params = Params::new(work.memory, work.passes, 1, None).expect("constants within argon2's bounds");
    #[cfg(test)]
    tests::note_work(Some(params.clone()));
    let salt = SaltString::encode_b64(salt).expect("16 bytes are a salt's recommended size");
    let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    argon2.hash_password(password, &salt).expect("a password is shorter than 4 GiB").to_string()
}

fn argon2_params(text: &str) -> Option<Params> {
    let phc = Phc::new(text).ok()?;
    let is_argon2id = phc.algorithm.as_str() == "argon2id" && phc.hash.is_some() && phc.salt.is_some();
    let params = Params::try_from(&phc).ok()?;
    (is_argon2id && params.m_cost() <= ARGON2_MEMORY_MAX && params.t_cost() <= ARGON2_PASSES_MAX).then_some(params)
}

fn salted(algorithm: Algorithm, salt: &[u8], password: &[u8]) -> Vec<u8> {
    fn digest<D: Digest>(salt: &[u8], password: &[u8]) -> Vec<u8> {
        D::new().chain_update(salt).chain_update(password).finalize().to_vec()
    }
    match algorithm {
        Algorithm::Sha256 | Algorithm::Argon2id => digest::<sha2::Sha256>(salt, password),
        Algorithm::Sha512 => digest::<sha2::Sha512>(salt, password),
        Algorithm::Md5 => digest::<md5::Md5>(salt, password),
    }
}

/// Salt and digest of one of RabbitMQ's.
fn split(algorithm: Algorithm, text: &str) -> Option<([u8; RABBIT_SALT_SIZE], Vec<u8>)> {
    let bytes = Base64::decode_vec(text).ok()?;
    let (salt, digest) = bytes.split_first_chunk::<RABBIT_SALT_SIZE>()?;
    let size = match algorithm {
        Algorithm::Sha256 | Algorithm::Argon2id => 32,
        Algorithm::Sha512 => 64,
        Algorithm::Md5 => 16,
    };
    (digest.len() == size).then(|| (*salt, digest.to_vec()))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        /// Memory and passes of what this thread has computed by argon2, which is all that takes time.
        static WORK: RefCell<Vec<(u32, u32)>> = const { RefCell::new(Vec::new()) };
    }

    pub(super) fn note_work(params: Option<Params>) {
        let params = params.expect("what is computed by argon2 has parameters");
        WORK.with_borrow_mut(|work| work.push((params.m_cost(), params.t_cost())));
    }

    /// Who measures how long a refusal takes learns neither whether the user exists nor how its password is kept.
    #[test]
    fn a_wrong_password_costs_the_same_work_whoever_the_user() {
        let Work { memory, passes } = Work::default();
        let once = (memory, passes);
        let check = |hash: Option<&PasswordHash>, expected: &[(u32, u32)]| {
            WORK.take();
            assert!(!PasswordHash::verify(hash, b"wrong", Work::default()));
            assert_eq!(WORK.take(), expected, "{hash:?}");
        };
        check(None, &[once]);
        for algorithm in Algorithm::ALL {
            check(Some(&PasswordHash::create(algorithm, b"right", [7; 16])), &[once]);
        }
        let weak = "$argon2id$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let weak = PasswordHash::parse(Algorithm::Argon2id, weak).expect("an imported digest");
        check(Some(&weak), &[once, (64, 1)]);
        WORK.take();
        assert!(!PasswordHash::verify(Some(&weak), b"wrong", Work { memory: 64, passes: 1 }));
        assert_eq!(WORK.take(), [(64, 1)], "no more where no more is asked for");
    }

    #[test]
    fn every_algorithm_knows_its_password_again() {
        for algorithm in Algorithm::ALL {
            let hash = PasswordHash::create(algorithm, b"canary-secret", [7; 16]);
            let again = PasswordHash::parse(algorithm, hash.as_str()).expect("our own text");
            assert_eq!(again, hash);
            assert!(
                again.matches(b"canary-secret")
                    && PasswordHash::verify(Some(&again), b"canary-secret", Work::default())
            );
            assert!(!again.matches(b"canary-secreT") && !PasswordHash::verify(Some(&again), b"", Work::default()));
            assert_eq!(Algorithm::parse(algorithm.as_str()), Some(algorithm));
            assert!(!format!("{hash:?}").contains(hash.as_str()), "no digest in a log");
        }
        assert!(!PasswordHash::verify(None, b"anything", Work::default()));
    }

    /// The example in RabbitMQ's documentation on passwords: salt 908DC60A, password test12.
    #[test]
    fn rabbitmqs_own_example() {
        let hash = PasswordHash::parse(Algorithm::Sha256, "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR");
        let hash = hash.expect("RabbitMQ's text");
        assert!(hash.matches(b"test12") && !hash.matches(b"test13"));
        assert_eq!(
            PasswordHash::create(
                Algorithm::Sha256,
                b"test12",
                [0x90, 0x8D, 0xC6, 0x0A, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
            ),
            hash
        );
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        let refused = |algorithm, text: &str| {
            assert_eq!(PasswordHash::parse(algorithm, text), Err(InvalidHash(algorithm)), "{text}");
        };
        refused(Algorithm::Sha256, "");
        refused(Algorithm::Sha256, "not base64!");
        refused(Algorithm::Sha256, "AAAA");
        refused(Algorithm::Md5, "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR");
        refused(
            Algorithm::Argon2id,
            "$argon2i$v=19$m=64,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        );
        refused(
            Algorithm::Argon2id,
            "$argon2id$v=19$m=4194304,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        );
        refused(Algorithm::Argon2id, &"$".repeat(DIGEST_TEXT_MAX + 1));
    }
}
