//! The lines of the text format 0.0.4.

use std::fmt::{Display, Write as _};

/// The text under construction.
#[derive(Default)]
pub(super) struct Text(pub(super) String);

impl Text {
    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# TYPE {name} {kind}\n# HELP {name} {help}");
    }

    pub(super) fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.0.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"{}\"", escape(text));
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    /// A family of one line.
    pub(super) fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.line(name, &[], value);
    }
}

/// "label_value can be any sequence of UTF-8 characters, but backslash, double-quote, and line feed have to be escaped".
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_escaped() {
        let mut text = Text::default();
        text.family("a", "gauge", "An a");
        text.line("a", &[("x", "q\"\\\n"), ("y", "")], 1.5);
        text.line("a", &[], 2);
        assert_eq!(text.0, "# TYPE a gauge\n# HELP a An a\na{x=\"q\\\"\\\\\\n\",y=\"\"} 1.5\na 2\n");
    }
}
