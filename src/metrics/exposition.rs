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
use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

/// The type of the text, as HTTP names it.
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Bytes of a piece: some tenths of a millisecond.
const PIECE: usize = 64 << 10;

/// Lines that the encoder begins a family with: they stand once, above its first series.
const HEAD_LINES: usize = 2;

/// How long a scrape lets others go first after a piece.
const PAUSE: Duration = Duration::from_micros(50);

/// Every family there is, in the order of `/metrics`.
pub fn described() -> impl Iterator<Item = Described> {
    let by_namespace = BY_NAMESPACE.iter().map(|figure| figure.family);
    let of_server = OF_SERVER.iter().map(|figure| figure.family);
    by_namespace.chain([COMMAND_DURATION, ERRORS]).chain(of_server).chain([of_build()])
}

/// Passes the text of `/metrics` on, piece by piece, until `pass` breaks off. O(series), of which some dozens are held at
/// one time. Sleeps between two pieces, so not for a worker thread.
pub fn render(engine: &Engine, pass: impl FnMut(Vec<u8>) -> ControlFlow<()>) -> ControlFlow<()> {
    let mut page = Page { text: Vec::new(), pass, broken_off: false };
    let namespaces: Vec<(Label, String, NamespaceInfo)> =
        engine.labelled().into_iter().map(|(label, info)| (label, shown(&info.name), info)).collect();
    for figure in BY_NAMESPACE {
        let value = |(_, name, info): &(Label, String, NamespaceInfo)| {
            sample(figure.family, &[name], (figure.read)(info) as f64)
        };
        namespaces.iter().map(value).for_each(page.family(figure.family));
    }
    add_durations(engine, &namespaces, page.family(COMMAND_DURATION));
    let errors = engine.stats.errors().map(|(code, count)| sample(ERRORS, &[code], count as f64));
    errors.for_each(page.family(ERRORS));
    let readings = Readings::take(engine);
    for figure in OF_SERVER {
        page.family(figure.family)(sample(figure.family, &[], (figure.read)(&readings)));
    }
    page.family(of_build())(sample(of_build(), &[env!("CARGO_PKG_VERSION")], 1.0));
    page.end()
}

fn add_durations(
    engine: &Engine,
    namespaces: &[(Label, String, NamespaceInfo)],
    mut add: impl FnMut(Metric),
) {
    let mut names = vec!["_other", "default"];
    for (label, name, _) in namespaces {
        names.resize(names.len().max(label.number() + 1), "");
        names[label.number()] = name;
    }
    engine.stats.commands.each_pair(|command, label, pair| {
        // A namespace that has come since the names were read is in the next scrape.
        let (Some(row), Some(name)) = (Row::of_number(command), names.get(label.number())) else { return };
        let mut metric = labelled(COMMAND_DURATION, &[row.spec().name, name]);
        metric.set_histogram(histogram(pair));
        add(metric);
    });
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

/// The text as it grows, and where it goes.
struct Page<F> {
    text: Vec<u8>,
    pass: F,
    broken_off: bool,
}

impl<F: FnMut(Vec<u8>) -> ControlFlow<()>> Page<F> {
    /// Begins a family; what is returned adds a series to it.
    fn family(&mut self, family: Described) -> impl FnMut(Metric) {
        let mut encoded = MetricFamily::default();
        encoded.set_name(family.name.to_owned());
        encoded.set_help(family.help.to_owned());
        encoded.set_field_type(match family.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
            Kind::Histogram => MetricType::HISTOGRAM,
        });
        let mut is_first = true;
        move |metric| {
            if self.broken_off {
                return;
            }
            encoded.set_metric(vec![metric]);
            let from = self.text.len();
            if let Err(error) = TextEncoder::new().encode(std::slice::from_ref(&encoded), &mut self.text) {
                tracing::error!(%error, family = family.name, "a series of the metrics cannot be written");
            }
            if !std::mem::replace(&mut is_first, false) {
                self.drop_lines(from, HEAD_LINES);
            }
            if self.text.len() >= PIECE {
                self.pass_on();
                thread::sleep(PAUSE);
            }
        }
    }

    /// Takes so many lines out that begin at `from`.
    fn drop_lines(&mut self, from: usize, lines: usize) {
        let ends = memchr::memchr_iter(b'\n', &self.text[from..]);
        if let Some(end) = ends.take(lines).last() {
            self.text.drain(from..=from + end);
        }
    }

    fn pass_on(&mut self) {
        // The next piece is as long.
        let room = self.text.len() + self.text.len() / 8;
        let text = std::mem::replace(&mut self.text, Vec::with_capacity(room));
        self.broken_off |= (self.pass)(text).is_break();
    }

    fn end(mut self) -> ControlFlow<()> {
        if !self.broken_off {
            self.pass_on();
        }
        if self.broken_off { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::config::Settings;
    use crate::keyspace::{Change, Draft, Key, KeyspaceError};

    #[test]
    fn a_page_comes_in_pieces_until_they_are_not_taken() {
        let engine = Engine::new(Settings::default(), Clock::manual(1_000));
        for number in 0..900 {
            let write = |_: Option<_>| Ok::<_, KeyspaceError>((Change::Put(Draft::integer(1, None)), ()));
            let name = format!("{number:0>60}/k");
            engine.keyspace.enter().view().update(Key::new(name.as_bytes()), write).expect("a write");
        }
        let mut pieces = Vec::new();
        let passed = render(&engine, |piece| {
            pieces.push(piece);
            ControlFlow::Continue(())
        });
        assert!(passed.is_continue() && pieces.len() > 4, "{} pieces", pieces.len());
        assert!(pieces.iter().all(|piece| piece.len() < PIECE + PIECE / 8));
        let text = String::from_utf8(pieces.concat()).expect("text");
        for family in described() {
            let heads = text.matches(&format!("# TYPE {} ", family.name)).count();
            let has_series = text.lines().any(|line| line.starts_with(family.name));
            assert_eq!(heads, usize::from(has_series), "{}", family.name);
        }
        assert_eq!(text.matches("\nkvns_keys_total{").count(), 900);
        let mut taken = 0;
        let passed = render(&engine, |_| {
            taken += 1;
            ControlFlow::Break(())
        });
        assert!(passed.is_break() && taken == 1);
    }

    #[test]
    fn names_are_shown_as_text_and_never_become_one() {
        assert_eq!(shown("users-\u{fc}".as_bytes()), "users-\u{fc}");
        assert_eq!(shown(b""), "");
        assert_eq!((shown(b"\xff"), shown(b"\\xff")), ("\\xff".to_owned(), "\\\\xff".to_owned()));
        assert_eq!(shown(b"a\nb"), "a\\nb");
    }
}
