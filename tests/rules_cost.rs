//! What binding many namespaces to rules of their own costs, in bytes that the binding thread allocates: they are counted
//! exactly, and copying what does not change shows in them.

use kvns::clock::Clock;
use kvns::config::Policy;
use kvns::config::Settings;
use kvns::engine::Engine;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Bytes that this thread has allocated so far.
fn allocated() -> u64 {
    tikv_jemalloc_ctl::thread::allocatedp::read().expect("jemalloc is the allocator").get()
}

/// Bytes for each of `count` namespaces that are given a policy and a quota, one after the other.
fn bytes_for_each(count: u64) -> u64 {
    let engine = Engine::new(Settings::default(), Clock::manual(1_000));
    let before = allocated();
    for number in 0..count {
        let name = format!("namespace-{number:06}").into_bytes();
        engine.change_settings(|settings| {
            settings.eviction.policies.insert(name.clone(), Policy::Lru);
            settings.eviction.quotas.insert(name, 1 << 20);
        });
        while engine.keyspace.housekeep() {}
    }
    (allocated() - before) / count
}

/// Sixteen times as many namespaces cost each of them a little more for deeper trees, but not sixteen times as much.
#[test]
fn rules_of_one_namespace_cost_the_same_however_many_have_some() {
    let (few, many) = (bytes_for_each(250), bytes_for_each(4_000));
    println!("{few} bytes for each of 250 namespaces, {many} for each of 4,000");
    assert!(many < 3 * few, "{few} bytes for each of 250 namespaces, {many} for each of 4,000");
}
