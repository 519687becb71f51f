//! LATENCY: histograms of how long commands take, and recent latency events.

use super::SERVER;
use crate::clock::TICKS_PER_US;
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, container, row};
use crate::command::table::{self, ROWS, Row};
use crate::concurrent::counters::recorder::{Series, bucket_start};
use crate::stats::{LatencyEvent, Spike};
use std::fmt::Write;

const FOR_ADMIN: Flags =
    Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::LOADING).or(Flags::STALE).or(Flags::AFTER_COMMIT);

const SPECIAL: &[&str] = &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];

const SUBCOMMAND: CommandSpec = SERVER.since("2.8.13").tips(SPECIAL);

/// The container and its subcommands.
pub const LATENCY: CommandSpec = container(
    SERVER,
    "latency",
    &[
        row(SUBCOMMAND, "latency|latest", "", Exactly(2), FOR_ADMIN, latest)
            .summary("Returns the latest spike of each event."),
        row(SUBCOMMAND, "latency|history", "event", Exactly(3), FOR_ADMIN, history)
            .summary("Returns the spikes of an event."),
        row(SUBCOMMAND, "latency|reset", "[event...]", AtLeast(2), FOR_ADMIN, reset)
            .summary("Deletes the spikes of some events, or of all without an argument.")
            .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
        row(SUBCOMMAND, "latency|graph", "event", Exactly(3), FOR_ADMIN, graph)
            .summary("Draws the spikes of an event."),
        row(SUBCOMMAND, "latency|doctor", "", Exactly(2), FOR_ADMIN, doctor)
            .summary("Explains the spikes in words."),
        row(SUBCOMMAND, "latency|histogram", "[command...]", AtLeast(2), FOR_ADMIN, histogram)
            .since("7.0.0")
            .summary("Returns the distribution of the durations of commands.")
            .complexity("O(N) with N commands"),
        row(SUBCOMMAND, "latency|help", "", Exactly(2), Flags::LOADING.or(Flags::STALE), help)
            .tips(&[])
            .summary("Describes how to use LATENCY."),
    ],
)
.since("2.8.13")
.summary("Container for commands about latency.");

/// `LATENCY LATEST`: for each event its name, the Unix time and milliseconds of the last spike, and the worst one's
/// milliseconds.
fn latest(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    let events = cx.engine.stats.latency.latest();
    cx.reply.array(events.len());
    for (event, last, worst_ms) in events {
        cx.reply.array(4);
        cx.reply.bulk(event.name().as_bytes());
        cx.reply.integer(last.unix_s as i64);
        cx.reply.integer(last.ms as i64);
        cx.reply.integer(worst_ms as i64);
    }
    Ok(())
}

/// `LATENCY HISTORY event`: pairs of a Unix time and milliseconds, the oldest first; none for what is no event.
fn history(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let event = LatencyEvent::named(args.bytes()?);
    let spikes = event.map(|event| cx.engine.stats.latency.history(event)).unwrap_or_default();
    cx.reply.array(spikes.len());
    for spike in spikes {
        cx.reply.array(2);
        cx.reply.integer(spike.unix_s as i64);
        cx.reply.integer(spike.ms as i64);
    }
    Ok(())
}

/// `LATENCY RESET [event ...]`: how many events were forgotten.
fn reset(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let log = &cx.engine.stats.latency;
    let mut forgotten = 0;
    if args.is_empty() {
        forgotten = log.latest().into_iter().filter(|(event, ..)| log.forget(*event)).count();
    }
    while let Ok(name) = args.bytes() {
        forgotten += usize::from(LatencyEvent::named(name).is_some_and(|event| log.forget(event)));
    }
    cx.reply.integer(forgotten as i64);
    Ok(())
}

/// `LATENCY GRAPH event`: a drawing, a column for each spike with its age below.
fn graph(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let name = args.bytes()?;
    let none = || CommandError::NoSamples(name.to_vec());
    let event = LatencyEvent::named(name).ok_or_else(none)?;
    let latest = cx.engine.stats.latency.latest();
    let worst_ms = latest.iter().find(|(known, ..)| *known == event).map(|(.., worst_ms)| *worst_ms);
    let worst_ms = worst_ms.ok_or_else(none)?;
    let drawing = draw(event, &cx.engine.stats.latency.history(event), worst_ms, cx.view.now_ms() / 1000);
    cx.reply.verbatim("txt", drawing.as_bytes());
    Ok(())
}

fn draw(event: LatencyEvent, spikes: &[Spike], worst_ms: u64, now_s: u64) -> String {
    /// Columns and rows of the drawing, and rows of the ages below it.
    const COLUMNS: usize = 80;
    const ROWS: u64 = 4;
    const AGE_ROWS: usize = 3;
    let spikes = &spikes[spikes.len().saturating_sub(COLUMNS)..];
    let high = spikes.iter().map(|spike| spike.ms).max().unwrap_or(0);
    let low = spikes.iter().map(|spike| spike.ms).min().unwrap_or(0);
    let mut text = format!(
        "{} - high {high} ms, low {low} ms (all time high {worst_ms} ms)\n{}\n",
        event.name(),
        "-".repeat(COLUMNS)
    );
    let height = |spike: &Spike| (spike.ms - low) * (ROWS - 1) / (high - low).max(1);
    for row in (0..ROWS).rev() {
        text.extend(spikes.iter().map(|spike| match height(spike).cmp(&row) {
            std::cmp::Ordering::Greater => '|',
            std::cmp::Ordering::Equal if row == 0 => '_',
            std::cmp::Ordering::Equal => '#',
            std::cmp::Ordering::Less => ' ',
        }));
        text.push('\n');
    }
    let ages: Vec<String> = spikes.iter().map(|spike| age(now_s.saturating_sub(spike.unix_s))).collect();
    for row in 0..AGE_ROWS {
        text.extend(ages.iter().map(|age| age.as_bytes().get(row).map_or(' ', |byte| char::from(*byte))));
        text.push('\n');
    }
    text
}

