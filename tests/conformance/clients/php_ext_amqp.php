<?php
// The amqp extension (librabbitmq).
function check($condition, $what) { if (!$condition) { fwrite(STDERR, "$what\n"); exit(1); } }
$url = parse_url(getenv('AMQP_URL'));
$name = bin2hex(random_bytes(8));
$connection = new AMQPConnection(['host' => $url['host'], 'port' => $url['port'], 'login' => 'guest', 'password' => 'guest', 'heartbeat' => 5]);
$connection->connect();
$channel = new AMQPChannel($connection);
$channel->confirmSelect();
$exchange = new AMQPExchange($channel);
$exchange->setName("x$name"); $exchange->setType(AMQP_EX_TYPE_DIRECT); $exchange->setFlags(AMQP_AUTODELETE); $exchange->declareExchange();
$queue = new AMQPQueue($channel);
$queue->setName("q$name"); $queue->setFlags(AMQP_NOPARAM); $queue->setArgument('x-max-length', 10); $queue->declareQueue();
$queue->bind("x$name", 'k');
$acks = 0;
$channel->setConfirmCallback(function ($tag, $multiple) use (&$acks) { $acks = $tag; return $acks < 5; }, function () { check(false, 'nack'); });
for ($n = 0; $n < 5; $n++) { $exchange->publish("$n", 'k', AMQP_NOPARAM, ['headers' => ['n' => $n], 'delivery_mode' => 2]); }
$channel->waitForConfirm(10);
check($acks == 5, "acks $acks");
$channel->qos(0, 2);
$got = [];
$queue->consume(function ($message, $queue) use (&$got) { $got[] = $message->getBody(); $queue->ack($message->getDeliveryTag()); return count($got) < 5; });
check($got == range(0, 4), json_encode($got));
$queue->cancel();
$channel2 = new AMQPChannel($connection);
try {
    $other = new AMQPQueue($channel2); $other->setName("q$name"); $other->setFlags(AMQP_DURABLE); $other->declareQueue();
    check(false, 'redeclared otherwise');
} catch (AMQPQueueException $e) {
    check($e->getCode() == 406, $e->getMessage());
}
$queue->delete();
$connection->disconnect();
