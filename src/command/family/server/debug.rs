//! DEBUG: what the test suites of clients ask for. It does what it can do here; the rest answers `OK` harmlessly.

use super::SERVER;
use crate::command::args::Args;
use crate::command::context::{Context, Outcome};
use crate::command::error::{CommandError, CommandResult};
use crate::command::family::keys::encoding_of;
use crate::command::spec::Arity::AtLeast;
use crate::command::spec::{CommandSpec, Flags, row};
use crate::glob::Pattern;
use crate::keyspace::Entry;
use crate::value::tree::{Hash as HashLayout, List, Set};
use ahash::RandomState;
use std::hash::Hash;

/// Longest subject of DEBUG STRINGMATCH-LEN.
const MATCHED_LEN: i64 = 1 << 20;

/// The error for clients of other machines.
const NOT_ALLOWED: &str = "ERR DEBUG command not allowed. If KVNS_DEBUG_COMMANDS is set to true when the server starts, \
                           clients of other machines may use it; those of this machine always may.";

/// Slots that the digest of all keys visits at a time.
const DIGEST_STEP: usize = 500;

/// Bytes of values after which it visits no more of them.
const DIGEST_BYTES: usize = 256 << 10;

/// The command. It is one row: its subcommands are no commands of their own.
pub const DEBUG: CommandSpec = row(
    SERVER,
    "debug",
    "subcommand [argument...]",
    AtLeast(2),
    Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::LOADING).or(Flags::STALE),
    debug,
)
.since("1.0.0")
.summary("Container for commands for tests of clients and servers.")
.complexity("Depends on subcommand");

/// `DEBUG subcommand [argument ...]`: refused for clients of other machines, unless `KVNS_DEBUG_COMMANDS` is set.
fn debug(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let is_local = cx.session.client().peer.ip().to_canonical().is_loopback();
    if !is_local && !cx.engine.settings.load().debug_commands {
        return Err(CommandError::Plain(NOT_ALLOWED));
    }
    let name = args.bytes()?;
    match (name.to_ascii_lowercase().as_slice(), args.len()) {
        (b"help", 0) => return help(cx),
        (b"sleep", 1) => cx.outcome = Outcome::Sleep(sleep_us(args.bytes()?)),
        (b"error", 1) => return Err(CommandError::Custom(args.bytes()?.to_vec())),
        (b"object", 1..) => return object(cx, args),
        (b"digest", 0) => return digest(cx),
        (b"digest-value", _) => return digest_value(cx, args),
        (b"stringmatch-len", 2) => return stringmatch_len(cx, args),
        (b"listpack", 1) => {
            let key = args.key()?;
            cx.view.peek(key)?.ok_or(CommandError::NoSuchKey)?;
        }
        (b"reload", _) => super::snapshots::reload(cx)?,
        // Keys always leave at their time, there are no replicas, and lists have one form.
        (b"set-active-expire" | b"quicklist-packed-threshold", 1) | (b"change-repl-id", 0) => {}
        _ => return Err(CommandError::SubcommandSyntax(args.subcommand().to_vec())),
    }
    cx.reply.simple("OK");
    Ok(())
}

/// Seconds with decimals, in microseconds; what is no number is 0, as in Redis.
fn sleep_us(seconds: &[u8]) -> u64 {
    let seconds = std::str::from_utf8(seconds).ok().and_then(|text| text.parse::<f64>().ok());
    // The conversion is one to the nearest number that fits.
    (seconds.unwrap_or(0.0) * 1e6) as u64
}

/// `DEBUG OBJECT key`: a line about the representation.
fn object(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let entry = cx.view.peek(args.key()?)?.ok_or(CommandError::NoSuchKey)?;
    let line = format!(
        "Value at:0x0 refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
        encoding_of(&entry)?,
        entry.footprint(),
        (cx.view.now_ms() / 1000).saturating_sub(entry.idle_seconds()),
        entry.idle_seconds(),
    );
    cx.reply.simple(&line);
    Ok(())
}

/// `DEBUG STRINGMATCH-LEN length pattern`: whether the pattern matches so many `a`.
fn stringmatch_len(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let len = args.integer()?;
    if !(0..=MATCHED_LEN).contains(&len) {
        return Err(CommandError::NotAnInteger);
    }
    let matches = Pattern::new(args.bytes()?).matches(&vec![b'a'; len as usize]);
    cx.reply.integer(i64::from(matches));
    Ok(())
}

/// Twenty bytes that depend on what they are of, and on nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Digest([u64; 3]);

