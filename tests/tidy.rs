//! Reads the source and refuses what the layout of `src/lib.rs` forbids: imports that go up, long functions and
//! files, words that belong to one module only.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;

/// Functions that are longer than the limit, with the length that each may have at most. To be made empty.
const LONG_FUNCTIONS: &[(&str, &str, usize)] = &[];

/// The layer of each module, as the map in `src/lib.rs` has them.
const LAYERS: &[(&str, u8)] = &[
    ("main", 7),
    ("server", 6),
    ("metrics", 6),
    ("command", 5),
    ("engine", 4),
    ("session", 4),
    ("keyspace", 3),
    ("sharded", 3),
    ("stats", 2),
    ("config", 2),
    ("snapshot", 2),
    ("log", 2),
    ("concurrent", 1),
    ("memory", 1),
    ("value", 1),
    ("resp", 1),
    ("sync", 0),
    ("clock", 0),
    ("glob", 0),
    ("number", 0),
    ("size_class", 0),
    ("wait", 0),
];

/// Imports between modules of one layer; anything else sideways is refused.
const SIDEWAYS: &[(&str, &str)] = &[
    ("session", "engine"),
    ("metrics", "server"),
    ("sharded", "keyspace"),
    ("clock", "sync"),
    ("concurrent", "value"),
    ("memory", "concurrent"),
];

/// The rooms of `src/concurrent`, each with those that it may import.
const ROOMS: &[(&str, &[&str])] = &[
    ("counters", &[]),
    ("mail", &[]),
    ("ledger", &[]),
    ("epoch", &["counters"]),
    ("versions", &["epoch"]),
    ("slots", &["counters", "epoch", "ledger", "versions"]),
    ("snapshot", &["epoch", "slots", "versions"]),
];

/// Files that import each other in a circle, because they are one thing in several pieces.
const CIRCLES: &[&[&str]] = &[
    &["concurrent/versions/cell", "concurrent/versions/transaction"],
    &["concurrent/versions/nodes", "concurrent/versions/retention"],
    &[
        "concurrent/slots/chunk",
        "concurrent/slots/directory",
        "concurrent/slots/namespace",
        "concurrent/slots/slot",
    ],
];

/// A word, the modules (or folders) that may use it, and why the others may not.
const WORDS: &[(&str, &[&str], &str)] = &[
    ("Instant::now", &["clock"], "time is read in clock.rs only, so that tests can drive it"),
    ("SystemTime::now", &["clock"], "time is read in clock.rs only, so that tests can drive it"),
    (
        "unsafe",
        &["concurrent", "sync", "src/value/tree/node/"],
        "unsafe code lives in concurrent and in the nodes of the tree, beside the instructions of sync.rs",
    ),
    ("Atomic", &["concurrent", "sync"], "atomics live in concurrent only, chosen in sync.rs"),
    ("std::sync::atomic", &["sync"], "atomics are chosen in sync.rs, so that loom sees those of a protocol"),
    ("tokio", &["server", "metrics", "main"], "tokio appears in server, metrics and main only"),
    ("papaya", &["concurrent", "keyspace"], "handlers see no papaya"),
    ("crossbeam_epoch", &["concurrent"], "reclamation is behind concurrent"),
    ("FIXME", &[], "nothing unfinished on main"),
    ("TODO", &[], "nothing unfinished on main"),
    ("todo!", &[], "nothing unfinished on main"),
    ("unimplemented!", &[], "nothing unfinished on main"),
    ("dbg!", &[], "nothing unfinished on main"),
];

struct Source {
    /// Relative to the project, with `/`.
    path: String,
    /// The module right under the crate: `command` for `src/command/family/keys.rs`.
    module: String,
    text: String,
    /// The text with comments, strings and character literals blanked out, and without its tests.
    code: String,
}

fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder entry").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    rust_files(&project().join("src"), &mut paths);
    paths.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let relative = path.strip_prefix(project()).expect("a path in the project");
        let parts: Vec<String> = relative.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        let module = parts[1].trim_end_matches(".rs").to_string();
        let code = without_tests(&blanked(&text));
        Source { path: parts.join("/"), module, text, code }
    };
    paths.iter().map(read).filter(|source| !is_test_file(source)).collect()
}

fn is_test_file(source: &Source) -> bool {
    source.path.ends_with("/tests.rs") || source.path.contains("/tests/")
}

/// Blanks out comments, strings and character literals, keeping every line where it is.
fn blanked(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_end(bytes, at);
        if end == at {
            out.push(bytes[at] as char);
            at += 1;
        } else {
            out.extend(bytes[at..end].iter().map(|byte| if *byte == b'\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// The end of the comment, string or character literal that begins at `at`; `at` if none does.
fn literal_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let until = |needle: &[u8], from: usize| {
        let found = rest[from..].windows(needle.len()).position(|window| window == needle);
        at + found.map_or(rest.len(), |offset| from + offset + needle.len())
    };
    let after_word = at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_');
    match rest {
        [b'/', b'/', ..] => until(b"\n", 2) - 1,
        [b'/', b'*', ..] => until(b"*/", 2),
        [b'r', b'"', ..] if !after_word => until(b"\"", 2),
        [b'r', b'#', b'"', ..] if !after_word => until(b"\"#", 3),
        [b'"', ..] => {
            let mut end = 1;
            while end < rest.len() && rest[end] != b'"' {
                end += if rest[end] == b'\\' { 2 } else { 1 };
            }
            at + (end + 1).min(rest.len())
        }
        [b'\'', b'\\', ..] => until(b"'", 3),
        [b'\'', _, b'\'', ..] => at + 3,
        _ => at,
    }
}

/// The code without its `#[cfg(test)]` items and modules.
fn without_tests(code: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        let attribute = line.trim();
        if !attribute.starts_with("#[cfg(test)]") && !attribute.starts_with("#[cfg(all(test") {
            kept.push(line);
            continue;
        }
        let mut depth = 0i64;
        for line in lines.by_ref() {
            depth += braces(line);
            if depth == 0 && (line.contains('}') || line.contains(';')) {
                break;
            }
        }
    }
    kept.join("\n")
}

/// Opening braces less closing ones.
fn braces(line: &str) -> i64 {
    line.bytes().map(|byte| i64::from(byte == b'{') - i64::from(byte == b'}')).sum()
}

/// True if `word` stands in `line` where no identifier goes on to the left of it, nor to the right if it is a
/// whole word itself.
fn uses(line: &str, word: &str) -> bool {
    let is_name = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    line.match_indices(word).any(|(at, _)| {
        let (left, right) = (line.as_bytes()[..at].last(), line.as_bytes().get(at + word.len()));
        !is_name(left) && (word == "Atomic" || !is_name(right))
    })
}

fn layer(module: &str) -> Option<u8> {
    LAYERS.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer)
}

/// The modules a source names as `crate::module`, also inside `use crate::{a, b::c}`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, prefix) in code.match_indices("crate::").chain(code.match_indices("kvns::")) {
        let rest = &code[at + prefix.len()..];
        let list = match rest.strip_prefix('{') {
            Some(group) => top_level_names(group),
            None => vec![rest],
        };
        for item in list {
            let name: String =
                item.trim().chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect();
            if !name.is_empty() && name.chars().all(|char| !char.is_uppercase()) {
                found.insert(name);
            }
        }
    }
    found
}

