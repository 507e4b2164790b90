//! Command lines of the form `--name value` and `--flag`. Enough for the examples; a program for users would take a library.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// What a program was called with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    options: BTreeMap<String, String>,
    /// Arguments that are not options.
    pub others: Vec<String>,
}

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misuse {
    /// No such option.
    Unknown(String),
    /// The option needs a value, and there is none.
    NoValue(String),
    /// The option does not take this value.
    BadValue(String, String),
    /// The user asks for the usage.
    Help,
}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misuse::Unknown(option) => write!(f, "there is no option {option}; see --help"),
            Misuse::NoValue(option) => write!(f, "{option} needs a value; see --help"),
            Misuse::BadValue(option, value) => write!(f, "{option} cannot be '{value}'; see --help"),
            Misuse::Help => f.write_str("see below"),
        }
    }
}

impl Arguments {
    /// Reads a command line. `options` names those with a value as `--name=`, flags as `--name`.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(line: impl IntoIterator<Item = String>, options: &[&str]) -> Result<Arguments, Misuse> {
        let mut arguments = Arguments::default();
        let mut words = line.into_iter();
        while let Some(word) = words.next() {
            if word == "--help" || word == "-h" {
                return Err(Misuse::Help);
            } else if !word.starts_with("--") {
                arguments.others.push(word);
            } else if options.contains(&word.as_str()) {
                arguments.options.insert(word, String::new());
            } else if options.iter().any(|option| option.strip_suffix('=') == Some(&word)) {
                let value = words.next().ok_or_else(|| Misuse::NoValue(word.clone()))?;
                arguments.options.insert(word, value);
            } else {
                return Err(Misuse::Unknown(word));
            }
        }
        Ok(arguments)
    }

    /// Reads the process's command line; prints the usage, or what is wrong, and ends the process.
    pub fn of_process(usage: &str, options: &[&str]) -> Arguments {
        Arguments::parse(std::env::args().skip(1), options).unwrap_or_else(|misuse| end(&misuse, usage))
    }

    /// Whether the flag was given.
    pub fn has(&self, flag: &str) -> bool {
        self.options.contains_key(flag)
    }

    /// The option's value, or `default`; ends the process if it cannot be read.
    pub fn value<T: FromStr>(&self, option: &str, default: T) -> T {
        self.read(option, default).unwrap_or_else(|misuse| end(&misuse, ""))
    }

    fn read<T: FromStr>(&self, option: &str, default: T) -> Result<T, Misuse> {
        match self.options.get(option) {
            None => Ok(default),
            Some(value) => value.parse().map_err(|_| Misuse::BadValue(option.to_owned(), value.clone())),
        }
    }
}

fn end(misuse: &Misuse, usage: &str) -> ! {
    if *misuse == Misuse::Help {
        println!("{usage}");
        std::process::exit(0);
    }
    eprintln!("{misuse}");
    std::process::exit(2);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines_are_read() {
        let check = |line: &str, expected: Result<(u16, bool, usize), Misuse>| {
            let parsed = Arguments::parse(line.split_whitespace().map(str::to_owned), &["--port=", "--demo"]);
            let read = parsed.and_then(|arguments| {
                Ok((arguments.read("--port", 80)?, arguments.has("--demo"), arguments.others.len()))
            });
            assert_eq!(read, expected, "{line}");
        };
        check("", Ok((80, false, 0)));
        check("--port 8001 --demo", Ok((8001, true, 0)));
        check("a --demo b", Ok((80, true, 2)));
        check("--port", Err(Misuse::NoValue("--port".into())));
        check("--port x", Err(Misuse::BadValue("--port".into(), "x".into())));
        check("--prot 1", Err(Misuse::Unknown("--prot".into())));
        check("--demo --help", Err(Misuse::Help));
    }
}
