//! Input that was read while its connection could not run it: a request waits, or the client takes no replies.
//!
//! A client may write all its requests before it reads the first reply. So it is read from while it does not read, up to a
//! bound; else both sides would wait for each other for ever. What is held lies in blocks and moves to the input block by
//! block: moving what is left of one large buffer again and again would cost its square.

use super::Shared;
use crate::concurrent::ledger::charge::Ledger;
use std::collections::VecDeque;
use std::io;
use std::task::Context;
use tokio::net::TcpStream;

/// Bytes asked of the socket in one read. A hundred pipelined SETs of 256 bytes fit, so that their replies
/// leave together.
pub(super) const READ_SIZE: usize = 64 << 10;

/// Less room than this is not worth a read.
pub(super) const MIN_READ_SIZE: usize = 4 << 10;

/// Bytes after which others have their turn, however much more is there.
const READ_SLICE: usize = 1 << 20;

/// Blocks of input behind the one that is run.
#[derive(Debug, Default)]
pub(super) struct Held {
    blocks: VecDeque<Vec<u8>>,
    bytes: usize,
    /// True once nothing more is to be read: the client has closed its half, or the connection is broken.
    is_over: bool,
    /// True if more could have been read but for the bound.
    is_full: bool,
}

impl Held {
    /// Bytes to run.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Bytes of memory that it takes.
    pub fn footprint(&self) -> usize {
        self.blocks.iter().map(Vec::capacity).sum()
    }

    /// True if nothing that the client may send now will be read before some of this has run.
    pub fn is_full(&self) -> bool {
        self.is_full || self.is_over
    }

    /// The oldest block.
    pub fn pop(&mut self) -> Option<Vec<u8>> {
        let block = self.blocks.pop_front()?;
        self.bytes -= block.len();
        Some(block)
    }

    /// Reads what is there while the ledger allows to hold more. The end of it is noticed elsewhere.
    pub fn read(&mut self, shared: &Shared, stream: &TcpStream, ledger: &Ledger, cx: &mut Context<'_>) {
        let (mut received, reach) = (0, ledger.reach());
        self.is_full = false;
        while !self.is_over && stream.poll_read_ready(cx).is_ready() {
            // A block is always worth it: it is where the end of the connection is seen.
            if !self.blocks.is_empty() && self.bytes as u64 >= reach {
                self.is_full = true;
                break;
            }
            if received >= READ_SLICE {
                cx.waker().wake_by_ref();
                break;
            }
            let is_worth = |block: &Vec<u8>| block.capacity() - block.len() >= MIN_READ_SIZE;
            if !self.blocks.back().is_some_and(is_worth) {
                self.blocks.push_back(Vec::with_capacity(READ_SIZE));
            }
            let Some(block) = self.blocks.back_mut() else { break };
            let count = match stream.try_read_buf(block) {
                Ok(count @ 1..) => count,
                // Now this task is woken when there is something.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                _ => {
                    self.is_over = true;
                    break;
                }
            };
            (received, self.bytes) = (received + count, self.bytes + count);
            shared.engine.stats.input_bytes.add(count as u64);
            shared.engine.stats.reads.add(1);
        }
        if self.blocks.back().is_some_and(Vec::is_empty) {
            self.blocks.pop_back();
        }
    }
}
