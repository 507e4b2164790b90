//! Frames on channels: opening, methods, contents, and channels that are closing.

use super::channels::Channel;
use super::publish::Incoming;
use super::{Advance, Arrival, Connection, Event, Publish, Sink, decode, method_ids};
use crate::content::{LookAhead, Progress, look_ahead};
use crate::error::ProtocolError;
use crate::frame::{Frame, FrameKind, write_method};
use crate::method::{DecodeFields, Method, access, basic, channel, split_ids};
use crate::reply::ReplyCode;

/// Ids of the methods that are recognised without decoding them.
const BASIC_PUBLISH: (u16, u16) = (60, 40);
const BASIC_ACK: (u16, u16) = (60, 80);
const CHANNEL_OPEN: (u16, u16) = (20, 10);
const CHANNEL_CLOSE: (u16, u16) = (20, 40);
const CHANNEL_CLOSE_OK: (u16, u16) = (20, 41);
/// "RabbitMQ ignores tickets": everybody is given this one.
const TICKET: u16 = 1;

impl Connection {
    #[inline]
    pub(super) fn take_channel_frame<'i>(
        &mut self,
        arrival: &Arrival<'i>,
        sink: &mut Sink<'_, 'i>,
    ) -> Result<Advance, ProtocolError> {
        match self.channels.find_mut(arrival.frame.channel) {
            Some(Channel::Open(None)) => self.take_channel_method(arrival, sink),
            Some(Channel::Open(Some(_))) => self.take_content(arrival, sink),
            Some(Channel::Leaving) => Ok(arrival.skip()),
            Some(Channel::Closing { .. }) => self.take_frame_of_closing_channel(arrival, sink),
            None => self.take_channel_open(arrival, sink),
        }
    }

    /// A frame on an open channel that is not in the middle of a content.
    #[inline]
    fn take_channel_method<'i>(
        &mut self,
        arrival: &Arrival<'i>,
        sink: &mut Sink<'_, 'i>,
    ) -> Result<Advance, ProtocolError> {
        let (class_id, method_id, fields) = method_due(&arrival.frame)?;
        let (number, size) = (arrival.frame.channel, arrival.size);
        // The two that come once per message are decoded by themselves, which saves moving the large enum of all methods.
        let undecodable = |error| ProtocolError::undecodable(error, class_id, method_id, fields);
        if (class_id, method_id) == BASIC_PUBLISH {
            let publish = basic::Publish::decode_fields(fields).map_err(undecodable)?;
            return Ok(self.take_publish(&publish, arrival, sink));
        }
        if (class_id, method_id) == BASIC_ACK {
            let ack = basic::Ack::decode_fields(fields).map_err(undecodable)?;
            return Ok(sink.tell(size, Event::Method { channel: number, method: Method::BasicAck(ack) }));
        }
        self.take_other_channel_method(decode(class_id, method_id, fields)?, arrival, sink)
    }

    fn take_other_channel_method<'i>(
        &mut self,
        method: Method<'i>,
        arrival: &Arrival<'i>,
        sink: &mut Sink<'_, 'i>,
    ) -> Result<Advance, ProtocolError> {
        let (number, size) = (arrival.frame.channel, arrival.size);
        match method {
            Method::ChannelOpen(open) => Err(channel_error("second 'channel.open' seen").blame(&open)),
            Method::ChannelClose(close) => {
                self.channels.leave(number);
                Ok(sink.tell(size, Event::ChannelClose { channel: number, close }))
            }
            Method::ChannelFlow(flow) => {
                answer_flow(flow, number, sink.out)?;
                Ok(arrival.skip())
            }
            Method::AccessRequest(_) => {
                write_method(sink.out, number, &access::RequestOk { ticket: TICKET });
                Ok(arrival.skip())
            }
            // The answer to a cancel of ours, which asked for none but may get one.
            Method::BasicCancelOk(_) => Ok(arrival.skip()),
            method if is_for_shell(&method) => Ok(sink.tell(size, Event::Method { channel: number, method })),
            other => Err(ProtocolError::new(ReplyCode::CommandInvalid, "unimplemented method").blame(&other)),
        }
    }

    #[inline]
    fn take_publish<'i>(
        &mut self,
        publish: &basic::Publish<'i>,
        arrival: &Arrival<'i>,
        sink: &mut Sink<'_, 'i>,
    ) -> Advance {
        let (number, size) = (arrival.frame.channel, arrival.size);
        match look_ahead(arrival.behind(), number, self.payload_max, self.settings.limits.body_size_max) {
            LookAhead::Whole { properties, body, size: content_size } => {
                let message = Publish {
                    channel: number,
                    exchange: publish.exchange.into(),
                    routing_key: publish.routing_key.into(),
                    mandatory: publish.mandatory,
                    immediate: publish.immediate,
                    properties,
                    body: body.into(),
                };
                sink.tell(size + content_size, Event::Publish(message))
            }
            LookAhead::Wait { size: content_size } => Advance::Need { size: size + content_size },
            LookAhead::Apart => {
                if let Some(Channel::Open(content)) = self.channels.find_mut(number) {
                    *content = Some(Box::new(Incoming::new(publish)));
                }
                arrival.skip()
            }
        }
    }

    /// A frame on a channel that is in the middle of a content.
    fn take_content<'i>(&mut self, arrival: &Arrival<'i>, sink: &mut Sink<'_, 'i>) -> Result<Advance, ProtocolError> {
        let (number, size) = (arrival.frame.channel, arrival.size);
        let body_size_max = self.settings.limits.body_size_max;
        let Some(Channel::Open(content)) = self.channels.find_mut(number) else { return Ok(arrival.skip()) };
        let Some(mut incoming) = content.take() else { return Ok(arrival.skip()) };
        match incoming.take(&arrival.frame, body_size_max)? {
            Progress::Continue => {
                *content = Some(incoming);
                Ok(arrival.skip())
            }
            Progress::Complete => Ok(sink.tell(size, Event::Publish(incoming.finish(number)))),
            Progress::TooLarge(error) => {
                self.close_channel(number, &error, sink.out);
                Ok(sink.tell(size, Event::ChannelFault { channel: number, error }))
            }
        }
    }

    /// A frame on a channel that we closed and that the client has not agreed about: all but its end is thrown away.
    fn take_frame_of_closing_channel<'i>(
        &mut self,
        arrival: &Arrival<'i>,
        sink: &mut Sink<'_, 'i>,
    ) -> Result<Advance, ProtocolError> {
        let number = arrival.frame.channel;
        let Some(Channel::Closing { crossed }) = self.channels.find_mut(number) else { return Ok(arrival.skip()) };
        match method_ids(&arrival.frame) {
            Some(CHANNEL_CLOSE) => {
                *crossed = true;
                write_method(sink.out, number, &channel::CloseOk {});
            }
            Some(CHANNEL_CLOSE_OK) => self.channels.remove(number),
            Some(CHANNEL_OPEN) if *crossed => {
                self.channels.remove(number);
                return self.take_channel_open(arrival, sink);
            }
            _ => {}
        }
        Ok(arrival.skip())
    }

    /// A frame on a channel that is not open: only channel.open is due.
    fn take_channel_open<'i>(
        &mut self,
        arrival: &Arrival<'i>,
        sink: &mut Sink<'_, 'i>,
    ) -> Result<Advance, ProtocolError> {
        let (class_id, method_id, fields) = method_due(&arrival.frame)?;
        match decode(class_id, method_id, fields)? {
            Method::ChannelOpen(_) => {
                self.check_channel_max()?;
                Ok(sink.tell(arrival.size, Event::ChannelOpen { channel: arrival.frame.channel }))
            }
            other => Err(channel_error("expected 'channel.open'").blame(&other)),
        }
    }

    /// "The channel limit counts open channels, not numbers."
    fn check_channel_max(&self) -> Result<(), ProtocolError> {
        let (open, limit) = (self.channels.open_count(), self.negotiated.channel_max);
        if limit == 0 || open < usize::from(limit) {
            return Ok(());
        }
        let text = format_args!("number of channels opened ({open}) has reached the negotiated channel_max ({limit})");
        Err(ProtocolError::new(ReplyCode::NotAllowed, text))
    }
}

