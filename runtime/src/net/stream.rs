//! What every connected byte stream offers, written once: TCP and Unix streams are the same calls on another address family.
//!
//! A macro and not a generic public type, so that each stream is a plain type with std's name whose documentation lists its
//! methods. The work itself is in [`Socket`](super::io::Socket).

/// Gives a type with a field `socket: Socket<_>` the methods and traits of a byte stream.
macro_rules! byte_stream {
    ($Stream:ident) => {
        impl $Stream {
            /// The longest that one read may wait; `None` for ever.
            ///
            /// ```
            /// use std::{io::{ErrorKind, Read}, time::Duration};
            /// use leveret_runtime::net::UnixStream;
            /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
            /// let (mut ours, _theirs) = UnixStream::pair().unwrap();
            /// ours.set_read_timeout(Some(Duration::from_secs(5))).unwrap(); // of each read; around many: `timeout`
            /// assert_eq!(ours.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
            /// assert_eq!(ours.set_read_timeout(Some(Duration::ZERO)).unwrap_err().kind(), ErrorKind::InvalidInput);
            /// # }).unwrap();
            /// ```
            ///
            /// # Errors
            /// Zero is invalid.
            pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                set_timeout(self.socket.read_timeout(), timeout)
            }

            /// The longest that one write may wait; `None` for ever.
            ///
            /// ```
            /// use std::{io::{ErrorKind, Write}, time::Duration};
            /// use leveret_runtime::net::UnixStream;
            /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
            /// let (mut ours, _theirs) = UnixStream::pair().unwrap(); // who does not read
            /// ours.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
            /// let stuck = std::iter::repeat_with(|| ours.write_all(&[0; 65536])).find_map(Result::err).unwrap();
            /// assert_eq!(stuck.kind(), ErrorKind::TimedOut);
            /// # }).unwrap();
            /// ```
            ///
            /// # Errors
            /// Zero is invalid.
            pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                set_timeout(self.socket.write_timeout(), timeout)
            }

            /// The read timeout.
            pub fn read_timeout(&self) -> Option<Duration> {
                self.socket.read_timeout().get().duration()
            }

            /// The write timeout.
            pub fn write_timeout(&self) -> Option<Duration> {
                self.socket.write_timeout().get().duration()
            }

            /// Ends one or both directions.
            ///
            /// ```
            /// use std::{io::{Read, Write}, net::Shutdown};
            /// use leveret_runtime::net::UnixStream;
            /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
            /// let (mut ours, mut theirs) = UnixStream::pair().unwrap();
            /// ours.write_all(b"request").unwrap();
            /// ours.shutdown(Shutdown::Write).unwrap(); // the end of what we say, not of what we hear
            /// let mut request = String::new();
            /// theirs.read_to_string(&mut request).unwrap();
            /// theirs.write_all(b"answer").unwrap();
            /// ours.read_exact(&mut [0; 6]).unwrap();
            /// # }).unwrap();
            /// ```
            ///
            /// # Errors
            /// The kernel's.
            pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
                either!(self.socket.inner(), socket => socket.shutdown(how))
            }

            /// The error that the socket has stored, if any, and forgets it.
            ///
            /// # Errors
            /// The kernel's.
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                either!(self.socket.inner(), socket => socket.take_error())
            }

            /// Parks until a read would not block.
            ///
            /// ```
            /// use std::io::Write;
            /// use leveret_runtime::{net::UnixStream, spawn};
            /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
            /// let (ours, mut theirs) = UnixStream::pair().unwrap();
            /// let writes = spawn(move || { theirs.write_all(b"x").unwrap(); theirs });
            /// ours.wait_readable().unwrap(); // only now a buffer is needed
            /// assert_eq!(ours.try_read(&mut [0; 16]).unwrap(), 1);
            /// drop(writes);
            /// # }).unwrap();
            /// ```
            ///
            /// # Errors
            /// `TimedOut` after the read timeout.
            pub fn wait_readable(&self) -> io::Result<()> {
                self.socket.wait_readable()
            }

            /// Parks until a write would not block.
            ///
            /// ```
            /// use std::io::{Read, Write};
            /// use leveret_runtime::{net::UnixStream, spawn};
            /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
            /// let (ours, mut theirs) = UnixStream::pair().unwrap();
            /// while ours.try_write(&[0; 65536]).is_ok() {} // until it is full
            /// let reads = spawn(move || { let _ = std::io::copy(&mut theirs, &mut std::io::sink()); });
            /// ours.wait_writable().unwrap(); // the reader makes room
            /// assert!(ours.try_write(b"more").is_ok());
            /// drop(ours);
            /// reads.join().unwrap();
            /// # }).unwrap();
            /// ```
            ///
            /// # Errors
            /// `TimedOut` after the write timeout.
            pub fn wait_writable(&self) -> io::Result<()> {
                self.socket.wait_writable()
            }

            /// Parks until the peer is gone: it has ended its sending side (perhaps the whole connection), or the connection
            /// has failed. For whoever does not read from it meanwhile, and so would not notice; bytes that came before may
            /// still wait to be read. One coroutine may wait for this while others read and write.
            ///
            /// A kill or an expired `timeout` strikes here, as at any wait; there is no timeout of its own.
            ///
            /// ```
            /// use std::{io::Write, time::Duration};
            /// use leveret_runtime::{net::UnixStream, select, sleep, spawn};
            /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
            /// let (ours, mut theirs) = UnixStream::pair().unwrap();
            /// let work = spawn(|| sleep(Duration::from_secs(3600))); // for somebody who will not wait so long
            /// let _ = spawn(move || { theirs.write_all(b"hurry").unwrap(); sleep(Duration::from_secs(1)) });
            /// assert!(!ours.peer_closed());
            /// ours.wait_peer_closed().unwrap(); // a second later
            /// assert!(ours.peer_closed());
            /// work.kill();
            /// # }).unwrap();
            /// ```
            ///
            /// # Errors
            /// Another coroutine waits for the same; a destructor calls it while its stack unwinds.
            pub fn wait_peer_closed(&self) -> io::Result<()> {
                self.registration().wait_closed(None)
            }

            /// Whether the peer is gone, as far as the kernel has told this shard by now: see
            /// [`wait_peer_closed`](Self::wait_peer_closed). It costs nothing.
            pub fn peer_closed(&self) -> bool {
                self.registration().is_read_closed()
            }

            /// Reads into a buffer of 64 KiB that the shard lends for as long as `f` runs, so that an idle connection owns no
            /// buffer. `f` gets an empty slice at the end of the stream, and may wait.
            ///
            /// ```
            /// use std::io::Write;
            /// use leveret_runtime::net::UnixStream;
            /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
            /// let (ours, mut theirs) = UnixStream::pair().unwrap();
            /// theirs.write_all(b"PING\r\n").unwrap();
            /// let is_ping = ours.read_with(|bytes| bytes.starts_with(b"PING")).unwrap();
            /// assert!(is_ping);
            /// drop(theirs);
            /// assert!(ours.read_with(|bytes| bytes.is_empty()).unwrap()); // the end
            /// # }).unwrap();
            /// ```
            ///
            /// # Errors
            /// As a read.
            #[inline]
            pub fn read_with<T>(&self, f: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
                self.socket.read_with(f)
            }

            /// As `read_with`, for whoever has kept the beginning of something that was not complete: `f` gets `kept`, of at
            /// most 32 KiB, with what has come behind it; `kept` alone at the end of the stream.
            ///
            /// ```
            /// use std::io::Write;
            /// use leveret_runtime::net::UnixStream;
            /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
            /// let (ours, mut theirs) = UnixStream::pair().unwrap();
            /// theirs.write_all(b"PI").unwrap();
            /// let kept = ours.read_with(|bytes| bytes.to_vec()).unwrap(); // not a whole line yet
            /// theirs.write_all(b"NG\r\n").unwrap();
            /// assert!(ours.read_behind(&kept, |bytes| bytes == b"PING\r\n").unwrap());
            /// # }).unwrap();
            /// ```
            ///
            /// # Errors
            /// As a read.
            ///
            /// # Panics
            /// If `kept` is too long.
            #[inline]
            pub fn read_behind<T>(&self, kept: &[u8], f: impl FnOnce(&[u8]) -> T) -> io::Result<T> {
                self.socket.read_behind(kept, f)
            }

            /// Reads without waiting.
            ///
            /// ```
            /// use std::io::ErrorKind;
            /// use leveret_runtime::net::UnixStream;
            /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
            /// let (ours, theirs) = UnixStream::pair().unwrap();
            /// assert_eq!(ours.try_read(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);
            /// drop(theirs);
            /// ours.wait_readable().unwrap();
            /// assert_eq!(ours.try_read(&mut [0; 16]).unwrap(), 0); // the end
            /// # }).unwrap();
            /// ```
            ///
            /// # Errors
            /// `WouldBlock` when nothing is there.
            pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
                self.socket.try_read(buffer)
            }

            /// Writes without waiting.
            ///
            /// ```
            /// use std::io::ErrorKind;
            /// use leveret_runtime::net::UnixStream;
            /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
            /// let (ours, _theirs) = UnixStream::pair().unwrap();
            /// let full = loop {
            ///     if let Err(error) = ours.try_write(&[0; 65536]) {
            ///         break error;
            ///     }
            /// };
            /// assert_eq!(full.kind(), ErrorKind::WouldBlock);
            /// # }).unwrap();
            /// ```
            ///
            /// # Errors
            /// `WouldBlock` when the socket is full.
            pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
                self.socket.try_send(bytes)
            }

            /// Writes several slices in one system call, without waiting.
            ///
            /// ```
            /// use std::io::{IoSlice, Read};
            /// use leveret_runtime::net::UnixStream;
            /// # leveret_runtime::Runtime::builder().simulated(1).build().unwrap().run(|| {
            /// let (ours, mut theirs) = UnixStream::pair().unwrap();
            /// assert_eq!(ours.try_write_vectored(&[IoSlice::new(b"head"), IoSlice::new(b"body")]).unwrap(), 8);
            /// let mut both = [0; 8];
            /// theirs.read_exact(&mut both).unwrap();
            /// assert_eq!(&both, b"headbody");
            /// # }).unwrap();
            /// ```
            ///
            /// # Errors
            /// `WouldBlock` when the socket is full.
            pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                self.socket.try_send_vectored(slices)
            }
        }

        impl Read for &$Stream {
            #[inline]
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.socket.recv(buffer)
            }

            fn read_vectored(&mut self, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.socket.recv_vectored(slices)
            }
        }

        impl Write for &$Stream {
            #[inline]
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.socket.send(bytes)
            }

            #[inline]
            fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
                self.socket.send_all(bytes)
            }

            fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                self.socket.send_vectored(slices)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }

        impl Read for $Stream {
            #[inline]
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                (&*self).read(buffer)
            }

            fn read_vectored(&mut self, slices: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                (&*self).read_vectored(slices)
            }
        }

        impl Write for $Stream {
            #[inline]
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                (&*self).write(bytes)
            }

            #[inline]
            fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
                (&*self).write_all(bytes)
            }

            fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
                (&*self).write_vectored(slices)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    };
}

