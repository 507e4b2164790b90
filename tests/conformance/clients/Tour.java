// Java: RabbitMQ's client: confirms, returns, consumers, RPC over direct reply-to, errors, recovery.
import com.rabbitmq.client.*;
import java.util.*;
import java.util.concurrent.*;

public class Tour {
    static void check(boolean is, Object what) { if (!is) { throw new AssertionError(what); } }

    public static void main(String[] args) throws Exception {
        String name = UUID.randomUUID().toString();
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(System.getenv("AMQP_URL"));
        factory.setRequestedHeartbeat(3);
        factory.setAutomaticRecoveryEnabled(true);
        try (Connection connection = factory.newConnection("java check")) {
            Channel channel = connection.createChannel();
            channel.confirmSelect();
            channel.exchangeDeclare("x" + name, BuiltinExchangeType.TOPIC, false, true, null);
            Map<String, Object> arguments = new HashMap<>();
            arguments.put("x-max-priority", 5);
            arguments.put("x-message-ttl", 60000);
            String queue = channel.queueDeclare("q" + name, true, false, false, arguments).getQueue();
            channel.queueBind(queue, "x" + name, "a.#");
            BlockingQueue<Integer> returned = new LinkedBlockingQueue<>();
            channel.addReturnListener((code, text, x, key, properties, body) -> returned.add(code));
            channel.basicPublish("x" + name, "none", true, null, "r".getBytes());
            Map<String, Object> headers = new HashMap<>();
            headers.put("text", "t"); headers.put("list", Arrays.asList(1, "two", 3L)); headers.put("when", new Date(0)); headers.put("bytes", new byte[] {0, 1}); headers.put("decimal", new java.math.BigDecimal("3.14"));
            for (int n = 0; n < 10; n++) {
                AMQP.BasicProperties properties = new AMQP.BasicProperties.Builder().deliveryMode(2).headers(headers).messageId("" + n).timestamp(new Date()).build();
                channel.basicPublish("x" + name, "a.b", properties, ("" + n).getBytes());
            }
            channel.waitForConfirmsOrDie(10000);
            check(returned.poll(5, TimeUnit.SECONDS) == 312, "return");
            BlockingQueue<String> got = new LinkedBlockingQueue<>();
            channel.basicQos(3);
            String tag = channel.basicConsume(queue, false, new DefaultConsumer(channel) {
                @Override public void handleDelivery(String tag, Envelope envelope, AMQP.BasicProperties properties, byte[] body) throws java.io.IOException {
                    check(((byte[]) properties.getHeaders().get("bytes"))[1] == 1, "headers");
                    got.add(new String(body));
                    getChannel().basicAck(envelope.getDeliveryTag(), false);
                }
            });
            for (int n = 0; n < 10; n++) { check(("" + n).equals(got.poll(5, TimeUnit.SECONDS)), n); }
            channel.basicCancel(tag);
            check(channel.basicGet(queue, true) == null, "not empty");
            check(channel.messageCount(queue) == 0 && channel.consumerCount(queue) == 0, "counts");

            Channel serving = connection.createChannel();
            serving.queueDeclare("rpc" + name, false, true, true, null);
            serving.basicConsume("rpc" + name, true, new DefaultConsumer(serving) {
                @Override public void handleDelivery(String tag, Envelope envelope, AMQP.BasicProperties properties, byte[] body) throws java.io.IOException {
                    getChannel().basicPublish("", properties.getReplyTo(), new AMQP.BasicProperties.Builder().correlationId(properties.getCorrelationId()).build(), ("re " + new String(body)).getBytes());
                }
            });
            RpcClient rpc = new RpcClient(connection.createChannel(), "", "rpc" + name, 5000);
            check("re hello".equals(rpc.stringCall("hello")), "rpc");
            rpc.close();
            try {
                connection.createChannel().queueDeclare("q" + name, false, false, false, arguments);
                check(false, "redeclared otherwise");
            } catch (java.io.IOException e) {
                ShutdownSignalException cause = (ShutdownSignalException) e.getCause();
                check(((AMQP.Channel.Close) cause.getReason()).getReplyCode() == 406, cause);
            }
            Channel tx = connection.createChannel();
            tx.txSelect();
            tx.basicPublish("", queue, null, "t".getBytes());
            tx.txCommit();
            check(channel.queueDelete(queue).getMessageCount() == 1, "committed");
        }
        factory.setPassword("wrong");
        try { factory.newConnection(); check(false, "logged in"); } catch (AuthenticationFailureException e) { check(e.getMessage().startsWith("ACCESS_REFUSED"), e); }
    }
}
