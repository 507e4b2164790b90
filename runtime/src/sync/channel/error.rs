//! Why a value was not sent, or none received. Names and cases are those of std and crossbeam, plus `Unwinding`: a call
//! that would have to wait was made by a destructor while the stack unwinds.

use std::error::Error;
use std::fmt;

use crate::coroutine::park::Unwinding;

const NO_RECEIVER: &str = "sending into a channel without receivers";
const NO_SENDER: &str = "receiving from an empty channel without senders";
const FULL: &str = "sending into a full channel";
const EMPTY: &str = "receiving from an empty channel";
const SEND_LATE: &str = "no room in the channel within the time allowed";
const RECV_LATE: &str = "no value in the channel within the time allowed";

/// The value was not sent.
///
/// ```
/// use leveret_runtime::{spawn, sync::channel::{self, SendError}};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// struct Farewell(channel::Sender<&'static str>);
/// impl Drop for Farewell {
///     fn drop(&mut self) {
///         self.0.send("has room").unwrap();
///         assert_eq!(self.0.send("has none"), Err(SendError::Unwinding("has none"))); // instead of waiting
///     }
/// }
/// let (sender, receiver) = channel::bounded(1);
/// let panics = spawn(move || { let _farewell = Farewell(sender); panic!("ends") });
/// assert!(panics.join().is_err());
/// assert_eq!(receiver.try_recv(), Ok("has room"));
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendError<T> {
    /// Every receiver is gone.
    Disconnected(T),
    /// There is no room, and the stack unwinds.
    Unwinding(T),
}

/// The value was not sent now.
///
/// ```
/// use leveret_runtime::sync::channel::{self, TrySendError};
/// let (sender, _receiver) = channel::bounded(1);
/// sender.try_send(1).unwrap();
/// match sender.try_send(2) {
///     Err(TrySendError::Full(value)) => assert_eq!(value, 2), // later, perhaps
///     Err(TrySendError::Disconnected(_)) | Ok(()) => unreachable!(),
/// }
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// There is no room.
    Full(T),
    /// Every receiver is gone.
    Disconnected(T),
}

/// The value was not sent in time.
///
/// ```
/// use std::time::Duration;
/// use leveret_runtime::sync::channel;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let (sender, _receiver) = channel::bounded(0);
/// let late = sender.send_timeout("order", Duration::from_millis(1)).unwrap_err();
/// assert_eq!(late.into_inner(), "order"); // nothing is lost
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendTimeoutError<T> {
    /// There was no room in time.
    Timeout(T),
    /// Every receiver is gone.
    Disconnected(T),
    /// There is no room, and the stack unwinds.
    Unwinding(T),
}

/// No value was received.
///
/// ```
/// use leveret_runtime::sync::channel;
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let (sender, receiver) = channel::unbounded::<u32>();
/// drop(sender);
/// let error: Box<dyn std::error::Error> = receiver.recv().unwrap_err().into();
/// assert!(error.to_string().contains("without senders"));
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// The channel is empty and every sender is gone.
    Disconnected,
    /// The channel is empty, and the stack unwinds.
    Unwinding,
}

/// No value is there.
///
/// ```
/// use leveret_runtime::sync::channel::{self, TryRecvError};
/// let (_sender, receiver) = channel::unbounded::<u32>();
/// assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// The channel is empty.
    Empty,
    /// The channel is empty and every sender is gone.
    Disconnected,
}

/// No value was received in time.
///
/// ```
/// use std::time::Duration;
/// use leveret_runtime::sync::channel::{self, RecvTimeoutError};
/// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
/// let (_sender, receiver) = channel::unbounded::<u32>();
/// assert_eq!(receiver.recv_timeout(Duration::from_secs(1)), Err(RecvTimeoutError::Timeout));
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// None came in time.
    Timeout,
    /// The channel is empty and every sender is gone.
    Disconnected,
    /// The channel is empty, and the stack unwinds.
    Unwinding,
}

impl<T> SendError<T> {
    /// The value.
    ///
    /// ```
    /// use leveret_runtime::sync::channel::SendError;
    /// assert_eq!(SendError::Disconnected("job").into_inner(), "job");
    /// ```
    pub fn into_inner(self) -> T {
        match self {
            SendError::Disconnected(value) | SendError::Unwinding(value) => value,
        }
    }
}

impl<T> TrySendError<T> {
    /// The value.
    ///
    /// ```
    /// use leveret_runtime::sync::channel::TrySendError;
    /// assert_eq!(TrySendError::Full("job").into_inner(), "job");
    /// ```
    pub fn into_inner(self) -> T {
        match self {
            TrySendError::Full(value) | TrySendError::Disconnected(value) => value,
        }
    }
}

impl<T> SendTimeoutError<T> {
    /// The value.
    ///
    /// ```
    /// use leveret_runtime::sync::channel::SendTimeoutError;
    /// assert_eq!(SendTimeoutError::Timeout("job").into_inner(), "job");
    /// ```
    pub fn into_inner(self) -> T {
        match self {
            SendTimeoutError::Timeout(value)
            | SendTimeoutError::Disconnected(value)
            | SendTimeoutError::Unwinding(value) => value,
        }
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendError::Disconnected(_) => f.write_str(NO_RECEIVER),
            SendError::Unwinding(_) => Unwinding.fmt(f),
        }
    }
}

impl<T> fmt::Display for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TrySendError::Full(_) => f.write_str(FULL),
            TrySendError::Disconnected(_) => f.write_str(NO_RECEIVER),
        }
    }
}

impl<T> fmt::Display for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SendTimeoutError::Timeout(_) => f.write_str(SEND_LATE),
            SendTimeoutError::Disconnected(_) => f.write_str(NO_RECEIVER),
            SendTimeoutError::Unwinding(_) => Unwinding.fmt(f),
        }
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Disconnected => f.write_str(NO_SENDER),
            RecvError::Unwinding => Unwinding.fmt(f),
        }
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryRecvError::Empty => EMPTY,
            TryRecvError::Disconnected => NO_SENDER,
        })
    }
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvTimeoutError::Timeout => f.write_str(RECV_LATE),
            RecvTimeoutError::Disconnected => f.write_str(NO_SENDER),
            RecvTimeoutError::Unwinding => Unwinding.fmt(f),
        }
    }
}

// As in std, the value need not be `Debug` for `unwrap` to work.

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Disconnected(_) => "Disconnected(..)",
            SendError::Unwinding(_) => "Unwinding(..)",
        })
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TrySendError::Full(_) => "Full(..)",
            TrySendError::Disconnected(_) => "Disconnected(..)",
        })
    }
}

impl<T> fmt::Debug for SendTimeoutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendTimeoutError::Timeout(_) => "Timeout(..)",
            SendTimeoutError::Disconnected(_) => "Disconnected(..)",
            SendTimeoutError::Unwinding(_) => "Unwinding(..)",
        })
    }
}

impl<T> Error for SendError<T> {}
impl<T> Error for TrySendError<T> {}
impl<T> Error for SendTimeoutError<T> {}
impl Error for RecvError {}
impl Error for TryRecvError {}
impl Error for RecvTimeoutError {}
