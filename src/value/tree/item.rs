//! How items are laid out in a leaf: lengths in base 128 (low seven bits first), then the bytes.

use super::Layout;
use std::marker::PhantomData;

/// One item of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'n> {
    /// The element of a list, the member of a set, the field of a hash.
    pub key: &'n [u8],
    /// The value beside the key; empty in layouts without values.
    pub value: &'n [u8],
}

/// A part of a leaf to be written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece<'n> {
    /// Items as they lie in another leaf.
    Run {
        /// Whole items, encoded.
        bytes: &'n [u8],
        /// How many.
        items: usize,
    },
    /// One item that is not encoded yet.
    New(Item<'n>),
}

impl<'n> Piece<'n> {
    /// Bytes the piece takes in a leaf.
    pub(super) fn size<L: Layout>(&self) -> usize {
        match self {
            Piece::Run { bytes, .. } => bytes.len(),
            Piece::New(item) => {
                let value = if L::VALUES { length_size(item.value.len()) + item.value.len() } else { 0 };
                length_size(item.key.len()) + item.key.len() + value
            }
        }
    }

    /// Items in the piece.
    pub(super) fn items(&self) -> usize {
        match self {
            Piece::Run { items, .. } => *items,
            Piece::New(_) => 1,
        }
    }

    /// The key of a piece of one item.
    pub(super) fn key<L: Layout>(&self) -> &'n [u8] {
        match self {
            Piece::Run { bytes, .. } => Items::<L>::new(bytes).next().map_or(&[], |item| item.key),
            Piece::New(item) => item.key,
        }
    }
}

/// Bytes and items of several pieces.
pub(super) fn totals<L: Layout>(pieces: &[Piece<'_>]) -> (usize, usize) {
    pieces.iter().fold((0, 0), |(size, items), piece| (size + piece.size::<L>(), items + piece.items()))
}

/// The total weight of the items of several pieces; `items` is their number.
pub(super) fn weight<L: Layout>(pieces: &[Piece<'_>], items: usize) -> u16 {
    let total = if L::WEIGHTED {
        let weight_of = |piece: &Piece<'_>| match piece {
            Piece::Run { bytes, .. } => Items::<L>::new(bytes).map(|item| usize::from(L::weight(item))).sum(),
            Piece::New(item) => usize::from(L::weight(*item)),
        };
        pieces.iter().map(weight_of).sum()
    } else {
        items
    };
    u16::try_from(total).expect("a leaf has few items, and weights are small")
}

/// The same items, each a piece of its own.
pub(super) fn singles<'n, L: Layout>(pieces: &[Piece<'n>]) -> Vec<Piece<'n>> {
    let mut singles = Vec::with_capacity(pieces.iter().map(Piece::items).sum());
    for piece in pieces {
        match piece {
            Piece::Run { bytes, .. } => {
                let mut items = Items::<L>::new(bytes);
                while !items.rest.is_empty() {
                    singles.push(Piece::Run { bytes: items.next_encoded(), items: 1 });
                }
            }
            Piece::New(_) => singles.push(*piece),
        }
    }
    singles
}

/// The items of a leaf in their order, decoded one by one.
#[derive(Clone, Debug)]
pub(super) struct Items<'n, L> {
    rest: &'n [u8],
    layout: PhantomData<L>,
}

impl<'n, L: Layout> Items<'n, L> {
    pub(super) fn new(bytes: &'n [u8]) -> Items<'n, L> {
        Items { rest: bytes, layout: PhantomData }
    }

    /// Bytes not decoded yet.
    #[inline]
    pub(super) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Goes past items, which must be there.
    #[inline]
    pub(super) fn pass(&mut self, items: usize) {
        for _ in 0..items {
            let key_len = read_length(&mut self.rest);
            let value_len = if L::VALUES { read_length(&mut self.rest) } else { 0 };
            self.rest = &self.rest[key_len + value_len..];
        }
    }

    /// The encoded bytes of the next item, which must be there.
    pub(super) fn next_encoded(&mut self) -> &'n [u8] {
        let start = self.rest;
        self.next();
        &start[..start.len() - self.rest.len()]
    }
}

impl<'n, L: Layout> Iterator for Items<'n, L> {
    type Item = Item<'n>;

    #[inline]
    fn next(&mut self) -> Option<Item<'n>> {
        if self.rest.is_empty() {
            return None;
        }
        let key_len = read_length(&mut self.rest);
        let value_len = if L::VALUES { read_length(&mut self.rest) } else { 0 };
        let (key, rest) = self.rest.split_at(key_len);
        let (value, rest) = rest.split_at(value_len);
        self.rest = rest;
        Some(Item { key, value })
    }
}

/// Bytes that a length takes.
pub(super) fn length_size(len: usize) -> usize {
    if len < 0x80 { 1 } else { (len.ilog2() / 7 + 1) as usize }
}

/// The encoding of a length, and how many of the bytes it takes.
pub(super) fn encode_length(mut len: usize) -> ([u8; 10], usize) {
    let mut bytes = [0; 10];
    let mut size = 0;
    while len >= 0x80 {
        bytes[size] = len as u8 | 0x80;
        len >>= 7;
        size += 1;
    }
    bytes[size] = len as u8;
    (bytes, size + 1)
}

#[inline]
fn read_length(bytes: &mut &[u8]) -> usize {
    let first = bytes[0];
    if first < 0x80 {
        *bytes = &bytes[1..];
        return usize::from(first);
    }
    read_long_length(bytes)
}

#[cold]
fn read_long_length(bytes: &mut &[u8]) -> usize {
    let mut len = 0;
    let mut shift = 0;
    loop {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        len |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return len;
        }
        shift += 7;
    }
}
