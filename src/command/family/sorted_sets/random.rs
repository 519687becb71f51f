//! ZRANDMEMBER.

use super::{announce, push};
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::family::choice::{any_item, reply_repeated, visit_some};
use crate::resp::ReplyWriter;
use crate::value::sorted_set::Scored;

/// `ZRANDMEMBER key [count [WITHSCORES]]`: a member, or null; with a count an array of as many different ones, if
/// there are as many; with a negative count of exactly as many, each chosen among all. WITHSCORES puts the score
/// behind each member, in RESP3 into an array with it.
pub fn zrandmember(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    if args.is_empty() {
        match any_item(cx.view.sorted_set(key)?) {
            Some(scored) => cx.reply.bulk(scored.member),
            None => cx.reply.null(),
        }
        return Ok(());
    }
    let count = args.integer()?;
    if count == i64::MIN {
        return Err(CommandError::CountOutOfRange);
    }
    let with_scores = args.take("WITHSCORES");
    args.finish()?;
    if with_scores && count.unsigned_abs() > i64::MAX as u64 / 2 {
        return Err(CommandError::OutOfRange);
    }
    let set = cx.view.sorted_set(key)?;
    let (reply, wanted) = (&mut *cx.reply, count.unsigned_abs());
    let announce = |reply: &mut ReplyWriter, members: u64| announce(reply, members, with_scores);
    let push = |reply: &mut ReplyWriter, scored: Scored<'_>| push(reply, scored, with_scores);
    if count < 0 && !set.is_empty() {
        return cx.engine.run_sized(wanted, || reply_repeated(reply, set, wanted, announce, push));
    }
    let wanted = wanted.min(set.len());
    cx.engine.run_sized(wanted, || {
        announce(reply, wanted);
        visit_some(set, wanted, |scored| push(reply, scored));
    });
    Ok(())
}
