//! Forgetting everything: what `rabbitmqctl reset` does.

use std::io;

use leveret_core::Name;
use leveret_core::access::{Command, VhostUpdate};

use super::definitions;
use crate::config::Config;
use crate::first_start;
use crate::shard::Shard;
use crate::shard::administration::administer;

/// Removes virtual hosts with all that is in them, users and parameters, and then makes what a first start makes.
///
/// # Errors
/// The configuration's definitions cannot be imported, or its user cannot be made.
pub(super) fn reset(config: &Config) -> io::Result<()> {
    let access = Shard::current().access();
    for (name, _) in access.vhosts() {
        let update = VhostUpdate { protected: Some(false), ..VhostUpdate::default() };
        run(Command::PutVhost { name: name.clone(), update, creator: None })?;
        run(Command::DeleteVhost { name: name.clone() })?;
    }
    let users: Vec<Name> = access.users().map(|(name, _)| name.clone()).collect();
    users.into_iter().try_for_each(|name| run(Command::DeleteUser { name }))?;
    let is_own = |name: &Name| &**name == "internal_cluster_id"; // the broker is still the same one
    let globals: Vec<Name> =
        access.global_parameters().map(|(name, _)| name.clone()).filter(|name| !is_own(name)).collect();
    globals.into_iter().try_for_each(|name| run(Command::DeleteGlobalParameter { name }))?;
    definitions::load(config)?;
    if Shard::current().access().users().len() == 0 {
        first_start::begin(&config.first_start, config.password_algorithm).map_err(io::Error::other)?;
    }
    Ok(())
}

fn run(command: Command) -> io::Result<()> {
    administer(vec![command]).map(drop).map_err(io::Error::other)
}
