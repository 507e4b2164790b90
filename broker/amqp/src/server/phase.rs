//! The states of a connection.
//!
//! ```text
//! Header ─header─► Starting ─start-ok─► Deciding ─accept_login─► Tuning ─tune-ok─► Opening ─open─► Entering ─accept_open─► Running
//!    │                          challenge │  ▲ secure-ok                                                     block │ ▲ unblock
//!    ▼                                    ▼  │                                                                     ▼ │
//!  Closed                              Securing                                                                  Blocked
//!
//! any after Header: close received ─► Leaving ─close_ok─► Closed;  close sent ─► Closing ─close-ok─► Closed;  framing lost ─► Lost
//! ```

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The eight bytes of the protocol header are due.
    Header,
    /// connection.start was sent.
    Starting,
    /// The shell checks who it is.
    Deciding,
    /// connection.secure was sent.
    Securing,
    /// connection.tune was sent.
    Tuning,
    /// connection.open is due.
    Opening,
    /// The shell checks whether the vhost may be entered.
    Entering,
    /// Channels may be used.
    Running,
    /// As running, while an alarm holds up publishing.
    Blocked,
    /// The client sent connection.close and the shell cleans up.
    Leaving,
    /// We sent connection.close and the client has not agreed yet.
    Closing,
    /// We sent connection.close and cannot tell frames apart any more.
    Lost,
    /// It is over.
    Closed,
}

impl Phase {
    /// The name in RabbitMQ's error texts and in its management API.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Header | Self::Starting | Self::Deciding => "starting",
            Self::Securing => "securing",
            Self::Tuning => "tuning",
            Self::Opening | Self::Entering => "opening",
            Self::Running => "running",
            Self::Blocked => "blocked",
            Self::Leaving | Self::Closing | Self::Lost => "closing",
            Self::Closed => "closed",
        }
    }

    /// Whether channels may be used.
    #[inline]
    pub(super) fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::Blocked)
    }

    /// "After sending this method, any received methods except Close and Close-OK MUST be discarded."
    #[inline]
    pub(super) fn is_closing(self) -> bool {
        matches!(self, Self::Leaving | Self::Closing | Self::Lost | Self::Closed)
    }

    /// Whether nothing that comes in is looked at: what follows the client's close "is dropped" too.
    #[inline]
    pub(super) fn is_deaf(self) -> bool {
        matches!(self, Self::Leaving | Self::Lost | Self::Closed)
    }
}
