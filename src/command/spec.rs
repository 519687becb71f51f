//! A row of the command table. Everything that concerns all commands reads it: lookup, arity errors,
//! the gate's rules, prefetching, COMMAND, statistics.

use super::args::Args;
use super::context::Context;
use super::error::{CommandError, CommandResult};
use super::names;
use crate::keyspace::Key;
use crate::number::parse_integer;
use crate::resp::Request;
use std::ops::Range;

/// Runs a command: parse all, operate once, reply last.
pub type Handler = for<'a, 'g, 'r> fn(&mut Context<'a, 'g>, Args<'r>) -> CommandResult;

/// A row of the command table.
#[derive(Clone, Copy, Debug)]
pub struct CommandSpec {
    /// Lower case; a subcommand's is `container|subcommand`.
    pub name: &'static str,
    /// The Redis version that had it first.
    pub since: &'static str,
    /// One sentence for COMMAND DOCS.
    pub summary: &'static str,
    /// Cost in terms of the arguments and the values involved.
    pub complexity: &'static str,
    /// The grammar of the arguments ([`super::grammar`]), for COMMAND DOCS.
    pub arguments: &'static str,
    /// The family, as COMMAND DOCS names it.
    pub group: Group,
    /// How many arguments, the command's name (and its subcommand's) included.
    pub arity: Arity,
    /// The flags that the gate, COMMAND INFO and the ACL categories use.
    pub flags: Flags,
    /// Which arguments are keys.
    pub keys: &'static [KeySpec],
    /// Hints for proxies, as COMMAND INFO gives them.
    pub tips: &'static [&'static str],
    /// The handler.
    pub handler: Handler,
    /// The subcommands of a container.
    pub subcommands: &'static [CommandSpec],
}

/// A row: what no template may decide, and the rest from the template of its family.
///
/// `arguments` is the grammar of [`super::grammar`].
pub const fn row(
    template: CommandSpec,
    name: &'static str,
    arguments: &'static str,
    arity: Arity,
    flags: Flags,
    handler: Handler,
) -> CommandSpec {
    CommandSpec { name, arguments, arity, flags, handler, ..template }
}

/// The row of a container, which only its subcommands run.
pub const fn container(
    template: CommandSpec,
    name: &'static str,
    subcommands: &'static [CommandSpec],
) -> CommandSpec {
    let complexity = "Depends on subcommand";
    let arity = Arity::AtLeast(2);
    CommandSpec { name, complexity, arity, flags: Flags::NONE, subcommands, ..template }
}

/// The gate gets here only without a subcommand, which the arity of containers forbids.
fn needs_subcommand(_: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    Err(CommandError::WrongArity)
}

impl CommandSpec {
    /// A template: what the rows of a family share.
    pub const fn of(group: Group) -> CommandSpec {
        CommandSpec {
            name: "",
            since: "1.0.0",
            summary: "",
            complexity: "O(1)",
            arguments: "",
            group,
            arity: Arity::AtLeast(1),
            flags: Flags::NONE,
            keys: &[],
            tips: &[],
            handler: needs_subcommand,
            subcommands: &[],
        }
    }

    /// The same with another group.
    pub const fn group(self, group: Group) -> CommandSpec {
        CommandSpec { group, ..self }
    }

    /// The same since another version.
    pub const fn since(self, since: &'static str) -> CommandSpec {
        CommandSpec { since, ..self }
    }

    /// The same with another summary.
    pub const fn summary(self, summary: &'static str) -> CommandSpec {
        CommandSpec { summary, ..self }
    }

    /// The same with another complexity.
    pub const fn complexity(self, complexity: &'static str) -> CommandSpec {
        CommandSpec { complexity, ..self }
    }

    /// The same with other keys.
    pub const fn keys(self, keys: &'static [KeySpec]) -> CommandSpec {
        CommandSpec { keys, ..self }
    }

