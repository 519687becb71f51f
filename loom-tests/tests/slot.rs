//! The life of a slot: absent -> live <-> absent -> closing -> dead -> out of the index -> reused.
//!
//! Invariants (`concurrent/slots/slot.rs`): I1, who reads a name; I2, the seq goes on; I3, when a slot closes, and
//! watchers; I4, closing changes nothing. (`concurrent/slots/generation.rs`): I2, a slot enters absent; I3, I4, the
//! reaper and the release. (`concurrent/slots/index.rs`): I2, removal by slot.
//!
//! Twins: one for each rule, see the models.

#![cfg(kvns_loom)]

use kvns::concurrent::epoch::reclaim::{Guard, pin};
use kvns::concurrent::slots::generation::{DEFAULT_NAMESPACE, Generation};
use kvns::concurrent::slots::slot::{Reaped, Slot};
use kvns::concurrent::versions::nodes::Edits;
use kvns::concurrent::versions::transaction::{Write, commit};
use kvns::concurrent::versions::version::{Content, VersionBox};
use kvns::sync::atomic::{AtomicBool, Ordering};
use kvns::sync::{Bug, seeded};
use loom::thread;
use loom_tests::{model, next, value};
use std::sync::Arc;

const NAME: &[u8] = b"k";

fn create<'g>(generation: &'g Generation, name: &[u8], guard: &'g Guard) -> &'g Slot {
    generation.find_or_create(name, DEFAULT_NAMESPACE, guard).0
}

fn put(slot: &Slot, value: i64, guard: &Guard) -> bool {
    let base = slot.cell().settle(guard);
    !base.is_dead() && slot.cell().replace(base, next(base, value).into(), None, guard).is_ok()
}

/// Deletes, and says at which seq the slot is absent now.
fn delete(slot: &Slot, guard: &Guard) -> u32 {
    let base = slot.cell().settle(guard);
    let mut absent = VersionBox::empty(Content::Absent);
    absent.set_seq(base.seq() + 1);
    slot.cell().replace(base, absent.into(), None, guard).expect("nobody else writes").seq()
}

model!(
    /// Two threads create one name and write; nobody finds a value that was not written, and there is one slot.
    creators_of_one_name_share_a_slot, 2, Newest, 100,
    &[(&[Bug::SlotEntersLive], "not written")],
    || {
        let generation = Generation::new(1, 0);
        let creators: Vec<_> = [5, 6]
            .map(|mine| {
                let generation = Arc::clone(&generation);
                thread::spawn(move || {
                    let guard = pin();
                    let slot = create(&generation, NAME, &guard);
                    while !put(slot, mine, &guard) {}
                    std::ptr::from_ref(slot).addr()
                })
            })
            .into_iter()
            .collect();
        {
            let guard = pin();
            if let Some(slot) = generation.find(NAME, &guard) {
                let found = slot.cell().read(&guard);
                assert!(!found.is_live() || value(found) >= 5, "a value was not written");
                assert_eq!(slot.name(), NAME);
            }
        }
        let slots: Vec<usize> = creators.into_iter().map(|creator| creator.join().unwrap()).collect();
        assert_eq!(slots[0], slots[1], "a creator lost its slot");
        let guard = pin();
        assert_eq!(generation.find(NAME, &guard).unwrap().cell().read(&guard).seq(), 2, "a write was lost");
        let chunks = (0..generation.directory().end()).filter_map(|id| generation.directory().get(id, &guard));
        assert_eq!(chunks.count(), 1, "a chunk that lost the race to be the first was forgotten");
    }
);

fn watch_against_reaper() {
    let generation = Generation::new(1, 0);
    create(&generation, NAME, &pin());
    let reaper = {
        let generation = Arc::clone(&generation);
        thread::spawn(move || {
            let guard = pin();
            generation.find(NAME, &guard).map(|slot| slot.reap(0, &guard))
        })
    };
    let watched = {
        let guard = pin();
        let slot = create(&generation, NAME, &guard);
        slot.watch(&guard).map(|version| {
            assert!(version.content() == Content::Absent, "a watcher met {:?}", version.content());
            (slot.position(), version.seq())
        })
    };
    let reaped = reaper.join().unwrap();
    let guard = pin();
    if let Some((position, seq)) = watched {
        let slot = generation.directory().slot(position, &guard).unwrap();
        let found = slot.cell().read(&guard);
        assert!(!found.is_dead(), "a watched slot was closed");
        assert_eq!(found.seq(), seq, "closing and coming back looked like a change");
    } else {
        assert_eq!(reaped, Some(Reaped::Dead));
    }
}

