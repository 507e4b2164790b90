//! User name, password and virtual host.

use harness::Pika;

use crate::world::World;

pub(crate) fn login(world: &World) {
    let check = |arguments: [&str; 3], expected: &str| {
        world.run("login.py", &arguments).expect(expected);
    };
    check(["guest", "guest", "/"], "welcome");
    check(["guest", "wrong", "/"], "refused ProbableAuthenticationError");
    check(["nobody", "guest", "/"], "refused ProbableAuthenticationError");
    // pika before 1.0 keeps the broker's words to itself, and leaves the refusal of a virtual host without the close-ok for which
    // RabbitMQ then waits half a minute.
    if world.pika() == Pika::New {
        let refusal = "(403) 'ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. \
                       For details see the broker logfile.'";
        check(["guest", "wrong", "/"], refusal);
        check(["nobody", "guest", "/"], refusal);
        check(["guest", "guest", "elsewhere"], "(530) 'NOT_ALLOWED - vhost elsewhere not found'");
    }
}
