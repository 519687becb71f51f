//! SUBSCRIBE, PUBLISH and their kind, in three forms: channels, patterns of channels, shard channels.

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::sieve::{STEP, Sieve};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, Group, KeySpec, container, row};
use crate::engine::mail::Topic;
use crate::engine::pubsub::Publication;
use crate::glob::Pattern;
use bytes::Bytes;

const ABOUT: Flags = Flags::PUBSUB.or(Flags::LOADING).or(Flags::STALE).or(Flags::AFTER_COMMIT);
const SUBSCRIBING: Flags = ABOUT.or(Flags::NOSCRIPT).or(Flags::IN_SUBSCRIBED);
const PUBLISHING: Flags = ABOUT.or(Flags::FAST).or(Flags::MAY_REPLICATE);
/// Bytes of the longest pattern that can be subscribed to: each message pays for it.
const LONGEST_PATTERN: usize = 4 << 10;

/// Shard channels stand where keys stand, for proxies that choose a server by them.
const SHARD: &[&str] = &["not_key"];

const PUBSUB: CommandSpec = CommandSpec::of(Group::PubSub).since("2.0.0").complexity("O(N) with N channels");

const ASKING: CommandSpec = PUBSUB.since("2.8.0").complexity("O(N) with N channels");

/// The family's rows.
pub const ROWS: &[CommandSpec] = &[
    row(PUBSUB, "subscribe", "channel...", AtLeast(2), SUBSCRIBING, |cx, args| {
        subscribe(cx, args, Topic::Channel)
    })
    .summary("Subscribes to channels."),
    row(PUBSUB, "unsubscribe", "[channel...]", AtLeast(1), SUBSCRIBING, |cx, args| {
        unsubscribe(cx, args, Topic::Channel)
    })
    .summary("Unsubscribes from channels, or from all without an argument."),
    row(PUBSUB, "psubscribe", "{pattern:pattern}...", AtLeast(2), SUBSCRIBING, |cx, args| {
        subscribe(cx, args, Topic::Pattern)
    })
    .summary("Subscribes to the channels that match patterns.")
    .complexity("O(N) with N patterns"),
    row(PUBSUB, "punsubscribe", "[pattern:pattern...]", AtLeast(1), SUBSCRIBING, |cx, args| {
        unsubscribe(cx, args, Topic::Pattern)
    })
    .summary("Unsubscribes from patterns, or from all without an argument.")
    .complexity("O(N) with N patterns"),
    row(PUBSUB, "ssubscribe", "shardchannel...", AtLeast(2), SUBSCRIBING, |cx, args| {
        subscribe(cx, args, Topic::Shard)
    })
    .since("7.0.0")
    .summary("Subscribes to shard channels.")
    .keys(&[KeySpec::range(1, -1, 1, SHARD)]),
    row(PUBSUB, "sunsubscribe", "[shardchannel...]", AtLeast(1), SUBSCRIBING, |cx, args| {
        unsubscribe(cx, args, Topic::Shard)
    })
    .since("7.0.0")
    .summary("Unsubscribes from shard channels, or from all without an argument.")
    .keys(&[KeySpec::range(1, -1, 1, SHARD)]),
    row(PUBSUB, "publish", "channel message", Exactly(3), PUBLISHING, |cx, args| {
        publish(cx, args, Topic::Channel)
    })
    .summary("Sends a message to the subscribers of a channel.")
    .complexity(
        "O(N + M) with N subscribers of the channel and M patterns with whose literal beginning it begins",
    ),
    row(PUBSUB, "spublish", "shardchannel message", Exactly(3), PUBLISHING, |cx, args| {
        publish(cx, args, Topic::Shard)
    })
    .since("7.0.0")
    .summary("Sends a message to the subscribers of a shard channel.")
    .complexity("O(N) with N subscribers of the shard channel")
    .keys(&[KeySpec::at(1, SHARD)]),
    container(
        PUBSUB,
        "pubsub",
        &[
            row(ASKING, "pubsub|channels", "[pattern:pattern]", AtLeast(2), ABOUT, |cx, args| {
                channels(cx, args, false)
            })
            .summary("Returns the channels that have subscribers."),
            row(ASKING, "pubsub|numsub", "[channel...]", AtLeast(2), ABOUT, |cx, args| {
                numsub(cx, args, false)
            })
            .summary("Returns the number of subscribers of channels."),
            row(ASKING, "pubsub|numpat", "", Exactly(2), ABOUT, numpat)
                .summary("Returns the number of distinct patterns that clients subscribed to.")
                .complexity("O(1)"),
            row(ASKING, "pubsub|shardchannels", "[pattern:pattern]", AtLeast(2), ABOUT, |cx, args| {
                channels(cx, args, true)
            })
            .since("7.0.0")
            .summary("Returns the shard channels that have subscribers."),
            row(ASKING, "pubsub|shardnumsub", "[shardchannel...]", AtLeast(2), ABOUT, |cx, args| {
                numsub(cx, args, true)
            })
            .since("7.0.0")
            .summary("Returns the number of subscribers of shard channels."),
            row(ASKING, "pubsub|help", "", Exactly(2), Flags::LOADING.or(Flags::STALE), help)
                .since("6.2.0")
                .summary("Describes how to use PUBSUB.")
                .complexity("O(1)"),
        ],
    )
    .since("2.8.0")
    .summary("Container for commands about subscriptions."),
];