impl Digest {
    /// The digest of a value and whether it has a deadline; of its key too, if there is one. O(n).
    fn of(name: &[u8], entry: &Entry<'_>) -> Digest {
        let mut content = Digest::default();
        if let Ok(string) = entry.string() {
            content = Digest::of_parts(string.bytes());
        } else if let Ok(list) = entry.tree::<List>() {
            let places = list.iter().enumerate();
            places.for_each(|(place, item)| content.mix(Digest::of_parts((place, item.key))));
        } else if let Ok(hash) = entry.tree::<HashLayout>() {
            hash.iter().for_each(|item| content.mix(Digest::of_parts((item.key, item.value))));
        } else if let Ok(set) = entry.tree::<Set>() {
            set.iter().for_each(|item| content.mix(Digest::of_parts(item.key)));
        } else if let Ok(set) = entry.sorted_set() {
            let members = set.iter();
            members.for_each(|scored| content.mix(Digest::of_parts((scored.member, scored.score.to_bits()))));
        }
        Digest::of_parts((name, entry.kind().name(), content.0, entry.deadline_ms().is_some()))
    }

    fn of_parts(parts: impl Hash) -> Digest {
        Digest([1, 2, 3].map(|seed| RandomState::with_seeds(seed, 1, 2, 3).hash_one(&parts)))
    }

    fn mix(&mut self, other: Digest) {
        self.0.iter_mut().zip(other.0).for_each(|(own, other)| *own ^= other);
    }

    fn text(self) -> String {
        let Digest([one, two, three]) = self;
        format!("{one:016x}{two:016x}{:08x}", three as u32)
    }
}

/// A digest of every key on its way.
#[derive(Debug, Default)]
struct DigestWalk {
    digest: Digest,
    cursor: u64,
    generation: Option<u64>,
}

/// `DEBUG DIGEST`: a digest of every key, its value and whether it expires; zeros without keys.
fn digest(cx: &mut Context<'_, '_>) -> CommandResult {
    let walk = cx.in_steps(|cx, walk: &mut DigestWalk| {
        let number = cx.view.generation_number();
        if walk.generation != Some(number) {
            *walk = DigestWalk { generation: Some(number), ..DigestWalk::default() };
        }
        let mut bytes = 0;
        walk.cursor = cx.view.scan(walk.cursor, DIGEST_STEP, None, |name, entry| {
            let digest = &mut walk.digest;
            cx.engine.run_copying(entry.footprint(), || digest.mix(Digest::of(name, &entry)));
            bytes += entry.footprint();
            bytes < DIGEST_BYTES
        })?;
        Ok(walk.cursor == 0)
    })?;
    cx.reply.simple(&walk.digest.text());
    Ok(())
}

/// `DEBUG DIGEST-VALUE key [key ...]`: a digest of each value; zeros for a missing one.
fn digest_value(cx: &mut Context<'_, '_>, args: Args<'_>) -> CommandResult {
    let mut digests = Vec::new();
    for key in args.rest_keys() {
        let digest = cx.view.peek(key)?.map(|entry| Digest::of(b"", &entry));
        digests.push(digest.unwrap_or_default());
    }
    cx.reply.array(digests.len());
    digests.iter().for_each(|digest| cx.reply.simple(&digest.text()));
    Ok(())
}

/// `DEBUG HELP`: lines of text.
fn help(cx: &mut Context<'_, '_>) -> CommandResult {
    super::super::reply_help(
        cx,
        &[
            "CHANGE-REPL-ID",
            "    Do nothing: there is no replication.",
            "DIGEST",
            "    Output a hex signature representing the current keys.",
            "DIGEST-VALUE <key> [<key> ...]",
            "    Output a hex signature of the values of all the specified keys.",
            "ERROR <string>",
            "    Return an error reply with <string> as message.",
            "LISTPACK <key>",
            "    Do nothing, if the key exists.",
            "OBJECT <key>",
            "    Show low level info about <key> and its value.",
            "QUICKLIST-PACKED-THRESHOLD <size>",
            "    Do nothing: lists have one representation.",
            "RELOAD [option ...]",
            "    Take a snapshot and replace the keys by it; do nothing without KVNS_PERSIST_PATH.",
            "SET-ACTIVE-EXPIRE <0|1>",
            "    Do nothing: keys always leave at their time.",
            "SLEEP <seconds>",
            "    Let this connection wait for <seconds>. Decimals allowed.",
            "STRINGMATCH-LEN <length> <pattern>",
            "    Return whether <pattern> matches <length> times 'a'.",
        ],
    )
}
