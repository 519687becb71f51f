//! The parsers of setting values. An error is what was expected, to stand behind "expected".

use super::{ClientMemory, LogFormat};
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// A number of bytes, with an optional unit as Redis reads it: `k`, `m`, `g` are powers of 1000 and `kb`, `mb`, `gb`
/// powers of 1024, in any case.
pub fn byte_count(text: &[u8]) -> Option<u64> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit: u64 = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    std::str::from_utf8(number).ok()?.parse::<u64>().ok()?.checked_mul(unit)
}

/// A number of bytes, or a percentage.
pub(super) fn client_memory(text: &str) -> Result<ClientMemory, String> {
    let percent =
        text.strip_suffix('%').map(|part| part.parse().ok().filter(|part| (1..=100).contains(part)));
    let parsed = match percent {
        Some(part) => part.map(ClientMemory::Percent),
        None => byte_count(text.as_bytes()).map(ClientMemory::Bytes),
    };
    parsed.ok_or_else(|| "a number of bytes such as 100mb, or a percentage from 1% to 100%".to_owned())
}

/// `true` or `false`, or another usual spelling of them.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("true or false".to_owned()),
    }
}

/// `text` or `json`.
pub(super) fn log_format(text: &str) -> Result<LogFormat, String> {
    match text.to_ascii_lowercase().as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("text or json".to_owned()),
    }
}

/// Directives of a log filter.
pub(super) fn log_filter(text: &str) -> Result<String, String> {
    match EnvFilter::try_new(text) {
        // An empty filter would silence all but errors.
        Ok(_) if !text.trim().is_empty() => Ok(text.to_owned()),
        _ => Err("a log filter such as info, debug or kvns=debug".to_owned()),
    }
}

/// The path of a file.
pub(super) fn file(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    path.file_name().map(|_| path.clone()).ok_or_else(|| "the path of a file".to_owned())
}

/// A host name or address; it is resolved when the server binds.
pub(super) fn host(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().any(char::is_whitespace) {
        return Err("an address or host name such as 0.0.0.0 or localhost".to_owned());
    }
    Ok(text.to_owned())
}
