//! Several sets at once: union, intersection, difference; and sets built of members that come in order.
//!
//! Large sets are ordered by (rank, member), so they are walked side by side, and what comes out is in order too.
//! Small ones are put in order first. A set that is much larger than what is looked for in it is searched
//! instead of walked.

use super::edit::{Children, Fill, grow, pack};
use super::item::{Item, Piece};
use super::{Delta, Forward, Keyed, LEAF_SIZE, Layout, ROOT_LEAF_SIZE, Set, Tree};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::iter::Peekable;

/// Walking past this many members costs about as much as searching for one.
const SEARCHED: u64 = 16;

/// Members that are packed into leaves at a time.
const PACKED: usize = 4096;

/// A member behind its rank: the order of large sets.
type Ranked<'g> = (u64, &'g [u8]);

fn ranked(item: Item<'_>) -> Ranked<'_> {
    (Set::rank(item.key), item.key)
}

/// A walk over one set in the order of ranks.
enum Walk<'g> {
    Large(Forward<'g, Set>),
    Small(std::vec::IntoIter<Ranked<'g>>),
}

impl<'g> Walk<'g> {
    fn over(set: Tree<'g, Set>) -> Walk<'g> {
        if !set.is_small() {
            return Walk::Large(set.iter());
        }
        let mut members: Vec<Ranked<'g>> = set.iter().map(ranked).collect();
        members.sort_unstable();
        Walk::Small(members.into_iter())
    }
}

impl<'g> Iterator for Walk<'g> {
    type Item = Ranked<'g>;

    fn next(&mut self) -> Option<Ranked<'g>> {
        match self {
            Walk::Large(items) => items.next().map(ranked),
            Walk::Small(members) => members.next(),
        }
    }
}

/// The members of several sets, each once, in the order of ranks.
struct Union<'g> {
    walks: Vec<Walk<'g>>,
    /// The next member of each walk that has one, the first of them on top, with the walk's place.
    heads: BinaryHeap<Reverse<(Ranked<'g>, usize)>>,
}

impl<'g> Union<'g> {
    fn of(sets: impl IntoIterator<Item = Tree<'g, Set>>) -> Union<'g> {
        let mut walks: Vec<Walk<'g>> = sets.into_iter().map(Walk::over).collect();
        let first = |(place, walk): (usize, &mut Walk<'g>)| Some(Reverse((walk.next()?, place)));
        let heads = walks.iter_mut().enumerate().filter_map(first).collect();
        Union { walks, heads }
    }
}

impl<'g> Iterator for Union<'g> {
    type Item = Ranked<'g>;

    fn next(&mut self) -> Option<Ranked<'g>> {
        let Reverse((member, _)) = *self.heads.peek()?;
        while let Some(mut head) = self.heads.peek_mut()
            && head.0.0 == member
        {
            match self.walks[head.0.1].next() {
                Some(next) => head.0.0 = next,
                None => drop(PeekMut::pop(head)),
            }
        }
        Some(member)
    }
}

/// Sets in which the members of another one are looked for, one after the other in that one's order.
enum Others<'g> {
    /// The members of several, walked beside the other one, which is large.
    Walked(Peekable<Union<'g>>),
    Searched(Tree<'g, Set>),
}

impl<'g> Others<'g> {
    fn are_walked(set: Tree<'g, Set>, beside: Tree<'g, Set>) -> bool {
        !beside.is_small() && set.len() <= beside.len().saturating_mul(SEARCHED)
    }

    fn have(&mut self, member: Ranked<'g>) -> bool {
        match self {
            Others::Walked(walk) => {
                while walk.next_if(|other| *other < member).is_some() {}
                walk.peek() == Some(&member)
            }
            Others::Searched(set) => set.contains(member.1),
        }
    }
}

/// The members that are in one of the sets at least. O(n log k) for n members of k sets.
pub fn union<'g>(sets: &[Tree<'g, Set>]) -> impl Iterator<Item = &'g [u8]> + use<'g> {
    Union::of(sets.iter().copied()).map(|(_, member)| member)
}

/// The members that are in every one of the sets. O(k m log n) for m members of the smallest and n of the largest
/// of k sets, and at most O(k n).
pub fn intersection<'g>(sets: &[Tree<'g, Set>]) -> impl Iterator<Item = &'g [u8]> + use<'g> {
    let mut sets = sets.to_vec();
    sets.sort_by_key(|set| set.len());
    let (smallest, rest) = sets.split_first().map_or((Tree::EMPTY, &[][..]), |(first, rest)| (*first, rest));
    let others = |set: &Tree<'g, Set>| match Others::are_walked(*set, smallest) {
        true => Others::Walked(Union::of([*set]).peekable()),
        false => Others::Searched(*set),
    };
    let mut others: Vec<Others<'g>> = rest.iter().map(others).collect();
    let is_in_all = move |member: &Ranked<'g>| others.iter_mut().all(|others| others.have(*member));
    smallest.iter().map(ranked).filter(is_in_all).map(|(_, member)| member)
}

