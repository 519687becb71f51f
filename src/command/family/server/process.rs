//! MONITOR, ROLE, WAIT, LOLWUT, and the refusal of XADD.

use super::{SERVER, VERSION};
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, Group, KeySpec, row};
use crate::number::parse_integer;

const AT_ONCE: Flags = Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::LOADING).or(Flags::STALE);

/// MONITOR's row.
pub const MONITOR: CommandSpec =
    row(SERVER, "monitor", "", Exactly(1), AT_ONCE.or(Flags::AFTER_COMMIT), monitor)
        .summary("Streams every command that the server runs.");

/// ROLE's row.
pub const ROLE: CommandSpec = row(
    SERVER,
    "role",
    "",
    Exactly(1),
    Flags::NOSCRIPT
        .or(Flags::LOADING)
        .or(Flags::STALE)
        .or(Flags::FAST)
        .or(Flags::SHOWN_AS_ADMIN)
        .or(Flags::DANGEROUS),
    role,
)
.since("2.8.12")
.summary("Returns the replication role of the server: a master without replicas.");

/// WAIT's row.
pub const WAIT: CommandSpec =
    row(SERVER, "wait", "numreplicas:integer timeout:integer", Exactly(3), Flags::NOSCRIPT, wait)
        .group(Group::Connection)
        .since("3.0.0")
        .summary("Returns the number of replicas that have the writes so far: there are none.")
        .tips(&["request_policy:all_shards", "response_policy:agg_min"]);

/// LOLWUT's row.
pub const LOLWUT: CommandSpec =
    row(SERVER, "lolwut", "[VERSION=version:integer]", AtLeast(1), Flags::READONLY.or(Flags::FAST), lolwut)
        .since("5.0.0")
        .summary("Draws a picture and returns the version.");

/// XADD's row.
pub const XADD: CommandSpec = row(
    SERVER,
    "xadd",
    "key:key [NOMKSTREAM] [{(MAXLEN|MINID) [(=|~)] threshold [LIMIT=count:integer]}] (*|id) {field value}...",
    AtLeast(5),
    Flags::WRITE.or(Flags::DENYOOM).or(Flags::FAST),
    |_, _| Err(CommandError::Plain("ERR stream type not supported")),
)
.group(Group::Stream)
.since("5.0.0")
.summary("Refuses: there are no streams.")
.keys(&[KeySpec {
    notes: "UPDATE instead of INSERT because of the optional trimming feature",
    ..KeySpec::at(1, &["RW", "update"])
}])
.tips(&["nondeterministic_output"]);

/// `MONITOR`: `+OK`, then a line for every command that any client runs, but those for administrators.
fn monitor(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    if cx.session.is_executing() {
        return Err(CommandError::Plain("ERR MONITOR isn't allowed for DENY BLOCKING client"));
    }
    cx.reply.simple("OK");
    cx.session.monitor();
    Ok(())
}

/// `ROLE`: that of a primary without replicas.
fn role(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    cx.reply.array(3);
    cx.reply.bulk(b"master");
    cx.reply.integer(0);
    cx.reply.array(0);
    Ok(())
}

/// `WAIT replicas timeout`: 0 at once.
fn wait(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    args.integer()?;
    match parse_integer(args.bytes()?) {
        None => Err(CommandError::Plain("ERR timeout is not an integer or out of range")),
        Some(..0) => Err(CommandError::Plain("ERR timeout is negative")),
        Some(_) => {
            cx.reply.integer(0);
            Ok(())
        }
    }
}

/// `LOLWUT [VERSION number] [argument ...]`: a drawing for people.
fn lolwut(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    /// Rows and columns of the drawing: a cellular automaton (rule 90) that grows from one cell.
    const ROWS: usize = 16;
    const COLUMNS: usize = 2 * ROWS - 1;
    let mut cells = [false; COLUMNS];
    cells[ROWS - 1] = true;
    let mut drawing = String::new();
    for _ in 0..ROWS {
        let row: String = cells.iter().map(|cell| if *cell { '*' } else { ' ' }).collect();
        drawing.push_str(row.trim_end());
        drawing.push('\n');
        let at = |index: usize| cells.get(index).copied().unwrap_or(false);
        let next = std::array::from_fn(|index| at(index.wrapping_sub(1)) ^ at(index + 1));
        cells = next;
    }
    drawing.push_str(&format!("\nkvns ver. {} (Redis ver. {VERSION})\n", env!("CARGO_PKG_VERSION")));
    cx.reply.verbatim("txt", drawing.as_bytes());
    Ok(())
}
