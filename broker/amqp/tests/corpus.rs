//! Replays the fuzzers' corpus, so that what was found once stays found without a fuzzer.
//!
//! A file in `fuzz/corpus/<target>/` is one input of the entry point with that name.
#![expect(clippy::disallowed_methods, reason = "the corpus is in files, and there is no runtime here to read them")]

use leveret_amqp::fuzz;

type Target = fn(&[u8]);

#[test]
fn corpus() {
    let targets: [(&str, Target); 6] = [
        ("frames", fuzz::frames),
        ("methods", fuzz::methods),
        ("tables", fuzz::tables),
        ("properties", fuzz::properties),
        ("server", fuzz::server),
        ("client", fuzz::client),
    ];
    for (name, target) in targets {
        let folder = format!("{}/fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
        let files: Vec<_> = std::fs::read_dir(&folder).expect("the folder is in the repository").collect();
        assert!(!files.is_empty(), "{name} has seeds");
        for file in files {
            target(&std::fs::read(file.expect("an entry").path()).expect("readable"));
        }
    }
}