/// Gives a type with a field `socket: Socket<_>` its descriptor, its registration and the debug form of its std socket.
macro_rules! socket_traits {
    ($Socket:ident) => {
        impl $Socket {
            /// Where this socket's readiness is kept; for waiting on several things at once.
            #[allow(
                dead_code,
                reason = "what waits on several things asks for it, not every kind of socket is waited for so"
            )]
            pub(crate) fn registration(&self) -> &crate::readiness::Registration {
                self.socket.registration()
            }

            /// What of `wanted` a call would find now.
            #[allow(dead_code, reason = "as above")]
            pub(crate) fn look_now(&self, wanted: crate::readiness::Ready) -> io::Result<crate::readiness::Ready> {
                self.socket.inner().look(wanted)
            }
        }

        /// # Panics
        /// On the simulated driver, whose sockets have no descriptor.
        impl AsFd for $Socket {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.socket.as_fd()
            }
        }

        /// # Panics
        /// On the simulated driver, whose sockets have no descriptor.
        impl AsRawFd for $Socket {
            fn as_raw_fd(&self) -> RawFd {
                self.socket.inner().os().as_raw_fd()
            }
        }

        impl fmt::Debug for $Socket {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.socket.inner().fmt(f)
            }
        }
    };
}

pub(crate) use {byte_stream, socket_traits};
