//! SET with its options, the commands that are SET with fewer (SETNX, SETEX, PSETEX), and GETEX.

use super::{answer, string_of};
use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::keyspace::{Change, Draft, Key};
use crate::number::parse_integer;
use crate::resp::Request;
use crate::value::string::Str;

/// An expiry option: its number as the client wrote it, for the grammar is checked before the numbers are.
#[derive(Clone, Copy, Debug)]
struct Expiry<'r> {
    option: &'static str,
    time: &'r [u8],
}

impl<'r> Expiry<'r> {
    /// Reads an expiry option with its number, if that comes next.
    fn take(args: &mut Args<'r>) -> Option<Expiry<'r>> {
        let option = ["EX", "PX", "EXAT", "PXAT"].into_iter().find(|option| args.take_with(option, 1))?;
        Some(Expiry { option, time: args.bytes().ok()? })
    }

    /// The deadline in Unix milliseconds; an error if the time is not positive or too far away.
    fn deadline_ms(self, now_ms: u64) -> Result<u64, CommandError> {
        let (unit_ms, start_ms) = match self.option {
            "EX" => (1000, now_ms as i64),
            "PX" => (1, now_ms as i64),
            "EXAT" => (1000, 0),
            _ => (1, 0),
        };
        let time = parse_integer(self.time).ok_or(CommandError::NotAnInteger)?;
        let deadline = (time > 0).then(|| time.checked_mul(unit_ms)?.checked_add(start_ms)).flatten();
        deadline.map(|deadline| deadline as u64).ok_or(CommandError::InvalidExpireTime)
    }
}

/// The key must be missing, or must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Missing,
    Present,
}

/// The effect of SET on its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetEffect {
    /// Nothing: the condition does not hold.
    Keep,
    /// Removes it.
    Remove,
    /// Sets it, with this deadline.
    Put(Option<u64>),
}

/// SET's options.
#[derive(Clone, Copy, Debug, Default)]
pub struct SetOptions<'r> {
    condition: Option<Condition>,
    answers_old: bool,
    keeps_deadline: bool,
    expiry: Option<Expiry<'r>>,
}

impl<'r> SetOptions<'r> {
    /// Reads the rest of the arguments.
    pub fn parse(mut args: Args<'r>) -> Result<SetOptions<'r>, CommandError> {
        let mut options = SetOptions::default();
        while !args.is_empty() {
            if options.condition != Some(Condition::Present) && args.take("NX") {
                options.condition = Some(Condition::Missing);
            } else if options.condition != Some(Condition::Missing) && args.take("XX") {
                options.condition = Some(Condition::Present);
            } else if args.take("GET") {
                options.answers_old = true;
            } else if options.expiry.is_none() && args.take("KEEPTTL") {
                options.keeps_deadline = true;
            } else if !options.keeps_deadline
                && let Some(expiry) = Expiry::take(&mut args)
            {
                // The same option may be given again, as in Redis; another one may not.
                if options.expiry.is_some_and(|before| before.option != expiry.option) {
                    return Err(CommandError::Syntax);
                }
                options.expiry = Some(expiry);
            } else {
                return Err(CommandError::Syntax);
            }
        }
        Ok(options)
    }

    /// True if the reply is what the key held.
    pub fn answers_old(&self) -> bool {
        self.answers_old
    }

    /// The deadline that the options set, in Unix milliseconds.
    pub fn new_deadline_ms(&self, now_ms: u64) -> Result<Option<u64>, CommandError> {
        self.expiry.map(|expiry| expiry.deadline_ms(now_ms)).transpose()
    }

    /// What is done to a key that is missing, or present with a deadline or without.
    pub fn plan(&self, present: Option<Option<u64>>, new_deadline_ms: Option<u64>, now_ms: u64) -> SetEffect {
        let holds = match self.condition {
            None => true,
            Some(Condition::Missing) => present.is_none(),
            Some(Condition::Present) => present.is_some(),
        };
        let kept_ms = present.flatten().filter(|_| self.keeps_deadline);
        // What expires at once is never there, not even for the rest of a transaction.
        match new_deadline_ms.or(kept_ms) {
            _ if !holds => SetEffect::Keep,
            Some(deadline_ms) if deadline_ms <= now_ms => SetEffect::Remove,
            deadline_ms => SetEffect::Put(deadline_ms),
        }
    }
}

/// What this SET does to its key, for COMMAND GETKEYSANDFLAGS.
pub fn access(request: Request<'_>) -> &'static [&'static str] {
    let has_get = request.iter().skip(3).any(|argument| argument.eq_ignore_ascii_case(b"GET"));
    if has_get { &["RW", "access", "update"] } else { &["OW", "update"] }
}

/// `SET key value [NX|XX] [GET] [EX seconds|PX ms|EXAT unix-seconds|PXAT unix-ms|KEEPTTL]`: `+OK`, or null if
/// the condition does not hold; with GET, what the key held.
pub fn set(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, value) = (args.key()?, args.bytes()?);
    if args.is_empty() {
        cx.view.update(key, |_| Ok::<_, CommandError>((Change::Put(Draft::string(value, None)), ())))?;
        cx.reply.simple("OK");
        return Ok(());
    }
    let options = SetOptions::parse(args)?;
    let now_ms = cx.view.now_ms();
    let new_deadline_ms = options.new_deadline_ms(now_ms)?;
    let (is_set, before) = cx.view.update(key, |entry| {
        let before = if options.answers_old { string_of(entry)? } else { None };
        let present = entry.map(|entry| entry.deadline_ms());
        let change = match options.plan(present, new_deadline_ms, now_ms) {
            SetEffect::Keep => return Ok((Change::Keep, (false, before))),
            SetEffect::Remove => Change::Remove,
            SetEffect::Put(deadline_ms) => Change::Put(Draft::string(value, deadline_ms)),
        };
        Ok::<_, CommandError>((change, (true, before)))
    })?;
    match (options.answers_old, is_set) {
        (true, _) => answer(cx, before),
        (false, true) => cx.reply.simple("OK"),
        (false, false) => cx.reply.null(),
    }
    Ok(())
}

/// `SETNX key value`: 1, or 0 if the key exists.
pub fn setnx(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, value) = (args.key()?, args.bytes()?);
    let is_set = cx.view.update(key, |entry| {
        Ok::<_, CommandError>(match entry {
            Some(_) => (Change::Keep, false),
            None => (Change::Put(Draft::string(value, None)), true),
        })
    })?;
    cx.reply.integer(i64::from(is_set));
    Ok(())
}

