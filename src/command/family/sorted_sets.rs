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
use crate::command::spec::{CommandSpec, Flags, Group, KeySpec, row};
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
const SORTED_SET: CommandSpec =
    CommandSpec::of(Group::SortedSet).since("1.2.0").complexity("O(log N) with N members").keys(READ_KEY);

/// A row of the ZRANGE kind.
const RANGE: CommandSpec = SORTED_SET.complexity("O(log N + M) with N members and M of them answered");

/// A row of the ZCOUNT kind.
const COUNT: CommandSpec = SORTED_SET;

/// A row of the ZREMRANGEBYRANK kind.
const REMOVE_RANGE: CommandSpec =
    SORTED_SET.complexity("O(M log N) with N members and M of them removed").keys(REMOVE_FROM_KEY);

/// A row of the ZPOPMIN kind.
const POP: CommandSpec = SORTED_SET
    .since("5.0.0")
    .complexity("O(M log N) with N members and M of them popped")
    .keys(TAKE_FROM_KEY);

/// A row of the ZUNION kind.
const SEVERAL: CommandSpec = SORTED_SET.since("6.2.0").complexity(ALL).keys(READ_KEYS);

/// A row of the ZUNIONSTORE kind.
const STORE: CommandSpec = SORTED_SET.since("2.0.0").complexity(ALL).keys(STORE_KEYS);

const ALL: &str = "O(N + M log M) with N members of all inputs and M of the result";
const SMALLEST: &str =
    "O(K N log L + M log M) with N members of the smallest of K inputs, L of the largest and M of the result";
const FIRST: &str = "O(K N log L + M log M) with N members of the first of K inputs, L of the largest and M of the \
                     result, or O(L + M log M) with L members of all inputs if that is less";

