//! Who may do what: the rights.

/// One of the three rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// Create and delete.
    Configure,
    /// Put messages or bindings in.
    Write,
    /// Take messages or bindings out.
    Read,
}

impl Right {
    /// The word in texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}
