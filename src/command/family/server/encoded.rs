//! Long replies that are always the same.

use crate::command::context::Context;
use crate::resp::{Protocol, ReplyWriter};
use bytes::{Buf, Bytes};
use std::sync::OnceLock;

/// One of them, encoded once for each protocol.
pub(super) struct Encoded([OnceLock<Bytes>; 2]);

impl Encoded {
    pub const fn new() -> Encoded {
        Encoded([OnceLock::new(), OnceLock::new()])
    }

    /// Replies with what `write` writes.
    pub fn reply(&self, cx: &mut Context<'_, '_>, write: impl FnOnce(&mut ReplyWriter)) {
        let protocol = cx.reply.protocol();
        let encoded = self.0[usize::from(protocol == Protocol::Resp3)].get_or_init(|| {
            let mut reply = ReplyWriter::new();
            reply.set_protocol(protocol);
            write(&mut reply);
            reply.copy_to_bytes(reply.remaining())
        });
        cx.reply.encoded(encoded);
    }
}
