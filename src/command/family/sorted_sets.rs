//! Sorted sets: members, scores and ranks. What takes options has files of its own.

mod add;
mod copied;
mod operations;
mod pops;
mod random;
mod ranges;
mod selection;

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, Group, KeySpec};
use crate::keyspace::{Key, KeyspaceError, SortedSet, View};
use crate::number::format_double;
use crate::resp::{Protocol, ReplyWriter};
use crate::value::sorted_set::{Cut, Scored};
use smallvec::SmallVec;

const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.or(Flags::FAST);
const WRITE: Flags = Flags::WRITE;
const WRITE_FAST: Flags = WRITE.or(Flags::FAST);

const READ_KEYS: &[KeySpec] = &[KeySpec::numbered(1, &["RO", "access"])];
const STORE_KEYS: &[KeySpec] = &[KeySpec::at(1, &["OW", "update"]), KeySpec::numbered(2, &["RO", "access"])];
const READ_KEY: &[KeySpec] = &[KeySpec::at(1, &["RO", "access"])];
const REMOVE_FROM_KEY: &[KeySpec] = &[KeySpec::at(1, &["RW", "delete"])];
const TAKE_FROM_KEY: &[KeySpec] = &[KeySpec::at(1, &["RW", "access", "delete"])];

const VARIES: &[&str] = &["nondeterministic_output"];

/// A row of the ZSCORE kind.
const SORTED_SET: CommandSpec = CommandSpec {
    name: "",
    since: "1.2.0",
    summary: "",
    complexity: "O(log N) with N members",
    group: Group::SortedSet,
    arity: Exactly(3),
    arguments: "",
    flags: READ_FAST,
    keys: READ_KEY,
    tips: &[],
    handler: super::needs_subcommand,
    subcommands: &[],
};

/// A row of the ZRANGE kind.
const RANGE: CommandSpec = CommandSpec {
    complexity: "O(log N + M) with N members and M of them answered",
    arity: AtLeast(4),
    flags: READ,
    ..SORTED_SET
};

/// A row of the ZCOUNT kind.
const COUNT: CommandSpec = CommandSpec { arity: Exactly(4), ..SORTED_SET };

/// A row of the ZREMRANGEBYRANK kind.
const REMOVE_RANGE: CommandSpec = CommandSpec {
    complexity: "O(M log N) with N members and M of them removed",
    arity: Exactly(4),
    flags: WRITE,
    keys: REMOVE_FROM_KEY,
    ..SORTED_SET
};

/// A row of the ZPOPMIN kind.
const POP: CommandSpec = CommandSpec {
    since: "5.0.0",
    complexity: "O(M log N) with N members and M of them popped",
    arity: AtLeast(2),
    flags: WRITE_FAST,
    keys: TAKE_FROM_KEY,
    ..SORTED_SET
};

/// A row of the ZUNION kind.
const SEVERAL: CommandSpec = CommandSpec {
    since: "6.2.0",
    complexity: ALL,
    arity: AtLeast(3),
    flags: READ.or(Flags::MOVABLE_KEYS),
    keys: READ_KEYS,
    ..SORTED_SET
};

/// A row of the ZUNIONSTORE kind.
const STORE: CommandSpec = CommandSpec {
    since: "2.0.0",
    complexity: ALL,
    arity: AtLeast(4),
    flags: WRITE.or(Flags::DENYOOM).or(Flags::MOVABLE_KEYS),
    keys: STORE_KEYS,
    ..SORTED_SET
};

const ALL: &str = "O(N + M log M) with N members of all inputs and M of the result";
const SMALLEST: &str =
    "O(K N log L + M log M) with N members of the smallest of K inputs, L of the largest and M of the result";
const FIRST: &str = "O(K N log L + M log M) with N members of the first of K inputs, L of the largest and M of the \
                     result, or O(L + M log M) with L members of all inputs if that is less";

