//! What the shell calls: its decisions, turned into frames and states.
//!
//! Calls that come too late, because the connection or channel is closing already, do nothing: the shell need not ask first.

use super::Connection;
use super::channels::Channel;
use super::phase::Phase;
use crate::error::ProtocolError;
use crate::frame::write_method;
use crate::method::{channel, connection};
use crate::reply::ReplyCode;

/// How much an error closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// One channel: clean it up.
    Channel,
    /// The whole connection: clean all up.
    Connection,
}

impl Connection {
    /// Asks the client for another round of its mechanism; answers [`Event::Login`](super::Event::Login).
    pub fn challenge(&mut self, challenge: &[u8], out: &mut Vec<u8>) {
        if self.phase == Phase::Deciding {
            self.phase = Phase::Securing;
            write_method(out, 0, &connection::Secure { challenge });
        }
    }

    /// Lets the client in and proposes limits; answers [`Event::Login`](super::Event::Login).
    pub fn accept_login(&mut self, out: &mut Vec<u8>) {
        if self.phase == Phase::Deciding {
            self.phase = Phase::Tuning;
            write_method(out, 0, &self.settings.limits.tune());
        }
    }

    /// Turns the client away; answers [`Event::Login`](super::Event::Login).
    ///
    /// Returns whether connection.close was sent, which only clients get that announced `authentication_failure_close`. RabbitMQ
    /// closes the socket after 3 s in both cases.
    pub fn refuse_login(&mut self, mechanism: &str, out: &mut Vec<u8>) -> bool {
        if self.phase != Phase::Deciding {
            return false;
        }
        if !self.capabilities.authentication_failure_close {
            self.phase = Phase::Closed;
            return false;
        }
        let text = format_args!(
            "Login was refused using authentication mechanism {mechanism}. For details see the broker logfile."
        );
        self.close_connection(&ProtocolError::new(ReplyCode::AccessRefused, text), out);
        true
    }

    /// Lets the client into the vhost; answers [`Event::Open`](super::Event::Open).
    pub fn accept_open(&mut self, out: &mut Vec<u8>) {
        if self.phase == Phase::Entering {
            self.phase = Phase::Running;
            write_method(out, 0, &connection::OpenOk {});
        }
    }

    /// Takes a new secret; answers [`Event::UpdateSecret`](super::Event::UpdateSecret).
    pub fn accept_secret(&mut self, out: &mut Vec<u8>) {
        if self.phase.is_running() {
            write_method(out, 0, &connection::UpdateSecretOk {});
        }
    }

    /// Tells the client, if it wants to know, that publishing is held up. Returns whether it was told.
    pub fn block(&mut self, reason: &str, out: &mut Vec<u8>) -> bool {
        if self.phase != Phase::Running {
            return false;
        }
        self.phase = Phase::Blocked;
        if self.capabilities.connection_blocked {
            write_method(out, 0, &connection::Blocked { reason });
        }
        self.capabilities.connection_blocked
    }

    /// Ends what [`block`](Self::block) began. Returns whether the client was told.
    pub fn unblock(&mut self, out: &mut Vec<u8>) -> bool {
        if self.phase != Phase::Blocked {
            return false;
        }
        self.phase = Phase::Running;
        if self.capabilities.connection_blocked {
            write_method(out, 0, &connection::Unblocked {});
        }
        self.capabilities.connection_blocked
    }

    /// Opens a channel; answers [`Event::ChannelOpen`](super::Event::ChannelOpen).
    pub fn accept_channel(&mut self, number: u16, out: &mut Vec<u8>) {
        if self.phase.is_running() && number != 0 && self.channels.find_mut(number).is_none() {
            self.channels.open(number);
            write_method(out, number, &channel::OpenOk {});
        }
    }

    /// Ends a channel at the client's wish; answers [`Event::ChannelClose`](super::Event::ChannelClose). Has to be the last
    /// thing that is written on the channel; the number may be used again at once.
    pub fn channel_close_ok(&mut self, number: u16, out: &mut Vec<u8>) {
        if matches!(self.channels.find_mut(number), Some(Channel::Leaving)) {
            self.channels.remove(number);
            write_method(out, number, &channel::CloseOk {});
        }
    }

    /// Closes a channel over a soft error. The client's frames on it are thrown away from now on.
    pub fn close_channel(&mut self, number: u16, error: &ProtocolError, out: &mut Vec<u8>) {
        if self.channels.close(number) {
            let &ProtocolError { code, ref text, class_id, method_id } = error;
            let close = channel::Close { reply_code: code.code(), reply_text: text, class_id, method_id };
            write_method(out, number, &close);
        }
    }

    /// Closes what the error's code asks for: the channel, or for hard errors and on channel 0 the connection.
    pub fn refuse(&mut self, number: u16, error: &ProtocolError, out: &mut Vec<u8>) -> Reach {
        if number == 0 || error.is_hard() {
            self.close_connection(error, out);
            Reach::Connection
        } else {
            self.close_channel(number, error, out);
            Reach::Channel
        }
    }

    /// Closes the connection over an error, or at an operator's wish. All channels are gone with it.
    pub fn close_connection(&mut self, error: &ProtocolError, out: &mut Vec<u8>) {
        if self.phase.is_closing() {
            return;
        }
        self.channels.clear();
        if self.phase == Phase::Header {
            // Nobody who has not even greeted is sent a frame.
            self.phase = Phase::Closed;
            return;
        }
        self.phase = Phase::Closing;
        let &ProtocolError { code, ref text, class_id, method_id } = error;
        let close = connection::Close { reply_code: code.code(), reply_text: text, class_id, method_id };
        write_method(out, 0, &close);
    }

    /// Agrees to the client's close; answers [`Event::CloseRequested`](super::Event::CloseRequested). Has to be the last thing
    /// that is written; then close the socket.
    pub fn close_ok(&mut self, out: &mut Vec<u8>) {
        if self.phase == Phase::Leaving {
            self.phase = Phase::Closed;
            write_method(out, 0, &connection::CloseOk {});
        }
    }
}
