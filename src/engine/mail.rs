//! What a client is sent beside its replies.

use bytes::Bytes;

/// Bytes that a waiting message takes beside its text.
const OVERHEAD: usize = 64;

/// The kind of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// A channel, by its name.
    Channel,
    /// Every channel whose name matches a pattern.
    Pattern,
    /// A shard channel, which has a name space of its own.
    Shard,
}

/// Something for a client beside its replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mail {
    /// A published message.
    Message {
        /// Why the client hears it.
        topic: Topic,
        /// The pattern that it subscribed to; empty for the other topics.
        pattern: Bytes,
        /// The channel.
        channel: Bytes,
        /// The message.
        payload: Bytes,
    },
    /// A line of MONITOR, without its end.
    Line(String),
}

impl Mail {
    /// Bytes that it takes while it waits.
    pub fn weight(&self) -> usize {
        let text = match self {
            Mail::Message { pattern, channel, payload, .. } => pattern.len() + channel.len() + payload.len(),
            Mail::Line(line) => line.len(),
        };
        text + OVERHEAD
    }
}
