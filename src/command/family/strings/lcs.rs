//! LCS: the longest common subsequence of two strings.
//!
//! The textbook dynamic program over a table of (N+1) x (M+1) lengths, walked back from its end. The walk
//! collects the runs of equal bytes, as Redis answers them with IDX.

use super::string_of;
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::keyspace::{Key, View};
use crate::value::string::Str;

/// What LCS is asked to answer.
#[derive(Clone, Copy, Debug, Default)]
struct LcsOptions {
    wants_len: bool,
    wants_runs: bool,
    shows_run_len: bool,
    min_run_len: i64,
}

/// A run of bytes that both strings have, by its first positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    one: usize,
    other: usize,
    len: usize,
}

/// `LCS key key [LEN] [IDX] [MINMATCHLEN len] [WITHMATCHLEN]`: the subsequence, its length, or where its runs
/// are, the last ones first.
pub fn lcs(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let keys = [args.key()?, args.key()?];
    // Redis looks at the strings before it looks at the options.
    let [one, other] =
        cx.view.transact(|view| Ok::<_, CommandError>([text(view, keys[0])?, text(view, keys[1])?]))?;
    let mut options = LcsOptions::default();
    while !args.is_empty() {
        if args.take("IDX") {
            options.wants_runs = true;
        } else if args.take("LEN") {
            options.wants_len = true;
        } else if args.take("WITHMATCHLEN") {
            options.shows_run_len = true;
        } else if args.take_with("MINMATCHLEN", 1) {
            options.min_run_len = args.integer()?.max(0);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if options.wants_len && options.wants_runs {
        return Err(CommandError::LcsLenAndIdx);
    }
    let cells = (one.len() + 1).saturating_mul(other.len() + 1);
    if cells.saturating_mul(size_of::<u32>()) > cx.string_limit() {
        return Err(CommandError::LcsTooLarge);
    }
    let (one, other) = (one.bytes(), other.bytes());
    let runs = cx.engine.run_long_if_free(|| longest_common_runs(&one, &other))?;
    reply_runs(cx, options, &one, &runs);
    Ok(())
}

/// The string at a key; empty for a missing key.
fn text<'g>(view: &mut View<'g>, key: Key<'_>) -> Result<Str<'g>, CommandError> {
    match string_of(view.read(key)?) {
        Ok(string) => Ok(string.unwrap_or(Str::Inline(b""))),
        Err(CommandError::WrongType) => Err(CommandError::LcsNeedsStrings),
        Err(error) => Err(error),
    }
}

fn reply_runs(cx: &mut Context<'_, '_>, options: LcsOptions, one: &[u8], runs: &[Run]) {
    let len: usize = runs.iter().map(|run| run.len).sum();
    if options.wants_runs {
        let shown = runs.iter().filter(|run| run.len as i64 >= options.min_run_len);
        cx.reply.map(2);
        cx.reply.bulk(b"matches");
        cx.reply.array(shown.clone().count());
        for run in shown {
            cx.reply.array(2 + usize::from(options.shows_run_len));
            for start in [run.one, run.other] {
                cx.reply.array(2);
                cx.reply.integer(start as i64);
                cx.reply.integer((start + run.len - 1) as i64);
            }
            if options.shows_run_len {
                cx.reply.integer(run.len as i64);
            }
        }
        cx.reply.bulk(b"len");
        cx.reply.integer(len as i64);
    } else if options.wants_len {
        cx.reply.integer(len as i64);
    } else {
        let pieces: Vec<&[u8]> = runs.iter().rev().map(|run| &one[run.one..run.one + run.len]).collect();
        cx.reply.bulk(&pieces.concat());
    }
}

/// The runs of the longest common subsequence, from the end of the strings to their start. O(N*M) time and
/// space.
fn longest_common_runs(one: &[u8], other: &[u8]) -> Vec<Run> {
    let width = other.len() + 1;
    let mut table = vec![0u32; (one.len() + 1) * width];
    for (row, byte) in one.iter().enumerate() {
        let (above, below) = table[row * width..].split_at_mut(width);
        for (column, candidate) in other.iter().enumerate() {
            below[column + 1] =
                if byte == candidate { above[column] + 1 } else { above[column + 1].max(below[column]) };
        }
    }
    let mut runs: Vec<Run> = Vec::new();
    let (mut i, mut j) = (one.len(), other.len());
    while i > 0 && j > 0 {
        if one[i - 1] == other[j - 1] {
            (i, j) = (i - 1, j - 1);
            match runs.last_mut() {
                Some(run) if run.one == i + 1 && run.other == j + 1 => {
                    *run = Run { one: i, other: j, len: run.len + 1 };
                }
                _ => runs.push(Run { one: i, other: j, len: 1 }),
            }
        } else if table[(i - 1) * width + j] > table[i * width + j - 1] {
            i -= 1;
        } else {
            j -= 1;
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_those_of_redis_documentation() {
        let runs = longest_common_runs(b"ohmytext", b"mynewtext");
        assert_eq!(runs, [Run { one: 4, other: 5, len: 4 }, Run { one: 2, other: 0, len: 2 }]);
        assert_eq!(longest_common_runs(b"", b"abc"), []);
    }
}
