//! Random members: SPOP and SRANDMEMBER. Every member, and every choice of several, is equally likely.

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::family::choice::{any_item, reply_repeated, visit_some};
use crate::number::parse_integer;
use crate::resp::ReplyWriter;
use crate::value::tree::{Delta, Edit, Item, Op, Set, Tree};

/// `SPOP key [count]`: a member, or null; with a count a set of as many different ones, if there are as many.
pub fn spop(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    let Ok(count) = args.bytes() else {
        let popped = cx.view.edit::<Set, _, CommandError>(key, |base, delta| {
            let member = any_item(base);
            if let Some(member) = member {
                delta.remove(member.key);
            }
            Ok(member)
        })?;
        reply_member(cx, popped);
        return Ok(());
    };
    args.finish()?;
    let count = parse_integer(count).and_then(|count| u64::try_from(count).ok());
    let count = count.ok_or(CommandError::NotPositive)?;
    let engine = cx.engine;
    // A transaction, for one that keeps losing to short edits gets through in the end.
    let popped = cx.view.transact(|view| {
        view.edit::<Set, _, CommandError>(key, |base, delta| {
            Ok(engine.run_sized(count.min(base.len()), || pop(base, delta, count)))
        })
    })?;
    cx.reply.set(popped.len());
    engine.run_sized(popped.len() as u64, || popped.iter().for_each(|member| cx.reply.bulk(member)));
    Ok(())
}

fn pop<'g>(base: Tree<'g, Set>, delta: &mut Delta<'g, Set>, count: u64) -> Vec<&'g [u8]> {
    let mut popped = Vec::new();
    visit_some(base, count, |member| popped.push(member.key));
    if popped.len() as u64 == base.len() {
        delta.clear();
    } else {
        let edits: Vec<Edit<'_>> = popped.iter().map(|key| Edit { key, op: Op::Remove }).collect();
        delta.apply(&edits);
    }
    popped
}

/// `SRANDMEMBER key [count]`: a member, or null; with a count an array of as many different ones, if there are
/// as many; with a negative count of exactly as many, each chosen among all.
pub fn srandmember(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    let Ok(count) = args.bytes() else {
        let members = cx.view.tree::<Set>(key)?;
        reply_member(cx, any_item(members));
        return Ok(());
    };
    args.finish()?;
    let count = parse_integer(count).ok_or(CommandError::NotAnInteger)?;
    if count == i64::MIN {
        return Err(CommandError::CountOutOfRange);
    }
    let (members, wanted) = (cx.view.tree::<Set>(key)?, count.unsigned_abs());
    let reply = &mut *cx.reply;
    let announce = |reply: &mut ReplyWriter, members: u64| reply.array(members as usize);
    let push = |reply: &mut ReplyWriter, member: Item<'_>| reply.bulk(member.key);
    if count < 0 && !members.is_empty() {
        return cx.engine.run_sized(wanted, || reply_repeated(reply, members, wanted, announce, push));
    }
    let wanted = wanted.min(members.len());
    cx.engine.run_sized(wanted, || {
        announce(reply, wanted);
        visit_some(members, wanted, |member| push(reply, member));
    });
    Ok(())
}

fn reply_member(cx: &mut Context<'_, '_>, member: Option<Item<'_>>) {
    match member {
        Some(member) => cx.reply.bulk(member.key),
        None => cx.reply.null(),
    }
}
