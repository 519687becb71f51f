//! Scripts of every family: each line is a command, run over RESP2, RESP3 and (where a line allows it) inline.
//!
//! `---` begins a new script: both servers are emptied and all connections are new. A line that begins with
//! `2>` goes over a second connection. `#` begins a comment.

use crate::pair::{Link, Pair};
use crate::support::resp::split_line;
use crate::support::{Client, Value, cmd};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Resp2,
    Resp3,
    Inline,
}

fn run_script(pair: &Pair, script: &str, form: Form, report: &mut String) {
    pair.flush();
    let connect = || -> Link {
        let mut link = pair.link();
        if form == Form::Resp3 {
            let hello = link.compare(&[split_line("HELLO 3")]);
            hello.unwrap_or_else(|difference| panic!("{difference}"));
        }
        link
    };
    let mut links = [connect(), connect()];
    for line in script.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (index, line) = line.strip_prefix("2>").map_or((0, line), |rest| (1, rest.trim()));
        let command = split_line(line);
        let result = match form {
            Form::Inline => links[index].compare_inline(line, &command),
            Form::Resp2 | Form::Resp3 => links[index].compare(&[command]),
        };
        if let Err(difference) = result {
            *report += &format!("[{form:?}] {difference}\n");
        }
    }
}

fn run_scripts(text: &str) {
    let Some(pair) = Pair::start() else { return };
    let mut report = String::new();
    for script in text.split("\n---") {
        for form in [Form::Resp2, Form::Resp3, Form::Inline] {
            run_script(&pair, script, form, &mut report);
        }
    }
    assert!(report.is_empty(), "{} other answers:\n{report}", report.matches("redis: ").count());
}

#[test]
fn connection_commands_answer_alike() {
    run_scripts(include_str!("connection.txt"));
}

#[test]
fn refusals_over_maxmemory_answer_alike() {
    run_scripts(include_str!("memory.txt"));
}

#[test]
fn string_commands_answer_alike() {
    run_scripts(include_str!("strings.txt"));
}

#[test]
fn list_commands_answer_alike() {
    run_scripts(include_str!("lists.txt"));
}

#[test]
fn hash_commands_answer_alike() {
    run_scripts(include_str!("hashes.txt"));
}

#[test]
fn sort_answers_alike() {
    run_scripts(include_str!("sort.txt"));
}

#[test]
fn set_commands_answer_alike() {
    run_scripts(include_str!("sets.txt"));
}

#[test]
fn sorted_set_commands_answer_alike() {
    run_scripts(include_str!("sorted_sets.txt"));
}

#[test]
fn key_commands_answer_alike() {
    run_scripts(include_str!("keys.txt"));
}

#[test]
fn transactions_answer_alike() {
    run_scripts(include_str!("transactions.txt"));
}

#[test]
fn server_commands_answer_alike() {
    run_scripts(include_str!("server.txt"));
}

#[test]
fn pubsub_commands_answer_alike() {
    run_scripts(include_str!("pubsub.txt"));
}

/// What COMMAND INFO says of a command: name, arity, flags, first key, last key, step, categories.
fn described(info: &Value) -> Option<Vec<Value>> {
    if info.is_null() {
        return None;
    }
    let sorted = |value: &Value| {
        let mut flags = value.elements().to_vec();
        flags.sort();
        Value::Array(flags)
    };
    let fields = info.elements();
    let mut described = fields[..6].to_vec();
    described[2] = sorted(&fields[2]);
    described.push(sorted(&fields[6]));
    Some(described)
}

#[test]
fn commands_are_described_alike() {
    let Some(pair) = Pair::start() else { return };
    let (mut ours, mut theirs) = (pair.ours.client(), pair.theirs.client());
    let names = ours.run("COMMAND LIST");
    let commands = names.elements().iter().filter(|name| !name.bytes().contains(&b'|')).count();
    assert_eq!(ours.run("COMMAND COUNT").integer(), commands as i64);
    let mut report = String::new();
    for name in names.elements() {
        let info = |client: &mut Client| {
            let reply = client.command(&cmd!["COMMAND", "INFO", name.bytes()]);
            described(&reply.elements()[0])
        };
        let (our, their) = (info(&mut ours), info(&mut theirs));
        match (our, their) {
            (None, _) => report += &format!("{name:?} has no COMMAND INFO\n"),
            // They have taken WITHSCORE since Redis 7.2.
            (Some(our), Some(mut their)) if matches!(name.bytes(), b"zrank" | b"zrevrank") => {
                their[1] = Value::Integer(-3);
                assert_eq!(our, their);
            }
            (Some(our), Some(their)) if our != their => {
                report += &format!("{name:?}\n  kvns:  {our:?}\n  redis: {their:?}\n");
            }
            _ => {}
        }
    }
    assert!(report.is_empty(), "described otherwise:\n{report}");
}