fn channel_error(explanation: &str) -> ProtocolError {
    ProtocolError::new(ReplyCode::ChannelError, explanation)
}

/// Ids and fields of the method that has to be in this frame.
#[inline]
fn method_due<'i>(frame: &Frame<'i>) -> Result<(u16, u16, &'i [u8]), ProtocolError> {
    let due = (frame.kind == FrameKind::Method).then(|| split_ids(frame.payload).ok()).flatten();
    due.ok_or_else(|| {
        ProtocolError::new(ReplyCode::UnexpectedFrame, "expected method frame, got non method frame instead")
    })
}

/// RabbitMQ answers channel.flow only when it asks for nothing.
fn answer_flow(flow: channel::Flow, number: u16, out: &mut Vec<u8>) -> Result<(), ProtocolError> {
    if !flow.active {
        return Err(ProtocolError::new(ReplyCode::NotImplemented, "active=false").blame(&flow));
    }
    write_method(out, number, &channel::FlowOk { active: true });
    Ok(())
}

/// The methods that clients send on channels and that need more than the protocol to be answered.
#[inline]
fn is_for_shell(method: &Method<'_>) -> bool {
    matches!(
        method,
        Method::ExchangeDeclare(_)
            | Method::ExchangeDelete(_)
            | Method::ExchangeBind(_)
            | Method::ExchangeUnbind(_)
            | Method::QueueDeclare(_)
            | Method::QueueBind(_)
            | Method::QueuePurge(_)
            | Method::QueueDelete(_)
            | Method::QueueUnbind(_)
            | Method::BasicQos(_)
            | Method::BasicConsume(_)
            | Method::BasicCancel(_)
            | Method::BasicGet(_)
            | Method::BasicAck(_)
            | Method::BasicReject(_)
            | Method::BasicRecoverAsync(_)
            | Method::BasicRecover(_)
            | Method::BasicNack(_)
            | Method::TxSelect(_)
            | Method::TxCommit(_)
            | Method::TxRollback(_)
            | Method::ConfirmSelect(_)
    )
}
