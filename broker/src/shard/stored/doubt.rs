//! Which messages may have been delivered before a crash, over the clean stops that follow it.
//!
//! After a crash nobody knows what of a queue was delivered, so all that it had then is marked redelivered when it is delivered:
//! "may have been delivered before" is what that flag says. A number for each priority of a queue says it of all of them. A clean
//! stop writes those numbers down, with the fact that it was one; whatever cannot be read, or is not what was written, means a
//! crash. (Version 1 had no checksum.)
//!
//! ```text
//!   leveret messages clean 2
//!   <queue> <last place in doubt>         a line for each queue and priority that has any
//!   end <lines between> <checksum of all that stands before this number>
//! ```

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use leveret_core::{FastMap, QueueId, Seq};
use leveret_runtime::fs::{self, File};

const FIRST_LINE: &str = "leveret messages clean 2";
const LAST_WORD: &str = "end";

/// The file, in the data directory.
const NAME: &str = "messages.clean";
/// One that was not finished.
const NEW_NAME: &str = "messages.clean.new";

/// Which messages may have been delivered before the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubts {
    /// All: the broker did not stop by itself.
    All,
    /// Those up to these places.
    UpTo(FastMap<QueueId, Vec<Seq>>),
}

impl Doubts {
    /// What the last stop has left. From now on there was none, until there is one again.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn take(data_dir: &Path) -> io::Result<Doubts> {
        let path = data_dir.join(NAME);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Doubts::All),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
            Err(error) => return Err(error),
        };
        fs::remove_file(&path)?;
        fs::sync_dir(data_dir)?;
        Ok(parse(&text).map_or(Doubts::All, Doubts::UpTo))
    }
}

/// Notes that the broker stopped by itself, and what was in doubt.
///
/// # Errors
/// Those of the disk; then the next start takes it for a crash.
pub fn write(data_dir: &Path, doubts: &[(QueueId, Seq)]) -> io::Result<()> {
    let (path, new) = (data_dir.join(NAME), data_dir.join(NEW_NAME));
    fs::write(&new, text(doubts).into_bytes())?;
    File::open(&new)?.sync_all()?;
    fs::rename(&new, &path)?;
    fs::sync_dir(data_dir)
}

fn text(doubts: &[(QueueId, Seq)]) -> String {
    let mut text = format!("{FIRST_LINE}\n");
    for (queue, last) in doubts {
        writeln!(text, "{} {last}", queue.0).expect("a String takes everything");
    }
    write!(text, "{LAST_WORD} {} ", doubts.len()).expect("a String takes everything");
    let checksum = checksum(&text);
    writeln!(text, "{checksum:016x}").expect("a String takes everything");
    text
}

fn parse(text: &str) -> Option<FastMap<QueueId, Vec<Seq>>> {
    let (told, found) = text.strip_suffix('\n')?.rsplit_once(' ')?;
    if found != format!("{:016x}", checksum(&text[..told.len() + 1])) {
        return None;
    }
    let rest = text.strip_prefix(FIRST_LINE)?.strip_prefix('\n')?;
    let (lines, last) = rest.strip_suffix('\n')?.rsplit_once('\n').unwrap_or(("", rest.trim_end()));
    let count: usize = last.strip_prefix(LAST_WORD)?.strip_prefix(' ')?.split_once(' ')?.0.parse().ok()?;
    let mut doubts: FastMap<QueueId, Vec<Seq>> = FastMap::default();
    for line in lines.lines() {
        let (queue, place) = line.split_once(' ')?;
        doubts.entry(QueueId(queue.parse().ok()?)).or_default().push(Seq(place.parse().ok()?));
    }
    (lines.lines().count() == count).then_some(doubts)
}

/// FNV-1a: every changed byte changes it.
fn checksum(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_half_of_it_is_not() {
        for doubts in [
            &[][..],
            &[(QueueId(3), Seq(7))],
            &[(QueueId(3), Seq(7)), (QueueId(3), Seq(1 << 56)), (QueueId(9), Seq(0))],
        ] {
            let text = text(doubts);
            let mut expected: FastMap<QueueId, Vec<Seq>> = FastMap::default();
            doubts.iter().for_each(|(queue, last)| expected.entry(*queue).or_default().push(*last));
            assert_eq!(parse(&text), Some(expected));
            (0..text.len()).for_each(|end| assert_eq!(parse(&text[..end]), None, "{:?}", &text[..end]));
            for bit in 0..text.len() * 8 {
                let mut harmed = text.clone().into_bytes();
                harmed[bit / 8] ^= 1 << (bit % 8);
                let harmed = String::from_utf8(harmed).unwrap_or_default();
                assert_eq!(parse(&harmed), None, "bit {bit} of {text:?}");
            }
        }
        assert_eq!(parse("leveret messages clean 1\nend 0\n"), None);
    }
}
