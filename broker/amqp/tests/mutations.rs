//! A fuzzer without instrumentation, for every toolchain: inputs of the corpus with mistakes in them, the same ones each time.
//!
//! Where `cargo fuzz` runs it finds more; this finds what is near, costs two seconds and runs everywhere. `LEVERET_FUZZ_INPUTS` is the number
//! of inputs a target, `LEVERET_FUZZ_SEED` where to begin. A target that panics leaves
//! the input that did it in the message, as hexadecimal digits for a new file of the corpus.
#![expect(clippy::disallowed_methods, reason = "the corpus is in files, and there is no runtime here to read them")]

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};

use leveret_amqp::fuzz;

type Target = fn(&[u8]);

const INPUTS_DEFAULT: u64 = 4000;

/// Longer inputs find nothing that shorter ones do not, and cost more.
const INPUT_SIZE_MAX: usize = 6000;

const MISTAKES_MAX: usize = 6;

/// Bytes that mean something somewhere: ends of frames, types of fields and frames, ends of ranges.
const TELLING: [u8; 20] =
    [0, 1, 2, 3, 8, 0x7f, 0x80, 0xce, 0xcd, 0xff, b'S', b'A', b'F', b'V', b't', b'I', b'x', b'D', 10, 60];

/// Numbers at which lengths go wrong.
const LENGTHS: [u32; 10] = [0, 1, 7, 8, 255, 4088, 4096, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff];

/// Numbers that repeat by seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as usize % limit.max(1)
    }
}

/// One mistake in `input`, maybe with a piece of `other`.
fn spoil(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let size = random.below(16) + 1;
    let end = (at + size).min(input.len());
    match random.below(9) {
        0 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
        1 => input.iter_mut().skip(at).take(1).for_each(|byte| *byte = TELLING[random.below(TELLING.len())]),
        2 => drop(input.drain(at..end)),
        3 => input.insert(at, TELLING[random.below(TELLING.len())]),
        4 => input.extend_from_within(at..end),
        5 => {
            let copy = input[at..end].to_vec();
            drop(input.splice(at..at, copy));
        }
        6 => {
            let length = LENGTHS[random.below(LENGTHS.len())].to_be_bytes();
            input.iter_mut().skip(at).zip(length).for_each(|(byte, new)| *byte = new);
        }
        7 => {
            let from = random.below(other.len() + 1);
            let piece = &other[from..(from + 4 * size).min(other.len())];
            drop(input.splice(at..at, piece.iter().copied()));
        }
        _ => input.truncate(at),
    }
    input.truncate(INPUT_SIZE_MAX);
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = format!("{}/fuzz/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
    let entries = std::fs::read_dir(&folder).expect("the folder is in the repository");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("readable")).collect()
}

fn number(name: &str, default: u64) -> u64 {
    let parse = |text: String| text.parse().unwrap_or_else(|_| panic!("{name}={text}: not a number"));
    std::env::var(name).map_or(default, parse)
}

/// Inputs grow out of each other: what was made from a seed may be spoiled again later.
fn run(name: &str, target: Target) {
    let count = number("LEVERET_FUZZ_INPUTS", INPUTS_DEFAULT);
    let mut random = Random(number("LEVERET_FUZZ_SEED", 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut pool = corpus(name);
    assert!(!pool.is_empty(), "{name} has seeds");
    let seeds = pool.len();
    for _ in 0..count {
        let (one, other) = (random.below(pool.len()), random.below(pool.len()));
        let mut input = pool[one].clone();
        (0..=random.below(MISTAKES_MAX)).for_each(|_| spoil(&mut input, &pool[other], &mut random));
        if catch_unwind(AssertUnwindSafe(|| target(&input))).is_err() {
            let hex = input.iter().fold(String::new(), |mut hex, byte| {
                let _ = write!(hex, "{byte:02x}");
                hex
            });
            panic!("{name}: a promise is broken by {hex}");
        }
        if pool.len() < 4 * seeds {
            pool.push(input);
        } else if random.below(8) == 0 {
            let place = seeds + random.below(3 * seeds);
            pool[place] = input;
        }
    }
    println!("{name}: {count} inputs");
}

#[test]
fn frames() {
    run("frames", fuzz::frames);
}

#[test]
fn methods() {
    run("methods", fuzz::methods);
}

#[test]
fn tables() {
    run("tables", fuzz::tables);
}

#[test]
fn properties() {
    run("properties", fuzz::properties);
}

#[test]
fn server() {
    run("server", fuzz::server);
}

#[test]
fn client() {
    run("client", fuzz::client);
}

/// A fuzzer that finds nothing may be one that cannot: this parser believes a length.
#[test]
fn what_is_there_is_found() {
    fn planted(data: &[u8]) {
        assert!(!matches!(data, [1, _, _, 0x7f, 0xff, 0xff, 0xff, ..]), "planted");
    }
    assert!(catch_unwind(|| run("frames", planted)).is_err());
}
