//! The families: handlers and their rows, a file each.

mod choice;
mod connection;
mod cursors;
mod hashes;
mod items;
mod keys;
mod lists;
mod pubsub;
mod server;
mod sets;
pub(super) mod sharded;
mod sort;
mod sorted_sets;
mod strings;
mod texts;
mod transactions;

use super::context::Context;
use super::error::CommandResult;
use super::spec::CommandSpec;

/// Every family's rows.
pub const FAMILIES: &[&[CommandSpec]] = &[
    connection::ROWS,
    strings::ROWS,
    lists::ROWS,
    hashes::ROWS,
    sets::ROWS,
    sorted_sets::ROWS,
    keys::ROWS,
    sort::ROWS,
    transactions::ROWS,
    pubsub::ROWS,
    server::ROWS,
];

/// `CONTAINER HELP`: how the container is used, then a line or two for each subcommand.
fn reply_help(cx: &mut Context<'_, '_>, lines: &[&str]) -> CommandResult {
    let container = cx.name.split('|').next().unwrap_or_default().to_ascii_uppercase();
    cx.reply.array(lines.len() + 3);
    cx.reply.simple(&format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for line in lines {
        cx.reply.simple(line);
    }
    cx.reply.simple("HELP");
    cx.reply.simple("    Prints this help.");
    Ok(())
}
