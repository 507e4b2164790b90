//! What an empty data directory begins with: a virtual host, and a user who may do everything in it.

use leveret_core::Name;
use leveret_core::access::password::{Algorithm, PasswordHash};
use leveret_core::access::{Command, PasswordUpdate, VhostUpdate};
use leveret_runtime as runtime;

use crate::config::FirstStart;
use crate::shard::administration::{NotDone, administer};

/// The password that everybody knows. Nothing is gained by a digest of it that takes long, and the first start would wait.
const KNOWN_PASSWORD: &str = "guest";

/// Makes the virtual host and the user that the configuration names. Definitions that bring users of their own come instead.
/// `chosen`: how the configuration wants passwords kept, if it says so.
///
/// # Errors
/// The configuration asks for what cannot be, such as an empty name.
pub fn begin(config: &FirstStart, chosen: Option<Algorithm>) -> Result<(), NotDone> {
    let vhost = Name::from(&*config.vhost);
    let user = Name::from(&*config.user);
    let usual = if config.password == KNOWN_PASSWORD { Algorithm::Sha256 } else { Algorithm::default() };
    let password = PasswordUpdate::Set(digest(chosen.unwrap_or(usual), config.password.as_bytes()));
    let [configure, write, read] = config.permissions.each_ref().map(|pattern| Name::from(&**pattern));
    let commands = vec![
        Command::PutVhost { name: vhost.clone(), update: VhostUpdate::default(), creator: None },
        Command::PutUser { name: user.clone(), password, tags: config.tags.clone(), limits: None },
        Command::SetPermission { user, vhost, configure, write, read },
    ];
    administer(commands).map(drop)
}

/// Digests a new password, off the shard: that takes tens of milliseconds.
pub fn digest(algorithm: Algorithm, password: &[u8]) -> PasswordHash {
    let mut salt = [0; 16];
    runtime::random::fill(&mut salt);
    let password = password.to_vec();
    runtime::offload(move || PasswordHash::create(algorithm, &password, salt))
}
