//! A decoded command: argument spans over the bytes they were read from.

/// Where an argument stands in its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Length in bytes.
    pub len: usize,
}

/// A command and its arguments, borrowed from the read buffer. Never empty.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    buffer: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Request<'a> {
    /// A request over `buffer`; every span lies inside it.
    pub fn new(buffer: &'a [u8], spans: &'a [Span]) -> Request<'a> {
        Request { buffer, spans }
    }

    /// Number of arguments, the command's name included.
    #[allow(clippy::len_without_is_empty, reason = "a request is never empty")]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Argument `index`, if there is one; 0 is the command's name.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        self.spans.get(index).map(|span| &self.buffer[span.start..span.start + span.len])
    }

    /// The command's name.
    pub fn name(&self) -> &'a [u8] {
        self.get(0).unwrap_or_default()
    }

    /// All arguments, the command's name first.
    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let buffer = self.buffer;
        self.spans.iter().map(move |span| &buffer[span.start..span.start + span.len])
    }

    /// A copy that owns its bytes, for a queue.
    pub fn to_owned(&self) -> OwnedRequest {
        OwnedRequest::from_args(self.iter())
    }
}

/// A request that owns its bytes.
#[derive(Clone, Debug, Default)]
pub struct OwnedRequest {
    buffer: Vec<u8>,
    spans: Vec<Span>,
}

impl OwnedRequest {
    /// A request of these arguments, the command's name first.
    pub fn from_args<'a>(args: impl IntoIterator<Item = &'a [u8]>) -> OwnedRequest {
        let mut owned = OwnedRequest::default();
        for arg in args {
            owned.spans.push(Span { start: owned.buffer.len(), len: arg.len() });
            owned.buffer.extend_from_slice(arg);
        }
        owned
    }

    /// The request, borrowed.
    pub fn as_request(&self) -> Request<'_> {
        Request::new(&self.buffer, &self.spans)
    }

    /// Bytes held.
    pub fn footprint(&self) -> usize {
        self.buffer.capacity() + self.spans.capacity() * size_of::<Span>()
    }
}