/// Seconds in at most three characters.
fn age(seconds: u64) -> String {
    let units = [(24 * 3600, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];
    let (length, unit) = units.into_iter().find(|(length, _)| seconds >= *length).unwrap_or((1, 's'));
    format!("{}{unit}", seconds / length)
}

/// `LATENCY DOCTOR`: what the spikes mean, in words.
fn doctor(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    let log = &cx.engine.stats.latency;
    let events = log.latest();
    let mut report = String::new();
    if cx.engine.settings.load().latency_ms == 0 && events.is_empty() {
        report.push_str(
            "The latency monitor is off. \"CONFIG SET latency-monitor-threshold <milliseconds>\" turns it on.\n",
        );
    } else if events.is_empty() {
        report.push_str("No latency spike was seen since the latency monitor was turned on.\n");
    }
    for (nth, (event, _, worst_ms)) in events.into_iter().enumerate() {
        let spikes = log.history(event);
        let count = spikes.len() as u64;
        let average = spikes.iter().map(|spike| spike.ms).sum::<u64>() / count.max(1);
        let deviation = spikes.iter().map(|spike| spike.ms.abs_diff(average)).sum::<u64>() / count.max(1);
        // Writing to a string does not fail.
        let _ = writeln!(
            report,
            "{}. {}: {count} latency spikes (average {average}ms, mean deviation {deviation}ms). Worst all time event \
             {worst_ms}ms.",
            nth + 1,
            event.name(),
        );
        report.push_str(match event {
            LatencyEvent::Command => "   SLOWLOG GET shows the commands; ask for fewer elements at a time.\n",
            LatencyEvent::FastCommand => {
                "   Such commands are never long by themselves: the machine gives this process too little time.\n"
            }
        });
    }
    cx.reply.verbatim("txt", report.as_bytes());
    Ok(())
}

/// `LATENCY HISTOGRAM [command ...]`: for each command that has run its calls, and how many of them took up to each power
/// of two of microseconds.
fn histogram(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let mut rows: Vec<Row> = Vec::new();
    if args.is_empty() {
        rows.extend((0..ROWS.len()).filter_map(Row::of_number));
    }
    while let Ok(name) = args.bytes() {
        let Some(row) = table::find_full(name) else { continue };
        rows.push(row);
        let subcommands = row.spec().subcommands.len();
        rows.extend((1..=subcommands).filter_map(|nth| Row::of_number(row.number() + nth)));
    }
    let series = |row: Row| Some((row.spec().name, cx.engine.stats.commands.series(row.number())?));
    let found: Vec<(&str, Series)> = rows.into_iter().filter_map(series).collect();
    cx.reply.map(found.len());
    for (name, series) in found {
        cx.reply.bulk(name.as_bytes());
        cx.reply.map(2);
        cx.reply.bulk(b"calls");
        cx.reply.integer(series.count() as i64);
        cx.reply.bulk(b"histogram_usec");
        let steps = steps(&series);
        cx.reply.map(steps.len());
        for (us, count) in steps {
            cx.reply.integer(us as i64);
            cx.reply.integer(count as i64);
        }
    }
    Ok(())
}

/// Powers of two of microseconds, each with the number of calls that took no longer; only those where it grows.
fn steps(series: &Series) -> Vec<(u64, u64)> {
    let (mut steps, mut below, mut shown, mut us) = (Vec::new(), 0, 0, 1);
    for (bucket, count) in series.buckets.iter().enumerate() {
        below += count;
        let ends_step = bucket_start(bucket + 1) >= us * TICKS_PER_US;
        if ends_step || bucket + 1 == series.buckets.len() {
            if below > shown {
                steps.push((us, below));
                shown = below;
            }
            us *= 2;
        }
    }
    steps
}

/// `LATENCY HELP`: lines of text.
fn help(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    super::super::reply_help(
        cx,
        &[
            "DOCTOR",
            "    Return a human readable latency analysis report.",
            "GRAPH <event>",
            "    Return an ASCII latency graph for the <event> class.",
            "HISTORY <event>",
            "    Return time-latency samples for the <event> class.",
            "LATEST",
            "    Return the latest latency samples for all events.",
            "RESET [<event> ...]",
            "    Reset latency data of one or more <event> classes.",
            "    (default: reset all data for all event classes)",
            "HISTOGRAM [<command> ...]",
            "    Return how the durations of commands are distributed.",
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::concurrent::counters::recorder::bucket_of;

    #[test]
    fn steps_are_powers_of_two_where_the_count_grows() {
        let mut series = Series::default();
        for us in [0, 0, 3, 3, 1_000] {
            series.buckets[bucket_of(us * TICKS_PER_US)] += 1;
        }
        assert_eq!(steps(&series), [(1, 2), (4, 4), (1024, 5)]);
    }

    #[test]
    fn ages_take_three_characters() {
        assert_eq!([0, 59, 60, 7_200, 200_000].map(age), ["0s", "59s", "1m", "2h", "2d"]);
    }
}
