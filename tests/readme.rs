//! The papers' generated sections are what the code says, and the tests and files that papers name exist.
//! `KVNS_REWRITE_PAPERS=1 cargo test --test readme` brings the sections up to date.

use std::fmt::Write;
use std::fs;
use std::path::Path;

type Section = (&'static str, fn() -> String);

/// The sections of REFERENCE.md that are generated: the name of each, as in `<!-- name -->` and `<!-- /name -->`, and
/// what stands between the two.
const SECTIONS: &[Section] = &[("settings", settings), ("metrics", metrics), ("commands", commands)];

const PAPERS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "BENCHMARKS.md",
    "CHANGELOG.md",
    "COMPATIBILITY.md",
    "CONTRIBUTING.md",
    "REFERENCE.md",
];

/// Bytes that the README may have.
const README_BYTES: usize = 20_000;

fn path(paper: &str) -> String {
    format!("{}/{paper}", env!("CARGO_MANIFEST_DIR"))
}

fn read(paper: &str) -> String {
    fs::read_to_string(path(paper)).unwrap_or_else(|error| panic!("{paper}: {error}"))
}

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

fn replaced(paper: &str, name: &str, content: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = paper.split_once(&begin).unwrap_or_else(|| panic!("REFERENCE.md lacks {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("REFERENCE.md lacks {end}"));
    format!("{before}{begin}{content}{end}{after}")
}

#[test]
fn the_generated_sections_are_up_to_date() {
    let reference = read("REFERENCE.md");
    let current =
        SECTIONS.iter().fold(reference.clone(), |text, (name, content)| replaced(&text, name, &content()));
    if std::env::var("KVNS_REWRITE_PAPERS").as_deref() == Ok("1") {
        fs::write(path("REFERENCE.md"), &current).expect("REFERENCE.md is writable");
        return;
    }
    assert!(
        reference == current,
        "REFERENCE.md is out of date: run KVNS_REWRITE_PAPERS=1 cargo test --test readme"
    );
}

#[test]
fn the_readme_is_short() {
    assert!(read("README.md").len() <= README_BYTES, "{} bytes", read("README.md").len());
}

/// Words in backticks that begin with a folder of the project, and links to other papers.
#[test]
fn files_that_papers_name_exist() {
    let folders = ["src/", "tests/", "loom-tests/", "scripts/", "benches/", "fuzz/"];
    for paper in PAPERS {
        let text = read(paper);
        let in_backticks =
            text.split('`').skip(1).step_by(2).filter(|word| folders.iter().any(|at| word.starts_with(at)));
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for name in in_backticks.chain(links.filter(|link| !link.contains("://"))) {
            let file = name.split([' ', '*', '{', '<']).next().expect("a word");
            assert!(Path::new(&path(file)).exists(), "{paper} names {file}, which is not there");
        }
    }
}

/// The rows of the table of departures, each as its cells.
fn departures(paper: &str) -> Vec<Vec<&str>> {
    let (_, rest) = paper.split_once("<!-- departures -->").expect("the departures begin");
    let (table, _) = rest.split_once("<!-- /departures -->").expect("the departures end");
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

#[test]
fn every_departure_names_a_test_that_exists() {
    let paper = read("COMPATIBILITY.md");
    let rows = departures(&paper);
    assert!(rows.len() > 10, "{} departures found", rows.len());
    for row in rows {
        let [place, _, _, test] = row[..] else { panic!("not four cells: {row:?}") };
        let mut words = test.split('`').filter(|word| !word.trim().is_empty());
        let (Some(file), Some(name)) = (words.next(), words.next()) else {
            panic!("{place}: no file and test in {test}");
        };
        let text = read(file);
        assert!(text.contains(&format!("#[test]\nfn {name}()")), "{place}: {file} has no test {name}");
    }
}
