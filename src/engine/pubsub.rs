//! Published messages: which clients receive them, and what happens to one that does not read.
//!
//! A publisher pushes one shared message to the mailbox of each subscriber and waits for nobody. A subscriber whose
//! mailbox passes the limit is ended, logged and counted, so that it costs the others nothing.

use super::Engine;
use super::clients::Client;
use super::mail::{Mail, Topic};
use crate::concurrent::mail::hub::{Hub, Members};
use crate::concurrent::mail::mailbox::Posted;
use crate::concurrent::mail::prefixes::{Candidates, Prefixes};
use crate::glob::{Matching, Pattern};
use bytes::Bytes;
use std::sync::Arc;

/// Clients from which on telling them is long work.
const MANY: usize = 1_000;

/// What a pattern costs that a channel is compared with, at least, in comparisons of a byte.
const PATTERN: u64 = 16;

/// The subscribers of each channel and pattern.
#[derive(Debug, Default)]
pub struct PubSub {
    channels: Hub<Client>,
    patterns: Prefixes<Client>,
    shards: Hub<Client>,
}

impl PubSub {
    /// Lets a client listen to a name.
    pub fn join(&self, topic: Topic, name: &Bytes, client: &Arc<Client>) {
        match topic {
            Topic::Channel => self.channels.join(name, client),
            Topic::Pattern => self.patterns.join(name, Pattern::literal_len(name), client),
            Topic::Shard => self.shards.join(name, client),
        }
    }

    /// Ends the listening of the client of this id.
    pub fn leave(&self, topic: Topic, name: &Bytes, id: u64) {
        match topic {
            Topic::Channel => self.channels.leave(name, id),
            Topic::Pattern => self.patterns.leave(name, Pattern::literal_len(name), id),
            Topic::Shard => self.shards.leave(name, id),
        }
    }

    /// Number of names that somebody listens to. O(1).
    pub fn len(&self, topic: Topic) -> usize {
        match topic {
            Topic::Channel => self.channels.len(),
            Topic::Pattern => self.patterns.len(),
            Topic::Shard => self.shards.len(),
        }
    }

    /// The channels, or shard channels. They are told apart from patterns by who asks.
    pub fn hub(&self, is_shard: bool) -> &Hub<Client> {
        if is_shard { &self.shards } else { &self.channels }
    }
}

/// A message whose patterns are looked for in steps. The default has not begun.
#[derive(Debug, Default)]
pub struct Publication {
    /// The channel and the patterns that were not compared with it yet.
    search: Option<(Bytes, Candidates<Client>)>,
    /// A pattern that it is being compared with, and how far that has come.
    present: Option<(Heard, Matching)>,
    heard: Vec<Heard>,
}

/// A pattern and who listens to it.
type Heard = (Bytes, Arc<Members<Client>>);

impl Publication {
    /// Looks for the patterns that match a channel, for about `units` comparisons of a byte. True once all were found.
    pub fn search(&mut self, pubsub: &PubSub, channel: &[u8], units: &mut u64) -> bool {
        if self.search.is_none() {
            if pubsub.patterns.is_empty() {
                return true;
            }
            let channel = Bytes::copy_from_slice(channel);
            let candidates = pubsub.patterns.candidates(&channel);
            self.search = Some((channel, candidates));
        }
        let Publication { search: Some((channel, candidates)), present, heard } = self else { return true };
        if let Some((pattern, mut matching)) = present.take() {
            match Pattern::new(&pattern.0).step(channel, &mut matching, units) {
                None => *present = Some((pattern, matching)),
                Some(true) => heard.push(pattern),
                Some(false) => {}
            }
        }
        *units > 0
            && candidates.visit(|pattern, members| {
                let mut matching = Matching::default();
                match Pattern::new(pattern).step(channel, &mut matching, units) {
                    Some(true) => heard.push((pattern.clone(), Arc::clone(members))),
                    Some(false) => {}
                    None => *present = Some(((pattern.clone(), Arc::clone(members)), matching)),
                }
                *units = units.saturating_sub(PATTERN);
                *units > 0
            })
    }
}

impl Engine {
    /// Sends a message to the subscribers of a channel or shard channel, and of the patterns that were found for it, and
    /// answers how many they are. O(subscribers).
    pub fn publish(&self, topic: Topic, channel: &[u8], payload: &[u8], publication: Publication) -> usize {
        let hub = self.pubsub.hub(topic == Topic::Shard);
        let heard = publication.heard;
        let many: usize = heard.iter().map(|(_, members)| members.len()).sum::<usize>() + hub.count(channel);
        if many == 0 {
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
            for (pattern, members) in &heard {
                let mail = mail(Topic::Pattern, pattern.clone());
                members.iter().for_each(|client| receivers += usize::from(self.post(client, &mail)));
            }
            receivers
        };
        let receivers = if many < MANY { publish() } else { self.run_long(publish) };
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
