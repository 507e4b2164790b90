//! Channels between coroutines of one shard.