/// `SETEX key seconds value`: `+OK`.
pub fn setex(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, time, value) = (args.key()?, args.bytes()?, args.bytes()?);
    set_expiring(cx, key, value, Expiry { option: "EX", time })
}

/// `PSETEX key milliseconds value`: `+OK`.
pub fn psetex(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let (key, time, value) = (args.key()?, args.bytes()?, args.bytes()?);
    set_expiring(cx, key, value, Expiry { option: "PX", time })
}

fn set_expiring(cx: &mut Context<'_, '_>, key: Key<'_>, value: &[u8], expiry: Expiry<'_>) -> CommandResult {
    let deadline_ms = Some(expiry.deadline_ms(cx.view.now_ms())?);
    cx.view.update(key, |_| Ok::<_, CommandError>((Change::Put(Draft::string(value, deadline_ms)), ())))?;
    cx.reply.simple("OK");
    Ok(())
}

/// `GETEX key [EX seconds|PX ms|EXAT unix-seconds|PXAT unix-ms|PERSIST]`: the string, or null. A deadline in
/// the past deletes the key.
pub fn getex(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    let (mut expiry, mut persists): (Option<Expiry<'_>>, bool) = (None, false);
    while !args.is_empty() {
        if expiry.is_none() && args.take("PERSIST") {
            persists = true;
        } else if !persists && let Some(given) = Expiry::take(&mut args) {
            if expiry.is_some_and(|before| before.option != given.option) {
                return Err(CommandError::Syntax);
            }
            expiry = Some(given);
        } else {
            return Err(CommandError::Syntax);
        }
    }
    if expiry.is_none() && !persists {
        let string = string_of(cx.view.read(key)?)?;
        answer(cx, string);
        return Ok(());
    }
    let now_ms = cx.view.now_ms();
    let string = cx.view.update(key, |entry| {
        let Some(entry) = entry else { return Ok((Change::Keep, None)) };
        let string: Str<'_> = entry.string()?;
        let deadline_ms = expiry.map(|expiry| expiry.deadline_ms(now_ms)).transpose()?;
        let change = if deadline_ms.is_some_and(|deadline_ms| deadline_ms <= now_ms) {
            Change::Remove
        } else if deadline_ms == entry.deadline_ms() {
            Change::Keep
        } else {
            Change::Put(Draft::value_of(&entry, deadline_ms))
        };
        Ok::<_, CommandError>((change, Some(string)))
    })?;
    answer(cx, string);
    Ok(())
}
