//! From list to list, and from the first of several: LMOVE, RPOPLPUSH, LMPOP.

use super::{End, reply_end};
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::names;
use crate::keyspace::{Key, View};
use crate::value::tree::{Delta, Item, List, Tree};

/// `LMOVE source destination LEFT|RIGHT LEFT|RIGHT`: the element that was moved, or null for a missing source.
pub fn lmove(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (source, destination) = (args.key()?, args.key()?);
    let (from, to) = (End::of(&mut args)?, End::of(&mut args)?);
    move_element(cx, (source, from), (destination, to))
}

/// `RPOPLPUSH source destination`: as LMOVE from right to left.
pub fn rpoplpush(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (source, destination) = (args.key()?, args.key()?);
    move_element(cx, (source, End::Right), (destination, End::Left))
}

/// An end of the list at a key.
type Place<'k> = (Key<'k>, End);

fn move_element(cx: &mut Context<'_, '_>, source: Place<'_>, destination: Place<'_>) -> CommandResult {
    let moved = if source.0 == destination.0 {
        rotate(cx.view, source, destination.1)
    } else {
        cx.view.transact(|view| pass_on(view, source, destination))
    }?;
    match moved {
        Some(item) => cx.reply.bulk(item.key),
        None => cx.reply.null(),
    }
    Ok(())
}

fn rotate<'g>(
    view: &mut View<'g>,
    (key, from): Place<'_>,
    to: End,
) -> Result<Option<Item<'g>>, CommandError> {
    view.edit::<List, _, _>(key, |list, delta| {
        let Some(position) = from.position(list.len()) else { return Ok(None) };
        let item = list.nth(position);
        delta.remove(position..position + 1);
        item.iter().for_each(|item| add(delta, to, item.key));
        Ok(item)
    })
}

/// Moves an element between two keys, inside a transaction.
fn pass_on<'g>(
    view: &mut View<'g>,
    (source, from): Place<'_>,
    (destination, to): Place<'_>,
) -> Result<Option<Item<'g>>, CommandError> {
    let list = list_at(view, source)?;
    let Some((position, item)) =
        from.position(list.len()).and_then(|position| Some((position, list.nth(position)?)))
    else {
        return Ok(None);
    };
    list_at(view, destination)?;
    view.edit::<List, _, CommandError>(source, |_, delta| {
        delta.remove(position..position + 1);
        Ok(())
    })?;
    view.edit::<List, _, CommandError>(destination, |_, delta| {
        add(delta, to, item.key);
        Ok(())
    })?;
    Ok(Some(item))
}

/// Adds an element at one end.
fn add(delta: &mut Delta<'_, List>, end: End, element: &[u8]) {
    match end {
        End::Left => delta.push_front(&[element]),
        End::Right => delta.push_back(&[element]),
    }
}

/// The list at a key that is about to be changed; empty if missing.
fn list_at<'g>(view: &mut View<'g>, key: Key<'_>) -> Result<Tree<'g, List>, CommandError> {
    Ok(view.peek(key)?.map_or(Ok(Tree::EMPTY), |entry| entry.tree())?)
}

/// `LMPOP numkeys key [key ...] LEFT|RIGHT [COUNT count]`: the first of the keys that holds a list and an array of
/// its `count` elements at that end, one without COUNT; or null.
pub fn lmpop(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let keys = args.numbered_keys()?;
    let end = End::of(&mut args)?;
    let mut count = 1;
    if args.take_with("COUNT", 1) {
        count = args.above_zero("count")?;
    }
    args.finish()?;
    let popped = cx.view.transact(|view| {
        for key in keys.clone() {
            let list = list_at(view, key)?;
            if !list.is_empty() {
                view.edit::<List, _, CommandError>(key, |list, delta| {
                    delta.remove(end.stretch(list.len(), count));
                    Ok(())
                })?;
                return Ok(Some((key, list)));
            }
        }
        Ok::<_, CommandError>(None)
    })?;
    let Some((key, list)) = popped else {
        cx.reply.null_array();
        return Ok(());
    };
    cx.reply.array(2);
    names::reply(cx.reply, key.name());
    let popped = count.min(list.len());
    cx.engine.run_sized(popped, || reply_end(cx.reply, list, end, popped));
    Ok(())
}
