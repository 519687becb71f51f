//! The wire protocol: bytes to requests, replies to bytes. No sockets, no commands.

pub mod decoder;
mod inline;
pub mod limits;
pub mod reply;
mod request;

pub use decoder::{Decoded, Decoder, ProtocolError};
pub use limits::Limits;
pub use reply::{Protocol, ReplyMark, ReplyWriter};
pub use request::{OwnedRequest, Request, Span};
