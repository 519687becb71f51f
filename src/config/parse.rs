//! The parsers of setting values. An error is what was expected, to stand behind "expected".

use super::LogFormat;
use std::path::PathBuf;
use tracing_subscriber::EnvFilter;

/// A whole number from `min` to `max`.
pub(super) fn whole(
    min: u64,
    max: u64,
) -> impl Fn(&str) -> Result<u64, String> + Clone + Send + Sync + 'static {
    move |text| match digits(text) {
        Some(number) if (min..=max).contains(&number) => Ok(number),
        _ => Err(format!("a whole number from {min} to {max}")),
    }
}

/// Microseconds, or -1 for what never happens.
pub(super) fn microseconds(text: &str) -> Result<i64, String> {
    let number = if text == "-1" { Some(-1) } else { digits(text).and_then(|us| i64::try_from(us).ok()) };
    number.ok_or_else(|| "a whole number of microseconds, or -1".to_owned())
}

/// A number of bytes from `min` to `max`, with an optional unit as Redis reads it: `k`, `m`, `g` are powers of
/// 1000 and `kb`, `mb`, `gb` powers of 1024, in any case.
pub(super) fn bytes(
    min: u64,
    max: u64,
) -> impl Fn(&str) -> Result<u64, String> + Clone + Send + Sync + 'static {
    move |text| match byte_count(text) {
        Some(number) if (min..=max).contains(&number) => Ok(number),
        _ if max == u64::MAX => Err("a number of bytes such as 1073741824, 512mb or 2gb".to_owned()),
        _ => Err(format!("a number of bytes from {min} to {max}, such as 65536 or 64kb")),
    }
}

/// A number of bytes with an optional unit.
pub(super) fn byte_count(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    digits(number)?.checked_mul(unit)
}

/// Digits only: `str::parse` would also take a sign.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
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
