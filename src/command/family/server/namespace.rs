//! NAMESPACE: tenants as operators see them.

use super::SERVER;
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::sieve::{STEP, Sieve};
use crate::command::spec::Arity::{AtLeast, Exactly};
use crate::command::spec::{CommandSpec, Flags, container, row};
use crate::config::bounds::Invalid;
use crate::config::table::{BYTES, policy};
use crate::config::{NO_QUOTA, Policy};
use crate::glob::Pattern;
use crate::keyspace::NamespaceInfo;

const FOR_ADMIN: Flags = Flags::ADMIN.or(Flags::NOSCRIPT).or(Flags::LOADING).or(Flags::STALE);

const SUBCOMMAND: CommandSpec = SERVER.since("7.2.0");

/// Namespaces that NAMESPACE LIST answers at most: they come from untrusted names, and a reply is to have an end.
const MOST: usize = 100_000;

/// The container and its subcommands.
pub const NAMESPACE: CommandSpec = container(
    SERVER,
    "namespace",
    &[
        row(SUBCOMMAND, "namespace|list", "[pattern:pattern]", AtLeast(2), FOR_ADMIN, list)
            .summary("Returns the names of the namespaces that have keys.")
            .complexity("O(N) with N namespaces")
            .tips(super::VARIES),
        row(SUBCOMMAND, "namespace|stats", "namespace", Exactly(3), FOR_ADMIN, stats)
            .summary("Returns figures about a namespace, with its policy and limit.")
            .tips(super::VARIES),
        row(
            SUBCOMMAND,
            "namespace|flush",
            "namespace",
            Exactly(3),
            Flags::WRITE.or(Flags::KEYSPACE).or(Flags::DANGEROUS).or(Flags::NO_MULTI),
            flush,
        )
        .summary("Deletes the keys of a namespace in steps and returns their number.")
        .complexity("O(N) with N keys of the namespace; others have their turn meanwhile"),
        row(
            SUBCOMMAND,
            "namespace|set",
            "namespace (POLICY=policy|LIMIT=bytes)...",
            AtLeast(5),
            FOR_ADMIN.or(Flags::AFTER_COMMIT),
            set,
        )
        .summary("Sets the eviction policy or the memory limit of a namespace."),
        row(SUBCOMMAND, "namespace|help", "", Exactly(2), Flags::LOADING.or(Flags::STALE), help)
            .summary("Describes how to use NAMESPACE."),
    ],
)
.since("7.2.0")
.summary("Container for commands about namespaces.");

/// `NAMESPACE LIST [pattern]`: an array of names, in order; of the first hundred thousand.
fn list(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let pattern = args.bytes().ok().map(Pattern::new);
    args.finish()?;
    let sieve = cx.in_steps(|cx, sieve: &mut Option<Sieve<Vec<u8>>>| {
        if sieve.is_none() {
            let keyspace = &cx.engine.keyspace;
            let all = cx.engine.run_long_if_free(|| keyspace.namespaces(MOST))?;
            let has_keys = all.into_iter().filter(|namespace| namespace.keys > 0);
            *sieve = Some(Sieve::new(has_keys.map(|namespace| namespace.name).collect()));
        }
        Ok(sieve.as_mut().is_some_and(|sieve| sieve.step(pattern.as_ref(), &mut STEP.clone())))
    })?;
    let mut names = sieve.map(Sieve::into_kept).unwrap_or_default();
    names.sort_unstable();
    cx.reply.array(names.len());
    names.iter().for_each(|name| cx.reply.bulk(name));
    Ok(())
}