/// The items of a `{...}` group, up to its closing brace.
fn top_level_names(group: &str) -> Vec<&str> {
    let (mut items, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, char) in group.char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 0 => {
                items.push(&group[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                items.push(&group[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items
}

fn check(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn modules_import_downward_only() {
    let mut problems = Vec::new();
    for source in sources().iter().filter(|source| source.module != "lib") {
        let Some(own) = layer(&source.module) else {
            problems.push(format!("{}: module {} has no layer in tests/tidy.rs", source.path, source.module));
            continue;
        };
        for import in imports(&source.code) {
            let Some(other) = layer(&import) else { continue };
            let sideways = SIDEWAYS.contains(&(source.module.as_str(), import.as_str()));
            if import != source.module && other >= own && !sideways {
                problems.push(format!("{}: {} may not import {import}", source.path, source.module));
            }
        }
    }
    check(problems);
}

/// The path of a source's module: `concurrent/slots/slot`.
fn module_path(source: &Source) -> String {
    let path = source.path.trim_start_matches("src/").trim_end_matches(".rs");
    path.trim_end_matches("/mod").to_owned()
}

/// Every path of a `use` tree: `a::{b, c::{d, e}}` has `a::b`, `a::c::d` and `a::c::e`.
fn leaves(prefix: &str, tree: &str, found: &mut Vec<String>) {
    match tree.split_once('{') {
        None => found.push(format!("{prefix}{}", tree.trim())),
        Some((head, group)) => {
            let prefix = format!("{prefix}{}", head.trim());
            top_level_names(group).into_iter().for_each(|item| leaves(&prefix, item, found));
        }
    }
}

/// Every path from `crate`, `super` or `self` that a source names.
fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for root in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(root) {
            let before = code[..at].chars().next_back();
            if before.is_some_and(|char| char.is_alphanumeric() || char == '_' || char == ':') {
                continue;
            }
            let part_of_path = |char: char| char.is_alphanumeric() || "_:".contains(char);
            let end = code[at..].find(|char| !part_of_path(char)).map_or(code.len(), |end| at + end);
            match code[end..].strip_prefix('{') {
                Some(_) => leaves("", &code[at..], &mut found),
                None => found.push(code[at..end].to_owned()),
            }
        }
    }
    found
}

/// The module that a path in module `own` leads into.
fn resolve(own: &str, path: &str, modules: &BTreeSet<String>) -> Option<String> {
    let mut names = path.split("::").peekable();
    let mut at: Vec<&str> = own.split('/').collect();
    while let Some(root) = names.next_if(|name| ["crate", "super", "self"].contains(name)) {
        match root {
            "crate" => at.clear(),
            "super" => drop(at.pop()),
            _ => {}
        }
    }
    let mut module = Some(at.join("/")).filter(|module| modules.contains(module));
    for name in names {
        at.push(name);
        match modules.get(&at.join("/")) {
            Some(deeper) => module = Some(deeper.clone()),
            None => break,
        }
    }
    module
}

/// Which modules each module imports; a module and the ones inside it do not count, as they are one.
fn import_graph() -> BTreeMap<String, BTreeSet<String>> {
    let sources = sources();
    let modules: BTreeSet<String> = sources.iter().map(module_path).collect();
    let is_inside = |inner: &str, outer: &str| inner == outer || inner.starts_with(&format!("{outer}/"));
    let imports = |source: &Source| {
        let own = module_path(source);
        let found = paths(&source.code).into_iter().filter_map(|path| resolve(&own, &path, &modules));
        let found = found.filter(|other| !is_inside(other, &own) && !is_inside(&own, other)).collect();
        (own, found)
    };
    sources.iter().map(imports).collect()
}

/// Everything that can be reached from `start`.
fn reachable(graph: &BTreeMap<String, BTreeSet<String>>, start: &str) -> BTreeSet<String> {
    let (mut seen, mut open) = (BTreeSet::new(), vec![start.to_owned()]);
    while let Some(next) = open.pop() {
        let imports = graph.get(&next).into_iter().flatten();
        open.extend(imports.filter(|import| seen.insert((*import).clone())).cloned());
    }
    seen
}

/// The sets of nodes that reach each other.
fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<Vec<String>> {
    let reach: BTreeMap<&String, BTreeSet<String>> =
        graph.keys().map(|node| (node, reachable(graph, node))).collect();
    let circle_of = |node: &&String| -> Vec<String> {
        let both =
            reach[*node].iter().filter(|other| reach.get(other).is_some_and(|back| back.contains(*node)));
        both.cloned().collect()
    };
    graph.keys().map(|node| circle_of(&node)).filter(|circle| !circle.is_empty()).collect()
}

#[test]
fn imports_go_in_no_circle_but_the_named_ones() {
    let named: BTreeSet<Vec<String>> =
        CIRCLES.iter().map(|circle| circle.iter().map(|name| (*name).to_owned()).collect()).collect();
    let graph = import_graph();
    let found = circles(&graph);
    let mut problems: Vec<String> = found
        .difference(&named)
        .map(|circle| format!("a circle of imports: {}", circle.join(", ")))
        .collect();
    let gone = named.difference(&found);
    problems.extend(
        gone.map(|circle| format!("no circle any more, to be taken off the list: {}", circle.join(", "))),
    );
    let folder =
        |module: &String| module.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.to_owned());
    let mut folders: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (own, imports) in &graph {
        let own = folder(own);
        let is_apart = |other: &String| {
            !other.is_empty() && !own.starts_with(other.as_str()) && !other.starts_with(own.as_str())
        };
        folders.entry(own.clone()).or_default().extend(imports.iter().map(folder).filter(is_apart));
    }
    folders.remove("");
    problems
        .extend(circles(&folders).iter().map(|circle| format!("a circle of folders: {}", circle.join(", "))));
    check(problems);
}

#[test]
fn rooms_import_only_what_they_may() {
    let room = |module: &str| Some(module.strip_prefix("concurrent/")?.split('/').next()?.to_owned());
    let mut problems = Vec::new();
    for (module, imports) in import_graph() {
        let Some(own) = room(&module) else { continue };
        let Some((_, may)) = ROOMS.iter().find(|(name, _)| **name == own) else {
            problems.push(format!("src/{module}.rs: room {own} is not in tests/tidy.rs"));
            continue;
        };
        let others = imports.iter().filter_map(|import| room(import)).filter(|other| *other != own);
        let refused = others.filter(|other| !may.contains(&other.as_str()));
        problems.extend(refused.map(|other| format!("src/{module}.rs: {own} may not import {other}")));
    }
    check(problems);
}

/// Only what describes the table itself (COMMAND, INFO, CLIENT) may read it from inside a family.
#[test]
fn handlers_never_call_the_gate() {
    let mut problems = Vec::new();
    for source in sources().iter().filter(|source| source.path.starts_with("src/command/family/")) {
        if source.code.contains("command::dispatch") {
            problems.push(format!("{}: a family may not import dispatch", source.path));
        }
        if source.code.contains("command::table") && !source.path.starts_with("src/command/family/server/") {
            problems.push(format!("{}: a family may not import table", source.path));
        }
    }
    check(problems);
}

/// What a template of rows would give silently, such as a flag or another command's handler, is named in every row.
#[test]
fn files_are_short() {
    let long = |source: &&Source| source.code.lines().count() > FILE_LINES;
    let say = |source: &Source| {
        format!("{}: {} lines without tests, at most {FILE_LINES}", source.path, source.code.lines().count())
    };
    check(sources().iter().filter(long).map(say).collect());
}

/// Every function of a source: its name and its number of lines.
fn functions(code: &str) -> Vec<(String, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(at) = line.find("fn ").filter(|_| uses(line, "fn")) else { continue };
        let name: String =
            line[at + 3..].chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect();
        if name.is_empty() {
            continue;
        }
        let (mut depth, mut opened) = (0, false);
        for (length, line) in lines[start..].iter().enumerate() {
            depth += braces(line);
            opened |= line.contains('{');
            if !opened && line.trim_end().ends_with(';') {
                break;
            }
            if opened && depth <= 0 {
                found.push((name, length + 1));
                break;
            }
        }
    }
    found
}

#[test]
fn functions_are_short() {
    let mut problems = Vec::new();
    for source in sources() {
        for (name, length) in functions(&source.code) {
            let excused = LONG_FUNCTIONS.iter().find(|(path, long, _)| *path == source.path && *long == name);
            let limit = excused.map_or(FUNCTION_LINES, |(_, _, limit)| *limit);
            if length > limit {
                problems.push(format!("{}: {name} has {length} lines, at most {limit}", source.path));
            }
        }
    }
    check(problems);
}

#[test]
fn words_stay_in_their_modules() {
    let mut problems = Vec::new();
    for source in sources() {
        for (number, line) in source.code.lines().enumerate() {
            for (word, modules, reason) in WORDS {
                let may = |place: &&str| **place == source.module || source.path.starts_with(*place);
                if uses(line, word) && !modules.iter().any(may) && !is_lint(line) {
                    problems.push(format!("{}, code line {}: {word}: {reason}", source.path, number + 1));
                }
            }
        }
        for (number, line) in source.text.lines().enumerate() {
            if ["FIXME", "TODO", "XXX"].iter().any(|word| uses(line, word)) {
                problems.push(format!("{}:{}: nothing unfinished on main", source.path, number + 1));
            }
        }
    }
    check(problems);
}

/// Atomics that loom never sees say why they carry no protocol: beside them, or where a file takes them for all it has.
#[test]
fn plain_atomics_have_their_reasons() {
    let mut problems = Vec::new();
    let mut found = 0;
    for source in sources().iter().filter(|source| source.module == "concurrent") {
        let lines: Vec<&str> = source.text.lines().collect();
        let header = lines.iter().take_while(|line| line.starts_with("//!"));
        let speaks_for_all = header.filter(|line| line.contains("Orderings")).count() > 0;
        // The last reason holds for the fields that follow it without another word.
        let mut has_reason = false;
        for (number, line) in lines.iter().map(|line| line.trim()).enumerate() {
            let is_comment = line.starts_with("//");
            let takes_all = line.starts_with("use ") && line.contains("sync::plain::{");
            let is_declared = line.contains(": plain::Atomic") || line.contains("[plain::Atomic");
            if is_comment {
                has_reason |= line.contains("ORDERING:");
            } else if takes_all || is_declared && !line.contains("::new(") {
                found += 1;
                if !(has_reason || takes_all && speaks_for_all) {
                    problems.push(format!("{}:{}: why is it no protocol?", source.path, number + 1));
                }
            } else {
                has_reason = false;
            }
        }
    }
    assert!(found > 10, "only {found} plain atomics found");
    check(problems);
}

/// Attributes name lints such as `unsafe_code` and cfg values.
fn is_lint(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("#[") || line.starts_with("#![")
}

#[test]
fn sources_are_ascii() {
    let mut paths = Vec::new();
    for folder in ["src", "tests", "benches", "loom-tests"] {
        let folder = project().join(folder);
        if folder.is_dir() {
            rust_files(&folder, &mut paths);
        }
    }
    let mut problems = Vec::new();
    for path in paths {
        let text = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
            if !line.is_ascii() {
                problems.push(format!("{}:{}: not ASCII", path.display(), number + 1));
            }
        }
    }
    check(problems);
}

#[test]
fn the_reader_of_sources_sees_what_it_must() {
    let text = "use crate::{engine::Engine, resp::{Limits, Request}};\nfn a() { let x = \"unsafe { }\"; // unsafe\n}\n\
                #[cfg(test)]\nmod tests {\n    use crate::server;\n}\nfn b<'a>(c: &'a str) -> char { '{' }\n";
    let code = without_tests(&blanked(text));
    assert_eq!(imports(&code), ["engine", "resp"].map(String::from).into());
    assert!(!code.contains("unsafe") && !code.contains("server"));
    assert_eq!(functions(&code), [("a".to_string(), 2), ("b".to_string(), 1)]);
    assert!(uses("let x = AtomicU64::new(0);", "Atomic") && !uses("my_tokio", "tokio"));
}
