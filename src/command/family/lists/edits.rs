//! Changes inside of a list: LSET, LREM, LTRIM, LINSERT.

use super::{position, stretch};
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::keyspace::{Change, Draft, Key};
use crate::number::parse_integer;
use crate::value::tree::{Delta, Item, List, Splice, Tree};

/// `LSET key index element`: `+OK`. The index counts from the right end if negative.
pub fn lset(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, index, element) = (args.key()?, args.bytes()?, args.bytes()?);
    cx.view.edit::<List, _, _>(key, |list, delta| {
        if list.is_empty() {
            return Err(CommandError::NoSuchKey);
        }
        let index = parse_integer(index).ok_or(CommandError::NotAnInteger)?;
        let position = position(list.len(), index).filter(|position| *position < list.len());
        delta.set(position.ok_or(CommandError::IndexOutOfRange)?, element);
        Ok(())
    })?;
    cx.reply.simple("OK");
    Ok(())
}

/// `LREM key count element`: how many were removed. A positive count removes that many from the left, a negative
/// one from the right, 0 all.
pub fn lrem(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, count, element) = (args.key()?, args.integer()?, args.bytes()?);
    let removed = search_and_edit(cx, key, |list, delta| {
        let before = list.len();
        delta.splice(&removals(list, count, element));
        before - delta.tree().len()
    })?;
    cx.reply.integer(removed as i64);
    Ok(())
}

/// The stretches that LREM takes out, in ascending order and apart from each other.
fn removals(list: Tree<'_, List>, count: i64, element: &[u8]) -> Vec<Splice<'static>> {
    let limit = if count == 0 { usize::MAX } else { count.unsigned_abs() as usize };
    let is_wanted = |(item, _): &(Item<'_>, u64)| item.key == element;
    let mut stretches: Vec<Splice<'static>> = Vec::new();
    if count < 0 {
        let found = list.iter_back_from(u64::MAX).zip((0..list.len()).rev()).filter(is_wanted).take(limit);
        for (_, position) in found {
            match stretches.last_mut().filter(|last| last.range.start == position + 1) {
                Some(last) => last.range.start = position,
                None => stretches.push(Splice { range: position..position + 1, items: &[] }),
            }
        }
        stretches.reverse();
    } else {
        for (_, position) in list.iter().zip(0..).filter(is_wanted).take(limit) {
            match stretches.last_mut().filter(|last| last.range.end == position) {
                Some(last) => last.range.end = position + 1,
                None => stretches.push(Splice { range: position..position + 1, items: &[] }),
            }
        }
    }
    stretches
}

/// `LTRIM key start stop`: `+OK`. What is not from start to stop goes, as LRANGE counts them.
pub fn ltrim(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, start, stop) = (args.key()?, args.integer()?, args.integer()?);
    let birth = cx.view.birth();
    cx.view.update(key, |entry| {
        let Some(entry) = entry else { return Ok((Change::Keep, ())) };
        let list = entry.tree::<List>()?;
        let kept = stretch(list.len(), start, stop);
        if kept == (0..list.len()) {
            // A WATCH of the list notices this LTRIM, as in Redis.
            return Ok((Change::Put(Draft::value_of(&entry, entry.deadline_ms())), ()));
        }
        let mut delta = Delta::new(list, birth);
        delta.keep(kept);
        Ok::<_, CommandError>((Change::edited(delta, entry.deadline_ms()), ()))
    })?;
    cx.reply.simple("OK");
    Ok(())
}

/// `LINSERT key BEFORE|AFTER pivot element`: the length after it, -1 if the pivot is not there, 0 for a missing
/// list.
pub fn linsert(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    let behind = if args.take("AFTER") {
        1
    } else if args.take("BEFORE") {
        0
    } else {
        return Err(CommandError::Syntax);
    };
    let (pivot, element) = (args.bytes()?, args.bytes()?);
    let len = search_and_edit(cx, key, |list, delta| {
        if list.is_empty() {
            return 0;
        }
        let Some(position) = list.iter().position(|item| item.key == pivot) else { return -1 };
        delta.insert(position as u64 + behind, &[element]);
        list.len() as i64 + 1
    })?;
    cx.reply.integer(len);
    Ok(())
}

/// An edit that looks at every element first. It is a transaction, for one that keeps losing to short edits gets
/// through in the end.
fn search_and_edit<'g, R>(
    cx: &mut Context<'_, 'g>,
    key: Key<'_>,
    mut change: impl FnMut(Tree<'g, List>, &mut Delta<'g, List>) -> R,
) -> Result<R, CommandError> {
    let len = match cx.view.peek(key)? {
        Some(entry) => entry.tree::<List>()?.len(),
        None => 0,
    };
    cx.engine.run_sized(len, || {
        cx.view.transact(|view| view.edit(key, |list, delta| Ok::<_, CommandError>(change(list, delta))))
    })
}
