//! Walks over the items of one version, in both directions.

use super::LEAF_SIZE;
use super::item::{Item, Items};
use super::node::Node;
use super::{Keyed, Layout, child_at};
use smallvec::SmallVec;

/// The inner nodes above a leaf, each with the child that was entered.
type Path<'g> = SmallVec<[(Node<'g>, usize); 5]>;

/// Asks for the leaf behind the one that is entered.
fn prefetch_next(path: &Path<'_>) {
    if let Some((parent, child)) = path.last()
        && child + 1 < parent.len()
    {
        parent.child(child + 1).prefetch(LEAF_SIZE);
    }
}

/// A walk from front to back.
#[derive(Clone)]
pub struct Forward<'g, L> {
    path: Path<'g>,
    items: Items<'g, L>,
}

impl<'g, L: Layout> Forward<'g, L> {
    fn at_end() -> Forward<'g, L> {
        Forward { path: Path::new(), items: Items::new(&[]) }
    }

    /// From the first item, whatever items count for.
    pub(super) fn from_front(root: Option<Node<'g>>) -> Forward<'g, L> {
        let Some(mut node) = root else { return Forward::at_end() };
        let mut path = Path::new();
        while !node.is_leaf() {
            path.push((node, 0));
            node = node.child(0);
        }
        prefetch_next(&path);
        Forward { path, items: Items::new(node.bytes()) }
    }

    pub(super) fn from_index(root: Option<Node<'g>>, mut index: u64) -> Forward<'g, L> {
        let Some(mut node) = root.filter(|root| index < root.count()) else { return Forward::at_end() };
        let mut path = Path::new();
        while !node.is_leaf() {
            let (child, before) = child_at(node, index);
            index -= before;
            path.push((node, child));
            node = node.child(child);
        }
        prefetch_next(&path);
        let mut items = Items::new(node.bytes());
        items.pass(index as usize);
        Forward { path, items }
    }

    /// Goes to the first item of the next leaf. False at the end.
    fn next_leaf(&mut self) -> bool {
        while let Some((node, child)) = self.path.pop() {
            if child + 1 < node.len() {
                self.path.push((node, child + 1));
                let mut node = node.child(child + 1);
                while !node.is_leaf() {
                    self.path.push((node, 0));
                    node = node.child(0);
                }
                prefetch_next(&self.path);
                self.items = Items::new(node.bytes());
                return true;
            }
        }
        false
    }
}

impl<'g, L: Keyed> Forward<'g, L> {
    /// From the first item whose rank is at least `rank`, in a tree ordered by rank.
    pub(super) fn from_rank(root: Option<Node<'g>>, rank: u64) -> Forward<'g, L> {
        let Some(mut node) = root else { return Forward::at_end() };
        let mut path = Path::new();
        while !node.is_leaf() {
            let child = super::keyed::child_for::<L>(node, rank, &[]);
            path.push((node, child));
            node = node.child(child);
        }
        let mut walk = Forward { path, items: Items::new(node.bytes()) };
        loop {
            let mut rest = walk.items.clone();
            match rest.next() {
                Some(item) if L::rank(item.key) < rank => walk.items = rest,
                Some(_) => return walk,
                None if walk.next_leaf() => {}
                None => return walk,
            }
        }
    }
}

impl<'g, L: Layout> Iterator for Forward<'g, L> {
    type Item = Item<'g>;

    #[inline]
    fn next(&mut self) -> Option<Item<'g>> {
        loop {
            if let Some(item) = self.items.next() {
                return Some(item);
            }
            if !self.next_leaf() {
                return None;
            }
        }
    }
}

/// A walk from back to front.
#[derive(Clone)]
pub struct Backward<'g, L> {
    path: Path<'g>,
    bytes: &'g [u8],
    /// Where the items of the leaf start that are still to come.
    starts: SmallVec<[u32; super::LEAF_ITEMS]>,
    layout: std::marker::PhantomData<L>,
}

impl<'g, L: Layout> Backward<'g, L> {
    pub(super) fn from_index(root: Option<Node<'g>>, index: u64) -> Backward<'g, L> {
        let mut walk = Backward {
            path: Path::new(),
            bytes: &[],
            starts: SmallVec::new(),
            layout: std::marker::PhantomData,
        };
        let Some(mut node) = root else { return walk };
        let mut index = index.min(node.count() - 1);
        while !node.is_leaf() {
            let (child, before) = child_at(node, index);
            index -= before;
            walk.path.push((node, child));
            node = node.child(child);
        }
        walk.enter(node);
        walk.starts.truncate(index as usize + 1);
        walk
    }

    fn enter(&mut self, leaf: Node<'g>) {
        self.bytes = leaf.bytes();
        self.starts.clear();
        let mut items = Items::<L>::new(self.bytes);
        while items.remaining() > 0 {
            self.starts.push((self.bytes.len() - items.remaining()) as u32);
            items.next();
        }
    }

    /// Goes to the last item of the leaf before. False at the front.
    fn previous_leaf(&mut self) -> bool {
        while let Some((node, child)) = self.path.pop() {
            if child > 0 {
                self.path.push((node, child - 1));
                let mut node = node.child(child - 1);
                while !node.is_leaf() {
                    self.path.push((node, node.len() - 1));
                    node = node.child(node.len() - 1);
                }
                self.enter(node);
                return true;
            }
        }
        false
    }
}

impl<'g, L: Layout> Iterator for Backward<'g, L> {
    type Item = Item<'g>;

    #[inline]
    fn next(&mut self) -> Option<Item<'g>> {
        loop {
            if let Some(start) = self.starts.pop() {
                return Items::<L>::new(&self.bytes[start as usize..]).next();
            }
            if !self.previous_leaf() {
                return None;
            }
        }
    }
}
