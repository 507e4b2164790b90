//! The table of methods: ids, fields and their order, as RabbitMQ's 0-9-1 grammar has them.
//!
//! Oddities of the grammar that are kept: exchange.unbind-ok is 40.51, queue.unbind has no `nowait`, basic.recover-async has no
//! reply. Types: `u8` octet, `u16` short, `u32` long, `u64` longlong, `&str` shortstr, `&[u8]` longstr, `bool` bit.

use super::{DecodeFields, WireMethod};
use crate::error::DecodeError;

methods! {
    /// Life of a connection: handshake, tuning, closing.
    connection = 10 {
        /// The server's greeting.
        ConnectionStart: Start<'a> = 10 "start" [] {
            /// 0 for 0-9-1.
            version_major: u8,
            /// 9 for 0-9-1.
            version_minor: u8,
            /// Product, version and capabilities of the server.
            server_properties: RawTable<'a>,
            /// Names of the security mechanisms, separated by spaces.
            mechanisms: &'a [u8],
            /// Names of the locales, separated by spaces.
            locales: &'a [u8],
        } [];
        /// The client chooses a mechanism and sends its first response.
        ConnectionStartOk: StartOk<'a> = 11 "start-ok" [] {
            /// Product, connection name and capabilities of the client.
            client_properties: RawTable<'a>,
            /// One of the mechanisms offered.
            mechanism: &'a str,
            /// What the mechanism wants to see, such as user and password.
            response: &'a [u8],
            /// One of the locales offered.
            locale: &'a str,
        } [];
        /// The server asks for another round.
        ConnectionSecure: Secure<'a> = 20 "secure" [] { challenge: &'a [u8] } [];
        /// The client's answer to a challenge.
        ConnectionSecureOk: SecureOk<'a> = 21 "secure-ok" [] { response: &'a [u8] } [];
        /// The server proposes limits; 0 means "no limit".
        ConnectionTune: Tune = 30 "tune" [] {
            channel_max: u16,
            /// Bytes of a frame, with its overhead of 8.
            frame_max: u32,
            /// Seconds.
            heartbeat: u16,
        } [];
        /// The client's choice within the limits.
        ConnectionTuneOk: TuneOk = 31 "tune-ok" [] {
            channel_max: u16,
            /// Bytes of a frame, with its overhead of 8.
            frame_max: u32,
            /// Seconds; 0 switches heartbeats off.
            heartbeat: u16,
        } [];
        /// Enter a virtual host.
        ConnectionOpen: Open<'a> = 40 "open" [] { virtual_host: &'a str } [&str, bool];
        /// The virtual host is open.
        ConnectionOpenOk: OpenOk = 41 "open-ok" [] {} [&str];
        /// Either side ends the connection.
        ConnectionClose: Close<'a> = 50 "close" [] {
            reply_code: u16,
            reply_text: &'a str,
            /// Class of the method to blame, 0 if none.
            class_id: u16,
            /// Method to blame, 0 if none.
            method_id: u16,
        } [];
        /// The other side agrees.
        ConnectionCloseOk: CloseOk = 51 "close-ok" [] {} [];
        /// Publishing is held up by an alarm.
        ConnectionBlocked: Blocked<'a> = 60 "blocked" [] { reason: &'a str } [];
        /// All alarms are over.
        ConnectionUnblocked: Unblocked = 61 "unblocked" [] {} [];
        /// A new token in place of an expiring one.
        ConnectionUpdateSecret: UpdateSecret<'a> = 70 "update-secret" [] {
            new_secret: &'a [u8],
            reason: &'a str,
        } [];
        /// The new secret was accepted.
        ConnectionUpdateSecretOk: UpdateSecretOk = 71 "update-secret-ok" [] {} [];
    }

    /// Life of a channel.
    channel = 20 {
        /// Open the channel whose number the frame bears.
        ChannelOpen: Open = 10 "open" [] {} [&str];
        /// The channel is open.
        ChannelOpenOk: OpenOk = 11 "open-ok" [] {} [&[u8]];
        /// Stop or resume the flow of messages.
        ChannelFlow: Flow = 20 "flow" [] { active: bool } [];
        /// The flow is as told.
        ChannelFlowOk: FlowOk = 21 "flow-ok" [] { active: bool } [];
        /// Either side ends the channel.
        ChannelClose: Close<'a> = 40 "close" [] {
            reply_code: u16,
            reply_text: &'a str,
            /// Class of the method to blame, 0 if none.
            class_id: u16,
            /// Method to blame, 0 if none.
            method_id: u16,
        } [];
        /// The other side agrees.
        ChannelCloseOk: CloseOk = 41 "close-ok" [] {} [];
    }

    /// Tickets of AMQP 0-8, a formality since.
    access = 30 {
        /// Ask for a ticket.
        AccessRequest: Request<'a> = 10 "request" [] {
            realm: &'a str,
            exclusive: bool,
            passive: bool,
            active: bool,
            write: bool,
            read: bool,
        } [];
        /// A ticket, always 1.
        AccessRequestOk: RequestOk = 11 "request-ok" [] { ticket: u16 } [];
    }

    /// Exchanges and their bindings to exchanges.
    exchange = 40 {
        /// Create an exchange, or check that it is as described.
        ExchangeDeclare: Declare<'a> = 10 "declare" [u16] {
            exchange: &'a str,
            /// direct, fanout, topic, headers or a plugin's.
            kind: &'a str,
            /// Only check that it exists.
            passive: bool,
            durable: bool,
            auto_delete: bool,
            /// Clients may not publish to it.
            internal: bool,
            /// No reply wanted.
            nowait: bool,
            arguments: RawTable<'a>,
        } [];
        /// The exchange is there.
        ExchangeDeclareOk: DeclareOk = 11 "declare-ok" [] {} [];
        /// Delete an exchange.
        ExchangeDelete: Delete<'a> = 20 "delete" [u16] {
            exchange: &'a str,
            if_unused: bool,
            /// No reply wanted.
            nowait: bool,
        } [];
        /// The exchange is gone.
        ExchangeDeleteOk: DeleteOk = 21 "delete-ok" [] {} [];
        /// Bind an exchange to an exchange.
        ExchangeBind: Bind<'a> = 30 "bind" [u16] {
            destination: &'a str,
            source: &'a str,
            routing_key: &'a str,
            /// No reply wanted.
            nowait: bool,
            arguments: RawTable<'a>,
        } [];
        /// The binding is there.
        ExchangeBindOk: BindOk = 31 "bind-ok" [] {} [];
        /// Undo a binding of an exchange to an exchange.
        ExchangeUnbind: Unbind<'a> = 40 "unbind" [u16] {
            destination: &'a str,
            source: &'a str,
            routing_key: &'a str,
            /// No reply wanted.
            nowait: bool,
            arguments: RawTable<'a>,
        } [];
        /// The binding is gone. Its id is 51, not 41.
        ExchangeUnbindOk: UnbindOk = 51 "unbind-ok" [] {} [];
    }

    /// Queues and their bindings.
    queue = 50 {
        /// Create a queue, or check that it is as described.
        QueueDeclare: Declare<'a> = 10 "declare" [u16] {
            /// Empty for a name of the server's making.
            queue: &'a str,
            /// Only check that it exists.
            passive: bool,
            durable: bool,
            exclusive: bool,
            auto_delete: bool,
            /// No reply wanted.
            nowait: bool,
            arguments: RawTable<'a>,
        } [];
        /// The queue is there.
        QueueDeclareOk: DeclareOk<'a> = 11 "declare-ok" [] {
            queue: &'a str,
            /// Messages that are ready.
            message_count: u32,
            consumer_count: u32,
        } [];
        /// Bind a queue to an exchange.
        QueueBind: Bind<'a> = 20 "bind" [u16] {
            queue: &'a str,
            exchange: &'a str,
            routing_key: &'a str,
            /// No reply wanted.
            nowait: bool,
            arguments: RawTable<'a>,
        } [];
        /// The binding is there.
        QueueBindOk: BindOk = 21 "bind-ok" [] {} [];
        /// Remove all messages that are ready.
        QueuePurge: Purge<'a> = 30 "purge" [u16] {
            queue: &'a str,
            /// No reply wanted.
            nowait: bool,
        } [];
        /// The queue is purged.
        QueuePurgeOk: PurgeOk = 31 "purge-ok" [] { message_count: u32 } [];
        /// Delete a queue.
        QueueDelete: Delete<'a> = 40 "delete" [u16] {
            queue: &'a str,
            if_unused: bool,
            if_empty: bool,
            /// No reply wanted.
            nowait: bool,
        } [];
        /// The queue is gone.
        QueueDeleteOk: DeleteOk = 41 "delete-ok" [] { message_count: u32 } [];
        /// Undo a binding. There is no `nowait`.
        QueueUnbind: Unbind<'a> = 50 "unbind" [u16] {
            queue: &'a str,
            exchange: &'a str,
            routing_key: &'a str,
            arguments: RawTable<'a>,
        } [];
        /// The binding is gone.
        QueueUnbindOk: UnbindOk = 51 "unbind-ok" [] {} [];
    }

    /// Messages: publish, consume, get, settle.
    basic = 60 {
        /// Limit what may be unsettled.
        BasicQos: Qos = 10 "qos" [] {
            /// Bytes; RabbitMQ refuses all but 0.
            prefetch_size: u32,
            /// Messages; 0 for no limit.
            prefetch_count: u16,
            /// For the whole channel and not per consumer.
            global: bool,
        } [];
        /// The limit holds.
        BasicQosOk: QosOk = 11 "qos-ok" [] {} [];
        /// Start a consumer.
        BasicConsume: Consume<'a> = 20 "consume" [u16] {
            queue: &'a str,
            /// Empty for a tag of the server's making.
            consumer_tag: &'a str,
            /// Ignored by RabbitMQ.
            no_local: bool,
            /// Deliveries count as settled when sent.
            no_ack: bool,
            exclusive: bool,
            /// No reply wanted.
            nowait: bool,
            arguments: RawTable<'a>,
        } [];
        /// The consumer is there; deliveries may follow.
        BasicConsumeOk: ConsumeOk<'a> = 21 "consume-ok" [] { consumer_tag: &'a str } [];
        /// End a consumer; from the server: it was ended.
        BasicCancel: Cancel<'a> = 30 "cancel" [] {
            consumer_tag: &'a str,
            /// No reply wanted.
            nowait: bool,
        } [];
        /// The consumer is gone; no delivery follows.
        BasicCancelOk: CancelOk<'a> = 31 "cancel-ok" [] { consumer_tag: &'a str } [];
        /// A message for an exchange.
        BasicPublish: Publish<'a> = 40 "publish" carries content [u16] {
            exchange: &'a str,
            routing_key: &'a str,
            /// Return it if no queue takes it.
            mandatory: bool,
            /// Not supported by RabbitMQ.
            immediate: bool,
        } [];
        /// A mandatory message that no queue took.
        BasicReturn: Return<'a> = 50 "return" carries content [] {
            reply_code: u16,
            reply_text: &'a str,
            exchange: &'a str,
            routing_key: &'a str,
        } [];
        /// A message for a consumer.
        BasicDeliver: Deliver<'a> = 60 "deliver" carries content [] {
            consumer_tag: &'a str,
            /// From 1, per channel.
            delivery_tag: u64,
            redelivered: bool,
            exchange: &'a str,
            routing_key: &'a str,
        } [];
        /// Ask for one message.
        BasicGet: Get<'a> = 70 "get" [u16] {
            queue: &'a str,
            /// The message counts as settled when sent.
            no_ack: bool,
        } [];
        /// The message asked for.
        BasicGetOk: GetOk<'a> = 71 "get-ok" carries content [] {
            /// From 1, per channel.
            delivery_tag: u64,
            redelivered: bool,
            exchange: &'a str,
            routing_key: &'a str,
            /// Ready messages that are left.
            message_count: u32,
        } [];
        /// There is no message.
        BasicGetEmpty: GetEmpty = 72 "get-empty" [] {} [&str];
        /// Settled well; from the server: confirmed.
        BasicAck: Ack = 80 "ack" [] {
            delivery_tag: u64,
            /// This one and all before it.
            multiple: bool,
        } [];
        /// Settled badly.
        BasicReject: Reject = 90 "reject" [] {
            delivery_tag: u64,
            requeue: bool,
        } [];
        /// Requeue what is unsettled; no reply.
        BasicRecoverAsync: RecoverAsync = 100 "recover-async" [] { requeue: bool } [];
        /// Requeue what is unsettled.
        BasicRecover: Recover = 110 "recover" [] { requeue: bool } [];
        /// All is requeued.
        BasicRecoverOk: RecoverOk = 111 "recover-ok" [] {} [];
        /// Settled badly, several at once; from the server: not confirmed. RabbitMQ's addition.
        BasicNack: Nack = 120 "nack" [] {
            delivery_tag: u64,
            /// This one and all before it.
            multiple: bool,
            requeue: bool,
        } [];
    }

    /// Transactions.
    tx = 90 {
        /// Make the channel transactional.
        TxSelect: Select = 10 "select" [] {} [];
        /// The channel is transactional.
        TxSelectOk: SelectOk = 11 "select-ok" [] {} [];
        /// Do what was held back.
        TxCommit: Commit = 20 "commit" [] {} [];
        /// It is done.
        TxCommitOk: CommitOk = 21 "commit-ok" [] {} [];
        /// Forget what was held back.
        TxRollback: Rollback = 30 "rollback" [] {} [];
        /// It is forgotten.
        TxRollbackOk: RollbackOk = 31 "rollback-ok" [] {} [];
    }

    /// Publisher confirms, RabbitMQ's addition.
    confirm = 85 {
        /// Confirm what is published from now on.
        ConfirmSelect: Select = 10 "select" [] {
            /// No reply wanted.
            nowait: bool,
        } [];
        /// Confirms are on.
        ConfirmSelectOk: SelectOk = 11 "select-ok" [] {} [];
    }
}