/// The family's rows.
pub const ROWS: &[CommandSpec] = &[
    row(
        SORTED_SET,
        "zadd",
        "key:key [(NX|XX)] [(GT|LT)] [CH] [INCR] {score:double member}...",
        AtLeast(4),
        WRITE_FAST.or(Flags::DENYOOM),
        add::zadd,
    )
    .summary("Sets the scores of members of a sorted set, creating it if needed.")
    .complexity("O(K log N) with K members given and N in the sorted set")
    .keys(&[KeySpec::at(1, &["RW", "update"])]),
    row(
        SORTED_SET,
        "zincrby",
        "key:key increment:integer member",
        Exactly(4),
        WRITE_FAST.or(Flags::DENYOOM),
        add::zincrby,
    )
    .summary("Increments the score of a member of a sorted set and returns it.")
    .keys(&[KeySpec::at(1, &["RW", "access", "update"])]),
    row(SORTED_SET, "zrem", "key:key member...", AtLeast(3), WRITE_FAST, zrem)
        .summary("Removes members from a sorted set.")
        .complexity("O(K log N) with K members given and N in the sorted set")
        .keys(REMOVE_FROM_KEY),
    row(SORTED_SET, "zcard", "key:key", Exactly(2), READ_FAST, zcard)
        .summary("Returns the number of members of a sorted set.")
        .complexity("O(1)")
        .keys(&[KeySpec::at(1, &["RO"])]),
    row(SORTED_SET, "zscore", "key:key member", Exactly(3), READ_FAST, zscore)
        .summary("Returns the score of a member of a sorted set."),
    row(SORTED_SET, "zmscore", "key:key member...", AtLeast(3), READ_FAST, zmscore)
        .since("6.2.0")
        .summary("Returns the scores of members of a sorted set.")
        .complexity("O(K log N) with K members asked for and N in the sorted set"),
    row(SORTED_SET, "zrank", "key:key member", AtLeast(3), READ_FAST, zrank)
        .since("2.0.0")
        .summary("Returns the rank of a member of a sorted set, 0 for the lowest score."),
    row(SORTED_SET, "zrevrank", "key:key member", AtLeast(3), READ_FAST, zrevrank)
        .since("2.0.0")
        .summary("Returns the rank of a member of a sorted set, 0 for the highest score."),
    row(COUNT, "zcount", "key:key min:double max:double", Exactly(4), READ_FAST, ranges::zcount)
        .since("2.0.0")
        .summary("Returns the number of members of a sorted set in a range of scores."),
    row(COUNT, "zlexcount", "key:key min max", Exactly(4), READ_FAST, ranges::zlexcount)
        .since("2.8.9")
        .summary("Returns the number of members of a sorted set in a lexicographical range."),
    row(
        RANGE,
        "zrange",
        "key:key start stop [(BYSCORE|BYLEX)] [REV] [LIMIT={offset:integer count:integer}] [WITHSCORES]",
        AtLeast(4),
        READ,
        ranges::zrange,
    )
    .summary("Returns the members of a sorted set in a range of ranks, scores or members."),
    row(
        RANGE,
        "zrevrange",
        "key:key start:integer stop:integer [WITHSCORES]",
        AtLeast(4),
        READ,
        ranges::zrevrange,
    )
    .summary("Returns the members of a sorted set in a range of ranks, in descending order."),
    row(
        RANGE,
        "zrangebyscore",
        "key:key min:double max:double [WITHSCORES] [LIMIT={offset:integer count:integer}]",
        AtLeast(4),
        READ,
        ranges::zrangebyscore,
    )
    .since("1.0.5")
    .summary("Returns the members of a sorted set in a range of scores."),
    row(
        RANGE,
        "zrevrangebyscore",
        "key:key max:double min:double [WITHSCORES] [LIMIT={offset:integer count:integer}]",
        AtLeast(4),
        READ,
        ranges::zrevrangebyscore,
    )
    .since("2.2.0")
    .summary("Returns the members of a sorted set in a range of scores, in descending order."),
    row(
        RANGE,
        "zrangebylex",
        "key:key min max [LIMIT={offset:integer count:integer}]",
        AtLeast(4),
        READ,
        ranges::zrangebylex,
    )
    .since("2.8.9")
    .summary("Returns the members of a sorted set in a lexicographical range."),
    row(
        RANGE,
        "zrevrangebylex",
        "key:key max min [LIMIT={offset:integer count:integer}]",
        AtLeast(4),
        READ,
        ranges::zrevrangebylex,
    )
    .since("2.8.9")
    .summary("Returns the members of a sorted set in a lexicographical range, in descending order."),
    row(
        RANGE,
        "zrangestore",
        "dst:key src:key min max [(BYSCORE|BYLEX)] [REV] [LIMIT={offset:integer count:integer}]",
        AtLeast(5),
        WRITE.or(Flags::DENYOOM),
        ranges::zrangestore,
    )
    .since("6.2.0")
    .summary("Stores the members of a sorted set in a range of ranks, scores or members.")
    .complexity("O(log N + M log M) with N members and M of them stored")
    .keys(&[KeySpec::at(1, &["OW", "update"]), KeySpec::at(2, &["RO", "access"])]),
    row(
        REMOVE_RANGE,
        "zremrangebyrank",
        "key:key start:integer stop:integer",
        Exactly(4),
        WRITE,
        ranges::zremrangebyrank,
    )
    .since("2.0.0")
    .summary("Removes the members of a sorted set in a range of ranks."),
    row(
        REMOVE_RANGE,
        "zremrangebyscore",
        "key:key min:double max:double",
        Exactly(4),
        WRITE,
        ranges::zremrangebyscore,
    )
    .summary("Removes the members of a sorted set in a range of scores."),
    row(REMOVE_RANGE, "zremrangebylex", "key:key min max", Exactly(4), WRITE, ranges::zremrangebylex)
        .since("2.8.9")
        .summary("Removes the members of a sorted set in a lexicographical range."),
    row(POP, "zpopmin", "key:key [count:integer]", AtLeast(2), WRITE_FAST, pops::zpopmin)
        .summary("Removes and returns the members of a sorted set with the lowest scores."),
    row(POP, "zpopmax", "key:key [count:integer]", AtLeast(2), WRITE_FAST, pops::zpopmax)
        .summary("Removes and returns the members of a sorted set with the highest scores."),
    row(
        POP,
        "zmpop",
        "numkeys:integer key:key... (MIN|MAX) [COUNT=count:integer]",
        AtLeast(4),
        WRITE.or(Flags::MOVABLE_KEYS),
        pops::zmpop,
    )
    .since("7.0.0")
    .summary("Removes and returns members of the first of several sorted sets that is not empty.")
    .complexity("O(K + M log N) with K keys, N members of the sorted set and M of them popped")
    .keys(&[KeySpec::numbered(1, &["RW", "access", "delete"])]),
    row(
        SORTED_SET,
        "zrandmember",
        "key:key [{count:integer [WITHSCORES]}]",
        AtLeast(2),
        READ,
        random::zrandmember,
    )
    .since("6.2.0")
    .summary("Returns random members of a sorted set.")
    .complexity("O(K log N) with K members answered and N in the sorted set")
    .tips(VARIES),
    row(
        SORTED_SET,
        "zscan",
        "key:key cursor:integer [MATCH=pattern:pattern] [COUNT=count:integer]",
        AtLeast(3),
        READ,
        zscan,
    )
    .since("2.8.0")
    .summary("Iterates over the members and scores of a sorted set in pages.")
    .complexity("O(log N + COUNT) for every call with N members; a small sorted set is answered at once")
    .tips(VARIES),
    row(
        SEVERAL,
        "zunion",
        "numkeys:integer key:key... [WEIGHTS=weight:integer...] [AGGREGATE=(SUM|MIN|MAX)] [WITHSCORES]",
        AtLeast(3),
        READ.or(Flags::MOVABLE_KEYS),
        operations::zunion,
    )
    .summary("Returns the union of sorted sets."),
    row(
        SEVERAL,
        "zinter",
        "numkeys:integer key:key... [WEIGHTS=weight:integer...] [AGGREGATE=(SUM|MIN|MAX)] [WITHSCORES]",
        AtLeast(3),
        READ.or(Flags::MOVABLE_KEYS),
        operations::zinter,
    )
    .summary("Returns the intersection of sorted sets.")
    .complexity(SMALLEST),
    row(
        SEVERAL,
        "zdiff",
        "numkeys:integer key:key... [WITHSCORES]",
        AtLeast(3),
        READ.or(Flags::MOVABLE_KEYS),
        operations::zdiff,
    )
    .summary("Returns the members of the first sorted set that are in no other.")
    .complexity(FIRST),
    row(
        SEVERAL,
        "zintercard",
        "numkeys:integer key:key... [LIMIT=limit:integer]",
        AtLeast(3),
        READ.or(Flags::MOVABLE_KEYS),
        operations::zintercard,
    )
    .since("7.0.0")
    .summary("Returns the number of members of the intersection of sorted sets, up to a limit.")
    .complexity(SMALLEST),
    row(
        STORE,
        "zunionstore",
        "destination:key numkeys:integer key:key... [WEIGHTS=weight:integer...] [AGGREGATE=(SUM|MIN|MAX)]",
        AtLeast(4),
        WRITE.or(Flags::DENYOOM).or(Flags::MOVABLE_KEYS),
        operations::zunionstore,
    )
    .summary("Stores the union of sorted sets."),
    row(
        STORE,
        "zinterstore",
        "destination:key numkeys:integer key:key... [WEIGHTS=weight:integer...] [AGGREGATE=(SUM|MIN|MAX)]",
        AtLeast(4),
        WRITE.or(Flags::DENYOOM).or(Flags::MOVABLE_KEYS),
        operations::zinterstore,
    )
    .summary("Stores the intersection of sorted sets.")
    .complexity(SMALLEST),
    row(
        STORE,
        "zdiffstore",
        "destination:key numkeys:integer key:key...",
        AtLeast(4),
        WRITE.or(Flags::DENYOOM).or(Flags::MOVABLE_KEYS),
        operations::zdiffstore,
    )
    .since("6.2.0")
    .summary("Stores the members of the first sorted set that are in no other.")
    .complexity(FIRST),
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
