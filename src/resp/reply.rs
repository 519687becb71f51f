//! Replies to bytes, in RESP2 or RESP3. The one writer of replies.

use bytes::Bytes;

/// The protocol version of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Protocol {
    /// RESP2, what every connection starts with.
    #[default]
    Resp2,
    /// RESP3, after HELLO 3.
    Resp3,
}

/// Collects the replies of a batch of commands. Aggregates are announced by their length, then written
/// element by element.
#[derive(Debug, Default)]
pub struct ReplyWriter {}

#[allow(unused_variables, missing_docs)]
impl ReplyWriter {
    pub fn new() -> ReplyWriter {
        todo!()
    }
    pub fn protocol(&self) -> Protocol {
        todo!()
    }
    pub fn set_protocol(&mut self, protocol: Protocol) {
        todo!()
    }
    /// `+text`
    pub fn simple(&mut self, text: &str) {
        todo!()
    }
    /// `-text`; CR and LF in text become spaces
    pub fn error(&mut self, text: &[u8]) {
        todo!()
    }
    pub fn integer(&mut self, value: i64) {
        todo!()
    }
    pub fn bulk(&mut self, bytes: &[u8]) {
        todo!()
    }
    /// A bulk string of decimal digits
    pub fn bulk_integer(&mut self, value: i64) {
        todo!()
    }
    /// Small ones are copied, large ones leave by reference.
    pub fn shared_bulk(&mut self, bytes: &Bytes) {
        todo!()
    }
    /// `$-1` or `_`
    pub fn null(&mut self) {
        todo!()
    }
    /// `*-1` or `_`
    pub fn null_array(&mut self) {
        todo!()
    }
    pub fn array(&mut self, len: usize) {
        todo!()
    }
    /// RESP2: array of 2 x pairs
    pub fn map(&mut self, pairs: usize) {
        todo!()
    }
    /// RESP2: array
    pub fn set(&mut self, len: usize) {
        todo!()
    }
    /// RESP2: array
    pub fn push(&mut self, len: usize) {
        todo!()
    }
    /// RESP2: bulk string
    pub fn double(&mut self, value: f64) {
        todo!()
    }
    /// RESP2: integer 0 or 1
    pub fn boolean(&mut self, value: bool) {
        todo!()
    }
    /// RESP2: bulk string. `format` has three characters, such as "txt".
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        todo!()
    }
    /// Bytes waiting to be sent, shared ones included.
    pub fn pending(&self) -> usize {
        todo!()
    }
    /// A mark to come back to.
    pub fn mark(&self) -> ReplyMark {
        todo!()
    }
    /// Forgets everything written since `mark`.
    pub fn rollback(&mut self, mark: ReplyMark) {
        todo!()
    }
}

/// A place in a [`ReplyWriter`]'s output.
#[derive(Clone, Copy, Debug)]
pub struct ReplyMark {}