/// `NAMESPACE STATS namespace`: a map; zeros for one that has had no keys. `limit` is 0 where there is none.
fn stats(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let name = args.bytes()?;
    let keyspace = &cx.engine.keyspace;
    let rules = keyspace.rules_of_name(name);
    let info = keyspace.namespace(name).unwrap_or_else(|| NamespaceInfo {
        policy: rules.policy,
        quota: (rules.quota != NO_QUOTA).then_some(rules.quota),
        ..NamespaceInfo::default()
    });
    let figures = [
        ("keys", info.keys),
        ("bytes", info.bytes),
        ("hits", info.hits),
        ("misses", info.misses),
        ("expired", info.expired),
        ("evicted", info.evicted),
        ("limit", info.quota.unwrap_or(0)),
    ];
    cx.reply.map(figures.len() + 1);
    for (name, value) in figures {
        cx.reply.bulk(name.as_bytes());
        cx.reply.integer(value as i64);
    }
    cx.reply.bulk(b"policy");
    cx.reply.bulk(info.policy.name().as_bytes());
    Ok(())
}

/// `NAMESPACE FLUSH namespace`: how many keys were deleted. What is written meanwhile may stay.
fn flush(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let name = args.bytes()?;
    let (_, removed) = cx.in_steps_to_the_end(|cx, (cursor, removed): &mut (u64, u64)| {
        let slice = cx.view.flush_namespace(name, *cursor)?;
        *cursor = slice.next.unwrap_or(0);
        *removed += slice.removed;
        Ok(slice.next.is_none())
    })?;
    cx.reply.integer(removed as i64);
    Ok(())
}

/// What NAMESPACE SET changes.
#[derive(Clone, Copy)]
enum RuleChange {
    Policy(Option<Policy>),
    Quota(Option<u64>),
}

/// `NAMESPACE SET namespace POLICY policy | LIMIT bytes [...]`: `+OK`. The policy `default` is that of all namespaces,
/// the limit 0 is none.
fn set(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let name = args.bytes()?.to_vec();
    // Lists in settings are separated so.
    if name.contains(&b',') {
        return Err(CommandError::Plain(
            "ERR a namespace with a comma in its name has no settings of its own",
        ));
    }
    let refused = |invalid: Invalid| CommandError::Custom([b"ERR ", invalid.reason.as_bytes()].concat());
    let mut changes = Vec::new();
    while !args.is_empty() {
        changes.push(if args.take_with("POLICY", 1) {
            let value = args.bytes()?;
            let own = !value.eq_ignore_ascii_case(b"default");
            RuleChange::Policy(
                own.then(|| policy(&String::from_utf8_lossy(value))).transpose().map_err(refused)?,
            )
        } else if args.take_with("LIMIT", 1) {
            let bytes: u64 = BYTES.read(args.bytes()?).map_err(refused)?;
            RuleChange::Quota(Some(bytes.min(i64::MAX as u64)).filter(|bytes| *bytes > 0))
        } else {
            return Err(CommandError::Syntax);
        });
    }
    cx.engine.change_settings(|settings| {
        let rules = &mut settings.eviction;
        for change in &changes {
            match *change {
                RuleChange::Policy(Some(policy)) => drop(rules.policies.insert(name.clone(), policy)),
                RuleChange::Policy(None) => drop(rules.policies.remove(&name)),
                RuleChange::Quota(Some(bytes)) => drop(rules.quotas.insert(name.clone(), bytes)),
                RuleChange::Quota(None) => drop(rules.quotas.remove(&name)),
            }
        }
    });
    cx.reply.simple("OK");
    Ok(())
}

/// `NAMESPACE HELP`: lines of text.
fn help(cx: &mut Context<'_, '_>, _: Args<'_>) -> CommandResult {
    super::super::reply_help(
        cx,
        &[
            "FLUSH <namespace>",
            "    Delete the keys of <namespace>, some at a time.",
            "LIST [<pattern>]",
            "    Return the names of the namespaces that have keys and match <pattern>.",
            "SET <namespace> POLICY <policy>|LIMIT <bytes>",
            "    Bind <namespace> to an eviction policy (or 'default') or a limit (0 for none) of its own.",
            "STATS <namespace>",
            "    Return figures about <namespace>, and what it is bound to.",
        ],
    )
}
