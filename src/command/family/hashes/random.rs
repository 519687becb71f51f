//! HRANDFIELD: every field, and every choice of several, is equally likely.

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::resp::{Protocol, ReplyWriter};
use crate::value::tree::{Hash, Item, Tree};
use rand::Rng;
use rand::seq::index::sample;

/// A choice of at least one in this many fields is made in one walk over all of them.
const WALKED: u64 = 8;

/// Bytes that a negative count may make a reply: the count announces them, and the hash need not have them.
const MAX_REPEATED: usize = 256 << 20;

/// `HRANDFIELD key [count [WITHVALUES]]`: a field, or null; with a count an array of as many different ones, if
/// there are as many; with a negative count of exactly as many, each chosen among all. WITHVALUES puts the value
/// behind each field, in RESP3 into an array with it.
pub fn hrandfield(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    if args.is_empty() {
        let hash = cx.view.tree::<Hash>(key)?;
        match some_item(hash) {
            Some(item) => cx.reply.bulk(item.key),
            None => cx.reply.null(),
        }
        return Ok(());
    }
    let count = args.integer()?;
    if count == i64::MIN {
        return Err(CommandError::CountOutOfRange);
    }
    let with_values = args.take("WITHVALUES");
    args.finish()?;
    if with_values && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(CommandError::OutOfRange);
    }
    let hash = cx.view.tree::<Hash>(key)?;
    let mut fields = FieldsReply { reply: cx.reply, with_values };
    if hash.is_empty() {
        fields.announce(0);
        return Ok(());
    }
    let wanted = count.unsigned_abs();
    if count < 0 {
        return cx.engine.run_sized(wanted, || reply_repeated(&mut fields, hash, wanted));
    }
    let wanted = wanted.min(hash.len());
    cx.engine.run_sized(wanted, || {
        fields.announce(wanted);
        visit_some(hash, wanted, |item| fields.push(item));
    });
    Ok(())
}

/// Any of the items.
fn some_item(hash: Tree<'_, Hash>) -> Option<Item<'_>> {
    if hash.is_empty() { None } else { hash.nth(rand::rng().random_range(0..hash.len())) }
}

/// Visits `count` different items, no more than there are. O(count log n), at most O(n).
fn visit_some<'g>(hash: Tree<'g, Hash>, count: u64, mut visit: impl FnMut(Item<'g>)) {
    if count == hash.len() {
        return hash.iter().for_each(visit);
    }
    let mut chosen = sample(&mut rand::rng(), hash.len() as usize, count as usize).into_vec();
    if count < hash.len() / WALKED {
        return chosen.iter().filter_map(|index| hash.nth(*index as u64)).for_each(visit);
    }
    chosen.sort_unstable();
    let mut chosen = chosen.into_iter().peekable();
    for (index, item) in hash.iter().enumerate() {
        if chosen.next_if_eq(&index).is_some() {
            visit(item);
        }
    }
}

/// Writes `count` items, each chosen among all.
fn reply_repeated(fields: &mut FieldsReply<'_>, hash: Tree<'_, Hash>, count: u64) -> CommandResult {
    let (mark, before) = (fields.reply.mark(), fields.reply.pending());
    fields.announce(count);
    for _ in 0..count {
        some_item(hash).into_iter().for_each(|item| fields.push(item));
        if fields.reply.pending() - before > MAX_REPEATED {
            fields.reply.rollback(mark);
            return Err(CommandError::OutOfRange);
        }
    }
    Ok(())
}

/// An array of fields, alone or with their values.
struct FieldsReply<'a> {
    reply: &'a mut ReplyWriter,
    with_values: bool,
}

impl FieldsReply<'_> {
    fn is_flat(&self) -> bool {
        self.reply.protocol() == Protocol::Resp2
    }

    fn announce(&mut self, fields: u64) {
        let is_doubled = self.with_values && self.is_flat();
        self.reply.array(fields as usize * if is_doubled { 2 } else { 1 });
    }

    fn push(&mut self, item: Item<'_>) {
        if self.with_values && !self.is_flat() {
            self.reply.array(2);
        }
        self.reply.bulk(item.key);
        if self.with_values {
            self.reply.bulk(item.value);
        }
    }
}
