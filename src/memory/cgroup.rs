//! How much memory there is: the limit of the cgroup if there is one, else the machine's.

use std::fs;
use std::path::{Component, Path};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// The memory this process may use: the limit of its cgroup if there is one, else the machine's.
pub fn detected() -> Option<u64> {
    smaller(cgroup_limit(Path::new("/")), Some(machine_bytes()).filter(|bytes| *bytes > 0))
}

/// A cgroup without a limit of its own shows a huge one, so the machine's memory bounds it.
fn smaller(cgroup: Option<u64>, host: Option<u64>) -> Option<u64> {
    cgroup.into_iter().chain(host).min()
}

/// Bytes of physical memory in this machine; 0 where the system does not tell.
pub fn machine_bytes() -> u64 {
    let wanted = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    System::new_with_specifics(wanted).total_memory()
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
    // `max`, which means no limit, does not parse.
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
