//! ZADD and ZINCRBY.

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::keyspace::{Key, SortedSetEdit};
use crate::number::parse_double;
use smallvec::SmallVec;

/// When a member gets its score, and what is said about it.
#[derive(Clone, Copy, Debug, Default)]
struct AddOptions {
    /// NX: only if it is no member.
    only_new: bool,
    /// XX: only if it is one.
    only_present: bool,
    /// GT: a present member only if the score grows.
    only_greater: bool,
    /// LT: a present member only if the score shrinks.
    only_less: bool,
    /// CH: moved members count, not only new ones.
    counts_moved: bool,
    /// INCR: the score is added to the present one.
    increments: bool,
}

/// What became of a member.
#[derive(Clone, Copy, Debug)]
struct Scoring {
    before: Option<f64>,
    after: f64,
}

impl AddOptions {
    /// Reads options up to the first argument that is not one.
    fn parse(args: &mut Args<'_>) -> AddOptions {
        let mut options = AddOptions::default();
        loop {
            let option = match () {
                () if args.take("NX") => &mut options.only_new,
                () if args.take("XX") => &mut options.only_present,
                () if args.take("GT") => &mut options.only_greater,
                () if args.take("LT") => &mut options.only_less,
                () if args.take("CH") => &mut options.counts_moved,
                () if args.take("INCR") => &mut options.increments,
                () => return options,
            };
            *option = true;
        }
    }

    fn check(self, pairs: usize) -> CommandResult {
        let limits = [self.only_greater, self.only_less, self.only_new];
        match () {
            () if self.only_new && self.only_present => Err(CommandError::XxNxConflict),
            () if limits.into_iter().filter(|is_set| *is_set).count() > 1 => {
                Err(CommandError::GtLtNxConflict)
            }
            () if self.increments && pairs > 1 => Err(CommandError::IncrOfSeveral),
            () => Ok(()),
        }
    }

    /// Gives a member a score, unless the options are against it: then `None`.
    fn apply(
        self,
        edit: &mut SortedSetEdit<'_>,
        score: f64,
        member: &[u8],
    ) -> Result<Option<Scoring>, CommandError> {
        let is_conditional = self.only_new || self.only_present || self.only_greater || self.only_less;
        if !is_conditional && !self.increments {
            return Ok(Some(Scoring { before: edit.put(member, stored(score)), after: score }));
        }
        let before = edit.score(member);
        let after = before.filter(|_| self.increments).map_or(score, |before| before + score);
        let is_refused = match before {
            None => self.only_present,
            Some(_) if self.only_new => true,
            Some(_) if after.is_nan() => return Err(CommandError::ResultNotANumber),
            Some(before) => (self.only_greater && after <= before) || (self.only_less && after >= before),
        };
        if is_refused {
            return Ok(None);
        }
        edit.put(member, stored(after));
        Ok(Some(Scoring { before, after }))
    }
}

/// A score as it is stored: zero has no sign.
pub fn stored(score: f64) -> f64 {
    score + 0.0
}

/// `ZADD key [NX|XX] [GT|LT] [CH] [INCR] score member [score member ...]`: how many of the members are new, with
/// CH also how many moved; with INCR the member's score after it, or null if it was left alone.
pub fn zadd(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    let options = AddOptions::parse(&mut args);
    put(cx, key, args, options)
}

/// `ZINCRBY key increment member`: the member's score after it; a missing member counts as 0.
pub fn zincrby(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    // Redis takes ZADD's options here, and then misses the increment or the member.
    let options = AddOptions { increments: true, ..AddOptions::parse(&mut args) };
    put(cx, key, args, options)
}

fn put(cx: &mut Context<'_, '_>, key: Key<'_>, mut args: Args<'_>, options: AddOptions) -> CommandResult {
    if args.is_empty() || !args.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    options.check(args.len() / 2)?;
    let mut pairs: SmallVec<[(f64, &[u8]); 4]> = SmallVec::with_capacity(args.len() / 2);
    while !args.is_empty() {
        let score = parse_double(args.bytes()?).ok_or(CommandError::NotAFloat)?;
        pairs.push((score, args.bytes()?));
    }
    let (counted, last) = cx.view.gather_sorted_set(key, |edit| {
        let (mut counted, mut last) = (0, None);
        for (score, member) in &pairs {
            last = options.apply(edit, *score, member)?;
            counted += last.map_or(0, |scoring| match scoring.before {
                None => 1,
                Some(before) => i64::from(options.counts_moved && before != scoring.after),
            });
        }
        Ok::<_, CommandError>((counted, last))
    })?;
    match last {
        _ if !options.increments => cx.reply.integer(counted),
        Some(scoring) => cx.reply.double(scoring.after),
        None => cx.reply.null(),
    }
    Ok(())
}
