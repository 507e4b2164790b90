//! AMQP codec.
