//! Items chosen at random. Every item, and every choice of several, is equally likely.

use super::items::Items;
use crate::command::error::{CommandError, CommandResult};
use crate::resp::ReplyWriter;
use rand::Rng;
use rand::seq::index::sample;

/// A choice of at least one in this many items is made in one walk over all of them.
const WALKED: u64 = 8;

/// Bytes that a negative count may make a reply: the count announces them, and the collection need not have them.
const MAX_REPEATED: usize = 256 << 20;

/// Bytes of the shortest item in a reply: an empty bulk string.
const MIN_ITEM: usize = b"$0\r\n\r\n".len();

/// One of the items; `None` if there is none. O(log n).
pub fn any_item<'g, I: Items<'g>>(items: I) -> Option<I::Item> {
    if items.count() == 0 { None } else { items.at(rand::rng().random_range(0..items.count())) }
}

/// Visits `count` different items, or all if there are no more, in no particular order. O(count log n), at most
/// O(n).
pub fn visit_some<'g, I: Items<'g>>(items: I, count: u64, mut visit: impl FnMut(I::Item)) {
    let len = items.count();
    if count >= len {
        return items.all().for_each(visit);
    }
    let mut chosen = sample(&mut rand::rng(), len as usize, count as usize).into_vec();
    if count < len / WALKED {
        return chosen.iter().filter_map(|index| items.at(*index as u64)).for_each(visit);
    }
    chosen.sort_unstable();
    let mut chosen = chosen.into_iter().peekable();
    for (index, item) in items.all().enumerate() {
        if chosen.next_if_eq(&index).is_some() {
            visit(item);
        }
    }
}

/// Writes `count` items, each chosen among all: an announcement by `announce`, then each item by `push`. An error
/// if that is more than a reply may be. O(count log n).
pub fn reply_repeated<'g, I: Items<'g>>(
    reply: &mut ReplyWriter,
    items: I,
    count: u64,
    announce: impl Fn(&mut ReplyWriter, u64),
    push: impl Fn(&mut ReplyWriter, I::Item),
) -> CommandResult {
    if count > (MAX_REPEATED / MIN_ITEM) as u64 {
        return Err(CommandError::OutOfRange);
    }
    let (mark, before) = (reply.mark(), reply.pending());
    announce(reply, count);
    for _ in 0..count {
        any_item(items).into_iter().for_each(|item| push(reply, item));
        if reply.pending() - before > MAX_REPEATED {
            reply.rollback(mark);
            return Err(CommandError::OutOfRange);
        }
    }
    Ok(())
}
