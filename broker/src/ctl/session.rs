//! What every command works with: the API, the options, and where it writes.

use std::io::{Read, Write};

use serde_json::Value;

use super::api::{Answer, Api, Failure, Request, exit, segment};
use super::format::Table;
use super::options::Global;

/// What a command ends with.
pub type Done = Result<(), Failure>;

/// See the module's description.
pub struct Session<'a> {
    /// Whoever answers.
    pub api: &'a mut dyn Api,
    /// Options of all commands.
    pub options: &'a Global,
    /// Standard output.
    pub out: &'a mut dyn Write,
    /// Standard input, for passwords and definitions.
    pub input: &'a mut dyn Read,
}

impl Session<'_> {
    /// The virtual host as a segment of a path.
    pub fn vhost(&self) -> String {
        segment(&self.options.vhost)
    }

    /// Says what is being done, unless that is not wanted. Formats for programs get nothing but their data.
    pub fn say(&mut self, text: &str) -> Done {
        use super::format::Format::{Csv, Json, JsonStream};
        let is_for_programs = matches!(self.options.formatter, Json | JsonStream | Csv);
        if self.options.quiet || self.options.silent || is_for_programs {
            return Ok(());
        }
        self.print(text)
    }

    /// Writes a line.
    pub fn print(&mut self, text: &str) -> Done {
        writeln!(self.out, "{text}")?;
        Ok(())
    }

    /// Writes a table in the format that was asked for.
    pub fn show(&mut self, table: &Table) -> Done {
        let header = !self.options.no_table_headers && !self.options.silent;
        table.write(self.options.formatter, header, self.out)?;
        Ok(())
    }

    /// The `columns` of each of `objects`, found by `field`.
    pub fn show_objects(&mut self, objects: &Value, columns: &[String], field: impl Fn(&Value, &str) -> Value) -> Done {
        let objects = objects.as_array().map(Vec::as_slice).unwrap_or_default();
        let row = |object| columns.iter().map(|column| field(object, column)).collect();
        self.show(&Table { columns: columns.to_vec(), rows: objects.iter().map(row).collect() })
    }

    /// Sends a request whatever the answer is.
    pub fn call(&mut self, method: &'static str, path: String, body: Option<Value>) -> Result<Answer, Failure> {
        self.send(Request { method, path, body, reason: None })
    }

    /// The same with the whole request. A dry run only looks.
    pub fn send(&mut self, request: Request) -> Result<Answer, Failure> {
        if self.options.dry_run && request.method != "GET" {
            return Ok(Answer { status: 204, body: Value::Null });
        }
        Ok(self.api.call(&request)?)
    }

    /// What is at the path.
    pub fn get(&mut self, path: String) -> Result<Value, Failure> {
        accept(self.call("GET", path, None)?)
    }

    /// Changes what is at the path.
    pub fn put(&mut self, path: String, body: Value) -> Done {
        accept(self.call("PUT", path, Some(body))?).map(drop)
    }

    /// Has something done.
    pub fn post(&mut self, path: String, body: Value) -> Result<Value, Failure> {
        accept(self.call("POST", path, Some(body))?)
    }

    /// Removes what is at the path; `missing` is the failure if it is not there.
    pub fn delete(&mut self, path: String, missing: Failure) -> Done {
        accept_or(self.call("DELETE", path, None)?, missing).map(drop)
    }

    /// What was given, or the next line of standard input.
    pub fn given_or_read(&mut self, given: Option<String>) -> Result<String, Failure> {
        /// Bytes of a password.
        const LINE_MAX: u64 = 64 * 1024;
        if let Some(given) = given {
            return Ok(given);
        }
        let mut text = String::new();
        (&mut *self.input).take(LINE_MAX).read_to_string(&mut text)?;
        let line = text.lines().next().unwrap_or_default();
        match line {
            "" => Err(Failure::new(exit::USAGE, "Error: expected a password as an argument or on standard input")),
            line => Ok(line.to_owned()),
        }
    }
}

/// The answer's body, or why there is none.
pub fn accept(answer: Answer) -> Result<Value, Failure> {
    accept_or(answer.clone(), Failure::new(exit::DATA, format!("Error:\n{}", reason(&answer.body))))
}

/// The same; `missing` is what 404 means.
pub fn accept_or(answer: Answer, missing: Failure) -> Result<Value, Failure> {
    match answer.status {
        200..=299 => Ok(answer.body),
        404 => Err(missing),
        401 | 403 => Err(Failure::new(exit::UNAVAILABLE, format!("Error: not allowed: {}", reason(&answer.body)))),
        _ => Err(Failure::new(exit::UNAVAILABLE, format!("Error:\n{}", reason(&answer.body)))),
    }
}

/// The text of an answer that refuses.
pub fn reason(body: &Value) -> String {
    match (body.get("reason"), body) {
        (Some(Value::String(reason)), _) | (None, Value::String(reason)) => super::format::printable(reason),
        (Some(reason), _) => reason.to_string(),
        _ => "the broker gave no reason".into(),
    }
}

/// JSON from the command line.
///
/// # Errors
/// It is not JSON.
pub fn json(text: &str) -> Result<Value, Failure> {
    serde_json::from_str(text)
        .map_err(|error| Failure::new(exit::DATA, format!("Error:\n{text} is not valid JSON: {error}")))
}
