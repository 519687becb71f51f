//! What a transaction plans for a slot, and edits of collections that stay open while it goes on.
//!
//! A transaction that edits one collection again and again (a pipelined run of pushes, an EXEC) gathers the edits
//! beside the tree instead of making a new version of it for each. Whoever wants to read the collection otherwise
//! closes the edit first, and so does the commit.

use super::entry::{Change, Draft, Entry, SortedSet, SortedSetEdit};
use super::{Key, KeyspaceError, View};
use crate::concurrent::epoch::reclaim::Guard;
use crate::concurrent::versions::nodes::Edits;
use crate::concurrent::versions::version::{Collection, PlannedVersion, Version};
use crate::value::tree::{Delta, Ends, Hash, List, Patch, Set, Tree};

/// A collection with edits that can be gathered.
pub trait Gather: Collection {
    /// The type that gathers them.
    type Gathered<'g>;

    /// Starts to gather, or to make each edit at once if there will be one only.
    fn start(delta: Delta<'_, Self>, gathers: bool) -> Self::Gathered<'_>;

    /// Makes the gathered edits.
    fn make<'g>(gathered: Self::Gathered<'g>) -> Delta<'g, Self>;

    /// False if the collection is still what it was.
    fn is_changed(gathered: &Self::Gathered<'_>) -> bool;

    #[doc(hidden)]
    fn wrap(gathered: Self::Gathered<'_>) -> Gathered<'_>;

    #[doc(hidden)]
    fn unwrap<'o, 'g>(gathered: &'o mut Gathered<'g>) -> Option<&'o mut Self::Gathered<'g>>;
}

/// Gathered edits of any layout.
#[derive(Debug)]
pub enum Gathered<'g> {
    /// Of a list.
    List(Ends<'g>),
    /// Of a hash.
    Hash(Patch<'g, Hash>),
    /// Of a set.
    Set(Patch<'g, Set>),
    /// Of a sorted set.
    SortedSet(Scores<'g>),
}

/// Gathered edits of a sorted set.
#[derive(Debug)]
pub struct Scores<'g> {
    edit: SortedSetEdit<'g>,
    /// What the edit started from.
    entry: Option<Entry<'g>>,
    birth: u32,
}

impl<'g> Scores<'g> {
    fn new(entry: Option<Entry<'g>>, birth: u32) -> Result<Scores<'g>, KeyspaceError> {
        let base = entry.map_or(Ok(SortedSet::EMPTY), |entry| entry.sorted_set())?;
        Ok(Scores { edit: SortedSetEdit::new(base), entry, birth })
    }

    /// The edited tree.
    fn make(self, deadline_ms: Option<u64>, guard: &Guard) -> Change {
        let Scores { edit, entry, birth } = self;
        let next = edit.finish(birth, entry.is_some_and(|entry| entry.is_planned));
        Change::sorted_set(next, entry, deadline_ms, guard)
    }
}

macro_rules! gathers {
    ($layout:ident, $gathered:ty, $start:expr) => {
        impl Gather for $layout {
            type Gathered<'g> = $gathered;

            fn start(delta: Delta<'_, Self>, gathers: bool) -> Self::Gathered<'_> {
                $start(delta, gathers)
            }

            fn make<'g>(gathered: Self::Gathered<'g>) -> Delta<'g, Self> {
                gathered.into()
            }

            fn is_changed(gathered: &Self::Gathered<'_>) -> bool {
                gathered.is_changed()
            }

            fn wrap(gathered: Self::Gathered<'_>) -> Gathered<'_> {
                Gathered::$layout(gathered)
            }

            fn unwrap<'o, 'g>(gathered: &'o mut Gathered<'g>) -> Option<&'o mut Self::Gathered<'g>> {
                match gathered {
                    Gathered::$layout(gathered) => Some(gathered),
                    _ => None,
                }
            }
        }
    };
}

gathers!(List, Ends<'g>, |delta, _| Ends::from(delta));
gathers!(Hash, Patch<'g, Hash>, Patch::new);
gathers!(Set, Patch<'g, Set>, Patch::new);

/// What happens to a slot when the transaction commits.
#[derive(Debug)]
pub(super) enum Plan<'g> {
    Unchanged,
    Put(PlannedVersion<'g>),
    Remove,
    /// An edit of a collection that goes on; closed before anything but the edit looks at it.
    Open(Box<Open<'g>>),
}

/// A plan whose edit goes on.
#[derive(Debug)]
pub(super) struct Open<'g> {
    gathered: Gathered<'g>,
    deadline_ms: Option<u64>,
    /// The plan before; the edit's base.
    before: Plan<'g>,
}

impl<'g> Open<'g> {
    /// True if nothing is left of the collection.
    pub(super) fn is_empty(&self) -> bool {
        match &self.gathered {
            Gathered::List(gathered) => gathered.is_empty(),
            Gathered::Hash(gathered) => gathered.is_empty(),
            Gathered::Set(gathered) => gathered.is_empty(),
            Gathered::SortedSet(gathered) => gathered.edit.is_empty(),
        }
    }

    /// A collection that became empty is gone, and its deadline with it: what is put there next has none.
    fn forget_deadline_if_empty(&mut self) {
        if self.is_empty() {
            self.deadline_ms = None;
        }
    }

    /// Ends the edit: the plan that it comes to.
    pub(super) fn close(self, base: &Version, edits: &mut Edits<'g>, guard: &'g Guard) -> Plan<'g> {
        let change = match self.gathered {
            Gathered::List(gathered) => Change::edited(List::make(gathered), self.deadline_ms),
            Gathered::Hash(gathered) => Change::edited(Hash::make(gathered), self.deadline_ms),
            Gathered::Set(gathered) => Change::edited(Set::make(gathered), self.deadline_ms),
            Gathered::SortedSet(gathered) => gathered.make(self.deadline_ms, guard),
        };
        match change {
            Change::Keep => self.before,
            Change::Remove => Plan::Remove,
            Change::Put(draft) => Plan::put(draft, base, edits, guard),
        }
    }
}

impl<'g> Plan<'g> {
    /// Plans to put `draft` in the place of `base`.
    pub(super) fn put(draft: Draft, base: &Version, edits: &mut Edits<'g>, guard: &'g Guard) -> Plan<'g> {
        let Draft { mut version, edit } = draft;
        version.set_seq(base.seq().wrapping_add(1));
        edit.into_iter().for_each(|edit| edits.push(*edit));
        Plan::Put(PlannedVersion::new(version, guard))
    }
}

impl<'g> View<'g> {
    /// Ends every edit that goes on, before the transaction's cells are looked at as they are.
    pub(super) fn close_edits(&mut self) {
        let guard = self.guard();
        if let Some(transaction) = self.buffering() {
            transaction.close(guard);
        }
    }

    /// Changes one collection atomically by edits that can be gathered: inside a transaction, several such changes
    /// of one collection become one edit of its tree. Otherwise like [`View::edit`].
    ///
    /// # Errors
    /// As [`View::update`].
    pub fn gather<L: Gather, R, E: From<KeyspaceError>>(
        &mut self,
        key: Key<'_>,
        mut change: impl FnMut(&mut L::Gathered<'g>) -> Result<R, E>,
    ) -> Result<R, E> {
        let birth = self.birth();
        if self.buffering().is_none() {
            return self.update(key, |entry| {
                let base = entry.map_or(Ok(Tree::EMPTY), |entry| entry.tree())?;
                let mut gathered = L::start(Delta::new(base, birth), false);
                let result = change(&mut gathered)?;
                let deadline_ms = entry.and_then(|entry| entry.deadline_ms());
                Ok((Change::edited(L::make(gathered), deadline_ms), result))
            });
        }
        if let Some(Plan::Open(open)) = self.plan_of(key)?
            && let Some(gathered) = L::unwrap(&mut open.gathered)
        {
            let result = change(gathered);
            open.forget_deadline_if_empty();
            return result;
        }
        let entry = self.look_up_buffered(key)?;
        let base = entry.map_or(Ok(Tree::EMPTY), |entry| entry.tree())?;
        let mut gathered = L::start(Delta::new(base, birth), true);
        let result = change(&mut gathered)?;
        if L::is_changed(&gathered) {
            self.open(key, L::wrap(gathered), entry.and_then(|entry| entry.deadline_ms()))?;
        }
        Ok(result)
    }

    /// Changes one sorted set atomically, as [`View::update`] does: `change` gets an edit of the set, empty if the key
    /// is missing. The deadline stays; a set that became empty is removed.
    ///
    /// # Errors
    /// As [`View::update`].
    pub fn edit_sorted_set<R, E: From<KeyspaceError>>(
        &mut self,
        key: Key<'_>,
        mut change: impl FnMut(&mut SortedSetEdit<'g>) -> Result<R, E>,
    ) -> Result<R, E> {
        let (birth, guard) = (self.birth(), self.guard());
        self.update(key, |entry| {
            let mut gathered = Scores::new(entry, birth)?;
            let result = change(&mut gathered.edit)?;
            Ok((gathered.make(entry.and_then(|entry| entry.deadline_ms()), guard), result))
        })
    }

    /// Changes one sorted set by edits that can be gathered, as [`View::gather`] does for other collections. The edit
    /// may have changes already: `change` is not to ask for its base.
    ///
    /// # Errors
    /// As [`View::update`].
    pub fn gather_sorted_set<R, E: From<KeyspaceError>>(
        &mut self,
        key: Key<'_>,
        mut change: impl FnMut(&mut SortedSetEdit<'g>) -> Result<R, E>,
    ) -> Result<R, E> {
        if self.buffering().is_none() {
            return self.edit_sorted_set(key, change);
        }
        if let Some(Plan::Open(open)) = self.plan_of(key)?
            && let Gathered::SortedSet(gathered) = &mut open.gathered
            && !gathered.edit.is_full()
        {
            let result = change(&mut gathered.edit);
            open.forget_deadline_if_empty();
            return result;
        }
        let entry = self.look_up_buffered(key)?;
        let mut gathered = Scores::new(entry, self.birth())?;
        let result = change(&mut gathered.edit)?;
        if gathered.edit.is_changed() {
            self.open(key, Gathered::SortedSet(gathered), entry.and_then(|entry| entry.deadline_ms()))?;
        }
        Ok(result)
    }

    /// Plans an edit that goes on.
    fn open(
        &mut self,
        key: Key<'_>,
        gathered: Gathered<'g>,
        deadline_ms: Option<u64>,
    ) -> Result<(), KeyspaceError> {
        let plan = self.plan_for(key)?;
        let before = std::mem::replace(plan, Plan::Unchanged);
        let mut open = Open { gathered, deadline_ms, before };
        open.forget_deadline_if_empty();
        *plan = Plan::Open(Box::new(open));
        Ok(())
    }
}