/// The family's rows.
pub const ROWS: &[CommandSpec] = &[
    CommandSpec {
        name: "zadd",
        arguments: "key:key [(NX|XX)] [(GT|LT)] [CH] [INCR] {score:double member}...",
        summary: "Sets the scores of members of a sorted set, creating it if needed.",
        complexity: "O(K log N) with K members given and N in the sorted set",
        arity: AtLeast(4),
        flags: WRITE_FAST.or(Flags::DENYOOM),
        keys: &[KeySpec::at(1, &["RW", "update"])],
        handler: add::zadd,
        ..SORTED_SET
    },
    CommandSpec {
        name: "zincrby",
        arguments: "key:key increment:integer member",
        summary: "Increments the score of a member of a sorted set and returns it.",
        arity: Exactly(4),
        flags: WRITE_FAST.or(Flags::DENYOOM),
        keys: &[KeySpec::at(1, &["RW", "access", "update"])],
        handler: add::zincrby,
        ..SORTED_SET
    },
    CommandSpec {
        name: "zrem",
        arguments: "key:key member...",
        summary: "Removes members from a sorted set.",
        complexity: "O(K log N) with K members given and N in the sorted set",
        arity: AtLeast(3),
        flags: WRITE_FAST,
        keys: REMOVE_FROM_KEY,
        handler: zrem,
        ..SORTED_SET
    },
    CommandSpec {
        name: "zcard",
        arguments: "key:key",
        flags: READ_FAST,
        summary: "Returns the number of members of a sorted set.",
        complexity: "O(1)",
        arity: Exactly(2),
        keys: &[KeySpec::at(1, &["RO"])],
        handler: zcard,
        ..SORTED_SET
    },
    CommandSpec {
        name: "zscore",
        arguments: "key:key member",
        flags: READ_FAST,
        summary: "Returns the score of a member of a sorted set.",
        handler: zscore,
        ..SORTED_SET
    },
    CommandSpec {
        name: "zmscore",
        arguments: "key:key member...",
        flags: READ_FAST,
        since: "6.2.0",
        summary: "Returns the scores of members of a sorted set.",
        complexity: "O(K log N) with K members asked for and N in the sorted set",
        arity: AtLeast(3),
        handler: zmscore,
        ..SORTED_SET
    },
    CommandSpec {
        name: "zrank",
        arguments: "key:key member",
        flags: READ_FAST,
        since: "2.0.0",
        summary: "Returns the rank of a member of a sorted set, 0 for the lowest score.",
        arity: AtLeast(3),
        handler: zrank,
        ..SORTED_SET
    },
    CommandSpec {
        name: "zrevrank",
        arguments: "key:key member",
        flags: READ_FAST,
        since: "2.0.0",
        summary: "Returns the rank of a member of a sorted set, 0 for the highest score.",
        arity: AtLeast(3),
        handler: zrevrank,
        ..SORTED_SET
    },
    CommandSpec {
        name: "zcount",
        arguments: "key:key min:double max:double",
        flags: READ_FAST,
        since: "2.0.0",
        summary: "Returns the number of members of a sorted set in a range of scores.",
        handler: ranges::zcount,
        ..COUNT
    },
    CommandSpec {
        name: "zlexcount",
        arguments: "key:key min max",
        flags: READ_FAST,
        since: "2.8.9",
        summary: "Returns the number of members of a sorted set in a lexicographical range.",
        handler: ranges::zlexcount,
        ..COUNT
    },
    CommandSpec {
        name: "zrange",
        arguments: "key:key start stop [(BYSCORE|BYLEX)] [REV] [LIMIT={offset:integer count:integer}] [WITHSCORES]",
        flags: READ,
        summary: "Returns the members of a sorted set in a range of ranks, scores or members.",
        handler: ranges::zrange,
        ..RANGE
    },
    CommandSpec {
        name: "zrevrange",
        arguments: "key:key start:integer stop:integer [WITHSCORES]",
        flags: READ,
        summary: "Returns the members of a sorted set in a range of ranks, in descending order.",
        handler: ranges::zrevrange,
        ..RANGE
    },
    CommandSpec {
        name: "zrangebyscore",
        arguments: "key:key min:double max:double [WITHSCORES] [LIMIT={offset:integer count:integer}]",
        flags: READ,
        since: "1.0.5",
        summary: "Returns the members of a sorted set in a range of scores.",
        handler: ranges::zrangebyscore,
        ..RANGE
    },
    CommandSpec {
        name: "zrevrangebyscore",
        arguments: "key:key max:double min:double [WITHSCORES] [LIMIT={offset:integer count:integer}]",
        flags: READ,
        since: "2.2.0",
        summary: "Returns the members of a sorted set in a range of scores, in descending order.",
        handler: ranges::zrevrangebyscore,
        ..RANGE
    },
    CommandSpec {
        name: "zrangebylex",
        arguments: "key:key min max [LIMIT={offset:integer count:integer}]",
        flags: READ,
        since: "2.8.9",
        summary: "Returns the members of a sorted set in a lexicographical range.",
        handler: ranges::zrangebylex,
        ..RANGE
    },
    CommandSpec {
        name: "zrevrangebylex",
        arguments: "key:key max min [LIMIT={offset:integer count:integer}]",
        flags: READ,
        since: "2.8.9",
        summary: "Returns the members of a sorted set in a lexicographical range, in descending order.",
        handler: ranges::zrevrangebylex,
        ..RANGE
    },
    CommandSpec {
        name: "zrangestore",
        arguments: "dst:key src:key min max [(BYSCORE|BYLEX)] [REV] [LIMIT={offset:integer count:integer}]",
        since: "6.2.0",
        summary: "Stores the members of a sorted set in a range of ranks, scores or members.",
        complexity: "O(log N + M log M) with N members and M of them stored",
        arity: AtLeast(5),
        flags: WRITE.or(Flags::DENYOOM),
        keys: &[KeySpec::at(1, &["OW", "update"]), KeySpec::at(2, &["RO", "access"])],
        handler: ranges::zrangestore,
        ..RANGE
    },
    CommandSpec {
        name: "zremrangebyrank",
        arguments: "key:key start:integer stop:integer",
        flags: WRITE,
        since: "2.0.0",
        summary: "Removes the members of a sorted set in a range of ranks.",
        handler: ranges::zremrangebyrank,
        ..REMOVE_RANGE
    },
    CommandSpec {
        name: "zremrangebyscore",
        arguments: "key:key min:double max:double",
        flags: WRITE,
        summary: "Removes the members of a sorted set in a range of scores.",
        handler: ranges::zremrangebyscore,
        ..REMOVE_RANGE
    },
    CommandSpec {
        name: "zremrangebylex",
        arguments: "key:key min max",
        flags: WRITE,
        since: "2.8.9",
        summary: "Removes the members of a sorted set in a lexicographical range.",
        handler: ranges::zremrangebylex,
        ..REMOVE_RANGE
    },
    CommandSpec {
        name: "zpopmin",
        arguments: "key:key [count:integer]",
        flags: WRITE_FAST,
        summary: "Removes and returns the members of a sorted set with the lowest scores.",
        handler: pops::zpopmin,
        ..POP
    },
    CommandSpec {
        name: "zpopmax",
        arguments: "key:key [count:integer]",
        flags: WRITE_FAST,
        summary: "Removes and returns the members of a sorted set with the highest scores.",
        handler: pops::zpopmax,
        ..POP
    },
    CommandSpec {
        name: "zmpop",
        arguments: "numkeys:integer key:key... (MIN|MAX) [COUNT=count:integer]",
        since: "7.0.0",
        summary: "Removes and returns members of the first of several sorted sets that is not empty.",
        complexity: "O(K + M log N) with K keys, N members of the sorted set and M of them popped",
        arity: AtLeast(4),
        flags: WRITE.or(Flags::MOVABLE_KEYS),
        keys: &[KeySpec::numbered(1, &["RW", "access", "delete"])],
        handler: pops::zmpop,
        ..POP
    },
    CommandSpec {
        name: "zrandmember",
        arguments: "key:key [{count:integer [WITHSCORES]}]",
        since: "6.2.0",
        summary: "Returns random members of a sorted set.",
        complexity: "O(K log N) with K members answered and N in the sorted set",
        arity: AtLeast(2),
        flags: READ,
        tips: VARIES,
        handler: random::zrandmember,
        ..SORTED_SET
    },
    CommandSpec {
        name: "zscan",
        arguments: "key:key cursor:integer [MATCH=pattern:pattern] [COUNT=count:integer]",
        since: "2.8.0",
        summary: "Iterates over the members and scores of a sorted set in pages.",
        complexity: "O(log N + COUNT) for every call with N members; a small sorted set is answered at once",
        arity: AtLeast(3),
        flags: READ,
        tips: VARIES,
        handler: zscan,
        ..SORTED_SET
    },
    CommandSpec {
        name: "zunion",
        arguments: "numkeys:integer key:key... [WEIGHTS=weight:integer...] [AGGREGATE=(SUM|MIN|MAX)] [WITHSCORES]",
        flags: READ.or(Flags::MOVABLE_KEYS),
        summary: "Returns the union of sorted sets.",
        handler: operations::zunion,
        ..SEVERAL
    },
    CommandSpec {
        name: "zinter",
        arguments: "numkeys:integer key:key... [WEIGHTS=weight:integer...] [AGGREGATE=(SUM|MIN|MAX)] [WITHSCORES]",
        flags: READ.or(Flags::MOVABLE_KEYS),
        summary: "Returns the intersection of sorted sets.",
        complexity: SMALLEST,
        handler: operations::zinter,
        ..SEVERAL
    },
    CommandSpec {
        name: "zdiff",
        arguments: "numkeys:integer key:key... [WITHSCORES]",
        flags: READ.or(Flags::MOVABLE_KEYS),
        summary: "Returns the members of the first sorted set that are in no other.",
        complexity: FIRST,
        handler: operations::zdiff,
        ..SEVERAL
    },
    CommandSpec {
        name: "zintercard",
        arguments: "numkeys:integer key:key... [LIMIT=limit:integer]",
        flags: READ.or(Flags::MOVABLE_KEYS),
        since: "7.0.0",
        summary: "Returns the number of members of the intersection of sorted sets, up to a limit.",
        complexity: SMALLEST,
        handler: operations::zintercard,
        ..SEVERAL
    },
    CommandSpec {
        name: "zunionstore",
        arguments: "destination:key numkeys:integer key:key... [WEIGHTS=weight:integer...] [AGGREGATE=(SUM|MIN|MAX)]",
        flags: WRITE.or(Flags::DENYOOM).or(Flags::MOVABLE_KEYS),
        summary: "Stores the union of sorted sets.",
        handler: operations::zunionstore,
        ..STORE
    },
    CommandSpec {
        name: "zinterstore",
        arguments: "destination:key numkeys:integer key:key... [WEIGHTS=weight:integer...] [AGGREGATE=(SUM|MIN|MAX)]",
        flags: WRITE.or(Flags::DENYOOM).or(Flags::MOVABLE_KEYS),
        summary: "Stores the intersection of sorted sets.",
        complexity: SMALLEST,
        handler: operations::zinterstore,
        ..STORE
    },
    CommandSpec {
        name: "zdiffstore",
        arguments: "destination:key numkeys:integer key:key...",
        flags: WRITE.or(Flags::DENYOOM).or(Flags::MOVABLE_KEYS),
        since: "6.2.0",
        summary: "Stores the members of the first sorted set that are in no other.",
        complexity: FIRST,
        handler: operations::zdiffstore,
        ..STORE
    },
];

