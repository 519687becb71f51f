//! The settings that are numbers: what each may be, at the start and in CONFIG SET.

use super::parse::byte_count;
use crate::number::parse_integer;

/// The largest number that Redis takes for many of its settings.
const INT_MAX: i128 = i32::MAX as i128;

/// `KVNS_MEMORY_LIMIT` and `maxmemory`.
pub const MEMORY_LIMIT: Bounds = Bounds::bytes(0, u64::MAX as i128);
/// `KVNS_SNAPSHOT_RETAIN_LIMIT`.
pub const SNAPSHOT_RETAIN_LIMIT: Bounds = Bounds::bytes(0, u64::MAX as i128);
/// `KVNS_PERSIST_INTERVAL` and the seconds of `save`.
pub const PERSIST_INTERVAL: Bounds = Bounds::whole(0, INT_MAX);
/// `KVNS_MAX_CLIENTS`.
pub const MAX_CLIENTS: Bounds = Bounds::whole(1, u32::MAX as i128);
/// `KVNS_MAX_RESP_ARGS`.
pub const MAX_RESP_ARGS: Bounds = Bounds::whole(1, 1 << 20);
/// `KVNS_MAX_RESP_BULK_LEN` and `proto-max-bulk-len`. With the least of it CONFIG SET can still raise it.
pub const MAX_RESP_BULK_LEN: Bounds = Bounds::bytes(1024, 512 << 20);
/// `KVNS_MAX_RESP_INLINE_LEN`.
pub const MAX_RESP_INLINE_LEN: Bounds = Bounds::bytes(64, 64 << 20);
/// `KVNS_TIMEOUT`.
pub const TIMEOUT: Bounds = Bounds::whole(0, INT_MAX);
/// `KVNS_PUBSUB_LIMIT` and the class pubsub of `client-output-buffer-limit`.
pub const PUBSUB_LIMIT: Bounds = Bounds::bytes(1024, i64::MAX as i128);
/// `KVNS_SLOWLOG_LOG_SLOWER_THAN`; -1 for never.
pub const SLOWLOG_LOG_SLOWER_THAN: Bounds = Bounds::whole(-1, i64::MAX as i128);
/// `KVNS_SLOWLOG_MAX_LEN`.
pub const SLOWLOG_MAX_LEN: Bounds = Bounds::whole(0, 1 << 20);
/// `KVNS_LATENCY_MONITOR_THRESHOLD`.
pub const LATENCY_MONITOR_THRESHOLD: Bounds = Bounds::whole(0, INT_MAX);

/// The least and the most of a number.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The least it may be.
    pub least: i128,
    /// The most it may be.
    pub most: i128,
    /// True if it may have a unit of bytes.
    pub is_bytes: bool,
}

impl Bounds {
    /// A whole number.
    pub const fn whole(least: i128, most: i128) -> Bounds {
        Bounds { least, most, is_bytes: false }
    }

    /// A number of bytes.
    pub const fn bytes(least: i128, most: i128) -> Bounds {
        Bounds { least, most, is_bytes: true }
    }

    /// Reads a number, whatever the bounds are.
    pub fn read(self, text: &[u8]) -> Option<i128> {
        if self.is_bytes { byte_count(text).map(i128::from) } else { parse_integer(text).map(i128::from) }
    }

    /// True if it may be `number`.
    pub fn contains(self, number: i128) -> bool {
        (self.least..=self.most).contains(&number)
    }

    /// The parser of a flag and its variable.
    pub(super) fn parser<T: TryFrom<i128> + Clone + Send + Sync + 'static>(
        self,
    ) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static {
        move |text| {
            let number = self.read(text.as_bytes()).filter(|number| self.contains(*number));
            number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| self.expected())
        }
    }

    /// What is expected of a flag and its variable.
    fn expected(self) -> String {
        let Bounds { least, most, is_bytes } = self;
        match is_bytes {
            false => format!("a whole number from {least} to {most}"),
            true if most >= i128::from(i64::MAX) && least == 0 => {
                "a number of bytes such as 1073741824, 512mb or 2gb".to_owned()
            }
            true => format!("a number of bytes from {least} to {most}, such as 65536 or 64kb"),
        }
    }
}
