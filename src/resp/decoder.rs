//! Bytes to requests.

use super::{Limits, Request};

/// What a call of [`Decoder::decode`] found.
#[derive(Debug)]
pub struct Decoded {
    /// Bytes at the front of the input that the decoded requests cover; to be dropped once they have run.
    pub consumed: usize,
    /// What is wrong with the bytes behind the decoded requests; the connection closes after their replies.
    pub error: Option<ProtocolError>,
}

/// Why the input is not RESP, or more than the limits allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolError {}

impl ProtocolError {
    /// The error reply's text, without the leading `-` and the line end.
    pub fn message(&self) -> String {
        todo!()
    }
}

/// An incremental decoder of RESP arrays and inline commands. Keeps how far it got with an incomplete
/// request, so a request that arrives in many reads costs O(its length) in total.
#[derive(Debug)]
pub struct Decoder {}

impl Decoder {
    /// A decoder at the start of a connection.
    pub fn new(_limits: Limits) -> Decoder {
        todo!()
    }

    /// Decodes every complete request at the front of `input`. `input` is everything received and not yet
    /// consumed: what an earlier call left, with more bytes behind it.
    pub fn decode(&mut self, _input: &[u8]) -> Decoded {
        todo!()
    }

    /// Number of requests the last `decode` found.
    pub fn count(&self) -> usize {
        todo!()
    }

    /// Request `index` of the last `decode`, over the same `input`.
    pub fn request<'a>(&'a self, _input: &'a [u8], _index: usize) -> Request<'a> {
        todo!()
    }
}
