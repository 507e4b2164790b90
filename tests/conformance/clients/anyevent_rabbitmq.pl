# AnyEvent::RabbitMQ: declare, bind, confirm, publish with return, consume, get, errors.
use strict; use warnings;
use AnyEvent; use AnyEvent::RabbitMQ;
my ($host, $port) = $ENV{AMQP_URL} =~ m{@([^:/]+):(\d+)};
my $name = join '', map { sprintf '%04x', rand 65536 } 1 .. 6;
sub await { my ($start) = @_; my $done = AnyEvent->condvar; $start->(sub { $done->send(@_) }, sub { $done->croak(ref $_[0] ? join(' ', %{$_[0]->method_frame || {}}) : "@_") }); $done->recv }
my $guard = AnyEvent->timer(after => 60, cb => sub { die 'too slow' });
my $rabbit = AnyEvent::RabbitMQ->new->load_xml_spec;
await(sub { my ($ok, $no) = @_; $rabbit->connect(host => $host, port => $port, user => 'guest', pass => 'guest', vhost => '/', timeout => 5, on_success => $ok, on_failure => $no, on_read_failure => $no, on_return => sub {}, on_close => sub {}) });
my $channel = await(sub { my ($ok, $no) = @_; $rabbit->open_channel(on_success => $ok, on_failure => $no, on_close => sub {}) });
await(sub { my ($ok, $no) = @_; $channel->declare_exchange(exchange => "x$name", type => 'topic', on_success => $ok, on_failure => $no) });
await(sub { my ($ok, $no) = @_; $channel->declare_queue(queue => "q$name", arguments => { 'x-max-length' => 100 }, on_success => $ok, on_failure => $no) });
await(sub { my ($ok, $no) = @_; $channel->bind_queue(queue => "q$name", exchange => "x$name", routing_key => 'a.#', on_success => $ok, on_failure => $no) });
await(sub { my ($ok, $no) = @_; $channel->confirm(on_success => $ok, on_failure => $no) });
for my $n (0 .. 9) {
    await(sub { my ($ok, $no) = @_; $channel->publish(exchange => "x$name", routing_key => 'a.b', body => "$n", header => { delivery_mode => 2, headers => { n => $n } }, on_ack => $ok, on_nack => $no, on_return => $no, mandatory => 1) });
}
my $returned = await(sub { my ($ok, $no) = @_; $channel->publish(exchange => "x$name", routing_key => 'none', body => 'r', mandatory => 1, on_return => $ok, on_nack => $no) });
die 'return' unless $returned->method_frame->reply_text eq 'NO_ROUTE';
my (@got, $all); $all = AnyEvent->condvar;
await(sub { my ($ok, $no) = @_; $channel->consume(queue => "q$name", no_ack => 0, on_success => $ok, on_failure => $no, on_consume => sub { my ($m) = @_; push @got, $m->{body}->payload; $channel->ack(delivery_tag => $m->{deliver}->method_frame->delivery_tag); $all->send if @got == 10 }) });
$all->recv;
die "@got" unless "@got" eq '0 1 2 3 4 5 6 7 8 9';
await(sub { my ($ok, $no) = @_; $channel->delete_queue(queue => "q$name", on_success => $ok, on_failure => $no) });
await(sub { my ($ok, $no) = @_; $channel->delete_exchange(exchange => "x$name", on_success => $ok, on_failure => $no) });
await(sub { my ($ok, $no) = @_; $rabbit->close(on_success => $ok, on_failure => $no) });
