//! LPOS: where in a list an element is.

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::value::tree::{Item, List};

/// `LPOS key element [RANK rank] [COUNT count] [MAXLEN maxlen]`: the position of the match number `rank`, from the
/// right end if negative, or null; with COUNT an array of that many from there on, of all for 0. At most `maxlen`
/// elements are compared, all for 0.
pub fn lpos(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, element) = (args.key()?, args.bytes()?);
    let (mut rank, mut count, mut maxlen) = (1, None, 0);
    while !args.is_empty() {
        if args.take_with("RANK", 1) {
            rank = args.integer()?;
            if rank == 0 {
                return Err(CommandError::RankZero);
            }
        } else if args.take_with("COUNT", 1) {
            count = Some(limit(&mut args, "COUNT")?);
        } else if args.take_with("MAXLEN", 1) {
            maxlen = limit(&mut args, "MAXLEN")?;
        } else {
            return Err(CommandError::Syntax);
        }
    }
    let list = cx.view.tree::<List>(key)?;
    let len = list.len();
    let compared = if maxlen == 0 { len } else { len.min(maxlen) };
    let wanted =
        Wanted { element, passed: rank.unsigned_abs() as usize - 1, count: count.unwrap_or(1) as usize };
    let found = cx.engine.run_sized(compared, || {
        if rank > 0 {
            wanted.among(list.iter().zip(0..).take(compared as usize))
        } else {
            wanted.among(list.iter_back_from(u64::MAX).zip((0..len).rev()).take(compared as usize))
        }
    });
    if count.is_some() {
        cx.reply.array(found.len());
        found.iter().for_each(|position| cx.reply.integer(*position as i64));
    } else if let [position] = found[..] {
        cx.reply.integer(position as i64);
    } else {
        cx.reply.null();
    }
    Ok(())
}

/// The next argument as a number of 0 or more.
fn limit(args: &mut Args<'_>, name: &'static str) -> Result<u64, CommandError> {
    let number = args.integer().ok().and_then(|number| u64::try_from(number).ok());
    number.ok_or(CommandError::Negative(name))
}

/// Which of the elements that are equal to one are looked for.
struct Wanted<'r> {
    element: &'r [u8],
    /// How many are passed by first.
    passed: usize,
    /// How many are wanted from there on; 0 for all.
    count: usize,
}

impl Wanted<'_> {
    fn among<'g>(&self, items: impl Iterator<Item = (Item<'g>, u64)>) -> Vec<u64> {
        let equal = items.filter(|(item, _)| item.key == self.element).skip(self.passed);
        let count = if self.count == 0 { usize::MAX } else { self.count };
        equal.take(count).map(|(_, position)| position).collect()
    }
}
