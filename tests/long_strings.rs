//! What edits of a long string cost, counted in bytes that the command's thread allocates; in a process of its own
//! because the allocator counts.
#![allow(unsafe_code, reason = "an allocator that counts what it passes on")]

#[allow(dead_code, reason = "shared with the tests of commands")]
#[path = "commands/harness.rs"]
mod harness;

use harness::{Client, Server};
use kvns::config::Settings;
use kvns::value::chunks::CHUNK;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is the system allocator's; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.set(ALLOCATED.get() + layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(start, layout) };
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that a command allocates, with its request and its reply.
fn allocated(c: &mut Client, line: &str, expected: &str) -> usize {
    let before = ALLOCATED.get();
    c.check(line, expected);
    ALLOCATED.get() - before
}

/// A string of 100 MiB was copied whole for one byte.
#[test]
fn an_edit_of_a_long_string_touches_one_chunk() {
    let mut settings = Settings::default();
    settings.limits.bulk_len = 512 << 20;
    let server = Server::with(settings);
    let mut c = server.client();
    const LEN: usize = 100 << 20;
    let made = allocated(&mut c, &format!("SETRANGE a {} x", LEN - 1), &format!(":{LEN}"));
    assert!((LEN..LEN + LEN / 10).contains(&made), "{made} bytes for a string of {LEN}");
    c.check("APPEND a .", &format!(":{}", LEN + 1));
    for (line, expected) in [
        ("APPEND a hello".to_owned(), format!(":{}", LEN + 6)),
        ("SETRANGE a 50000000 hello".to_owned(), format!(":{}", LEN + 6)),
        (format!("SETRANGE a {} hello", 7 * CHUNK), format!(":{}", LEN + 6)),
        ("GETRANGE a 50000000 50000004".to_owned(), "$5\nhello".to_owned()),
        ("GETRANGE a -5 -1".to_owned(), "$5\nhello".to_owned()),
        ("STRLEN a".to_owned(), format!(":{}", LEN + 6)),
        ("RENAME a b".to_owned(), "+OK".to_owned()),
        ("RENAME b a".to_owned(), "+OK".to_owned()),
    ] {
        let bytes = allocated(&mut c, &line, &expected);
        assert!(bytes < 4 * CHUNK, "{line} allocated {bytes} bytes");
    }
}
