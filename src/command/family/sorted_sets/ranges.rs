//! Ranges by rank, by score and by member: read, counted, stored and removed.

use super::reply_members;
use super::selection::{By, Selection};
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::value::sorted_set::Placed;

/// What a ranged command says about its range by its name; the options of ZRANGE say the rest.
#[derive(Clone, Copy, Debug, Default)]
struct Form {
    by: Option<By>,
    is_reverse: Option<bool>,
    is_stored: bool,
}

/// `ZRANGE key start stop [BYSCORE|BYLEX] [REV] [LIMIT offset count] [WITHSCORES]`: an array of the members of a
/// range in their order, with their scores if asked for. In RESP3 a member and its score are an array of two.
pub fn zrange(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    reply(cx, args, Form::default())
}

/// `ZREVRANGE key start stop [WITHSCORES]`: as ZRANGE by rank, from the highest score down.
pub fn zrevrange(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    reply(cx, args, Form { by: Some(By::Rank), is_reverse: Some(true), is_stored: false })
}

/// `ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]`: as ZRANGE BYSCORE.
pub fn zrangebyscore(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    reply(cx, args, Form { by: Some(By::Score), is_reverse: Some(false), is_stored: false })
}

/// `ZREVRANGEBYSCORE key max min [WITHSCORES] [LIMIT offset count]`: as ZRANGE BYSCORE REV.
pub fn zrevrangebyscore(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    reply(cx, args, Form { by: Some(By::Score), is_reverse: Some(true), is_stored: false })
}

/// `ZRANGEBYLEX key min max [LIMIT offset count]`: as ZRANGE BYLEX.
pub fn zrangebylex(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    reply(cx, args, Form { by: Some(By::Member), is_reverse: Some(false), is_stored: false })
}

/// `ZREVRANGEBYLEX key max min [LIMIT offset count]`: as ZRANGE BYLEX REV.
pub fn zrevrangebylex(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    reply(cx, args, Form { by: Some(By::Member), is_reverse: Some(true), is_stored: false })
}

fn reply(cx: &mut Context<'_, '_>, mut args: Args<'_>, form: Form) -> CommandResult {
    let key = args.key()?;
    let (selection, with_scores) = parse(args, form)?;
    let set = cx.view.sorted_set(key)?;
    reply_members(cx, selection.members(set), || selection.count(set), with_scores);
    Ok(())
}

/// `ZRANGESTORE destination source min max [BYSCORE|BYLEX] [REV] [LIMIT offset count]`: stores what ZRANGE would
/// answer, and answers how many members that are. None remove the destination.
pub fn zrangestore(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (destination, source) = (args.key()?, args.key()?);
    let (selection, _) = parse(args, Form { is_stored: true, ..Form::default() })?;
    let (engine, about) = (cx.engine, selection.count(super::peek(cx.view, source)?));
    let stored = engine.run_sized(about, || {
        cx.view.transact(|view| {
            let members = selection.members(view.sorted_set(source)?);
            let placed = members.map(|scored| Placed::new(scored.member, scored.score)).collect();
            Ok::<_, CommandError>(view.store_sorted_set(destination, placed)?)
        })
    })?;
    cx.reply.integer(stored as i64);
    Ok(())
}

/// Reads the bounds and what follows them: which members, and whether with scores.
fn parse<'r>(mut args: Args<'r>, form: Form) -> Result<(Selection<'r>, bool), CommandError> {
    let (first, second) = (args.bytes()?, args.bytes()?);
    let (mut by, mut is_reverse, mut with_scores, mut limit) = (form.by, form.is_reverse, false, (0, -1));
    while !args.is_empty() {
        if !form.is_stored && args.take("WITHSCORES") {
            with_scores = true;
        } else if args.take_with("LIMIT", 2) {
            limit = (args.integer()?, args.integer()?);
        } else if is_reverse.is_none() && args.take("REV") {
            is_reverse = Some(true);
        } else if by.is_none() && args.take("BYLEX") {
            by = Some(By::Member);
        } else if by.is_none() && args.take("BYSCORE") {
            by = Some(By::Score);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let by = by.unwrap_or(By::Rank);
    if limit.1 != -1 && matches!(by, By::Rank) {
        return Err(CommandError::LimitByRank);
    }
    if with_scores && matches!(by, By::Member) {
        return Err(CommandError::ScoresByLex);
    }
    let selection = Selection::parse(by, (first, second), is_reverse.unwrap_or(false), limit)?;
    Ok((selection, with_scores))
}

/// `ZCOUNT key min max`: how many members have a score in the range.
pub fn zcount(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    count(cx, args, By::Score)
}

/// `ZLEXCOUNT key min max`: how many members are in the range, if all have one score.
pub fn zlexcount(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    count(cx, args, By::Member)
}

fn count(cx: &mut Context<'_, '_>, mut args: Args<'_>, by: By) -> CommandResult {
    let key = args.key()?;
    let selection = Selection::all_of(by, &mut args)?;
    let count = selection.count(cx.view.sorted_set(key)?);
    cx.reply.integer(count as i64);
    Ok(())
}

/// `ZREMRANGEBYRANK key start stop`: how many members were removed.
pub fn zremrangebyrank(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    remove(cx, args, By::Rank)
}

/// `ZREMRANGEBYSCORE key min max`: how many members were removed.
pub fn zremrangebyscore(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    remove(cx, args, By::Score)
}

/// `ZREMRANGEBYLEX key min max`: how many members were removed.
pub fn zremrangebylex(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    remove(cx, args, By::Member)
}

fn remove(cx: &mut Context<'_, '_>, mut args: Args<'_>, by: By) -> CommandResult {
    let key = args.key()?;
    let selection = Selection::all_of(by, &mut args)?;
    let (engine, about) = (cx.engine, selection.count(super::peek(cx.view, key)?));
    // A transaction, for one that keeps losing to short edits gets through in the end.
    let removed = engine.run_sized(about, || {
        cx.view.transact(|view| {
            view.edit_sorted_set(key, |edit| {
                let before = edit.len();
                selection.members(edit.base()).for_each(|scored| edit.take(scored));
                Ok::<_, CommandError>(before - edit.len())
            })
        })
    })?;
    cx.reply.integer(removed as i64);
    Ok(())
}