    /// The same with other tips.
    pub const fn tips(self, tips: &'static [&'static str]) -> CommandSpec {
        CommandSpec { tips, ..self }
    }

    /// The same with subcommands.
    pub const fn subcommands(self, subcommands: &'static [CommandSpec]) -> CommandSpec {
        CommandSpec { subcommands, ..self }
    }

    /// A subcommand's own name; a command's whole name.
    pub const fn own_name(&self) -> &'static str {
        let bytes = self.name.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at] == b'|' {
                return self.name.split_at(at + 1).1;
            }
            at += 1;
        }
        self.name
    }

    /// True for a subcommand.
    pub const fn is_subcommand(&self) -> bool {
        self.own_name().len() != self.name.len()
    }

    /// The names of the ACL categories, as COMMAND INFO lists them.
    pub fn categories(&self) -> impl Iterator<Item = &'static str> + use<> {
        let flags = self.flags;
        let is_command = self.subcommands.is_empty();
        let group = self.group;
        let of = move |wanted: Group| is_command && group == wanted;
        let is_of_any = flags.has(Flags::COLLECTIONS);
        let is_of_keyspace = (of(Group::Generic) && !is_of_any) || flags.has(Flags::KEYSPACE);
        [
            (is_of_keyspace, "keyspace"),
            (flags.has(Flags::READONLY), "read"),
            (flags.has(Flags::WRITE), "write"),
            (of(Group::Set) || is_of_any, "set"),
            (of(Group::SortedSet) || is_of_any, "sortedset"),
            (of(Group::List) || is_of_any, "list"),
            (of(Group::Hash), "hash"),
            (of(Group::String), "string"),
            (of(Group::Stream), "stream"),
            (flags.has(Flags::ADMIN) || flags.has(Flags::SHOWN_AS_ADMIN), "admin"),
            (flags.has(Flags::FAST), "fast"),
            (!flags.has(Flags::FAST), "slow"),
            (flags.has(Flags::ADMIN) || flags.has(Flags::DANGEROUS), "dangerous"),
            (of(Group::Connection) || flags.has(Flags::CONNECTION), "connection"),
            (of(Group::Transactions), "transaction"),
            (flags.has(Flags::PUBSUB), "pubsub"),
        ]
        .into_iter()
        .filter_map(|(is_in, name)| is_in.then_some(name))
    }

    /// The positions of the first and last key and the step between keys, as COMMAND INFO gives them; zeros
    /// without keys. Keys whose number or position depends on other arguments do not count.
    pub fn key_range(&self) -> (i64, i64, i64) {
        let mut ranges = self.keys.iter().filter(|keys| !keys.numbered && keys.found_by.is_none());
        let Some(first) = ranges.next() else { return (0, 0, 0) };
        (first.first as i64, ranges.next_back().unwrap_or(first).last, first.step as i64)
    }

    /// True for quick commands with one key, their first argument: pipelined ones of one key may run as one.
    pub const fn joins(&self) -> bool {
        self.flags.has(Flags::FAST)
            && matches!(self.keys, [KeySpec { first: 1, last: 1, .. }])
            && self.subcommands.is_empty()
            && !self.flags.has(Flags::AFTER_COMMIT)
    }

    /// The specs of what are keys.
    pub fn key_specs(&self) -> impl Iterator<Item = &'static KeySpec> + use<> {
        self.keys.iter().filter(|spec| spec.has_keys())
    }

    /// The first of the request's keys, if it has any.
    #[inline]
    pub fn first_key<'r>(&self, request: Request<'r>) -> Option<Key<'r>> {
        let keys = self.keys.first()?;
        if keys.has_plain_place() {
            request.get(keys.first).map(names::key)
        } else {
            self.first_key_elsewhere(request)
        }
    }

    #[cold]
    fn first_key_elsewhere<'r>(&self, request: Request<'r>) -> Option<Key<'r>> {
        self.keys_of(request).next()
    }

    /// The keys of a request, in order.
    pub fn keys_of<'r>(&self, request: Request<'r>) -> impl Iterator<Item = Key<'r>> + use<'r> {
        self.key_positions(request).filter_map(move |(position, _)| request.get(position).map(names::key))
    }

    /// The positions of the request's keys, in order, each with its spec.
    pub fn key_positions<'r>(
        &self,
        request: Request<'r>,
    ) -> impl Iterator<Item = (usize, &'static KeySpec)> + use<'r> {
        self.key_specs().flat_map(move |spec| spec.positions(request).map(move |position| (position, spec)))
    }
}

/// The family of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Commands on keys of any type.
    Generic,
    /// Strings.
    String,
    /// Lists.
    List,
    /// Hashes.
    Hash,
    /// Sets.
    Set,
    /// Sorted sets.
    SortedSet,
    /// The connection itself.
    Connection,
    /// The server.
    Server,
    /// MULTI and its kind.
    Transactions,
    /// Published messages.
    PubSub,
    /// Streams, which are to come.
    Stream,
}

impl Group {
    /// The name, as COMMAND DOCS gives it.
    pub const fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::List => "list",
            Group::Hash => "hash",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Transactions => "transactions",
            Group::PubSub => "pubsub",
            Group::Stream => "stream",
        }
    }
}

