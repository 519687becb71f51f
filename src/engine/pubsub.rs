//! Published messages: which clients receive them, and what happens to one that does not read.
//!
//! A publisher pushes one shared message to the mailbox of each subscriber and waits for nobody. A subscriber whose
//! mailbox passes the limit is ended, logged and counted, so that it costs the others nothing.

use super::Engine;
use super::clients::Client;
use super::mail::{Mail, Topic};
use crate::concurrent::mail::hub::Hub;
use crate::concurrent::mail::mailbox::Posted;
use crate::glob::Pattern;
use bytes::Bytes;
use std::sync::Arc;

/// Members of one channel from which on publishing is long work.
const MANY: usize = 1_000;

/// The subscribers of each channel and pattern.
#[derive(Debug, Default)]
pub struct PubSub {
    channels: Hub<Client>,
    patterns: Hub<Client>,
    shards: Hub<Client>,
}

impl PubSub {
    /// The subscriptions to topics of one kind.
    pub fn hub(&self, topic: Topic) -> &Hub<Client> {
        match topic {
            Topic::Channel => &self.channels,
            Topic::Pattern => &self.patterns,
            Topic::Shard => &self.shards,
        }
    }
}

impl Engine {
    /// Sends a message to the subscribers of a channel or shard channel, and answers how many they are.
    /// O(subscribers + patterns).
    pub fn publish(&self, topic: Topic, channel: &[u8], payload: &[u8]) -> usize {
        let hub = self.pubsub.hub(topic);
        let is_heard = hub.count(channel);
        let has_patterns = topic == Topic::Channel && !self.pubsub.patterns.is_empty();
        if is_heard == 0 && !has_patterns {
            return 0;
        }
        let (channel, payload) = (Bytes::copy_from_slice(channel), self.charged(payload));
        let publish = || {
            let mut receivers = 0;
            let mail = |topic, pattern| {
                let (channel, payload) = (channel.clone(), payload.clone());
                Arc::new(Mail::Message { topic, pattern, channel, payload })
            };
            let plain = mail(topic, Bytes::new());
            hub.each_member(&channel, |client| receivers += usize::from(self.post(client, &plain)));
            if has_patterns {
                self.pubsub.patterns.each(|pattern, members| {
                    if Pattern::new(pattern).matches(&channel) {
                        let mail = mail(Topic::Pattern, Bytes::copy_from_slice(pattern));
                        members.iter().for_each(|client| receivers += usize::from(self.post(client, &mail)));
                    }
                });
            }
            receivers
        };
        let receivers = if is_heard < MANY { publish() } else { self.run_long(publish) };
        self.keep_share();
        receivers
    }

    /// Leaves mail for a client and ends the client if it lets too much wait. True if the mail waits.
    pub fn post(&self, client: &Client, mail: &Arc<Mail>) -> bool {
        let limit = self.settings.load().pubsub_limit;
        match client.mailbox.post(Arc::clone(mail), mail.weight(), limit) {
            Posted::Waiting => true,
            Posted::Ended => false,
            Posted::Overflowed => {
                self.stats.overflowed_clients.add(1);
                tracing::warn!(
                    client = client.id,
                    address = %client.peer,
                    limit,
                    "closing a client that does not read its messages fast enough"
                );
                false
            }
        }
    }
}
