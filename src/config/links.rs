//! The variables that Kubernetes sets in every pod for each service of the namespace. Those of services called `kvns` or
//! `kvns-metrics` look like settings: `KVNS_PORT=tcp://10.0.0.1:6480`.

use std::ffi::OsStr;

const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

/// True if a variable is one of these: `S_SERVICE_HOST`, `S_SERVICE_PORT`, `S_SERVICE_PORT_NAME`, `S_PORT`,
/// `S_PORT_6480_TCP`, and with `_PROTO`, `_PORT` and `_ADDR` behind it.
pub(super) fn is_link(name: &OsStr, value: &OsStr) -> bool {
    let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else { return false };
    let is_address = value.split_once("://").is_some_and(|(protocol, _)| PROTOCOLS.contains(&protocol));
    (is_address && name.ends_with("_PORT"))
        || name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || names_a_port(name)
}

/// True for names with `_PORT_6480_TCP` in them.
fn names_a_port(name: &str) -> bool {
    name.split_once("_PORT_").is_some_and(|(_, rest)| {
        let mut parts = rest.split('_');
        let is_number = parts.next().is_some_and(|port| port.parse::<u16>().is_ok());
        is_number && parts.next().is_some_and(|part| PROTOCOLS.contains(&&*part.to_ascii_lowercase()))
    })
}
