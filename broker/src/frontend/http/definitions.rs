//! Definitions that the configuration names, imported at the start.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leveret_core::Name;
use leveret_core::access::Command;
use leveret_core::value::Value;
use leveret_management::definitions::{IMPORTED_DEFINITIONS, Import};
use leveret_runtime as runtime;
use sha2::{Digest, Sha256};

use super::broker::Adapter;
use super::listener::facts;
use crate::config::Config;
use crate::shard::Shard;
use crate::shard::administration::administer;

/// Imports the definitions that the configuration names, files in the order of their names. To be called on shard 0, before
/// anybody is served.
///
/// # Errors
/// A file that cannot be read or imported; the text says which and why.
pub fn load(config: &Config) -> io::Result<()> {
    let files = definition_files(&config.load_definitions)?;
    if files.is_empty() {
        return Ok(());
    }
    let documents = files.into_iter().map(|file| runtime::fs::read(&file).map(|document| (file, document)));
    let documents = documents.collect::<io::Result<Vec<_>>>()?;
    let digest = digest(&documents);
    let shard = Shard::current();
    let last = |(name, value): (&Name, &Arc<Value>)| &**name == IMPORTED_DEFINITIONS && value.as_str() == Some(&digest);
    if config.skip_unchanged_definitions && shard.access().global_parameters().any(last) {
        log::info!("definitions are not imported: they are what was imported last");
        return Ok(());
    }
    let facts = facts(config, &shard, Vec::new());
    let adapter = Adapter::new(shard, facts, Rc::default(), None);
    let user = Name::from(&*config.first_start.user);
    for (file, document) in documents {
        let import = Import { broker: &adapter, user: &user, vhost: None };
        import.run(&document).map_err(|error| io::Error::other(format!("{}: {error}", file.display())))?;
        log::info!("definitions of {} are imported", file.display());
    }
    if !config.skip_unchanged_definitions {
        return Ok(());
    }
    let put = Command::PutGlobalParameter { name: IMPORTED_DEFINITIONS.into(), value: Value::str(&digest) };
    administer(vec![put]).map(drop).map_err(io::Error::other)
}

/// What tells whether files are those of the last import.
fn digest(documents: &[(PathBuf, Vec<u8>)]) -> String {
    let mut sum = Sha256::new();
    for (_, document) in documents {
        sum.update(Sha256::digest(document)); // where one ends counts
    }
    STANDARD.encode(sum.finalize())
}

/// The files that are named, and those of directories that are named.
fn definition_files(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !runtime::fs::metadata(path)?.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut inside: Vec<PathBuf> =
            runtime::fs::read_dir(path)?.iter().map(|entry| entry.path().to_owned()).collect();
        inside.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_of_the_documents_and_where_they_end() {
        let check = |a: &[&str], b: &[&str], expected: bool| {
            let of = |all: &[&str]| {
                digest(&all.iter().map(|it| (PathBuf::new(), it.as_bytes().to_vec())).collect::<Vec<_>>())
            };
            assert_eq!(of(a) == of(b), expected, "{a:?} {b:?}");
        };
        check(&["{}"], &["{}"], true);
        check(&["{}"], &["{} "], false);
        check(&["{}{}"], &["{}", "{}"], false);
        check(&["a", "b"], &["b", "a"], false);
    }
}