/// How many arguments a command takes, its name included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// This many.
    Exactly(usize),
    /// This many or more.
    AtLeast(usize),
}

impl Arity {
    /// True if a request of `len` arguments may run.
    #[inline]
    pub const fn admits(self, len: usize) -> bool {
        match self {
            Arity::Exactly(count) => len == count,
            Arity::AtLeast(count) => len >= count,
        }
    }

    /// As COMMAND INFO gives it: negative for at-least.
    pub const fn code(self) -> i64 {
        match self {
            Arity::Exactly(count) => count as i64,
            Arity::AtLeast(count) => -(count as i64),
        }
    }
}

/// A set of properties of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// No properties.
    pub const NONE: Flags = Flags(0);
    /// May change the keyspace.
    pub const WRITE: Flags = Flags(1);
    /// Reads the keyspace and never changes it.
    pub const READONLY: Flags = Flags(1 << 1);
    /// May need memory, so it is refused over the limit.
    pub const DENYOOM: Flags = Flags(1 << 2);
    /// For administrators.
    pub const ADMIN: Flags = Flags(1 << 3);
    /// Not for scripts.
    pub const NOSCRIPT: Flags = Flags(1 << 4);
    /// Allowed while the data is loading.
    pub const LOADING: Flags = Flags(1 << 5);
    /// Allowed on a replica that lost its primary.
    pub const STALE: Flags = Flags(1 << 6);
    /// Left out of the slow log.
    pub const SKIP_SLOWLOG: Flags = Flags(1 << 7);
    /// Constant or logarithmic time.
    pub const FAST: Flags = Flags(1 << 8);
    /// Allowed before authentication.
    pub const NO_AUTH: Flags = Flags(1 << 9);
    /// Allowed while a script runs long.
    pub const ALLOW_BUSY: Flags = Flags(1 << 10);
    /// Concerns published messages.
    pub const PUBSUB: Flags = Flags(1 << 11);
    /// Not between MULTI and EXEC.
    pub const NO_MULTI: Flags = Flags(1 << 12);
    /// The places of its keys depend on other arguments.
    pub const MOVABLE_KEYS: Flags = Flags(1 << 13);
    /// Refused while data is loaded beside that which is served. kvns never does that.
    pub const NO_ASYNC_LOADING: Flags = Flags(1 << 14);
    /// May need memory though Redis never refuses it for that: it can move a value to another name. Not shown.
    pub const MOVES: Flags = Flags(1 << 21);
    /// In the categories of lists, sets and sorted sets instead of the keyspace's. Not shown.
    pub const COLLECTIONS: Flags = Flags(1 << 23);
    /// Runs at once inside MULTI instead of being queued. Not shown.
    pub const IMMEDIATE: Flags = Flags(1 << 24);
    /// In the keyspace category, though not of the generic group. Not shown.
    pub const KEYSPACE: Flags = Flags(1 << 25);
    /// In the connection category, though not of the connection group. Not shown.
    pub const CONNECTION: Flags = Flags(1 << 26);
    /// In the dangerous category, though not for administrators. Not shown.
    pub const DANGEROUS: Flags = Flags(1 << 27);
    /// In the admin category, though not for administrators. Not shown.
    pub const SHOWN_AS_ADMIN: Flags = Flags(1 << 22);
    /// Acts outside the keyspace and touches no keys: in a transaction it runs once, after the commit. Not shown.
    pub const AFTER_COMMIT: Flags = Flags(1 << 28);
    /// Allowed in RESP2 while the client is subscribed to something. Not shown.
    pub const IN_SUBSCRIBED: Flags = Flags(1 << 29);
    /// Reaches other clients without being a write: CLIENT PAUSE holds it back with the writes. Not shown.
    pub const MAY_REPLICATE: Flags = Flags(1 << 30);

    /// The names of the shown flags, in COMMAND INFO's order.
    const NAMES: [(Flags, &'static str); 15] = [
        (Flags::WRITE, "write"),
        (Flags::READONLY, "readonly"),
        (Flags::DENYOOM, "denyoom"),
        (Flags::ADMIN, "admin"),
        (Flags::PUBSUB, "pubsub"),
        (Flags::NOSCRIPT, "noscript"),
        (Flags::LOADING, "loading"),
        (Flags::STALE, "stale"),
        (Flags::SKIP_SLOWLOG, "skip_slowlog"),
        (Flags::FAST, "fast"),
        (Flags::NO_ASYNC_LOADING, "no_async_loading"),
        (Flags::NO_MULTI, "no_multi"),
        (Flags::NO_AUTH, "no_auth"),
        (Flags::ALLOW_BUSY, "allow_busy"),
        (Flags::MOVABLE_KEYS, "movablekeys"),
    ];

    /// Both sets together.
    pub const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// True if every property of `other` is in this set.
    #[inline]
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// True if the command is refused where there is no room for what it adds.
    #[inline]
    pub const fn is_checked(self) -> bool {
        self.0 & Flags::DENYOOM.or(Flags::MOVES).0 != 0
    }

    /// The names COMMAND INFO shows.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Flags::NAMES.into_iter().filter_map(move |(flag, name)| self.has(flag).then_some(name))
    }
}

