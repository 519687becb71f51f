//! Keys of a snapshot's file on their way into the keyspace.

use super::keyspace;
use crate::clock::Clock;
use crate::keyspace::{Kind, RestoreTally};
use crate::snapshot::{FileSink, Head, LoadProgress, Sink, load_from};
use std::io::Cursor;

/// The file of one set with these members.
fn file_of(members: &[&[u8]]) -> Vec<u8> {
    let mut storage = Cursor::new(Vec::new());
    let mut sink = FileSink::new(&mut storage, 0);
    sink.begin(Head { name: b"set", kind: Kind::Set, deadline_ms: None, len: members.len() as u64 });
    members.iter().for_each(|member| sink.item(member));
    sink.end();
    sink.complete().unwrap();
    drop(sink);
    storage.into_inner()
}

#[test]
fn a_set_with_a_member_twice_is_refused() {
    let load = |members: &[&[u8]]| {
        let ((keyspace, _), tally, file) = (keyspace(), RestoreTally::default(), file_of(members));
        let receiver = || keyspace.restorer(&tally);
        let clock = Clock::manual(0);
        load_from(&file[..], file.len() as u64, 1, receiver, &LoadProgress::default(), &clock)
    };
    assert!(load(&[b"a", b"b"]).is_ok());
    let refused = load(&[b"a", b"b", b"a"]).unwrap_err();
    assert!(refused.ends_with("a collection has an element twice"), "{refused}");
}
