//! Which program this one was started as: a link named `rabbitmqctl` makes it rabbitmqctl, and so on.

use std::path::Path;

/// The word for the background, and as texts print it that were typeset: with a dash.
const DETACHED: [&str; 2] = ["-detached", "\u{2013}detached"];

/// The program's words as ours: `rabbitmq-server start` and `-detached` are understood, whatever the program is called.
///
/// `arguments` are without the program's name.
pub fn translate(name: &str, arguments: Vec<String>) -> Vec<String> {
    let mut words: Vec<String> = arguments;
    if name == "rabbitmq-server" && words.first().is_some_and(|word| word == "start") {
        words.remove(0);
    }
    let is_server =
        name == "rabbitmq-server" || words.first().is_none_or(|word| word == "serve" || word.starts_with('-'));
    if is_server {
        for word in words.iter_mut().filter(|word| DETACHED.contains(&word.as_str())) {
            "--detached".clone_into(word);
        }
    }
    words
}

/// The name in the path by which a program was started.
pub fn name(path: &str) -> &str {
    Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_other_programs() {
        let check = |name, words: &[&str], expected: &[&str]| {
            let words = words.iter().map(ToString::to_string).collect();
            assert_eq!(translate(name, words), expected, "{name}");
        };
        check("rabbitmq-server", &[], &[]);
        check("rabbitmq-server", &["start"], &[]);
        check("rabbitmq-server", &["-detached"], &["--detached"]);
        check("rabbitmq-server", &["start", "-detached"], &["--detached"]);
        check("rabbitmq-server", &["\u{2013}detached"], &["--detached"]);
        check("leveret", &["serve", "-detached"], &["serve", "--detached"]);
        check("leveret", &["-detached"], &["--detached"]);
        check("leveret", &["ctl", "add_user", "-detached"], &["ctl", "add_user", "-detached"]);
        check("leveret", &["start"], &["start"]);
    }

    #[test]
    fn names() {
        assert_eq!(name("/usr/sbin/rabbitmqctl"), "rabbitmqctl");
        assert_eq!(name("rabbitmqctl"), "rabbitmqctl");
        assert_eq!(name(""), "");
    }
}