/// `SUBSCRIBE name [name ...]` and its forms: for each name a message that tells how many the client listens to.
fn subscribe(cx: &mut Context<'_, '_>, mut args: Args<'_>, topic: Topic) -> CommandResult {
    let word: &[u8] = match topic {
        Topic::Channel => b"subscribe",
        Topic::Pattern => b"psubscribe",
        Topic::Shard => b"ssubscribe",
    };
    let mut names = args;
    while let Ok(name) = names.bytes() {
        if topic == Topic::Pattern && name.len() > LONGEST_PATTERN {
            return Err(CommandError::Plain("ERR pattern is longer than 4096 bytes"));
        }
    }
    while let Ok(name) = args.bytes() {
        cx.session.subscribe(topic, name);
        reply_change(cx, word, Some(name), topic);
    }
    Ok(())
}

/// `UNSUBSCRIBE [name ...]` and its forms: the same for each name that was given, or that the client listened to; for
/// none of them one message without a name.
fn unsubscribe(cx: &mut Context<'_, '_>, mut args: Args<'_>, topic: Topic) -> CommandResult {
    let word: &[u8] = match topic {
        Topic::Channel => b"unsubscribe",
        Topic::Pattern => b"punsubscribe",
        Topic::Shard => b"sunsubscribe",
    };
    if !args.is_empty() {
        while let Ok(name) = args.bytes() {
            cx.session.unsubscribe(topic, name, cx.reply);
            reply_change(cx, word, Some(name), topic);
        }
        return Ok(());
    }
    let names = cx.session.subscribed_names(topic);
    for name in &names {
        cx.session.unsubscribe(topic, name, cx.reply);
        reply_change(cx, word, Some(name), topic);
    }
    if names.is_empty() {
        reply_change(cx, word, None, topic);
    }
    Ok(())
}

/// Channels and patterns are counted together, shard channels for themselves.
fn reply_change(cx: &mut Context<'_, '_>, word: &[u8], name: Option<&[u8]>, topic: Topic) {
    let count = |topic| cx.session.subscription_count(topic);
    let count = match topic {
        Topic::Shard => count(Topic::Shard),
        Topic::Channel | Topic::Pattern => count(Topic::Channel) + count(Topic::Pattern),
    };
    cx.reply.push(3, |reply| {
        reply.bulk(word);
        match name {
            Some(name) => reply.bulk(name),
            None => reply.null(),
        }
        reply.integer(count as i64);
    });
}

/// `PUBLISH channel message`, `SPUBLISH shardchannel message`: how many clients heard it. Waits for none of them.
fn publish(cx: &mut Context<'_, '_>, mut args: Args<'_>, topic: Topic) -> CommandResult {
    let (channel, message) = (args.bytes()?, args.bytes()?);
    let publication = if topic == Topic::Shard {
        Publication::default()
    } else {
        cx.in_steps_to_the_end(|cx, publication: &mut Publication| {
            Ok(publication.search(&cx.engine.pubsub, channel, &mut STEP.clone()))
        })?
    };
    let receivers = cx.engine.publish(topic, channel, message, publication);
    if !cx.session.is_executing() && cx.session.has_mail() {
        // The publisher may be among them; it then hears the message first, as in Redis.
        cx.session.deliver(cx.reply);
    }
    cx.reply.integer(receivers as i64);
    Ok(())
}

/// `PUBSUB CHANNELS [pattern]`, `PUBSUB SHARDCHANNELS [pattern]`: names, in no order.
fn channels(cx: &mut Context<'_, '_>, args: Args<'_>, is_shard: bool) -> CommandResult {
    let pattern = args.peek().map(Pattern::new);
    if args.len() > 1 {
        return Err(CommandError::SubcommandSyntax(args.subcommand().to_vec()));
    }
    let sieve = cx.in_steps(|cx, sieve: &mut Option<Sieve<Bytes>>| {
        let sieve = sieve.get_or_insert_with(|| {
            let hub = cx.engine.pubsub.hub(is_shard);
            let mut names = Vec::new();
            cx.engine.run_sized(hub.len() as u64, || hub.each(|name, _| names.push(name.clone())));
            Sieve::new(names)
        });
        Ok(sieve.step(pattern.as_ref(), &mut STEP.clone()))
    })?;
    let names = sieve.map(Sieve::into_kept).unwrap_or_default();
    cx.reply.array(names.len());
    names.iter().for_each(|name| cx.reply.bulk(name));
    Ok(())
}

/// `PUBSUB NUMSUB [channel ...]`, `PUBSUB SHARDNUMSUB [shardchannel ...]`: a map of names and numbers, as an array.
fn numsub(cx: &mut Context<'_, '_>, mut args: Args<'_>, is_shard: bool) -> CommandResult {
    cx.reply.array(args.len() * 2);
    while let Ok(name) = args.bytes() {
        cx.reply.bulk(name);
        cx.reply.integer(cx.engine.pubsub.hub(is_shard).count(name) as i64);
    }
    Ok(())
}

/// `PUBSUB NUMPAT`: the number of different patterns.
fn numpat(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    cx.reply.integer(cx.engine.pubsub.len(Topic::Pattern) as i64);
    Ok(())
}

/// `PUBSUB HELP`: lines of text.
fn help(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    super::reply_help(
        cx,
        &[
            "CHANNELS [<pattern>]",
            "    Return the channels that somebody listens to and that match a <pattern> (default: '*').",
            "NUMPAT",
            "    Return the number of different patterns that are listened to.",
            "NUMSUB [<channel> ...]",
            "    Return how many listen to the channels, not counting patterns.",
            "SHARDCHANNELS [<pattern>]",
            "    Return the shard channels that somebody listens to and that match a <pattern> (default: '*').",
            "SHARDNUMSUB [<shardchannel> ...]",
            "    Return how many listen to the shard channels.",
        ],
    )
}
