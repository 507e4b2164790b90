// Node's clients: amqplib (promises and callbacks), @cloudamqp/amqp-client, rascal, amqp-connection-manager, rabbitmq-client, amqp (2011), foo-foo-mq.
// `node node_tour.js CLIENT`; modules come from NODE_PATH.
const assert = require('node:assert');
const { randomUUID } = require('node:crypto');
const url = process.env.AMQP_URL;
const name = randomUUID();
const later = (ms) => new Promise((done) => setTimeout(done, ms));
const until = async (what) => { for (let n = 0; n < 400 && !what(); n++) await later(25); assert(what()); };

const clients = {
  async amqplib() {
    const amqp = require(process.env.AMQPLIB || 'amqplib');
    const connection = await amqp.connect(url, { clientProperties: { connection_name: 'amqplib check' } });
    const channel = await connection.createConfirmChannel();
    await channel.assertExchange('x' + name, 'topic', { autoDelete: true });
    const { queue } = await channel.assertQueue('', { exclusive: true, maxPriority: 5, arguments: { 'x-message-ttl': 60000 } });
    await channel.bindQueue(queue, 'x' + name, 'a.#');
    const returned = new Promise((done) => channel.once('return', done));
    channel.publish('x' + name, 'nobody', Buffer.from('r'), { mandatory: true });
    for (let n = 0; n < 10; n++) channel.publish('x' + name, 'a.b', Buffer.from(String(n)), { persistent: true, headers: { n } });
    await channel.waitForConfirms();
    assert.equal((await returned).fields.replyText, 'NO_ROUTE');
    const got = [];
    await channel.prefetch(3);
    const { consumerTag } = await channel.consume(queue, (message) => { got.push(message.properties.headers.n); channel.ack(message); });
    await until(() => got.length === 10);
    assert.deepEqual(got, [...Array(10).keys()]);
    await channel.cancel(consumerTag);
    assert.equal(await channel.get(queue), false);
    const other = await connection.createChannel();
    other.on('error', (error) => assert.equal(error.code, 404));
    await assert.rejects(other.checkQueue('none' + name), /NOT_FOUND - no queue/);
    await connection.close();
  },
  async cloudamqp() {
    const { AMQPClient } = require('@cloudamqp/amqp-client');
    const connection = await new AMQPClient(url).connect();
    const channel = await connection.channel();
    await channel.confirmSelect();
    const { name: queue } = await channel.queueDeclare('q' + name, { durable: false, autoDelete: true }, { 'x-max-length': 100 });
    for (let n = 0; n < 10; n++) assert.equal(await channel.basicPublish('', queue, String(n), { deliveryMode: 2, headers: { n } }, true), n + 1);
    const got = [];
    await channel.basicQos(4);
    const consumer = await channel.basicConsume(queue, { noAck: false }, async (message) => {
      got.push(message.bodyString());
      await message.ack();
    });
    await until(() => got.length === 10);
    await consumer.cancel();
    assert.deepEqual(got, [...'0123456789']);
    await connection.close();
  },
  async rascal() {
    const { BrokerAsPromised } = require('rascal');
    const config = { vhosts: { '/': { connection: { url }, exchanges: ['x' + name], queues: { ['q' + name]: { options: { durable: false } } },
      bindings: [`x${name}[a.b] -> q${name}`], publications: { p: { vhost: '/', exchange: 'x' + name, routingKey: 'a.b' } }, subscriptions: { s: { vhost: '/', queue: 'q' + name } } } } };
    const broker = await BrokerAsPromised.create(require('rascal').withDefaultConfig(config));
    broker.on('error', (error) => { throw error; });
    const got = [];
    const subscription = await broker.subscribe('s');
    subscription.on('message', (message, content, done) => { got.push(content.n); done(); }).on('error', (error) => { throw error; });
    for (let n = 0; n < 5; n++) { const p = await broker.publish('p', { n }); await new Promise((done, no) => p.on('success', done).on('error', no)); }
    await until(() => got.length === 5);
    await broker.nuke();
  },
  async connection_manager() {
    const manager = require('amqp-connection-manager').connect([url]);
    const got = [];
    const channel = manager.createChannel({ json: true, setup: async (it) => {
      await it.assertQueue('q' + name, { durable: true, autoDelete: true });
      await it.prefetch(2);
      await it.consume('q' + name, (message) => { got.push(JSON.parse(message.content).n); channel.ack(message); });
    } });
    await channel.waitForConnect();
    for (let n = 0; n < 5; n++) await channel.sendToQueue('q' + name, { n }, { persistent: true });
    await until(() => got.length === 5);
    await channel.close();
    await manager.close();
  },
  async rabbitmq_client() {
    const { Connection } = require('rabbitmq-client');
    const rabbit = new Connection(url);
    const got = [];
    const consumer = rabbit.createConsumer({ queue: 'q' + name, queueOptions: { durable: false, autoDelete: true }, qos: { prefetchCount: 2 },
      exchanges: [{ exchange: 'x' + name, type: 'topic', autoDelete: true }], queueBindings: [{ exchange: 'x' + name, routingKey: 'a.*' }] }, async (message) => { got.push(message.body); });
    await new Promise((done) => consumer.on('ready', done));
    const publisher = rabbit.createPublisher({ confirm: true, maxAttempts: 2 });
    for (let n = 0; n < 5; n++) await publisher.send({ exchange: 'x' + name, routingKey: 'a.b' }, { n });
    await until(() => got.length === 5);
    const server = rabbit.createConsumer({ queue: 'rpc' + name, queueOptions: { autoDelete: true } }, async (request, reply) => { await reply(request.body * 2); });
    await new Promise((done) => server.on('ready', done));
    const rpc = rabbit.createRPCClient({ confirm: true });
    assert.equal((await rpc.send('rpc' + name, 21)).body, 42);
    await publisher.close(); await rpc.close(); await consumer.close(); await server.close(); await rabbit.close();
  },
  async amqp_2011() {
    const { hostname, port } = new URL(url);
    const connection = require('amqp').createConnection({ host: hostname, port: Number(port), login: 'guest', password: 'guest', heartbeat: 10 }, { reconnect: false });
    connection.on('error', (error) => { if (!/ECONNRESET/.test(String(error))) throw error; });
    await new Promise((done) => connection.once('ready', done));
    const exchange = await new Promise((done) => connection.exchange('x' + name, { type: 'topic', confirm: true, autoDelete: true }, done));
    const queue = await new Promise((done) => connection.queue('q' + name, { autoDelete: true, arguments: { 'x-max-length': 100 } }, done));
    await new Promise((done) => { queue.bind('x' + name, 'a.#'); queue.once('queueBindOk', done); });
    const got = [];
    queue.subscribe({ ack: true, prefetchCount: 1 }, (message) => { got.push(message.n); queue.shift(); });
    await new Promise((done) => queue.once('basicConsumeOk', done));
    for (let n = 0; n < 5; n++) await new Promise((done, no) => exchange.publish('a.b', { n }, { mandatory: true, deliveryMode: 2 }, (failed, error) => (failed ? no(error) : done())));
    await until(() => got.length === 5);
    connection.disconnect();
  },
  async foo_foo_mq() {
    const rabbit = require('foo-foo-mq');
    const got = [];
    rabbit.handle('check', (message) => { got.push(message.body.n); message.ack(); });
    const { hostname, port } = new URL(url);
    await rabbit.configure({ connection: { name: 'default', user: 'guest', pass: 'guest', host: hostname, port, vhost: '%2f', replyQueue: { name: 'r' + name, autoDelete: true } },
      exchanges: [{ name: 'x' + name, type: 'fanout', autoDelete: true }], queues: [{ name: 'q' + name, autoDelete: true, subscribe: true, limit: 2 }], bindings: [{ exchange: 'x' + name, target: 'q' + name }] });
    for (let n = 0; n < 5; n++) await rabbit.publish('x' + name, { type: 'check', body: { n } });
    await until(() => got.length === 5);
    await rabbit.shutdown();
  },
};

const watchdog = setTimeout(() => { console.error('too slow'); process.exit(2); }, 60000);
clients[process.argv[2]]().then(() => { clearTimeout(watchdog); process.exit(0); }, (error) => { console.error(error); process.exit(1); });
