//! The observer: a thread that answers questions about a runtime from outside of it, be it by a signal or at its backdoor.
//!
//! It has a runtime of its own, so that it answers even while every shard that it is asked about is held by a coroutine which
//! computes, or which blocks its thread: that is when one most wants to know. It ends when the other end of its `stop`
//! socket is closed.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;

use crate::backdoor::Backdoor;
use crate::diagnostics::dump_of;
use crate::net::UnixStream;
use crate::runtime::Shared;
use crate::signal::{Signal, Signals};
use crate::{Group, run};

/// What of a runtime can be asked from outside.
#[derive(Debug)]
pub(crate) struct Observer {
    pub(crate) dump_on: Option<Signal>,
    pub(crate) backdoor: Option<Backdoor>,
}

impl Observer {
    /// The thread's body. Writes a byte to `stop` when it is ready to answer.
    pub(crate) fn observe(self, shared: Arc<Shared>, stop: StdUnixStream) {
        let observed = run(move || {
            let mut stop = UnixStream::from_std(stop)?;
            let group = Group::new();
            if let Some(signal) = self.dump_on {
                let (signals, shared) = (Signals::new([signal])?, shared.clone());
                let _ = group.spawn(move || dump_on_signal(&signals, &shared));
            }
            if let Some(backdoor) = self.backdoor {
                backdoor.open(&group, &shared)?;
            }
            stop.write_all(&[1])?;
            stop.read(&mut [0])
        });
        if let Ok(Err(error)) = observed {
            log::error!("the runtime cannot be asked from outside: {error}");
        }
    }
}

fn dump_on_signal(signals: &Signals, shared: &Shared) {
    while signals.recv().is_ok() {
        eprint!("{}", dump_of(shared, true));
    }
}

/// Starts the observer's thread with `start`; gives what ends it when dropped.
pub(crate) fn begin(start: impl FnOnce(StdUnixStream)) -> std::io::Result<StdUnixStream> {
    let (mut ours, theirs) = StdUnixStream::pair()?;
    start(theirs);
    let mut ready = [0];
    let _ = ours.read(&mut ready)?; // or the end, if it could not begin: it has said so
    Ok(ours)
}