/// `ZREM key member [member ...]`: how many were there. A sorted set without members is removed.
fn zrem(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    let removed = cx.view.gather_sorted_set(key, |edit| {
        Ok::<_, CommandError>(args.rest_bytes().filter(|member| edit.remove(member).is_some()).count())
    })?;
    cx.reply.integer(removed as i64);
    Ok(())
}

/// `ZCARD key`: how many members there are.
fn zcard(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let len = cx.view.sorted_set(args.key()?)?.len();
    cx.reply.integer(len as i64);
    Ok(())
}

/// `ZSCORE key member`: the member's score, or null.
fn zscore(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let set = cx.view.sorted_set(args.key()?)?;
    reply_score(cx.reply, set.score(args.bytes()?));
    Ok(())
}

/// `ZMSCORE key member [member ...]`: an array of scores, null for what is no member.
fn zmscore(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let set = cx.view.sorted_set(args.key()?)?;
    cx.reply.array(args.len());
    args.rest_bytes().for_each(|member| reply_score(cx.reply, set.score(member)));
    Ok(())
}

fn reply_score(reply: &mut ReplyWriter, score: Option<f64>) {
    match score {
        Some(score) => reply.double(score),
        None => reply.null(),
    }
}

/// `ZRANK key member [WITHSCORE]`: how many members come before this one; WITHSCORE answers an array of that and the
/// member's score. Null if it is no member.
fn zrank(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    rank(cx, args, false)
}

