//! A client's subscriptions, and the encoding of the messages that it receives.

use super::{NAME_OVERHEAD, Session};
use crate::engine::mail::{Mail, Topic};
use crate::resp::ReplyWriter;
use bytes::Bytes;
use std::collections::HashSet;
use std::sync::Arc;

/// Bytes of messages that a connection takes at a time: the rest waits, and counts, in the mailbox.
pub const DELIVERY_SLICE: usize = 256 << 10;

/// Subscriptions from which on ending them all is long work.
const MANY: usize = 1_000;

/// The names that a client listens to, by kind of topic.
#[derive(Debug, Default)]
pub struct Subscriptions {
    names: [HashSet<Bytes, ahash::RandomState>; 3],
    /// Bytes of all of them, once here and once where publishers look.
    bytes: u64,
}

impl Subscriptions {
    /// Bytes that they take.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn of(&self, topic: Topic) -> &HashSet<Bytes, ahash::RandomState> {
        &self.names[topic as usize]
    }

    fn is_empty(&self) -> bool {
        self.names.iter().all(HashSet::is_empty)
    }

    /// True if the client is to hear this message. One may arrive late, after the client has unsubscribed.
    fn wants(&self, mail: &Mail) -> bool {
        match mail {
            Mail::Message { topic: Topic::Pattern, pattern, .. } => self.of(Topic::Pattern).contains(pattern),
            Mail::Message { topic, channel, .. } => self.of(*topic).contains(channel),
            Mail::Line(_) => false,
        }
    }
}

impl Session {
    /// True if the client listens to anything.
    #[inline]
    pub fn is_subscribed(&self) -> bool {
        self.subscriptions.is_some()
    }

    /// True if the client runs MONITOR.
    #[inline]
    pub fn is_monitor(&self) -> bool {
        self.monitors
    }

    /// How many names of a topic the client listens to.
    pub fn subscription_count(&self, topic: Topic) -> usize {
        self.subscriptions.as_ref().map_or(0, |subscriptions| subscriptions.of(topic).len())
    }

    /// The names of a topic that the client listens to, in no order.
    pub fn subscribed_names(&self, topic: Topic) -> Vec<Bytes> {
        let names = self.subscriptions.as_ref().map(|subscriptions| subscriptions.of(topic));
        names.map(|names| names.iter().cloned().collect()).unwrap_or_default()
    }

    /// Begins to listen to a name.
    pub fn subscribe(&mut self, topic: Topic, name: &[u8]) {
        let subscriptions = self.subscriptions.get_or_insert_default();
        let names = &mut subscriptions.names[topic as usize];
        if !names.contains(name) {
            let name = Bytes::copy_from_slice(name);
            names.insert(name.clone());
            subscriptions.bytes += bytes_of(&name);
            self.client.note_subscriptions(topic, names.len());
            self.engine.pubsub.join(topic, &name, &self.client);
            self.recharge();
        }
    }

    /// Ends to listen to a name. What was published before is delivered first, but not into the
    /// replies of a transaction.
    pub fn unsubscribe(&mut self, topic: Topic, name: &[u8], reply: &mut ReplyWriter) {
        if self.subscription_count(topic) == 0 {
            return;
        }
        if !self.is_executing {
            self.deliver(reply);
        }
        let Some(subscriptions) = &mut self.subscriptions else { return };
        let names = &mut subscriptions.names[topic as usize];
        if let Some(name) = names.take(name) {
            self.client.note_subscriptions(topic, names.len());
            subscriptions.bytes -= bytes_of(&name);
            self.engine.pubsub.leave(topic, &name, self.client.id);
        }
        if subscriptions.is_empty() {
            self.subscriptions = None;
        }
        self.recharge();
    }

    /// Begins to see every command of every client.
    pub fn monitor(&mut self) {
        self.monitors = true;
        self.engine.monitors.add(&self.client);
    }

    /// Ends every subscription, and MONITOR.
    pub fn stop_listening(&mut self) {
        if std::mem::take(&mut self.monitors) {
            self.engine.monitors.remove(self.client.id);
        }
        let Some(subscriptions) = self.subscriptions.take() else { return };
        self.recharge();
        let leave = || {
            for topic in [Topic::Channel, Topic::Pattern, Topic::Shard] {
                let leave = |name| self.engine.pubsub.leave(topic, name, self.client.id);
                subscriptions.of(topic).iter().for_each(leave);
                self.client.note_subscriptions(topic, 0);
            }
        };
        let count: usize = subscriptions.names.iter().map(HashSet::len).sum();
        if count < MANY { leave() } else { self.engine.run_long(leave) }
    }

    /// True if something waits to be delivered. One load.
    #[inline]
    pub fn has_mail(&self) -> bool {
        self.client.mailbox.has_mail()
    }

    /// Writes what was sent to the client behind its replies, as much as is worth one write; the rest stays.
    pub fn deliver(&mut self, reply: &mut ReplyWriter) {
        self.client.mailbox.take(|mail: Arc<Mail>| {
            match &*mail {
                Mail::Line(line) if self.monitors => reply.simple(line),
                mail if self
                    .subscriptions
                    .as_ref()
                    .is_some_and(|subscriptions| subscriptions.wants(mail)) =>
                {
                    write(reply, mail);
                }
                _ => {}
            }
            reply.pending() < DELIVERY_SLICE
        });
    }
}

/// Bytes that a subscription to a name takes.
fn bytes_of(name: &[u8]) -> u64 {
    2 * (name.len() as u64 + NAME_OVERHEAD)
}

fn write(reply: &mut ReplyWriter, mail: &Mail) {
    let Mail::Message { topic, pattern, channel, payload } = mail else { return };
    let len = if *topic == Topic::Pattern { 4 } else { 3 };
    reply.push(len, |reply| {
        match topic {
            Topic::Channel => reply.bulk(b"message"),
            Topic::Shard => reply.bulk(b"smessage"),
            Topic::Pattern => {
                reply.bulk(b"pmessage");
                reply.bulk(pattern);
            }
        }
        reply.bulk(channel);
        reply.shared_bulk(payload);
    });
}
