//! HRANDFIELD.

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::family::choice::{any_item, reply_repeated, visit_some};
use crate::resp::{Protocol, ReplyWriter};
use crate::value::tree::{Hash, Item};

/// `HRANDFIELD key [count [WITHVALUES]]`: a field, or null; with a count an array of as many different ones, if
/// there are as many; with a negative count of exactly as many, each chosen among all. WITHVALUES puts the value
/// behind each field, in RESP3 into an array with it.
pub fn hrandfield(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    if args.is_empty() {
        let hash = cx.view.tree::<Hash>(key)?;
        match any_item(hash) {
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
    let (reply, wanted) = (&mut *cx.reply, count.unsigned_abs());
    let announce = |reply: &mut ReplyWriter, fields: u64| announce(reply, fields, with_values);
    let push = |reply: &mut ReplyWriter, item: Item<'_>| push(reply, item, with_values);
    if count < 0 && !hash.is_empty() {
        return cx.engine.run_sized(wanted, || reply_repeated(reply, hash, wanted, announce, push));
    }
    let wanted = wanted.min(hash.len());
    cx.engine.run_sized(wanted, || {
        announce(reply, wanted);
        visit_some(hash, wanted, |item| push(reply, item));
    });
    Ok(())
}

fn is_flat(reply: &ReplyWriter) -> bool {
    reply.protocol() == Protocol::Resp2
}

fn announce(reply: &mut ReplyWriter, fields: u64, with_values: bool) {
    let is_doubled = with_values && is_flat(reply);
    reply.array(fields as usize * if is_doubled { 2 } else { 1 });
}

fn push(reply: &mut ReplyWriter, item: Item<'_>, with_values: bool) {
    if with_values && !is_flat(reply) {
        reply.array(2);
    }
    reply.bulk(item.key);
    if with_values {
        reply.kept_bulk(item.value);
    }
}
