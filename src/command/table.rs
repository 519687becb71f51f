//! Every command: the families' rows in one table, and the lookup by name.
//!
//! The index from names to rows is computed at compile time, and so are the checks of the rows: a name that
//! stands twice, a row without summary, or one that both writes and is read-only does not compile.

use super::error::{CommandError, UnknownCommand};
use super::family::FAMILIES;
use super::family::sharded::SERVED;
use super::spec::{CommandSpec, Flags, Handler};
use crate::engine::store::Store;
use crate::resp::Request;
use crate::stats::MAX_COMMANDS;

/// Slots of the index: a power of two, several times the number of commands, so that probes are short.
const SLOTS: usize = 1024;
/// A slot without a row.
const EMPTY: u16 = u16::MAX;

/// Number of commands, subcommands not counted.
pub const COUNT: usize = count(false);

/// Every row ordered by family, subcommands behind their containers.
pub static ROWS: [&CommandSpec; count(true)] = gather();

static INDEX: [u16; SLOTS] = index();

/// The handler of each row in the sharded mode, if it is served there.
static SHARDED: [Option<Handler>; ROWS.len()] = sharded();

/// A row, by its place in [`ROWS`]; its calls are counted under the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row(usize);

impl Row {
    /// The row that is counted under `number`, if there is one.
    pub fn of_number(number: usize) -> Option<Row> {
        (number < ROWS.len()).then_some(Row(number))
    }

    /// What the table says.
    #[inline]
    pub fn spec(self) -> &'static CommandSpec {
        ROWS[self.0]
    }

    /// The handler on a store; `None` if the store does not serve it.
    #[inline]
    pub fn handler(self, store: &Store) -> Option<Handler> {
        match store {
            Store::LockFree => Some(self.spec().handler),
            Store::Sharded(_) => SHARDED[self.0],
        }
    }

    /// The number under which the calls are counted.
    #[inline]
    pub fn number(self) -> usize {
        self.0
    }
}

/// The row of a command by its name, in any case. A few nanoseconds.
#[inline]
pub fn find(name: &[u8]) -> Option<Row> {
    let mut slot = hash(name);
    loop {
        let row = INDEX[slot % SLOTS];
        if row == EMPTY {
            return None;
        }
        if ROWS[row as usize].name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(Row(row as usize));
        }
        slot += 1;
    }
}

/// Why a request runs no row.
#[derive(Debug)]
pub struct Refused {
    /// The unknown command or subcommand, or the wrong number of arguments.
    pub error: CommandError,
    /// The row whose name the error shows.
    pub row: Option<Row>,
}

impl Refused {
    #[cold]
    fn new(error: CommandError, row: Option<Row>) -> Box<Refused> {
        Box::new(Refused { error, row })
    }
}

/// The row that a request runs: a container's subcommand where it names one.
///
/// # Errors
/// There is no such command or subcommand, or it takes another number of arguments.
pub fn resolve(request: Request<'_>) -> Result<Row, Box<Refused>> {
    let Some(mut row) = find(request.name()) else {
        return Err(Refused::new(unknown(request), None));
    };
    if !row.spec().subcommands.is_empty()
        && let Some(name) = request.get(1)
    {
        row = find_subcommand(row, name).ok_or_else(|| {
            let (container, subcommand) = (row.spec().name, name.to_vec());
            Refused::new(CommandError::UnknownSubcommand { container, subcommand }, None)
        })?;
    }
    let admits = row.spec().arity.admits(request.len());
    if admits { Ok(row) } else { Err(Refused::new(CommandError::WrongArity, Some(row))) }
}

/// The row that a request runs on a store. The sharded one serves few commands, and calls all others unknown.
///
/// # Errors
/// As [`resolve`]'s, and the store does not serve the command.
#[inline]
pub fn resolve_on(store: &Store, request: Request<'_>) -> Result<Row, Box<Refused>> {
    let resolved = resolve(request);
    match store {
        Store::LockFree => resolved,
        Store::Sharded(_) => only_served(store, request, resolved),
    }
}

fn only_served(
    store: &Store,
    request: Request<'_>,
    resolved: Result<Row, Box<Refused>>,
) -> Result<Row, Box<Refused>> {
    let row = resolved.as_ref().map_or_else(|refused| refused.row, |row| Some(*row));
    if row.is_some_and(|row| row.handler(store).is_some()) {
        return resolved;
    }
    let mut text = unknown(request).text("");
    text.extend_from_slice(if text.ends_with(b" ") { b"(sharded mode)" } else { b" (sharded mode)" });
    Err(Refused::new(CommandError::Custom(text), None))
}

/// The row of a full name: `get`, or `client|id`.
pub fn find_full(name: &[u8]) -> Option<Row> {
    match memchr::memchr(b'|', name) {
        None => find(name),
        Some(bar) => find_subcommand(find(&name[..bar])?, &name[bar + 1..]),
    }
}

/// Every command, subcommands not among them.
pub fn commands() -> impl Iterator<Item = &'static CommandSpec> {
    ROWS.into_iter().filter(|spec| !spec.is_subcommand())
}

fn find_subcommand(container: Row, name: &[u8]) -> Option<Row> {
    let named = |spec: &CommandSpec| spec.own_name().as_bytes().eq_ignore_ascii_case(name);
    let nth = container.spec().subcommands.iter().position(named)?;
    Some(Row(container.0 + 1 + nth))
}

