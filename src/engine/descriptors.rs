//! File descriptors: as many clients as there is room for beside what the server needs itself.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside those of clients: listeners, probes and scrapers, the log, epoll, snapshots. Of a small limit they
/// get half.
const OWN_DESCRIPTORS: u64 = 128;

/// Lets the process have descriptors for so many clients, as far as the system allows it. Returns how many there is room
/// for: `wanted` at most.
pub fn make_room_for_clients(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let needed = wanted as u64 + OWN_DESCRIPTORS;
    let lacks = |bound: Option<u64>| bound.is_some_and(|bound| bound < needed);
    let mut current = limit.current;
    if lacks(current) {
        // Who may not raise the maximum may go up to it.
        for maximum in [limit.maximum.map(|maximum| maximum.max(needed)), limit.maximum] {
            let raised = Some(maximum.map_or(needed, |maximum| maximum.min(needed)));
            if lacks(current) && setrlimit(Resource::Nofile, Rlimit { current: raised, maximum }).is_ok() {
                current = raised;
            }
        }
    }
    clients_within(current, wanted)
}

/// How many clients there is room for within a limit on descriptors.
fn clients_within(limit: Option<u64>, wanted: usize) -> usize {
    let Some(limit) = limit else { return wanted };
    let room = limit - OWN_DESCRIPTORS.min(limit / 2);
    wanted.min(usize::try_from(room).unwrap_or(usize::MAX)).max(1)
}

#[cfg(test)]
mod tests {
    use super::clients_within;

    #[test]
    fn the_server_keeps_128_descriptors_or_half_of_them() {
        for (limit, clients) in [
            (None, 10_000),
            (Some(10_128), 10_000),
            (Some(10_127), 9_999),
            (Some(1024), 896),
            (Some(256), 128),
            (Some(255), 128),
            (Some(64), 32),
            (Some(1), 1),
            (Some(0), 1),
        ] {
            assert_eq!(clients_within(limit, 10_000), clients, "{limit:?}");
        }
    }
}