/// `ZREVRANK key member [WITHSCORE]`: as ZRANK, but how many members come after this one.
fn zrevrank(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    rank(cx, args, true)
}

fn rank(cx: &mut Context<'_, '_>, mut args: Args<'_>, is_reverse: bool) -> CommandResult {
    let (key, member) = (args.key()?, args.bytes()?);
    if args.len() > 1 {
        return Err(CommandError::WrongArity);
    }
    let with_score = args.take("WITHSCORE");
    args.finish()?;
    let set = cx.view.sorted_set(key)?;
    let Some(score) = set.score(member) else {
        if with_score {
            cx.reply.null_array()
        } else {
            cx.reply.null()
        }
        return Ok(());
    };
    let before = set.rank_of(Cut::before(member, score));
    if with_score {
        cx.reply.array(2);
    }
    cx.reply.integer(if is_reverse { set.len() - 1 - before } else { before } as i64);
    if with_score {
        cx.reply.double(score);
    }
    Ok(())
}

/// `ZSCAN key cursor [MATCH pattern] [COUNT count]`: the next cursor, 0 at the end, and members and scores in turn,
/// both as bulk strings.
fn zscan(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    super::cursors::reply_scan::<SortedSet<'_>>(cx, args, 2, |reply, scored| {
        reply.bulk(scored.member);
        reply.bulk(&format_double(scored.score));
    })
}

