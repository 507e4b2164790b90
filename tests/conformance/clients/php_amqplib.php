<?php
// php-amqplib: confirms, returns, consumers, get, tables, errors.
require_once 'PhpAmqpLib/autoload.php';
use PhpAmqpLib\Connection\AMQPStreamConnection;
use PhpAmqpLib\Message\AMQPMessage;
use PhpAmqpLib\Wire\AMQPTable;
function check($condition, $what) { if (!$condition) { fwrite(STDERR, "$what\n"); exit(1); } }
$url = parse_url(getenv('AMQP_URL'));
$name = bin2hex(random_bytes(8));
$connection = new AMQPStreamConnection($url['host'], $url['port'], 'guest', 'guest', '/', false, 'AMQPLAIN', null, 'en_US', 5, 10, null, false, 4);
$channel = $connection->channel();
$channel->confirm_select();
$channel->exchange_declare("x$name", 'topic', false, false, true);
$channel->queue_declare("q$name", false, true, false, false, false, new AMQPTable(['x-max-length' => 100, 'x-message-ttl' => 60000, 'x-max-priority' => 3]));
$channel->queue_bind("q$name", "x$name", 'a.#');
$returned = [];
$channel->set_return_listener(function ($code, $text) use (&$returned) { $returned[] = "$code $text"; });
$acked = 0;
$channel->set_ack_handler(function () use (&$acked) { $acked++; });
$channel->basic_publish(new AMQPMessage('nowhere'), "x$name", 'none', true);
$headers = new AMQPTable(['n' => 1, 'text' => 't', 'yes' => true, 'list' => [1, 'two'], 'nested' => ['a' => 1.5], 'none' => null]);
for ($n = 0; $n < 10; $n++) {
    $channel->basic_publish(new AMQPMessage("$n", ['delivery_mode' => 2, 'application_headers' => $headers, 'timestamp' => time()]), "x$name", 'a.b', true);
}
$channel->wait_for_pending_acks_returns(10);
check($acked == 11, "acked $acked");
check($returned == ['312 NO_ROUTE'], json_encode($returned));
$got = [];
$channel->basic_qos(null, 2, null);
$tag = $channel->basic_consume("q$name", '', false, false, false, false, function ($message) use (&$got, $channel) {
    $got[] = $message->body;
    check($message->get('application_headers')->getNativeData()['nested']['a'] == 1.5, 'headers');
    $message->ack();
});
while (count($got) < 10) { $channel->wait(null, false, 10); }
check($got == range(0, 9), json_encode($got));
$channel->basic_cancel($tag);
check($channel->basic_get("q$name") === null, 'not empty');
try {
    $connection->channel()->queue_declare("q$name", false, false);
    check(false, 'redeclared otherwise');
} catch (PhpAmqpLib\Exception\AMQPProtocolChannelException $e) {
    check($e->getCode() == 406, $e->getMessage());
}
$channel->queue_delete("q$name");
$channel->close();
$connection->close();
