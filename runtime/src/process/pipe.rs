//! The ends of a child's standard streams that are ours.
//!
//! Only our end is non-blocking: the child's is another open file, and stays as programs expect it.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use mio::unix::pipe::{Receiver, Sender};

use crate::readiness::{Direction, Limit, Registration};

/// A registered, non-blocking end of a pipe.
struct Pipe<P> {
    /// Dropped first: deregistration comes before close.
    registration: Registration,
    inner: P,
}

impl<P: AsRawFd> Pipe<P> {
    fn new(inner: P) -> io::Result<Pipe<P>> {
        Ok(Pipe { registration: Registration::new(inner.as_raw_fd())?, inner })
    }
}

impl<P> Pipe<P>
where
    for<'a> &'a P: Read,
{
    fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len();
        self.registration.transfer(Direction::Read, wanted, || Limit::NONE, || (&self.inner).read(buffer))
    }

    fn read_vectored(&self, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        self.registration.transfer(Direction::Read, wanted, || Limit::NONE, || (&self.inner).read_vectored(slices))
    }
}

/// The pipe from a child's standard output. A read parks until there is something, or the end.
///
/// A kill or an expired `timeout` strikes at the wait and leaves the pipe as it is.
///
/// ```
/// use std::io::{BufRead, BufReader};
/// use leveret_runtime::process::{Command, Stdio};
/// # leveret_runtime::run(|| {
/// let mut child = Command::new("printf").arg("one\ntwo\n").stdout(Stdio::piped()).spawn().unwrap();
/// let lines = BufReader::new(child.stdout.take().unwrap()).lines(); // any library that reads
/// assert_eq!(lines.map(Result::unwrap).collect::<Vec<_>>(), ["one", "two"]);
/// assert!(child.wait().unwrap().success());
/// # }).unwrap();
/// ```
pub struct ChildStdout {
    pipe: Pipe<Receiver>,
}

/// The pipe from a child's standard error, as [`ChildStdout`].
///
/// ```
/// use std::io::Read;
/// use leveret_runtime::process::{Command, Stdio};
/// # leveret_runtime::run(|| {
/// let mut child = Command::new("sh").args(["-c", "echo oops >&2"]).stderr(Stdio::piped()).spawn().unwrap();
/// let mut complaint = String::new();
/// child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
/// assert_eq!(complaint, "oops\n");
/// child.wait().unwrap();
/// # }).unwrap();
/// ```
pub struct ChildStderr {
    pipe: Pipe<Receiver>,
}

/// The pipe to a child's standard input. A write parks while the pipe is full; dropping it is the end that the child reads.
///
/// Writing to a child that has closed its end is a `BrokenPipe` error (Rust programs ignore SIGPIPE). A kill or an expired
/// `timeout` strikes at the wait and leaves the pipe as it is.
///
/// ```
/// use std::io::{ErrorKind, Write};
/// use leveret_runtime::process::{Command, Stdio};
/// # leveret_runtime::run(|| {
/// let mut child = Command::new("true").stdin(Stdio::piped()).spawn().unwrap();
/// let mut input = child.stdin.take().unwrap();
/// child.wait().unwrap(); // it has read nothing, and is gone
/// assert_eq!(input.write_all(b"too late").unwrap_err().kind(), ErrorKind::BrokenPipe);
/// # }).unwrap();
/// ```
pub struct ChildStdin {
    pipe: Pipe<Sender>,
}

macro_rules! readable_end {
    ($End:ident, $Std:ty) => {
        impl $End {
            pub(super) fn new(end: $Std) -> io::Result<$End> {
                let receiver = Receiver::from(end);
                receiver.set_nonblocking(true)?;
                Ok($End { pipe: Pipe::new(receiver)? })
            }
        }

        impl Read for &$End {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.pipe.read(buffer)
            }

            fn read_vectored(&mut self, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.pipe.read_vectored(slices)
            }
        }

        impl Read for $End {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                (&*self).read(buffer)
            }

            fn read_vectored(&mut self, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                (&*self).read_vectored(slices)
            }
        }
    };
}

macro_rules! end_traits {
    ($($End:ident),*) => {
        $(
            impl $End {
                /// Where the pipe's readiness is kept; for waiting on several things at once.
                pub(crate) fn registration(&self) -> &Registration {
                    &self.pipe.registration
                }
            }

            impl AsFd for $End {
                fn as_fd(&self) -> BorrowedFd<'_> {
                    self.pipe.inner.as_fd()
                }
            }

            impl fmt::Debug for $End {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.debug_struct(stringify!($End)).field("fd", &self.pipe.inner.as_raw_fd()).finish()
                }
            }
        )*
    };
}

readable_end!(ChildStdout, std::process::ChildStdout);
readable_end!(ChildStderr, std::process::ChildStderr);
end_traits!(ChildStdin, ChildStdout, ChildStderr);

impl ChildStdin {
    pub(super) fn new(end: std::process::ChildStdin) -> io::Result<ChildStdin> {
        let sender = Sender::from(end);
        sender.set_nonblocking(true)?;
        Ok(ChildStdin { pipe: Pipe::new(sender)? })
    }
}

impl Write for &ChildStdin {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let pipe = &self.pipe;
        pipe.registration.transfer(Direction::Write, bytes.len(), || Limit::NONE, || (&pipe.inner).write(bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let pipe = &self.pipe;
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        pipe.registration.transfer(Direction::Write, wanted, || Limit::NONE, || (&pipe.inner).write_vectored(slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for ChildStdin {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
