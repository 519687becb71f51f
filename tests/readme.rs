//! The README's generated sections are what the code says, and the tests it names exist.
//! `KVNS_REWRITE_README=1 cargo test --test readme` brings the sections up to date.

use std::fmt::Write;
use std::fs;

type Section = (&'static str, fn() -> String);

/// The name of each section, as in `<!-- name -->` and `<!-- /name -->`, and what stands between the two.
const SECTIONS: &[Section] = &[("settings", settings), ("metrics", metrics), ("commands", commands)];

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");

fn settings() -> String {
    let mut table = "| Variable | Flag | Default | Meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for arg in kvns::config::command().get_arguments() {
        let (Some(variable), Some(flag)) = (arg.get_env().and_then(|name| name.to_str()), arg.get_long())
        else {
            continue;
        };
        let default = arg.get_default_values().first().and_then(|value| value.to_str());
        let default = default.map_or("unset".to_owned(), |value| format!("`{value}`"));
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default().replace('\n', " ");
        writeln!(table, "| `{variable}` | `--{flag}` | {default} | {help} |").expect("text");
    }
    table
}

fn metrics() -> String {
    let mut table = "| Series | Type | Labels | Meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for family in kvns::metrics::described() {
        let (kind, labels) = (family.kind.name(), family.labels.join(", "));
        writeln!(table, "| `{}` | {kind} | {labels} | {} |", family.name, family.help).expect("text");
    }
    table
}

fn commands() -> String {
    let mut rows: Vec<_> = kvns::command::table::commands().collect();
    rows.sort_by_key(|spec| (spec.group.name(), spec.name));
    let mut table = "| Command | Family | Summary |\n| --- | --- | --- |\n".to_owned();
    for spec in rows {
        let name = spec.name.to_uppercase();
        let subcommands: Vec<_> = spec.subcommands.iter().map(|sub| sub.own_name().to_uppercase()).collect();
        let name = if subcommands.is_empty() { name } else { format!("{name} ({})", subcommands.join(", ")) };
        writeln!(table, "| {name} | {} | {} |", spec.group.name(), spec.summary).expect("text");
    }
    table
}

fn replaced(readme: &str, name: &str, content: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = readme.split_once(&begin).unwrap_or_else(|| panic!("README.md lacks {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("README.md lacks {end}"));
    format!("{before}{begin}{content}{end}{after}")
}

#[test]
fn the_generated_sections_are_up_to_date() {
    let readme = fs::read_to_string(README).expect("README.md");
    let current =
        SECTIONS.iter().fold(readme.clone(), |text, (name, content)| replaced(&text, name, &content()));
    if std::env::var("KVNS_REWRITE_README").as_deref() == Ok("1") {
        fs::write(README, &current).expect("README.md is writable");
        return;
    }
    assert!(
        readme == current,
        "README.md is out of date: run KVNS_REWRITE_README=1 cargo test --test readme"
    );
}

/// The rows of the table of departures, each as its cells.
fn departures(readme: &str) -> Vec<Vec<&str>> {
    let (_, rest) = readme.split_once("<!-- departures -->").expect("the departures begin");
    let (table, _) = rest.split_once("<!-- /departures -->").expect("the departures end");
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn every_departure_names_a_test_that_exists() {
    let readme = fs::read_to_string(README).expect("README.md");
    let rows = departures(&readme);
    assert!(rows.len() > 10, "{} departures found", rows.len());
    for row in rows {
        let [place, _, _, test] = row[..] else { panic!("not four cells: {row:?}") };
        let mut words = test.split('`').filter(|word| !word.trim().is_empty());
        let (Some(file), Some(name)) = (words.next(), words.next()) else {
            panic!("{place}: no file and test in {test}");
        };
        let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{place}: {file}: {error}"));
        assert!(text.contains(&format!("#[test]\nfn {name}()")), "{place}: {file} has no test {name}");
    }
}
