//! A linearizability checker: Wing and Gong's search with a memory of the configurations it refused.
//!
//! A history is linearizable if its operations can be put in one order that respects real time (an operation
//! that returned before another was invoked comes first), respects each client's own order, and in which the
//! sequential model gives every outcome that was seen.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

/// What a history is checked against.
pub trait Sequential: Clone + Eq + Hash {
    /// What a client asks for.
    type Operation: Clone + Debug;
    /// What it gets.
    type Outcome: Clone + PartialEq + Debug;

    /// Runs one operation.
    fn apply(&mut self, client: usize, operation: &Self::Operation) -> Self::Outcome;
}

/// One operation of a history. Times are nanoseconds of one monotonic clock.
#[derive(Clone, Debug)]
pub struct Event<O, R> {
    /// Who asked.
    pub client: usize,
    /// What for.
    pub operation: O,
    /// Read before the request was sent.
    pub invoked: u64,
    /// Read after the reply was received, with the reply; `None` if there was none: the operation may or
    /// may not have happened.
    pub returned: Option<(u64, R)>,
}

/// The events of a model's history.
pub type History<S> = Vec<Event<<S as Sequential>::Operation, <S as Sequential>::Outcome>>;

/// True if `history` is linearizable from `initial`.
pub fn is_linearizable<S: Sequential>(initial: &S, history: &History<S>) -> bool {
    let clients = history.iter().map(|event| event.client + 1).max().unwrap_or(0);
    let mut queues = vec![Vec::new(); clients];
    for event in history {
        queues[event.client].push(event);
    }
    for queue in &mut queues {
        queue.sort_by_key(|event| event.invoked);
    }
    Search::<S> { queues, refused: HashSet::new() }.succeeds(vec![0; clients], initial)
}

struct Search<'h, S: Sequential> {
    /// Each client's events in its own order.
    queues: Vec<Vec<&'h Event<S::Operation, S::Outcome>>>,
    /// Configurations from which no order leads to the end.
    refused: HashSet<(Vec<u8>, S)>,
}

impl<S: Sequential> Search<'_, S> {
    /// `done[c]` events of client c are in the order already and have led to `state`.
    fn succeeds(&mut self, done: Vec<u8>, state: &S) -> bool {
        let first_return = self.next_events(&done).filter_map(|event| Some(event.returned.as_ref()?.0)).min();
        let Some(first_return) = first_return else { return true };
        if self.refused.contains(&(done.clone(), state.clone())) {
            return false;
        }
        for client in 0..self.queues.len() {
            let Some(event) = self.queues[client].get(usize::from(done[client])).copied() else { continue };
            if event.invoked > first_return {
                continue;
            }
            let mut next = state.clone();
            let outcome = next.apply(client, &event.operation);
            if event.returned.as_ref().is_some_and(|(_, seen)| *seen != outcome) {
                continue;
            }
            let mut further = done.clone();
            further[client] += 1;
            if self.succeeds(further, &next) {
                return true;
            }
        }
        self.refused.insert((done, state.clone()));
        false
    }

    fn next_events<'s>(
        &'s self,
        done: &'s [u8],
    ) -> impl Iterator<Item = &'s Event<S::Operation, S::Outcome>> + 's {
        self.queues.iter().zip(done).filter_map(|(queue, done)| queue.get(usize::from(*done)).copied())
    }
}

/// A small part of a history that is not linearizable, itself not linearizable.
///
/// Every cut is one that keeps a linearizable history linearizable, so what remains shows a real fault: the
/// end behind some reply (operations in flight there lose their outcome), whole groups of keys, and operations
/// that changed nothing (`is_idle`). `keys` are those an operation touches; none means all.
pub fn minimal<S: Sequential>(
    initial: &S,
    history: &History<S>,
    keys: impl Fn(&S::Operation) -> Vec<Vec<u8>>,
    is_idle: impl Fn(&S::Operation, &S::Outcome) -> bool,
) -> History<S> {
    let mut history = history.clone();
    for group in key_groups::<S>(&history, &keys) {
        if !is_linearizable(initial, &group) {
            history = group;
            break;
        }
    }
    let mut returns: Vec<u64> = history.iter().filter_map(|event| Some(event.returned.as_ref()?.0)).collect();
    returns.sort_unstable();
    let cut =
        returns.iter().map(|end| prefix::<S>(&history, *end)).find(|part| !is_linearizable(initial, part));
    history = cut.unwrap_or(history);
    let mut index = 0;
    while index < history.len() {
        let mut without = history.clone();
        let event = without.remove(index);
        let idle = event.returned.is_none_or(|(_, outcome)| is_idle(&event.operation, &outcome));
        if idle && !is_linearizable(initial, &without) {
            history = without;
        } else {
            index += 1;
        }
    }
    history.sort_by_key(|event| event.invoked);
    history
}

/// What was known of a history at time `end`.
fn prefix<S: Sequential>(history: &History<S>, end: u64) -> History<S> {
    let known = history.iter().filter(|event| event.invoked <= end).cloned();
    known
        .map(|mut event| {
            event.returned = event.returned.filter(|(time, _)| *time <= end);
            event
        })
        .collect()
}

/// The parts of a history that share no key with each other, each in the history's order.
fn key_groups<S: Sequential>(
    history: &History<S>,
    keys: &impl Fn(&S::Operation) -> Vec<Vec<u8>>,
) -> Vec<History<S>> {
    let mut groups: Vec<(HashSet<Vec<u8>>, Vec<usize>)> = Vec::new();
    for (index, event) in history.iter().enumerate() {
        let (mut joined, mut members) = (HashSet::from_iter(keys(&event.operation)), vec![index]);
        if joined.is_empty() {
            return Vec::new();
        }
        groups.retain_mut(|(names, others)| {
            let apart = names.is_disjoint(&joined);
            if !apart {
                joined.extend(names.drain());
                members.append(others);
            }
            apart
        });
        groups.push((joined, members));
    }
    let ordered = |mut members: Vec<usize>| {
        members.sort_unstable();
        members.into_iter().map(|index| history[index].clone()).collect()
    };
    groups.into_iter().map(|(_, members)| ordered(members)).collect()
}
