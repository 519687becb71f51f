//! What one request may announce.

/// Limits on what a client may send; each names its setting in the error it causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Arguments in one command (`KVNS_MAX_RESP_ARGS`).
    pub args: usize,
    /// Bytes in one bulk string (`KVNS_MAX_RESP_BULK_LEN`).
    pub bulk_len: usize,
    /// Bytes in one inline or header line (`KVNS_MAX_RESP_INLINE_LEN`).
    pub inline_len: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { args: 1024, bulk_len: 16 << 20, inline_len: 64 << 10 }
    }
}
