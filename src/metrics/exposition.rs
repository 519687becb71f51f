//! The text of `/metrics`, one family after the other.
//!
//! A scrape reads counters that are kept anyway: it costs O(series), whatever the number of keys.

use super::family::{Described, Kind};
use super::figures::{BY_NAMESPACE, COMMAND_DURATION, ERRORS, OF_SERVER, Readings, of_build};
use crate::clock::TICKS_PER_US;
use crate::command::table::Row;
use crate::concurrent::counters::recorder::{BOUNDS, PairSeries};
use crate::engine::Engine;
use crate::keyspace::{Label, NamespaceInfo};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};
use std::io::{self, Write};
use std::thread;
use std::time::Duration;

/// The type of the text, as HTTP names it.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Bytes after which a scrape lets others go first: some tenths of a millisecond.
const SLICE: usize = 64 << 10;

/// How long it does.
const PAUSE: Duration = Duration::from_micros(50);

/// Every family there is, in the order of `/metrics`.
pub fn described() -> impl Iterator<Item = Described> {
    let by_namespace = BY_NAMESPACE.iter().map(|figure| figure.family);
    let of_server = OF_SERVER.iter().map(|figure| figure.family);
    by_namespace.chain([COMMAND_DURATION, ERRORS]).chain(of_server).chain([of_build()])
}

/// The text of `/metrics`. O(series). Sleeps now and then, so not for a worker thread.
pub fn render(engine: &Engine) -> Vec<u8> {
    let mut page = Page::default();
    let namespaces: Vec<(Label, String, NamespaceInfo)> =
        engine.labelled().into_iter().map(|(label, info)| (label, shown(&info.name), info)).collect();
    for figure in BY_NAMESPACE {
        let value = |(_, name, info): &(Label, String, NamespaceInfo)| {
            sample(figure.family, &[name], (figure.read)(info) as f64)
        };
        page.add(figure.family, namespaces.iter().map(value).collect());
    }
    page.add(COMMAND_DURATION, durations(engine, &namespaces));
    let errors = engine.stats.errors().map(|(code, count)| sample(ERRORS, &[code], count as f64));
    page.add(ERRORS, errors.collect());
    let readings = Readings::take(engine);
    for figure in OF_SERVER {
        page.add(figure.family, vec![sample(figure.family, &[], (figure.read)(&readings))]);
    }
    page.add(of_build(), vec![sample(of_build(), &[env!("CARGO_PKG_VERSION")], 1.0)]);
    page.text
}

fn durations(engine: &Engine, namespaces: &[(Label, String, NamespaceInfo)]) -> Vec<Metric> {
    let mut names = vec!["_other", "default"];
    for (label, name, _) in namespaces {
        names.resize(names.len().max(label.number() + 1), "");
        names[label.number()] = name;
    }
    let mut metrics = Vec::new();
    engine.stats.commands.each_pair(|command, label, pair| {
        // A namespace that has come since the names were read is in the next scrape.
        let (Some(row), Some(name)) = (Row::of_number(command), names.get(label.number())) else { return };
        let mut metric = labelled(COMMAND_DURATION, &[row.spec().name, name]);
        metric.set_histogram(histogram(pair));
        metrics.push(metric);
    });
    metrics
}

fn histogram(pair: &PairSeries) -> Histogram {
    let mut below = 0;
    let bucket = |(bound, count): (u64, &u64)| {
        below += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(seconds(bound));
        bucket.set_cumulative_count(below);
        bucket
    };
    let mut histogram = Histogram::default();
    histogram.set_bucket(BOUNDS.into_iter().zip(&pair.buckets).map(bucket).collect());
    histogram.set_sample_count(pair.count());
    histogram.set_sample_sum(seconds(pair.ticks));
    histogram
}

fn seconds(ticks: u64) -> f64 {
    ticks as f64 / TICKS_PER_US as f64 / 1e6
}

/// A namespace's name as the value of a label. Text stays as it is; anything else is escaped, and so is what could be
/// taken for something escaped, so that two names never become one.
fn shown(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(text) if !text.contains(|char: char| char == '\\' || char.is_control()) => text.to_owned(),
        _ => name.escape_ascii().to_string(),
    }
}

fn labelled(family: Described, values: &[&str]) -> Metric {
    let label = |(name, value): (&&str, &&str)| {
        let mut label = LabelPair::default();
        label.set_name((*name).to_owned());
        label.set_value((*value).to_owned());
        label
    };
    Metric::from_label(family.labels.iter().zip(values).map(label).collect())
}

fn sample(family: Described, labels: &[&str], value: f64) -> Metric {
    let mut metric = labelled(family, labels);
    if family.kind == Kind::Counter {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}

/// The text as it grows. Whoever writes to it gives way to others now and then.
#[derive(Debug, Default)]
struct Page {
    text: Vec<u8>,
    /// The length at the last pause.
    paused: usize,
}

impl Page {
    fn add(&mut self, family: Described, metrics: Vec<Metric>) {
        if metrics.is_empty() {
            return;
        }
        let mut encoded = MetricFamily::default();
        encoded.set_name(family.name.to_owned());
        encoded.set_help(family.help.to_owned());
        encoded.set_field_type(match family.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
            Kind::Histogram => MetricType::HISTOGRAM,
        });
        encoded.set_metric(metrics);
        if let Err(error) = TextEncoder::new().encode(&[encoded], self) {
            tracing::error!(%error, family = family.name, "a family of metrics cannot be written");
        }
    }
}

impl Write for Page {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.text.extend_from_slice(text);
        if self.text.len() - self.paused > SLICE {
            self.paused = self.text.len();
            thread::sleep(PAUSE);
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn names_are_shown_as_text_and_never_become_one() {
        assert_eq!(shown("users-\u{fc}".as_bytes()), "users-\u{fc}");
        assert_eq!(shown(b""), "");
        assert_eq!((shown(b"\xff"), shown(b"\\xff")), ("\\xff".to_owned(), "\\\\xff".to_owned()));
        assert_eq!(shown(b"a\nb"), "a\\nb");
    }
}