/// Where some of a command's keys are among its arguments, and what is done to them.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// Position of the first key; the command's name is at 0.
    pub first: usize,
    /// Position of the last key; -1 is the last argument.
    pub last: i64,
    /// From one key to the next.
    pub step: usize,
    /// True if the argument before the first key says how many keys there are; `last` says nothing then.
    pub numbered: bool,
    /// Finds the one key where only other arguments tell its position; `first` and `last` say nothing then.
    pub found_by: Option<fn(Request<'_>) -> Option<usize>>,
    /// The access to the keys, in COMMAND INFO's words.
    pub access: &'static [&'static str],
    /// Where `access` says the most that may happen: what this request does.
    pub access_of: Option<fn(Request<'_>) -> &'static [&'static str]>,
    /// COMMAND INFO's remark, empty for none.
    pub notes: &'static str,
}

impl KeySpec {
    /// Keys from `first` to `last`, `step` apart.
    pub const fn range(first: usize, last: i64, step: usize, access: &'static [&'static str]) -> KeySpec {
        KeySpec { first, last, step, numbered: false, found_by: None, access, access_of: None, notes: "" }
    }

    /// Keys behind the argument at `position`, which says how many.
    pub const fn numbered(position: usize, access: &'static [&'static str]) -> KeySpec {
        KeySpec { numbered: true, ..KeySpec::range(position + 1, -1, 1, access) }
    }

    /// A key that `find` finds in a request; COMMAND INFO calls its position unknown.
    pub const fn found_by(
        find: fn(Request<'_>) -> Option<usize>,
        access: &'static [&'static str],
    ) -> KeySpec {
        KeySpec { found_by: Some(find), ..KeySpec::at(0, access) }
    }

    /// One key at `position`.
    pub const fn at(position: usize, access: &'static [&'static str]) -> KeySpec {
        KeySpec::range(position, position as i64, 1, access)
    }

    /// True if its first key always stands at `first`.
    fn has_plain_place(&self) -> bool {
        self.found_by.is_none() && !self.numbered && self.has_keys()
    }

    /// True for keys; false for names that are only placed like keys, such as shard channels.
    pub fn has_keys(&self) -> bool {
        !self.access.contains(&"not_key")
    }

    /// The positions of its keys in a request; none if it announces more keys than it has arguments.
    pub fn positions(&self, request: Request<'_>) -> impl Iterator<Item = usize> + use<> {
        let (first, len) = (self.first as i64, request.len() as i64);
        if let Some(find) = self.found_by {
            return find(request).map_or(0..0, |position| position..position + 1).step_by(1);
        }
        let last = match self.last {
            _ if self.numbered => first - 1 + self.announced(request).unwrap_or(0),
            last if last < 0 => len + last,
            last => last.min(len - 1),
        };
        (self.first..(last + 1).max(0) as usize).step_by(self.step)
    }

    /// How many keys the argument before the first one announces, if that many can follow.
    fn announced(&self, request: Request<'_>) -> Option<i64> {
        let number = parse_integer(request.get(self.first - 1)?).filter(|number| *number >= 0)?;
        // Redis keeps 32 bits of it.
        let number = i64::from(number as i32);
        self.can_follow(request, number).then_some(number)
    }

    /// True if so many keys can stand in the request, and one at least.
    fn can_follow(&self, request: Request<'_>, number: i64) -> bool {
        (1..=request.len() as i64 - self.first as i64).contains(&number)
    }

    /// True if the argument that says how many keys there are is no such number.
    pub fn is_contradicted(&self, request: Request<'_>) -> bool {
        self.numbered && self.announced(request).is_none()
    }

    /// As [`KeySpec::positions`], but the number of keys is what `parse` makes of its argument.
    pub fn positions_by(&self, request: Request<'_>, parse: impl Fn(&[u8]) -> i64) -> Option<Range<usize>> {
        let number = parse(request.get(self.first - 1)?);
        self.can_follow(request, number).then(|| self.first..self.first + number as usize)
    }
}
