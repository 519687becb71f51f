//! COMMAND DOCS: what commands are for and how they are written.

use super::encoded::Encoded;
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::CommandResult;
use crate::command::grammar::{Argument, Shape, arguments};
use crate::command::spec::CommandSpec;
use crate::command::table::{self, COUNT};
use crate::resp::ReplyWriter;

/// `COMMAND DOCS [name ...]`: a map of names and maps; what is no command is left out.
pub fn docs(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    if args.is_empty() {
        static ENCODED: Encoded = Encoded::new();
        ENCODED.reply(cx, |reply| {
            reply.map(COUNT);
            table::commands().for_each(|spec| reply_docs(reply, spec));
        });
        return Ok(());
    }
    let mut specs: Vec<&CommandSpec> = Vec::new();
    while let Ok(name) = args.bytes() {
        specs.extend(table::find_full(name).map(|row| row.spec()));
    }
    cx.reply.map(specs.len());
    specs.iter().for_each(|spec| reply_docs(cx.reply, spec));
    Ok(())
}

fn reply_docs(reply: &mut ReplyWriter, spec: &CommandSpec) {
    let facts = [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.group.name()),
        ("complexity", spec.complexity),
    ];
    let arguments = arguments(spec.arguments);
    reply.bulk(spec.name.as_bytes());
    reply.map(facts.len() + usize::from(!arguments.is_empty()) + usize::from(!spec.subcommands.is_empty()));
    for (name, fact) in facts {
        reply.bulk(name.as_bytes());
        reply.bulk(fact.as_bytes());
    }
    if !arguments.is_empty() {
        reply.bulk(b"arguments");
        reply_arguments(reply, &arguments);
    }
    if !spec.subcommands.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(spec.subcommands.len());
        spec.subcommands.iter().for_each(|subcommand| reply_docs(reply, subcommand));
    }
}

fn reply_arguments(reply: &mut ReplyWriter, arguments: &[Argument<'_>]) {
    reply.array(arguments.len());
    arguments.iter().for_each(|argument| reply_argument(reply, argument));
}

fn reply_argument(reply: &mut ReplyWriter, argument: &Argument<'_>) {
    let (kind, inner): (&str, &[Argument<'_>]) = match &argument.shape {
        Shape::Value(_, kind) => (kind, &[]),
        Shape::Word => ("pure-token", &[]),
        Shape::OneOf(choices) => ("oneof", choices),
        Shape::Block(block) => ("block", block),
    };
    let flags: Vec<&str> = [
        (argument.is_optional, "optional"),
        (argument.is_multiple, "multiple"),
        (argument.repeats_token, "multiple_token"),
    ]
    .into_iter()
    .filter_map(|(is_set, name)| is_set.then_some(name))
    .collect();
    let mut facts = vec![("name", name_of(argument)), ("type", kind.to_owned())];
    if let Shape::Value(name, _) = argument.shape {
        facts.push(("display_text", name.to_owned()));
    }
    if let Some(token) = argument.token {
        facts.push(("token", token.to_owned()));
    }
    let is_key = kind == "key";
    reply.map(
        facts.len() + usize::from(is_key) + usize::from(!flags.is_empty()) + usize::from(!inner.is_empty()),
    );
    for (name, fact) in facts {
        reply.bulk(name.as_bytes());
        reply.bulk(fact.as_bytes());
    }
    if is_key {
        reply.bulk(b"key_spec_index");
        reply.integer(0);
    }
    if !flags.is_empty() {
        reply.bulk(b"flags");
        reply.set(flags.len());
        flags.iter().for_each(|flag| reply.simple(flag));
    }
    if !inner.is_empty() {
        reply.bulk(b"arguments");
        reply_arguments(reply, inner);
    }
}

/// The argument's own name, or one made of its parts.
fn name_of(argument: &Argument<'_>) -> String {
    match &argument.shape {
        Shape::Value(name, _) => (*name).to_owned(),
        Shape::Word => argument.token.unwrap_or_default().to_ascii_lowercase(),
        Shape::OneOf(parts) | Shape::Block(parts) => parts.iter().map(name_of).collect::<Vec<_>>().join("_"),
    }
}
