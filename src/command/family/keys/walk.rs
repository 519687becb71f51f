//! SCAN, KEYS and RANDOMKEY: walks over the keyspace.
//!
//! A pattern with a literal `namespace/` in front walks only that namespace; a pattern without special
//! characters is a lookup.

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::family::cursors;
use crate::command::names;
use crate::engine::wanted::Wanted;
use crate::glob::Pattern;
use crate::keyspace::{KeyspaceError, View};
use memchr::memchr;

/// A call that looks at more entries than this runs where it holds nobody up.
const LONG_COUNT: usize = 10_000;
/// KEYS walks in steps of this many entries.
const KEYS_STEP: usize = 4096;

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

    /// True if a canonical name matches. A pattern that spells the default namespace out is compared with
    /// names spelled out.
    fn matches(&self, name: &[u8]) -> bool {
        if self.namespace.is_some() && memchr(b'/', name).is_none() {
            return self.pattern.matches(&[names::key(name).namespace(), b"/", name].concat());
        }
        self.pattern.matches(name)
    }
}

/// Names collected one after the other, in two allocations instead of one for each.
#[derive(Debug, Default)]
struct Names {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Names {
    fn push(&mut self, name: &[u8]) {
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len());
    }

    fn reply(&self, cx: &mut Context<'_, '_>) {
        cx.reply.array(self.ends.len());
        let mut start = 0;
        for end in &self.ends {
            names::reply(cx.reply, &self.bytes[start..*end]);
            start = *end;
        }
    }
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

    fn walk(&self, view: &mut View<'_>, cursor: u64) -> Result<(u64, Names), KeyspaceError> {
        let mut names = Names::default();
        let namespace = self.filter.and_then(|filter| filter.namespace);
        let next = view.scan(cursor, self.count, namespace, |name, entry| {
            let is_wanted = self.filter.is_none_or(|filter| filter.matches(name));
            let wants_kind = |kind: &[u8]| kind.eq_ignore_ascii_case(entry.kind().name().as_bytes());
            if is_wanted && self.kind.is_none_or(wants_kind) {
                names.push(name);
            }
        })?;
        Ok((next, names))
    }
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`: the next cursor, 0 at the end, and the names.
pub fn scan(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let cursor = args.cursor()?;
    let options = ScanOptions::parse(args)?;
    let view = &mut *cx.view;
    let (next, names) = if options.count > LONG_COUNT {
        cx.engine.run_long_if_free(|| options.walk(view, cursor))??
    } else {
        options.walk(view, cursor)?
    };
    cx.reply.array(2);
    cx.reply.bulk(next.to_string().as_bytes());
    names.reply(cx);
    Ok(())
}

/// `KEYS pattern`: every matching name.
pub fn keys(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let filter = NameFilter::new(args.bytes()?);
    let mut wanted = cx.wanted();
    let view = &mut *cx.view;
    let names = match filter.literal() {
        Some(name) => {
            let (key, mut names) = (names::key(name), Names::default());
            if view.peek(key)?.is_some() {
                names.push(key.name());
            }
            names
        }
        None => cx.engine.run_long_if_free(|| walk_all(view, filter, &mut wanted))??,
    };
    names.reply(cx);
    Ok(())
}

fn walk_all(
    view: &mut View<'_>,
    filter: NameFilter<'_>,
    wanted: &mut Wanted<'_>,
) -> Result<Names, CommandError> {
    let (mut names, mut cursor) = (Names::default(), 0);
    loop {
        wanted.ask()?;
        cursor = view.scan(cursor, KEYS_STEP, filter.namespace, |name, _| {
            if filter.matches(name) {
                names.push(name);
            }
        })?;
        if cursor == 0 {
            return Ok(names);
        }
    }
}

/// `RANDOMKEY`: some key, or null if there is none.
pub fn randomkey(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    match cx.view.random()? {
        Some(name) => names::reply(cx.reply, name),
        None => cx.reply.null(),
    }
    Ok(())
}
