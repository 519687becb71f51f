//! How much memory there is: the container's limit, else the machine's.

use std::fs;
use std::path::{Component, Path};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// The limit when it is to follow the memory and the memory is not detectable.
const FALLBACK_LIMIT: u64 = 1 << 30;

/// The configured limit, capped at 70% of the detected memory; 0 stands for that cap.
pub(super) fn capped(configured: u64, detected: Option<u64>) -> u64 {
    // Divided first: a detected memory near u64::MAX must not overflow.
    let cap = detected.map(|bytes| bytes / 10 * 7);
    match (configured, cap) {
        (0, None) => FALLBACK_LIMIT,
        (0, Some(cap)) => cap,
        (_, None) => configured,
        (_, Some(cap)) => configured.min(cap),
    }
}

/// The memory this process may use: the limit of its cgroup if there is one, else the machine's.
pub(super) fn detected() -> Option<u64> {
    smaller(cgroup_limit(Path::new("/")), host_memory())
}

/// A cgroup without a limit of its own shows a huge one, so the machine's memory bounds it.
fn smaller(cgroup: Option<u64>, host: Option<u64>) -> Option<u64> {
    match (cgroup, host) {
        (Some(cgroup), Some(host)) => Some(cgroup.min(host)),
        (one, other) => one.or(other),
    }
}

fn host_memory() -> Option<u64> {
    let ram = MemoryRefreshKind::nothing().with_ram();
    let system = System::new_with_specifics(RefreshKind::nothing().with_memory(ram));
    Some(system.total_memory()).filter(|&bytes| bytes > 0)
}

/// The memory limit of this process's cgroup, version 2 or 1, below the root directory `root`.
fn cgroup_limit(root: &Path) -> Option<u64> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let mount = root.join("sys/fs/cgroup");
    let unified = smallest_limit(&mount, group_path(&groups, ""), "memory.max");
    unified.or_else(|| {
        smallest_limit(&mount.join("memory"), group_path(&groups, "memory"), "memory.limit_in_bytes")
    })
}

/// This process's group in the hierarchy of `controller`; the unified hierarchy of version 2 has no name.
fn group_path<'a>(groups: &'a str, controller: &str) -> &'a str {
    let path = groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then_some(path)
    });
    path.unwrap_or("/")
}

/// The smallest limit from the group up to the hierarchy's root. Inside a container the group's path is
/// often one of the host, which does not exist there: then the root's file is the container's.
fn smallest_limit(mount: &Path, group: &str, file: &str) -> Option<u64> {
    let group = Path::new(group.trim_start_matches('/'));
    // A path out of the hierarchy belongs to another namespace and says nothing here.
    let inside = group.components().all(|part| matches!(part, Component::Normal(_)));
    let group = if inside { group } else { Path::new("") };
    group.ancestors().filter_map(|ancestor| limit_in(&mount.join(ancestor).join(file))).min()
}

fn limit_in(file: &Path) -> Option<u64> {
    // `max`, the limit that is none, does not parse.
    fs::read_to_string(file).ok()?.trim().parse().ok().filter(|&bytes| bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    const GIB: u64 = 1 << 30;

    /// A fake root directory, removed at the end.
    struct Root(PathBuf);

    impl Root {
        fn new(name: &str, files: &[(&str, &str)]) -> Root {
            let root = Root(std::env::temp_dir().join(format!("kvns-cgroup-{}-{name}", std::process::id())));
            for (path, text) in files {
                let path = root.0.join(path);
                fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
                fs::write(path, text).expect("a file");
            }
            root
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_limit_is_capped_at_seventy_percent_of_the_memory() {
        assert_eq!(capped(GIB, Some(10 * GIB)), GIB);
        assert_eq!(capped(9 * GIB, Some(10 * GIB)), 7 * GIB);
        assert_eq!(capped(0, Some(10 * GIB)), 7 * GIB);
        assert_eq!(capped(5 * GIB, None), 5 * GIB);
        assert_eq!(capped(0, None), GIB);
    }

    #[test]
    fn the_container_counts_before_the_machine() {
        assert_eq!(smaller(Some(GIB), Some(8 * GIB)), Some(GIB));
        assert_eq!(smaller(Some(9_223_372_036_854_771_712), Some(8 * GIB)), Some(8 * GIB));
        assert_eq!(smaller(None, Some(8 * GIB)), Some(8 * GIB));
        assert_eq!(smaller(None, None), None);
    }

    #[test]
    fn cgroup_version_2_in_a_container() {
        let root = Root::new(
            "v2-container",
            &[("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "536870912\n")],
        );
        assert_eq!(cgroup_limit(&root.0), Some(512 << 20));
    }

    #[test]
    fn cgroup_version_2_takes_the_tightest_ancestor() {
        let root = Root::new(
            "v2-nested",
            &[
                ("proc/self/cgroup", "0::/system.slice/kvns.service\n"),
                ("sys/fs/cgroup/system.slice/memory.max", "268435456\n"),
                ("sys/fs/cgroup/system.slice/kvns.service/memory.max", "max\n"),
            ],
        );
        assert_eq!(cgroup_limit(&root.0), Some(256 << 20));
    }

    #[test]
    fn cgroup_version_1_with_a_path_of_the_host() {
        let root = Root::new(
            "v1",
            &[
                ("proc/self/cgroup", "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n0::/\n"),
                ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n"),
            ],
        );
        assert_eq!(cgroup_limit(&root.0), Some(GIB));
    }

    #[test]
    fn no_limit_is_none() {
        let unlimited = Root::new(
            "unlimited",
            &[("proc/self/cgroup", "0::/a\n"), ("sys/fs/cgroup/a/memory.max", "max\n")],
        );
        assert_eq!(cgroup_limit(&unlimited.0), None);
        let bare = Root::new("bare", &[("proc/self/other", "")]);
        assert_eq!(cgroup_limit(&bare.0), None);
        let foreign = Root::new(
            "foreign",
            &[("proc/self/cgroup", "0::/../outside\n"), ("sys/fs/outside/memory.max", "1\n")],
        );
        assert_eq!(cgroup_limit(&foreign.0), None);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(detected().is_some_and(|bytes| bytes > 1 << 20));
    }
}