/// The members of the first set that are in none of the others. O(n log k) for n members of all k sets; less where
/// others are much larger than the first.
pub fn difference<'g>(sets: &[Tree<'g, Set>]) -> impl Iterator<Item = &'g [u8]> + use<'g> {
    let (first, rest) = sets.split_first().map_or((Tree::EMPTY, &[][..]), |(first, rest)| (*first, rest));
    let (walked, searched): (Vec<_>, Vec<_>) =
        rest.iter().copied().partition(|set| Others::are_walked(*set, first));
    let mut others: Vec<Others<'g>> = searched.into_iter().map(Others::Searched).collect();
    others.push(Others::Walked(Union::of(walked).peekable()));
    let is_in_none = move |member: &Ranked<'g>| !others.iter_mut().any(|others| others.have(*member));
    first.iter().map(ranked).filter(is_in_none).map(|(_, member)| member)
}

impl<'g> Delta<'g, Set> {
    /// A set of these members, which are different and in the order of ranks, or in any order if one leaf holds
    /// them; what comes out of [`union`], [`intersection`] and [`difference`] is. Leaves are packed full. O(n).
    pub fn of_members<'m>(members: impl Iterator<Item = &'m [u8]>, birth: u32) -> Delta<'g, Set> {
        let delta = Delta::new(Tree::EMPTY, birth);
        let nursery = &delta.nursery;
        let mut members = members.peekable();
        let mut level = Children::new();
        let mut last: Option<&[u8]> = None;
        while let Some(&first) = members.peek() {
            let item = |key| Piece::New(Item { key, value: &[] });
            let pieces: Vec<Piece<'_>> = members.by_ref().take(PACKED).map(item).collect();
            let is_all = level.is_empty() && members.peek().is_none();
            let limit = if is_all { ROOT_LEAF_SIZE } else { LEAF_SIZE };
            let mut leaves = pack::<Set>(nursery, None, &pieces, limit, Fill::Even);
            if let Some(last) = last {
                (leaves[0].rank, leaves[0].key) = Set::fence(last, first);
            }
            last = pieces.last().map(Piece::key::<Set>);
            level.extend(leaves);
        }
        nursery.set_root(grow::<Set>(nursery, level, Fill::Even));
        delta
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Edit, Op};
    use super::*;
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};
    use std::collections::BTreeSet;

    type Members = BTreeSet<Vec<u8>>;

    fn random_set(rng: &mut SmallRng, pool: u32) -> (Delta<'static, Set>, Members) {
        let len = match rng.random_range(0..6) {
            0 => 0,
            1 => 1,
            2 => rng.random_range(2..130),
            3 => rng.random_range(100..200),
            _ => rng.random_range(200..5000),
        };
        let member = |_| {
            let number = rng.random_range(0..pool);
            let padding = if number % 500 == 0 { 3000 } else { number as usize % 20 };
            [&number.to_be_bytes()[..], &vec![b'x'; padding]].concat()
        };
        let members: Members = (0..len).map(member).collect();
        let edits: Vec<Edit<'_>> = members.iter().map(|key| Edit { key, op: Op::Put(&[]) }).collect();
        let mut delta = Delta::new(Tree::EMPTY, 0);
        delta.apply(&edits);
        (delta, members)
    }

    /// Checks that the members come once each, and that a set of them is sound.
    fn check<'m>(members: impl Iterator<Item = &'m [u8]>, expected: &Members) {
        let members: Vec<&[u8]> = members.collect();
        let found: Members = members.iter().map(|member| member.to_vec()).collect();
        assert_eq!(members.len(), found.len(), "each member comes once");
        assert!(found == *expected);
        let built = Delta::<Set>::of_members(members.iter().copied(), 0);
        built.tree().check().expect("a sound tree");
        assert_eq!(built.tree().len(), expected.len() as u64);
        assert!(expected.iter().all(|member| built.tree().contains(member)));
    }

    #[test]
    fn operations_agree_with_those_of_plain_sets() {
        for seed in 0..300 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let pool = [50, 1000, 6000, 100_000][rng.random_range(0..4)];
            let count = rng.random_range(1..5);
            let made: Vec<_> = (0..count).map(|_| random_set(&mut rng, pool)).collect();
            let sets: Vec<Tree<'_, Set>> = made.iter().map(|(delta, _)| delta.tree()).collect();
            let models: Vec<&Members> = made.iter().map(|(_, members)| members).collect();
            check(union(&sets), &models.iter().flat_map(|set| set.iter().cloned()).collect());
            let is_in_all = |member: &&Vec<u8>| models.iter().all(|set| set.contains(*member));
            check(intersection(&sets), &models[0].iter().filter(is_in_all).cloned().collect());
            let is_in_none = |member: &&Vec<u8>| !models[1..].iter().any(|set| set.contains(*member));
            check(difference(&sets), &models[0].iter().filter(is_in_none).cloned().collect());
        }
    }

    #[test]
    fn operations_on_no_sets_are_empty() {
        assert_eq!(union(&[]).count() + intersection(&[]).count() + difference(&[]).count(), 0);
        assert!(Delta::<Set>::of_members(std::iter::empty(), 0).tree().is_empty());
    }

    #[test]
    fn a_set_built_in_order_has_full_leaves() {
        let numbers: Vec<[u8; 16]> = (0..100_000_u128).map(u128::to_be_bytes).collect();
        let mut members: Vec<&[u8]> = numbers.iter().map(<[u8; 16]>::as_slice).collect();
        members.sort_by_key(|member| Set::rank(member));
        let built = Delta::<Set>::of_members(members.into_iter(), 0);
        built.tree().check().expect("a sound tree");
        assert!(built.tree().footprint() < 20 * 100_000, "{}", built.tree().footprint());
    }
}