model!(
    /// The reaper against a watcher: a slot that is watched stays, at the seq that the watcher saw.
    a_watched_slot_is_not_closed, 3, Newest, 30,
    &[(&[Bug::ReaperSkipsClosing], "a watched slot was closed")],
    watch_against_reaper
);

model!(
    /// The same with stale reads: the fences.
    a_watched_slot_is_not_closed_by_a_stale_count, 3, Stale, 10,
    &[(&[Bug::ReaperWithoutFence], "a watched slot was closed")],
    watch_against_reaper
);

model!(
    /// The reaper acts on the absence that was queued, a grace period old, not on a later one: a slot that became
    /// absent under a guard is not closed under it.
    the_reaper_leaves_a_later_absence_alone, 3, Newest, 5,
    &[(&[Bug::ReaperIgnoresSeq], "under the guard in which it became absent")],
    || {
        let generation = Generation::new(1, 0);
        let old = {
            let guard = pin();
            let slot = create(&generation, NAME, &guard);
            assert!(put(slot, 1, &guard));
            delete(slot, &guard)
        };
        let reaper = {
            let generation = Arc::clone(&generation);
            thread::spawn(move || {
                let guard = pin();
                generation.find(NAME, &guard).map(|slot| slot.reap(old, &guard))
            })
        };
        {
            let guard = pin();
            let slot = create(&generation, NAME, &guard);
            if put(slot, 2, &guard) {
                delete(slot, &guard);
                assert!(
                    !slot.cell().read(&guard).is_dead(),
                    "a slot was closed under the guard in which it became absent"
                );
            }
        }
        reaper.join().unwrap();
    }
);

model!(
    /// A transaction that only reads an absent slot puts a fresh copy there; the reaper then tries again, for
    /// nobody queues the slot a second time.
    a_fresh_copy_does_not_keep_a_slot_for_ever, 3, Newest, 20,
    &[(&[Bug::ReaperGivesUp], "stays for ever")],
    || {
        let generation = Generation::new(1, 0);
        let other = {
            let guard = pin();
            create(&generation, NAME, &guard);
            create(&generation, b"other", &guard).position()
        };
        let reaper = {
            let generation = Arc::clone(&generation);
            thread::spawn(move || {
                let guard = pin();
                let slot = generation.find(NAME, &guard).unwrap();
                slot.reap(0, &guard)
            })
        };
        {
            let guard = pin();
            if let Some(read) = generation.find(NAME, &guard) {
                let written = generation.directory().slot(other, &guard).unwrap();
                let expected = read.cell().settle(&guard);
                let base = written.cell().settle(&guard);
                let writes = vec![
                    Write { cell: read.cell(), expected, new: VersionBox::fresh_copy(expected), claim: None },
                    Write { cell: written.cell(), expected: base, new: next(base, 1), claim: None },
                ];
                let _ = commit(writes, &mut Edits::new(&guard), &guard);
            }
        }
        assert_eq!(reaper.join().unwrap(), Reaped::Dead, "an absent slot stays for ever");
    }
);

/// One round of the housekeeper's release, if its grace has passed.
fn release(generation: &Generation) {
    if let Some(departure) = generation.begin_departure()
        && (departure.is_ready() || seeded(Bug::ReuseWithoutGrace))
    {
        generation.depart(departure);
    }
}

model!(
    /// Two threads meet a dead slot while its name is created again: only the dead slot leaves the index.
    a_dead_slot_is_removed_by_itself, 3, Newest, 50,
    &[(&[Bug::RemoveByName], "lost its place")],
    || {
        let generation = Generation::new(1, 0);
        {
            let guard = pin();
            let slot = create(&generation, NAME, &guard);
            assert_eq!(slot.reap(0, &guard), Reaped::Dead);
        }
        let other = {
            let generation = Arc::clone(&generation);
            thread::spawn(move || {
                let guard = pin();
                generation.find(NAME, &guard).map(|slot| slot.cell().read(&guard).is_dead())
            })
        };
        {
            let guard = pin();
            let slot = create(&generation, NAME, &guard);
            assert!(put(slot, 1, &guard));
        }
        assert_ne!(other.join().unwrap(), Some(true), "a dead slot was found");
        let guard = pin();
        let found = generation.find(NAME, &guard).expect("the new slot lost its place in the index");
        assert_eq!(value(found.cell().read(&guard)), 1);
    }
);

