//! ZPOPMIN, ZPOPMAX and ZMPOP.

use super::reply_members;
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::names;
use crate::keyspace::SortedSetEdit;
use crate::value::sorted_set::{Placed, Scored};
use smallvec::SmallVec;

/// Which members are popped first.
#[derive(Clone, Copy, Debug)]
enum End {
    Lowest,
    Highest,
}

/// Popped members, the first one first.
type Popped<'g> = SmallVec<[Scored<'g>; 1]>;

impl End {
    fn of(args: &mut Args<'_>) -> Result<End, CommandError> {
        match () {
            () if args.take("MIN") => Ok(End::Lowest),
            () if args.take("MAX") => Ok(End::Highest),
            () => Err(CommandError::Syntax),
        }
    }

    fn pop_one(self, edit: &mut SortedSetEdit<'_>) -> Option<Placed> {
        match self {
            End::Lowest => edit.pop_lowest(),
            End::Highest => edit.pop_highest(),
        }
    }

    /// Removes `count` members, or all if there are no more.
    fn pop<'g>(self, edit: &mut SortedSetEdit<'g>, count: u64) -> Popped<'g> {
        let (set, count) = (edit.base(), count.min(edit.len()) as usize);
        let popped: Popped<'g> = match self {
            End::Lowest => set.iter().take(count).collect(),
            End::Highest => set.iter_back_from_rank(u64::MAX).take(count).collect(),
        };
        popped.iter().for_each(|scored| edit.take(*scored));
        popped
    }
}

/// `ZPOPMIN key [count]`: an array of the member with the lowest score and its score; with a count as many members
/// from the lowest score up, in RESP3 each in an array with its score.
pub fn zpopmin(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    pop(cx, args, End::Lowest)
}

/// `ZPOPMAX key [count]`: as ZPOPMIN, from the highest score down.
pub fn zpopmax(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    pop(cx, args, End::Highest)
}

fn pop(cx: &mut Context<'_, '_>, mut args: Args<'_>, end: End) -> CommandResult {
    let key = args.key()?;
    if args.is_empty() {
        let popped = cx.view.gather_sorted_set(key, |edit| Ok::<_, CommandError>(end.pop_one(edit)))?;
        cx.reply.array(popped.iter().len() * 2);
        if let Some(popped) = popped {
            cx.reply.bulk(popped.scored().member);
            cx.reply.double(popped.scored().score);
        }
        return Ok(());
    }
    if args.len() > 1 {
        return Err(CommandError::Syntax);
    }
    let count = args.count()?;
    let (engine, len) = (cx.engine, super::peek(cx.view, key)?.len());
    // A transaction, for one that keeps losing to short edits gets through in the end.
    let popped = engine.run_sized(len.min(count), || {
        cx.view.transact(|view| view.edit_sorted_set(key, |edit| Ok::<_, CommandError>(end.pop(edit, count))))
    })?;
    reply_members(cx, popped.iter().copied(), || popped.len() as u64, true);
    Ok(())
}

/// `ZMPOP numkeys key [key ...] MIN|MAX [COUNT count]`: the first of the keys that holds a sorted set and an array of
/// its `count` members at that end, one without COUNT, each in an array with its score; or null.
pub fn zmpop(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let keys = args.numbered_keys()?;
    let end = End::of(&mut args)?;
    let mut count = 1;
    if args.take_with("COUNT", 1) {
        count = args.above_zero("count")?;
    }
    args.finish()?;
    let engine = cx.engine;
    let popped = cx.view.transact(|view| {
        for key in keys.clone() {
            let len = super::peek(view, key)?.len();
            if len > 0 {
                let popped = engine.run_sized(len.min(count), || {
                    view.edit_sorted_set(key, |edit| Ok::<_, CommandError>(end.pop(edit, count)))
                });
                return Ok(Some((key, popped?)));
            }
        }
        Ok::<_, CommandError>(None)
    })?;
    let Some((key, popped)) = popped else {
        cx.reply.null_array();
        return Ok(());
    };
    cx.reply.array(2);
    names::reply(cx.reply, key.name());
    cx.reply.array(popped.len());
    engine.run_sized(popped.len() as u64, || {
        for scored in &popped {
            cx.reply.array(2);
            cx.reply.bulk(scored.member);
            cx.reply.double(scored.score);
        }
    });
    Ok(())
}