/// The sorted set at a key that is about to be changed; empty if missing.
fn peek<'g>(view: &mut View<'g>, key: Key<'_>) -> Result<SortedSet<'g>, KeyspaceError> {
    view.peek(key)?.map_or(Ok(SortedSet::EMPTY), |entry| entry.sorted_set())
}

/// Announces an array of members. In RESP2 scores follow their members; in RESP3 both stand in an array.
fn announce(reply: &mut ReplyWriter, members: u64, with_scores: bool) {
    let is_doubled = with_scores && reply.protocol() == Protocol::Resp2;
    reply.array(members as usize * if is_doubled { 2 } else { 1 });
}

fn push(reply: &mut ReplyWriter, scored: Scored<'_>, with_scores: bool) {
    if with_scores && reply.protocol() == Protocol::Resp3 {
        reply.array(2);
    }
    reply.bulk(scored.member);
    if with_scores {
        reply.double(scored.score);
    }
}

/// Writes an array of members; `count` says how many they are if they are many.
fn reply_members<'g>(
    cx: &mut Context<'_, '_>,
    mut members: impl Iterator<Item = Scored<'g>>,
    count: impl FnOnce() -> u64,
    with_scores: bool,
) {
    const FEW: usize = 16;
    let few: SmallVec<[Scored<'g>; FEW]> = members.by_ref().take(FEW).collect();
    let count = if few.len() < FEW { few.len() as u64 } else { count() };
    let reply = &mut *cx.reply;
    cx.engine.run_sized(count, || {
        announce(reply, count, with_scores);
        few.iter().copied().chain(members.by_ref()).for_each(|scored| push(reply, scored, with_scores));
    });
}
