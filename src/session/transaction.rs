//! The commands between MULTI and EXEC.

use crate::concurrent::ledger::charge::{Charge, Ledger};
use crate::resp::{OwnedRequest, Request};
use std::sync::Arc;

/// A queued command. The gate has found its row and checked its arity.
#[derive(Clone, Debug)]
pub struct Queued {
    /// The row's number in the command table.
    pub row: usize,
    /// The request, with its own bytes.
    pub request: OwnedRequest,
}

/// An open transaction.
#[derive(Debug)]
pub struct Queue {
    commands: Vec<Queued>,
    charge: Charge,
    is_doomed: bool,
    is_checked: bool,
}

impl Queue {
    /// An empty one, whose commands are charged to `ledger`.
    pub fn new(ledger: &Arc<Ledger>) -> Queue {
        Queue { commands: Vec::new(), charge: Charge::new(ledger), is_doomed: false, is_checked: false }
    }

    /// Adds a command by its row's number; `is_checked` if it is refused where there is no room for what it adds.
    pub fn push(&mut self, row: usize, request: Request<'_>, is_checked: bool) {
        self.is_checked |= is_checked;
        let request = request.to_owned();
        let bytes = request.footprint() + size_of::<Queued>();
        self.charge.set(self.charge.bytes() + bytes as u64);
        self.commands.push(Queued { row, request });
    }

    /// The commands in order.
    pub fn commands(&self) -> &[Queued] {
        &self.commands
    }

    /// Number of commands.
    pub fn len(&self) -> usize {
        self.commands.len()
    }

    /// True if nothing was queued.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// Bytes held by the queued requests.
    pub fn footprint(&self) -> usize {
        self.charge.bytes() as usize
    }

    /// True if a command is refused where there is no room for what it adds, and with it the whole.
    pub fn is_checked(&self) -> bool {
        self.is_checked
    }

    /// A command was refused: EXEC will refuse the whole.
    pub fn doom(&mut self) {
        self.is_doomed = true;
    }

    /// True if EXEC is to refuse.
    pub fn is_doomed(&self) -> bool {
        self.is_doomed
    }
}
