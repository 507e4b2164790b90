//! What the broker says of itself in connection.start.
//!
//! Clients branch on it: kombu and Celery on product and version, Spring Boot's health check reads the version, RabbitMQ's
//! own newer clients refuse any other product. So the product is RabbitMQ in the version whose behaviour we claim, and who
//! we are stands beside it.

use leveret_amqp::table::Table;

/// The RabbitMQ version whose behaviour is ours.
pub(in crate::frontend) const COMPATIBLE_VERSION: &str = "4.3.0";

/// The table of connection.start.
pub(super) fn server_properties() -> Table {
    let capabilities = [
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "consumer_priorities",
        "authentication_failure_close",
        "per_consumer_qos",
        "direct_reply_to",
    ];
    let capabilities = capabilities.into_iter().fold(Table::new(), |table, name| table.with(name, true));
    Table::new()
        .with("capabilities", capabilities)
        .with("cluster_name", "leveret@localhost")
        .with("copyright", "Copyright (c) 2026 The Leveret contributors")
        .with("information", "Licensed under Apache-2.0 or MIT.")
        .with("platform", concat!("Leveret ", env!("CARGO_PKG_VERSION")))
        .with("product", "RabbitMQ")
        .with("version", COMPATIBLE_VERSION)
        .with("broker", "Leveret")
        .with("broker_version", env!("CARGO_PKG_VERSION"))
}
