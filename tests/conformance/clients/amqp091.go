// Go: amqp091-go (and its ancestor streadway/amqp, by -tags of the runner): confirms, returns, consumers, errors, topology.
package main

import (
	"fmt"
	"log"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

func must(err error) {
	if err != nil {
		log.Output(2, err.Error())
		os.Exit(1)
	}
}

func check(is bool, what ...any) {
	if !is {
		log.Output(2, fmt.Sprint(what...))
		os.Exit(1)
	}
}

func main() {
	name := fmt.Sprintf("%x", time.Now().UnixNano())
	connection, err := amqp.DialConfig(os.Getenv("AMQP_URL"), amqp.Config{Heartbeat: 2 * time.Second, Locale: "en_US"})
	must(err)
	channel, err := connection.Channel()
	must(err)
	must(channel.Confirm(false))
	confirms := channel.NotifyPublish(make(chan amqp.Confirmation, 100))
	returns := channel.NotifyReturn(make(chan amqp.Return, 1))
	must(channel.ExchangeDeclare("x"+name, "headers", false, true, false, false, nil))
	queue, err := channel.QueueDeclare("q"+name, true, false, false, false, amqp.Table{"x-max-length": int32(100), "x-queue-type": "quorum"})
	must(err)
	must(channel.QueueBind(queue.Name, "", "x"+name, false, amqp.Table{"x-match": "any", "kind": "a"}))
	must(channel.Publish("x"+name, "", true, false, amqp.Publishing{Headers: amqp.Table{"kind": "b"}, Body: []byte("r")}))
	for n := 0; n < 10; n++ {
		must(channel.Publish("x"+name, "", true, false, amqp.Publishing{
			Headers:      amqp.Table{"kind": "a", "n": int32(n), "when": time.Now(), "list": []interface{}{"x", int64(1)}, "dec": amqp.Decimal{Scale: 2, Value: 314}},
			DeliveryMode: amqp.Persistent, Body: []byte(fmt.Sprint(n)), Timestamp: time.Now()}))
	}
	for n := 0; n < 11; n++ {
		confirm := <-confirms
		check(confirm.Ack && confirm.DeliveryTag == uint64(n+1), confirm)
	}
	returned := <-returns
	check(returned.ReplyCode == amqp.NoRoute, returned)
	must(channel.Qos(3, 0, false))
	deliveries, err := channel.Consume(queue.Name, "tag", false, false, false, false, amqp.Table{"x-priority": int32(3)})
	must(err)
	for n := 0; n < 10; n++ {
		delivery := <-deliveries
		check(string(delivery.Body) == fmt.Sprint(n) && delivery.Headers["n"] == int32(n), delivery)
		must(delivery.Ack(n%2 == 1))
	}
	must(channel.Cancel("tag", false))
	_, found, err := channel.Get(queue.Name, true)
	must(err)
	check(!found, "not empty")
	other, err := connection.Channel()
	must(err)
	closed := other.NotifyClose(make(chan *amqp.Error, 1))
	_, err = other.QueueDeclarePassive("none"+name, false, false, false, false, nil)
	check(err != nil && err.(*amqp.Error).Code == amqp.NotFound, err)
	check((<-closed).Code == amqp.NotFound, "close")
	count, err := channel.QueueDelete(queue.Name, false, false, false)
	must(err)
	check(count == 0, count)
	blocked := connection.NotifyBlocked(make(chan amqp.Blocking, 1))
	must(connection.Close())
	<-blocked
	_, err = amqp.Dial(os.Getenv("AMQP_URL") + "none")
	check(err != nil, "opened a virtual host that is not there")
}