model!(
    /// A slot is reused while somebody still reads its name under a guard: only after that guard.
    a_slot_is_reused_after_its_readers, 2, Newest, 20,
    &[(&[Bug::ReuseWithoutGrace], "another key's name")],
    || {
        let generation = Generation::new(1, 0);
        create(&generation, NAME, &pin());
        create(&generation, b"keeps the chunk", &pin());
        let reader = {
            let generation = Arc::clone(&generation);
            thread::spawn(move || {
                let guard = pin();
                if let Some(slot) = generation.find(NAME, &guard) {
                    slot.cell().read(&guard);
                    assert_eq!(slot.name(), NAME, "a reader saw another key's name");
                }
            })
        };
        {
            let guard = pin();
            let slot = generation.find(NAME, &guard).unwrap();
            assert_eq!(slot.reap(0, &guard), Reaped::Dead);
            generation.find(NAME, &guard);
        }
        release(&generation);
        create(&generation, b"other", &pin());
        reader.join().unwrap();
    }
);

model!(
    /// A reaper with an entry of a slot's earlier life meets its next one: the seq tells them apart.
    a_reused_slot_goes_on_counting, 3, Newest, 5,
    &[(&[Bug::SeqRestarts], "of an earlier life")],
    || {
        let generation = Generation::new(1, 0);
        let position = {
            let guard = pin();
            let slot = create(&generation, NAME, &guard);
            create(&generation, b"keeps the chunk", &guard);
            assert_eq!(slot.reap(0, &guard), Reaped::Dead);
            generation.find(NAME, &guard);
            slot.position()
        };
        release(&generation);
        let reaper = {
            let generation = Arc::clone(&generation);
            thread::spawn(move || {
                let guard = pin();
                generation.directory().slot(position, &guard).map(|slot| slot.reap(0, &guard))
            })
        };
        {
            let guard = pin();
            let slot = create(&generation, b"other", &guard);
            assert_eq!(slot.position(), position, "the slot was not reused");
            slot.cell().settle(&guard);
            assert!(!slot.cell().read(&guard).is_dead(), "closed because of an earlier life");
        }
        reaper.join().unwrap();
    }
);

model!(
    /// A reader that finds no slot of a name twice under one guard may say that it was missing in between: a slot that became
    /// absent meanwhile does not close before that guard has ended.
    a_name_found_missing_twice_was_missing, 3, Newest, 20,
    &[(&[Bug::ReapsWithoutGrace], "was there in between")],
    || {
        let generation = Generation::new(1, 0);
        let there = Arc::new(AtomicBool::new(false));
        let writer = {
            let (generation, there) = (Arc::clone(&generation), Arc::clone(&there));
            thread::spawn(move || {
                {
                    let guard = pin();
                    let slot = create(&generation, NAME, &guard);
                    assert!(put(slot, 1, &guard));
                    there.store(true, Ordering::SeqCst);
                    there.store(false, Ordering::SeqCst);
                    generation.left_absent(slot, delete(slot, &guard));
                }
                let mut reaping = generation.begin_reaping(1).unwrap();
                if reaping.is_ready() {
                    generation.reap(&mut reaping, 1, &pin());
                }
            })
        };
        {
            let guard = pin();
            let was_missing = generation.find(NAME, &guard).is_none();
            let was_there = there.load(Ordering::SeqCst);
            let is_missing = generation.find(NAME, &guard).is_none();
            assert!(!(was_missing && was_there && is_missing), "it was there in between");
        }
        writer.join().unwrap();
    }
);

model!(
    /// A slot is given back while another is taken: whoever was counted in finds a clear bit at once, and does not wait.
    who_is_counted_in_finds_a_free_slot, 3, Newest, 10,
    &[(&[Bug::CountLoweredFirst], "no slot is free")],
    || {
        let generation = Generation::new(1, 0);
        let departure = {
            let guard = pin();
            // As many as the first chunk has.
            for name in [&b"1"[..], b"2", b"3"] {
                create(&generation, name, &guard);
            }
            assert_eq!(create(&generation, NAME, &guard).reap(0, &guard), Reaped::Dead);
            generation.find(NAME, &guard);
            drop(guard);
            generation.begin_departure().unwrap()
        };
        assert!(departure.is_ready());
        let releaser = {
            let generation = Arc::clone(&generation);
            thread::spawn(move || generation.depart(departure).is_none())
        };
        create(&generation, b"another", &pin());
        assert!(releaser.join().unwrap(), "others keep the chunk");
    }
);
