//! How tables look: columns of a JSON object each, in the formats of rabbitmqctl.

use std::io::{self, Write};

use serde_json::{Map, Value};

/// The formats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Format {
    /// Fields with tabs between them
    #[default]
    Table,
    /// A drawn table
    PrettyTable,
    /// One JSON array
    Json,
    /// A JSON object a line
    JsonStream,
    /// Comma-separated values
    Csv,
}

/// Rows under named columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Their names.
    pub columns: Vec<String>,
    /// As many values each.
    pub rows: Vec<Vec<Value>>,
}

impl Table {
    /// Writes all of it; `header` is for the formats that people read.
    ///
    /// # Errors
    /// Nobody reads on.
    pub fn write(&self, format: Format, header: bool, out: &mut dyn Write) -> io::Result<()> {
        match format {
            Format::Table => self.write_tabbed(header, out),
            Format::PrettyTable => self.write_drawn(out),
            Format::Json => self.write_json(out),
            Format::JsonStream => self.objects().try_for_each(|object| writeln!(out, "{object}")),
            Format::Csv => self.write_csv(header, out),
        }
    }

    fn write_tabbed(&self, header: bool, out: &mut dyn Write) -> io::Result<()> {
        if header && !self.rows.is_empty() {
            writeln!(out, "{}", self.columns.join("\t"))?;
        }
        for row in &self.rows {
            let fields: Vec<String> = row.iter().map(plain).collect();
            writeln!(out, "{}", fields.join("\t"))?;
        }
        Ok(())
    }

    fn write_drawn(&self, out: &mut dyn Write) -> io::Result<()> {
        let cells: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(plain).collect()).collect();
        let width = |index: usize, name: &String| {
            let widest = cells.iter().filter_map(|row| row.get(index)).map(|cell| cell.chars().count()).max();
            widest.unwrap_or(0).max(name.chars().count())
        };
        let widths: Vec<usize> = self.columns.iter().enumerate().map(|(index, name)| width(index, name)).collect();
        let rule = |left: char, middle: char, right: char| {
            let bars: Vec<String> = widths.iter().map(|width| "─".repeat(width + 2)).collect();
            format!("{left}{}{right}", bars.join(&middle.to_string()))
        };
        let line = |cells: &[String]| {
            let padded = cells.iter().zip(&widths).map(|(cell, width)| format!(" {cell:width$} "));
            format!("│{}│", padded.collect::<Vec<_>>().join("│"))
        };
        writeln!(out, "{}\n{}", rule('┌', '┬', '┐'), line(&self.columns))?;
        for row in &cells {
            writeln!(out, "{}\n{}", rule('├', '┼', '┤'), line(row))?;
        }
        writeln!(out, "{}", rule('└', '┴', '┘'))
    }

    fn write_json(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "[")?;
        for (index, object) in self.objects().enumerate() {
            writeln!(out, "{}{object}", if index == 0 { "" } else { "," })?;
        }
        writeln!(out, "]")
    }

    fn write_csv(&self, header: bool, out: &mut dyn Write) -> io::Result<()> {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        if header {
            let names: Vec<String> = self.columns.iter().map(|name| quoted(name)).collect();
            writeln!(out, "{}", names.join(","))?;
        }
        for row in &self.rows {
            let field = |value: &Value| if value.is_number() { plain(value) } else { quoted(&plain(value)) };
            let fields: Vec<String> = row.iter().map(field).collect();
            writeln!(out, "{}", fields.join(","))?;
        }
        Ok(())
    }

    fn objects(&self) -> impl Iterator<Item = Value> {
        self.rows.iter().map(|row| {
            let fields = self.columns.iter().cloned().zip(row.iter().cloned());
            Value::Object(fields.collect::<Map<_, _>>())
        })
    }
}

/// A value in a table for people: text as it is, lists as `[a, b]`, tables as `[{"name",value}]`, nothing for null.
/// Control characters, which could draw something else on a terminal, are escaped.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => printable(text).replace('\n', "\\n"),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| format!("{{{},{value}}}", Value::from(name.as_str()));
            format!("[{}]", fields.iter().map(field).collect::<Vec<_>>().join(","))
        }
    }
}

/// The text with its control characters escaped, line ends apart.
pub fn printable(text: &str) -> String {
    let is_bad = |c: char| c.is_control() && c != '\n';
    let escape = |c: char| if is_bad(c) { c.escape_default().to_string() } else { c.to_string() };
    if text.chars().any(is_bad) { text.chars().map(escape).collect() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table() -> Table {
        Table {
            columns: vec!["name".into(), "messages".into(), "arguments".into()],
            rows: vec![
                vec![json!("a"), json!(1), json!({})],
                vec![json!("say \"x\",\u{1b}[2J"), json!(null), json!({"x-max-length": 5, "x-mode": "lazy"})],
            ],
        }
    }

    fn check(format: Format, header: bool, expected: &str) {
        let mut out = Vec::new();
        table().write(format, header, &mut out).expect("a vector takes everything");
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }

    #[test]
    fn formats() {
        check(
            Format::Table,
            true,
            "name\tmessages\targuments\na\t1\t[]\n\
             say \"x\",\\u{1b}[2J\t\t[{\"x-max-length\",5},{\"x-mode\",\"lazy\"}]\n",
        );
        check(
            Format::Csv,
            true,
            "\"name\",\"messages\",\"arguments\"\n\"a\",1,\"[]\"\n\
             \"say \"\"x\"\",\\u{1b}[2J\",\"\",\"[{\"\"x-max-length\"\",5},{\"\"x-mode\"\",\"\"lazy\"\"}]\"\n",
        );
        let json = "[\n{\"arguments\":{},\"messages\":1,\"name\":\"a\"}\n\
                    ,{\"arguments\":{\"x-max-length\":5,\"x-mode\":\"lazy\"},\"messages\":null,\
                    \"name\":\"say \\\"x\\\",\\u001b[2J\"}\n]\n";
        check(Format::Json, false, json);
    }

    #[test]
    fn a_drawn_table() {
        let table =
            Table { columns: vec!["user".into(), "tags".into()], rows: vec![vec![json!("lwq"), json!(["a", "b"])]] };
        let mut out = Vec::new();
        table.write(Format::PrettyTable, true, &mut out).expect("a vector takes everything");
        let expected =
            "┌──────┬────────┐\n│ user │ tags   │\n├──────┼────────┤\n│ lwq  │ [a, b] │\n└──────┴────────┘\n";
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }

    #[test]
    fn an_empty_table_has_no_header_for_people_and_is_valid_json() {
        let write = |format| {
            let mut out = Vec::new();
            Table { columns: vec!["name".into()], rows: vec![] }.write(format, true, &mut out).expect("taken");
            String::from_utf8(out).expect("text")
        };
        assert_eq!(write(Format::Table), "");
        assert_eq!(write(Format::Json), "[\n]\n");
    }
}