/// The error for a name that is not in the table, with the start of the arguments as Redis shows them.
fn unknown(request: Request<'_>) -> CommandError {
    const SHOWN: usize = 128;
    let mut args = Vec::new();
    for argument in request.iter().skip(1) {
        if args.len() >= SHOWN {
            break;
        }
        let shown = argument.len().min(SHOWN - args.len());
        args.push(b'\'');
        args.extend_from_slice(&argument[..shown]);
        args.extend_from_slice(b"' ");
    }
    let name = request.name();
    CommandError::UnknownCommand(Box::new(UnknownCommand {
        name: name[..name.len().min(SHOWN)].to_vec(),
        args,
    }))
}

/// A hash of a name that is the same in upper and lower case.
#[inline]
const fn hash(name: &[u8]) -> usize {
    let len = name.len();
    // Folding bit 5 away may let other bytes meet letters; the comparison sorts that out.
    let (head, tail) = if let (Some(head), Some(tail)) = (name.first_chunk::<4>(), name.last_chunk::<4>()) {
        (u32::from_le_bytes(*head), u32::from_le_bytes(*tail))
    } else if len > 0 {
        (name[0] as u32 | (name[len / 2] as u32) << 8, name[len - 1] as u32)
    } else {
        (0, 0)
    };
    let folded = (head & 0xDFDF_DFDF) as u64 | ((tail & 0xDFDF_DFDF) as u64) << 32;
    ((folded ^ (len as u64) << 29).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 54) as usize
}

const fn count(with_subcommands: bool) -> usize {
    let (mut rows, mut family) = (0, 0);
    while family < FAMILIES.len() {
        let mut row = 0;
        while row < FAMILIES[family].len() {
            rows += 1 + if with_subcommands { FAMILIES[family][row].subcommands.len() } else { 0 };
            row += 1;
        }
        family += 1;
    }
    rows
}

const fn gather() -> [&'static CommandSpec; count(true)] {
    assert!(count(true) <= MAX_COMMANDS, "more commands than statistics");
    let mut rows = [&FAMILIES[0][0]; count(true)];
    let (mut at, mut family) = (0, 0);
    while family < FAMILIES.len() {
        let mut row = 0;
        while row < FAMILIES[family].len() {
            let spec = &FAMILIES[family][row];
            check(spec);
            rows[at] = spec;
            at += 1;
            let mut nth = 0;
            while nth < spec.subcommands.len() {
                rows[at] = &spec.subcommands[nth];
                at += 1;
                nth += 1;
            }
            row += 1;
        }
        family += 1;
    }
    rows
}

const fn index() -> [u16; SLOTS] {
    let rows = gather();
    let mut slots = [EMPTY; SLOTS];
    let mut row = 0;
    while row < rows.len() {
        if !rows[row].is_subcommand() {
            let mut slot = hash(rows[row].name.as_bytes()) % SLOTS;
            while slots[slot] != EMPTY {
                assert!(
                    !same_name(rows[slots[slot] as usize].name, rows[row].name),
                    "a command stands twice"
                );
                slot = (slot + 1) % SLOTS;
            }
            slots[slot] = row as u16;
        }
        row += 1;
    }
    slots
}

const fn sharded() -> [Option<Handler>; ROWS.len()] {
    let rows = gather();
    let mut handlers = [None; ROWS.len()];
    let mut served = 0;
    while served < SERVED.len() {
        let (name, handler) = SERVED[served];
        let mut row = 0;
        while !same_name(rows[row].name, name) {
            row += 1;
        }
        handlers[row] = match handler {
            None => Some(rows[row].handler),
            own => own,
        };
        served += 1;
    }
    handlers
}

const fn same_name(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let mut at = 0;
    while at < one.len() && at < other.len() && one[at].eq_ignore_ascii_case(&other[at]) {
        at += 1;
    }
    at == one.len() && at == other.len()
}

const fn check(spec: &CommandSpec) {
    assert!(!spec.summary.is_empty(), "a command without summary");
    assert!(!spec.flags.has(Flags::WRITE.or(Flags::READONLY)), "a command that writes is not read-only");
    let mut nth = 0;
    while nth < spec.subcommands.len() {
        let subcommand = &spec.subcommands[nth];
        assert!(subcommand.is_subcommand(), "a subcommand's name has its container's in front");
        check(subcommand);
        let mut before = 0;
        while before < nth {
            assert!(!same_name(spec.subcommands[before].name, subcommand.name), "a subcommand stands twice");
            before += 1;
        }
        nth += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_name_in_any_case() {
        for (number, spec) in ROWS.iter().enumerate() {
            for name in [spec.name.to_ascii_uppercase(), spec.name.to_owned()] {
                assert_eq!(find_full(name.as_bytes()), Row::of_number(number), "{name}");
            }
        }
    }

    #[test]
    fn other_names_are_not_found() {
        for name in [&b""[..], b"g", b"gett", b"ge", b"\0et", b"client|nosuch", b"get|", b"|", b"client|"] {
            assert!(find_full(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn a_lookup_probes_little() {
        let longest = INDEX.split(|row| *row == EMPTY).map(<[u16]>::len).max();
        assert!(longest <= Some(4), "{longest:?}");
    }
}
