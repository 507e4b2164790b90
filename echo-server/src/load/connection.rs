//! One connection under load: keeps its depth of requests under way and checks the answers.
//!
//! It never waits for a write. As long as something it sent is under way an answer will come, and reading that makes room:
//! so no size and no depth can leave both sides waiting for each other.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use leveret_runtime::net::TcpStream;
use leveret_runtime::time;

use super::pattern::Pattern;
use super::tally::Tally;

/// How long the next answer may take before it counts as lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where in the pattern a connection starts, times its number: others' bytes are not its own.
const STAGGER: u64 = 1_009;

/// What all connections do.
pub(super) struct Load {
    pub(super) pattern: Pattern,
    /// Bytes of a request.
    pub(super) size: u64,
    /// Requests under way on each connection.
    pub(super) depth: usize,
    /// When the last request is sent.
    pub(super) until: Instant,
    pub(super) tally: Rc<Tally>,
}

/// Why a connection ended before its time.
#[derive(Debug)]
pub(super) enum Failure {
    Io(io::Error),
    /// The server closed with so many bytes not answered.
    Closed {
        missing: u64,
    },
    /// The answer differs from the request at this byte of all that was sent.
    Mismatch {
        at: u64,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Io(error) => write!(f, "{error}"),
            Failure::Closed { missing } => write!(f, "the server closed it; {missing} bytes did not come back"),
            Failure::Mismatch { at } => write!(f, "byte {at} did not come back as it was sent"),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Io(error)
    }
}

pub(super) struct Connection<'a> {
    stream: TcpStream,
    load: &'a Load,
    /// Where in the pattern the first byte is.
    origin: u64,
    /// Bytes of all requests so far, whether written or waiting to be.
    requested: u64,
    written: u64,
    received: u64,
    /// When the requests under way were made, oldest first.
    made: VecDeque<Instant>,
}

impl<'a> Connection<'a> {
    pub(super) fn new(stream: TcpStream, number: usize, load: &'a Load) -> Connection<'a> {
        let origin = number as u64 * STAGGER;
        let made = VecDeque::with_capacity(load.depth);
        Connection { stream, load, origin, requested: 0, written: 0, received: 0, made }
    }

    /// Works until the time is over and every request is answered.
    pub(super) fn work(mut self) -> Result<(), Failure> {
        self.stream.set_read_timeout(Some(PATIENCE))?;
        loop {
            self.make_requests();
            self.write_what_fits()?;
            if self.received == self.requested {
                return Ok(());
            }
            self.take_answers()?;
        }
    }

    /// Makes as many as may be under way; once even if the time is over before the first, so that every connection says
    /// something of the server.
    fn make_requests(&mut self) {
        let now = time::now();
        if now < self.load.until || self.requested == 0 {
            while self.made.len() < self.load.depth {
                self.requested += self.load.size;
                self.made.push_back(now);
            }
        }
    }

    fn write_what_fits(&mut self) -> io::Result<()> {
        while self.written < self.requested {
            let stretch = self.load.pattern.stretch(self.origin + self.written, self.requested - self.written);
            match self.stream.try_write(stretch) {
                Ok(count) => self.written += count as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take_answers(&mut self) -> Result<(), Failure> {
        let (pattern, offset) = (&self.load.pattern, self.origin + self.received);
        let taken = self.stream.read_with(|bytes| (bytes.len() as u64, pattern.first_difference(offset, bytes)))?;
        match taken {
            (0, _) => Err(Failure::Closed { missing: self.requested - self.received }),
            (_, Some(at)) => Err(Failure::Mismatch { at: self.received + at }),
            (count, None) if self.received + count > self.written => Err(Failure::Mismatch { at: self.written }),
            (count, None) => {
                self.received += count;
                self.note_answers();
                Ok(())
            }
        }
    }

    fn note_answers(&mut self) {
        let now = time::now();
        let under_way = (self.requested - self.received).div_ceil(self.load.size) as usize;
        while self.made.len() > under_way {
            if let Some(made) = self.made.pop_front() {
                self.load.tally.note_answer(now.saturating_duration_since(made));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use leveret_runtime::net::TcpListener;
    use leveret_runtime::{run, spawn};

    use super::*;

    /// Puts a short load on a server made of `serve`, and gives the number of answers or the failure.
    fn check(size: u64, depth: usize, serve: fn(TcpStream)) -> Result<u64, String> {
        run(move || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let server = spawn(move || serve(listener.accept().unwrap().0));
            let tally = Rc::new(Tally::new());
            let until = time::now() + Duration::from_millis(20);
            let load = Load { pattern: Pattern::new(), size, depth, until, tally: tally.clone() };
            let ended = Connection::new(stream, 7, &load).work();
            server.join().unwrap();
            ended.map(|()| tally.requests()).map_err(|failure| failure.to_string())
        })
        .unwrap()
    }

    fn echo(mut stream: TcpStream) {
        while stream.read_with(|bytes| (&stream).write_all(bytes).map(|()| bytes.len())).unwrap().unwrap() > 0 {}
        stream.flush().unwrap();
    }

    #[test]
    fn an_honest_server_passes_at_any_size_and_depth() {
        for (size, depth) in [(1, 1), (64, 16), (65_521, 3), (1 << 20, 8)] {
            let answers = check(size, depth, echo).unwrap();
            assert!(answers >= depth as u64, "{size}x{depth}: {answers}");
        }
    }

    #[test]
    fn a_wrong_byte_is_noticed() {
        let failure = check(64, 4, |mut stream| {
            let mut bytes = [0; 64];
            stream.read_exact(&mut bytes).unwrap();
            stream.write_all(&bytes).unwrap();
            stream.read_exact(&mut bytes).unwrap();
            bytes[5] ^= 1;
            stream.write_all(&bytes).unwrap();
        });
        assert_eq!(failure.unwrap_err(), "byte 69 did not come back as it was sent");
    }

    #[test]
    fn more_than_was_sent_is_noticed() {
        let failure = check(64, 1, |mut stream| {
            let mut bytes = [0; 64];
            stream.read_exact(&mut bytes).unwrap();
            let next = Pattern::new().stretch(7 * STAGGER + 64, 1).to_vec();
            stream.write_all(&[&bytes[..], &next].concat()).unwrap();
        });
        assert_eq!(failure.unwrap_err(), "byte 64 did not come back as it was sent");
    }

    #[test]
    fn a_server_that_goes_away_is_noticed() {
        let failure = check(64, 2, |mut stream| {
            let mut bytes = [0; 128];
            stream.read_exact(&mut bytes).unwrap();
            stream.write_all(&bytes[..100]).unwrap();
        });
        assert!(failure.unwrap_err().contains("did not come back"));
    }
}
