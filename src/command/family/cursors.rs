//! The common part of HSCAN, SSCAN and ZSCAN: walks over the items of one key, some at a time.

use super::items::Items;
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::glob::Pattern;
use crate::resp::ReplyWriter;
use smallvec::SmallVec;

/// A call looks at about this many items unless COUNT says otherwise.
pub const DEFAULT_COUNT: usize = 10;

/// The options of a walk over items.
struct ScanOptions<'r> {
    pattern: Option<Pattern<'r>>,
    count: usize,
}

impl Default for ScanOptions<'_> {
    fn default() -> Self {
        ScanOptions { pattern: None, count: DEFAULT_COUNT }
    }
}

impl<'r> ScanOptions<'r> {
    fn parse(mut args: Args<'r>) -> Result<ScanOptions<'r>, CommandError> {
        let mut options = ScanOptions::default();
        while !args.is_empty() {
            if args.take_with("COUNT", 1) {
                options.count = count(&mut args)?;
            } else if args.take_with("MATCH", 1) {
                // Everything matches a lone star, so it need not be compared.
                options.pattern = Some(args.bytes()?).filter(|pattern| pattern != b"*").map(Pattern::new);
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

/// `key cursor [MATCH pattern] [COUNT count]`: the next cursor, 0 at the end, and what `push` writes of each item,
/// `parts` replies, in one array. ScanOptions are looked at only if the key is there. O(log n + COUNT); a small
/// collection is visited at once.
pub fn reply_scan<'g, I: Items<'g>>(
    cx: &mut Context<'_, 'g>,
    mut args: Args<'_>,
    parts: usize,
    push: impl Fn(&mut ReplyWriter, I::Item),
) -> CommandResult {
    let (key, cursor) = (args.key()?, args.cursor()?);
    let items = I::read(cx.view, key)?;
    let options = if items.count() == 0 { ScanOptions::default() } else { ScanOptions::parse(args)? };
    let ScanOptions { pattern, count } = options;
    let reply = &mut *cx.reply;
    cx.engine.run_sized(items.count().min(count as u64), || {
        let mut page: SmallVec<[I::Item; 32]> = SmallVec::new();
        let next = items.scan(cursor, count, |item| {
            if pattern.is_none_or(|pattern| pattern.matches(I::name(item))) {
                page.push(item);
            }
        });
        reply.array(2);
        reply.bulk(itoa::Buffer::new().format(next).as_bytes());
        reply.array(page.len() * parts);
        page.iter().for_each(|item| push(reply, *item));
    });
    Ok(())
}
