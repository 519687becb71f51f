//! SCAN, KEYS and RANDOMKEY: walks over the keyspace.
//!
//! A pattern with a literal `namespace/` in front walks only that namespace; a pattern without special
//! characters is a lookup. Walks go in steps: nothing is pinned from one to the next, and what is costly to compare with
//! the pattern is copied and compared later.

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::family::cursors;
use crate::command::family::texts::Texts;
use crate::command::names;
use crate::command::sieve::{STEP, Sieve};
use crate::glob::{Matching, Pattern};
use crate::keyspace::{Entry, KeyspaceError, View};
use memchr::memchr;
use std::borrow::Cow;

/// Entries that a step looks at.
const ENTRIES: usize = 512;
/// Comparisons of a byte that are made for a name at once. Who needs more is copied, for nobody knows how many.
const AT_ONCE: u64 = 2_000;
/// Bytes of names that are copied in a step.
const COPIED: usize = 256 << 10;

/// A pattern over key names, with the namespace it is confined to.
#[derive(Clone, Copy, Debug)]
struct NameFilter<'p> {
    pattern: Pattern<'p>,
    namespace: Option<&'p [u8]>,
}

impl<'p> NameFilter<'p> {
    fn new(pattern: &'p [u8]) -> NameFilter<'p> {
        let pattern = Pattern::new(pattern);
        let (prefix, _) = pattern.literal_prefix();
        NameFilter { pattern, namespace: memchr(b'/', prefix).map(|slash| &prefix[..slash]) }
    }

    /// The name itself, if the pattern has no special characters.
    fn literal(&self) -> Option<&'p [u8]> {
        let (prefix, is_whole) = self.pattern.literal_prefix();
        is_whole.then_some(prefix)
    }

    /// A canonical name as it is compared: a pattern that spells the default namespace out is compared with names
    /// spelled out.
    fn spelled<'n>(&self, name: &'n [u8]) -> Cow<'n, [u8]> {
        if self.namespace.is_some() && memchr(b'/', name).is_none() {
            return [names::key(name).namespace(), b"/", name].concat().into();
        }
        name.into()
    }
}

/// Answers names as clients see them.
fn reply_names(cx: &mut Context<'_, '_>, found: &Texts) {
    cx.reply.array(found.len());
    found.iter().for_each(|name| names::reply(cx.reply, name));
}

/// SCAN's options.
#[derive(Clone, Copy, Debug)]
struct ScanOptions<'r> {
    filter: Option<NameFilter<'r>>,
    kind: Option<&'r [u8]>,
    count: usize,
}

impl<'r> ScanOptions<'r> {
    fn parse(mut args: Args<'r>) -> Result<ScanOptions<'r>, CommandError> {
        let mut options = ScanOptions { filter: None, kind: None, count: cursors::DEFAULT_COUNT };
        while !args.is_empty() {
            if args.take_with("COUNT", 1) {
                options.count = cursors::count(&mut args)?;
            } else if args.take_with("MATCH", 1) {
                // Everything matches a lone star, so it need not be compared.
                options.filter = Some(args.bytes()?).filter(|pattern| pattern != b"*").map(NameFilter::new);
            } else if args.take_with("TYPE", 1) {
                options.kind = Some(args.bytes()?);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }

    fn wants(&self, entry: &Entry<'_>) -> bool {
        self.kind.is_none_or(|kind| kind.eq_ignore_ascii_case(entry.kind().name().as_bytes()))
    }
}

/// A walk over the keyspace in steps.
#[derive(Debug, Default)]
struct Walk {
    /// The generation that it goes through; it ends with it.
    generation: Option<u64>,
    /// Where to go on, and whether anything is left there.
    cursor: u64,
    is_over: bool,
    /// Entries that were looked at.
    looked_at: usize,
    found: Texts,
    /// Names, as they are compared, for which one step was not enough.
    waiting: Sieve<Vec<u8>>,
}

impl Walk {
    /// Goes on, until `options.count` entries were looked at. True at the end.
    fn step(&mut self, view: &mut View<'_>, options: &ScanOptions<'_>) -> Result<bool, KeyspaceError> {
        let pattern = options.filter.as_ref().map(|filter| &filter.pattern);
        let mut units = STEP;
        if !self.waiting.step(pattern, &mut units) {
            return Ok(false);
        }
        for name in std::mem::take(&mut self.waiting).into_kept() {
            self.found.push(names::key(&name).name());
        }
        if self.is_over
            || *self.generation.get_or_insert(view.generation_number()) != view.generation_number()
        {
            return Ok(true);
        }
        let budget = ENTRIES.min(options.count - self.looked_at);
        let (mut looked_at, mut copied, mut waiting) = (0, 0, Vec::new());
        let found = &mut self.found;
        let namespace = options.filter.and_then(|filter| filter.namespace);
        self.cursor = view.scan(self.cursor, budget, namespace, |name, entry| {
            looked_at += 1;
            if !options.wants(&entry) {
                return true;
            }
            let spelled = options.filter.map_or(name.into(), |filter| filter.spelled(name));
            let mut at_once = AT_ONCE;
            let matches =
                |pattern: &Pattern<'_>| pattern.step(&spelled, &mut Matching::default(), &mut at_once);
            match pattern.map_or(Some(true), matches) {
                Some(true) => found.push(name),
                Some(false) => {}
                None => waiting.push(spelled.into_owned()),
            }
            units = units.saturating_sub(AT_ONCE - at_once);
            copied += waiting.last().map_or(0, Vec::len);
            units > 0 && copied < COPIED
        })?;
        let is_cut_short = units == 0 || copied >= COPIED;
        self.looked_at += if is_cut_short { looked_at } else { budget };
        self.is_over = self.cursor == 0 || self.looked_at >= options.count;
        let is_done = self.is_over && waiting.is_empty();
        self.waiting = Sieve::new(waiting);
        Ok(is_done)
    }
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`: the next cursor, 0 at the end, and the names.
pub fn scan(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let cursor = args.cursor()?;
    let options = ScanOptions::parse(args)?;
    let walk = cx.in_steps(|cx, walk: &mut Walk| {
        if walk.generation.is_none() {
            walk.cursor = cursor;
        }
        Ok(walk.step(cx.view, &options)?)
    })?;
    cx.reply.array(2);
    cx.reply.bulk(walk.cursor.to_string().as_bytes());
    reply_names(cx, &walk.found);
    Ok(())
}

/// `KEYS pattern`: every matching name.
pub fn keys(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let pattern = args.bytes()?;
    let filter = Some(pattern).filter(|pattern| pattern != b"*").map(NameFilter::new);
    if let Some(name) = filter.and_then(|filter| filter.literal()) {
        let key = names::key(name);
        let found = cx.view.peek(key)?.map(|_| key.name());
        reply_names(cx, &found.into_iter().collect());
        return Ok(());
    }
    let options = ScanOptions { filter, kind: None, count: usize::MAX };
    let walk = cx.in_steps(|cx, walk: &mut Walk| Ok(walk.step(cx.view, &options)?))?;
    reply_names(cx, &walk.found);
    Ok(())
}

/// `RANDOMKEY`: some key, or null if there is none.
pub fn randomkey(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    match cx.view.random()? {
        Some(name) => names::reply(cx.reply, name),
        None => cx.reply.null(),
    }
    Ok(())
}
