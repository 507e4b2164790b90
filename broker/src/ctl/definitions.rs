//! Definitions: everything but messages, from and to a file.

use std::io::Read;
use std::path::Path;

use leveret_runtime as runtime;

use super::api::{Failure, exit};
use super::session::{Done, Session};

/// Bytes of a definitions file.
const FILE_SIZE_MAX: u64 = 1 << 30;

fn require_json(format: &str) -> Done {
    match format.to_ascii_lowercase().as_str() {
        "json" => Ok(()),
        other => Err(Failure::new(exit::USAGE, format!("Error: format {other} is not read or written: use json"))),
    }
}

impl Session<'_> {
    pub(super) fn import_definitions(&mut self, file: &Path, format: &str) -> Done {
        require_json(format)?;
        let text = match file.to_str() {
            Some("-") => self.read_input()?,
            _ => runtime::fs::read_to_string(file).map_err(|error| {
                let text = format!("Error (argument validation): cannot read {}: {error}", file.display());
                Failure::new(exit::DATA, text)
            })?,
        };
        self.say(&format!("Importing definitions in JSON from a file at \"{}\" ...", file.display()))?;
        let definitions = super::session::json(&text)?;
        self.post("/api/definitions".into(), definitions)?;
        self.say("Successfully imported definitions")
    }

    pub(super) fn export_definitions(&mut self, file: &Path, format: &str) -> Done {
        require_json(format)?;
        let definitions = self.get("/api/definitions".into())?;
        if file.to_str() == Some("-") {
            return self.print(&definitions.to_string());
        }
        self.say(&format!("Exporting definitions in JSON to a file at \"{}\" ...", file.display()))?;
        runtime::fs::write(file, definitions.to_string())
            .map_err(|error| Failure::new(exit::SOFTWARE, format!("Error: cannot write {}: {error}", file.display())))
    }

    fn read_input(&mut self) -> Result<String, Failure> {
        let mut text = String::new();
        (&mut *self.input).take(FILE_SIZE_MAX).read_to_string(&mut text)?;
        Ok(text)
    }
}
