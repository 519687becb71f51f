//! What HSCAN and SSCAN share: walks over the items of one key, some at a time.

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::concurrent::version::Collection;
use crate::glob::Pattern;
use crate::resp::ReplyWriter;
use crate::value::tree::{Item, Keyed};
use smallvec::SmallVec;

/// A call looks at about this many items unless COUNT says otherwise.
pub const DEFAULT_COUNT: usize = 10;

/// The options of a walk over items.
struct Options<'r> {
    pattern: Option<Pattern<'r>>,
    count: usize,
}

impl<'r> Options<'r> {
    fn parse(mut args: Args<'r>) -> Result<Options<'r>, CommandError> {
        let mut options = Options { pattern: None, count: DEFAULT_COUNT };
        while !args.is_empty() {
            if args.take_with("COUNT", 1) {
                options.count = count(&mut args)?;
            } else if args.take_with("MATCH", 1) {
                options.pattern = Some(Pattern::new(args.bytes()?));
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }
}

/// The value of COUNT: a positive integer.
pub fn count(args: &mut Args<'_>) -> Result<usize, CommandError> {
    let count = args.integer()?;
    usize::try_from(count).ok().filter(|count| *count > 0).ok_or(CommandError::Syntax)
}

/// `key cursor [MATCH pattern] [COUNT count]`: the next cursor, 0 at the end, and what `parts` says of each item
/// in one array. Options are looked at only if the key is there. O(log n + COUNT); a small collection is visited
/// at once.
pub fn reply_scan<L: Keyed + Collection, const PARTS: usize>(
    cx: &mut Context<'_, '_>,
    mut args: Args<'_>,
    parts: impl for<'n> Fn(Item<'n>) -> [&'n [u8]; PARTS],
) -> CommandResult {
    let (key, cursor) = (args.key()?, args.cursor()?);
    let tree = cx.view.tree::<L>(key)?;
    if tree.is_empty() {
        reply_page(cx.reply, 0, &[], parts);
        return Ok(());
    }
    let Options { pattern, count } = Options::parse(args)?;
    let reply = &mut *cx.reply;
    cx.engine.run_sized(tree.len().min(count as u64), || {
        let mut page: SmallVec<[Item<'_>; 32]> = SmallVec::new();
        let next = tree.scan(cursor, count, |item| {
            if pattern.is_none_or(|pattern| pattern.matches(item.key)) {
                page.push(item);
            }
        });
        reply_page(reply, next, &page, &parts);
    });
    Ok(())
}

fn reply_page<const PARTS: usize>(
    reply: &mut ReplyWriter,
    next: u64,
    page: &[Item<'_>],
    parts: impl for<'n> Fn(Item<'n>) -> [&'n [u8]; PARTS],
) {
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(page.len() * PARTS);
    for item in page {
        parts(*item).into_iter().for_each(|part| reply.bulk(part));
    }
}
