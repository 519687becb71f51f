//! Sorted sets: members with scores, in the order of (score, member).
//!
//! # Purpose
//! A small set is one packed leaf in its order. A large set is a packed tree that has every member with its score
//! and the order's segments with their lengths (`layout.rs`), an *index*, which has the members in their order and
//! is shared by all versions of the set, and the *pending* operation: what this version has and the index has not
//! yet. Whoever reads a version merges the two; whoever writes the next version first applies the operation to the
//! index (`concurrent/versions/order_index.rs` has the protocol). So reading changes nothing, and an unpublished version is
//! read like any other.
//!
//! ```text
//! SortedSet --Edit::new--> Edit --put, remove--> finish() --> Edited (what the version after it consists of)
//! ```
//!
//! # Invariants
//! - Z1. The tree of a large set has more than one node, that of a small set at most one.
//! - Z2. A large set's tree has each member once. Each member lies in the segment with the last fence that is not
//!   behind it, and a segment's weight is the number of its members, 1 to [`SEGMENT_MAX`]. No member lies in front
//!   of the first fence.
//! - Z3. The index as the version sees it, without what is dropped and with what is added, has exactly the members
//!   of the tree, with these scores. A member is added at most once, and dropped at most once.
//!
//! Reads enter the index at a fence or a place, never from its front, where members lie that left long ago if
//! somebody is pinned.

mod edit;
mod layout;
mod pending;
mod place;
mod read;
mod scores;
mod segment;
mod segments;

pub use edit::{Edit, Edited, build, copy};
pub use layout::{ByScore, Parts};
pub use pending::{Merged, Order, Pending, Places};
pub use place::{Cut, Member, Placed, Scored};
pub use read::{Ascending, Descending, Large, SortedSet};
pub use scores::Scores;
pub use segment::SEGMENT_MAX;
