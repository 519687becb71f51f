//! Where clients' names of keys come in and go out. What stands between the two kinds of names belongs here, and nowhere
//! else: today they are the same.

use crate::keyspace::Key;
use crate::resp::ReplyWriter;

/// The key that a client names.
#[inline]
pub fn key(name: &[u8]) -> Key<'_> {
    Key::new(name)
}

/// Replies the canonical name of a key.
pub fn reply(reply: &mut ReplyWriter, name: &[u8]) {
    reply.bulk(name);
}
