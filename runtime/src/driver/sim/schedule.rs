//! The seeded scheduler: who runs next is drawn, within what the runtime promises.
//!
//! What stays as promised, and what does not:
//! - Whoever yields runs after everybody who was ready then. Others run in any order.
//! - Mail of one shard to another arrives in order; how long it takes (in turns), and how the mail of several senders mixes, is
//!   drawn. So is the order of the shards' turns, and how many switches a turn has.
//! - A budget may be smaller than it was set, never larger.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Instant;

use super::World;
use super::random::Stream;
use crate::coroutine::current;
use crate::coroutine::task::{Task, Wait};
use crate::diagnostics::CoroutineInfo;
use crate::shard::Shard;

/// How many of those that are ready a draw looks at.
const WINDOW: usize = 64;

/// Rounds of all shards after which time goes on although somebody can still run: a program that asks again and again
/// (`while !done { yield_now() }`) for what only time brings would stand still for ever.
const BUSY_ROUNDS_MAX: u32 = 10_000;

/// Turns the shards; when none has anything to do, time jumps to whatever comes next.
///
/// # Errors
/// Every coroutine, when none can ever run again.
pub(crate) fn simulate(world: &World, shards: &[Shard], done: impl Fn() -> bool) -> Result<(), Vec<CoroutineInfo>> {
    let mut busy_rounds = 0;
    loop {
        world.net(|net, world| net.deliver(world));
        for index in shuffled(world, shards.len()) {
            current::enter(&shards[index], || shards[index].turn_simulated());
            if done() {
                return Ok(());
            }
        }
        if shards.iter().any(Shard::has_work) && busy_rounds < BUSY_ROUNDS_MAX {
            busy_rounds += 1;
            continue;
        }
        match next_moment(world, shards) {
            Some(at) => world.advance_to(at),
            None if busy_rounds > 0 => {} // somebody may run still
            None => return Err(shards.iter().flat_map(Shard::list).collect()),
        }
        busy_rounds = 0;
    }
}

fn next_moment(world: &World, shards: &[Shard]) -> Option<Instant> {
    let timers = shards.iter().filter_map(Shard::next_timer);
    timers.chain(world.next_arrival()).min()
}

/// The numbers below `count` in a drawn order.
fn shuffled(world: &World, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    for left in (2..=count).rev() {
        order.swap(left - 1, world.below(Stream::Schedule, left as u64) as usize);
    }
    order
}

/// How many switches this turn has, of at most `most`.
pub(crate) fn turn_length(world: &World, most: usize) -> usize {
    match world.chance(Stream::Schedule, 0.25) {
        true => 1 + world.below(Stream::Schedule, 4) as usize,
        false => most,
    }
}

/// How many transfers a coroutine makes before it lets others run, of at most `most`.
pub(crate) fn budget(world: &World, most: u32) -> u32 {
    match world.chance(Stream::Schedule, 0.125) {
        true => world.below(Stream::Schedule, u64::from(most) + 1) as u32,
        false => most,
    }
}

/// Takes the one that runs next out of the queue.
pub(crate) fn pick(world: &World, queue: &mut VecDeque<Rc<Task>>) -> Option<Rc<Task>> {
    if queue.len() < 2 {
        return queue.pop_front();
    }
    let may_run = |at: usize, task: &Task| at == 0 || !has_yielded(task);
    let eligible: Vec<usize> =
        queue.iter().take(WINDOW).enumerate().filter(|(at, task)| may_run(*at, task)).map(|(at, _)| at).collect();
    let drawn = world.below(Stream::Schedule, eligible.len() as u64) as usize;
    queue.remove(eligible.get(drawn).copied().unwrap_or(0))
}

/// Whoever has begun and waits for its turn alone has asked that all others run first.
fn has_yielded(task: &Task) -> bool {
    task.wait.get() == Wait::Turn && !task.yielder.get().is_null()
}

/// How many of the letters of one sender arrive now.
pub(crate) fn letters(world: &World, waiting: usize) -> usize {
    match world.below(Stream::Schedule, 8) {
        0 | 1 => 0,
        2 => 1 + world.below(Stream::Schedule, waiting as u64) as usize,
        _ => waiting,
    }
}
