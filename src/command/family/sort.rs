//! SORT and SORT_RO: the elements of a list or set in an order, or what they refer to in other keys.

use crate::command::args::Args;
use crate::command::context::Context;
use crate::command::error::{CommandError, CommandResult};
use crate::command::family::texts::Texts;
use crate::command::names;
use crate::command::spec::Arity::AtLeast;
use crate::command::spec::{CommandSpec, Flags, Group, KeySpec, row};
use crate::keyspace::{Entry, Key, KeyspaceError, Kind, SortedSet, View};
use crate::number::parse_loose_double;
use crate::resp::Request;
use crate::value::string::Str;
use crate::value::tree::{Delta, Hash, Layout, List, Set, Tree};
use memchr::memchr;
use smallvec::SmallVec;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

const SORTED_KEY: KeySpec = KeySpec::at(1, &["RO", "access"]);
const REFERRED_KEYS: KeySpec = KeySpec {
    notes: "For the optional BY/GET keyword. It is marked 'unknown' because the key names derive from the content \
            of the key we sort",
    ..KeySpec::found_by(|_| None, &["RO", "access"])
};
const STORE_KEY: KeySpec = KeySpec {
    notes: "For the optional STORE keyword. It is marked 'unknown' because the keyword can appear anywhere in the \
            argument array",
    ..KeySpec::found_by(store_position, &["OW", "update"])
};

const SORT: CommandSpec = row(
    CommandSpec::of(Group::Generic),
    "sort",
    "key:key [BY=pattern:pattern] [LIMIT={offset:integer count:integer}] \
            [GET=pattern:pattern*] [(ASC|DESC)] [ALPHA] [STORE=destination:key]",
    AtLeast(2),
    Flags::WRITE.or(Flags::DENYOOM).or(Flags::MOVABLE_KEYS).or(Flags::COLLECTIONS).or(Flags::DANGEROUS),
    sort,
)
.summary(
    "Sorts the elements of a list or set, by themselves or by other keys, and returns or \
            stores them.",
)
.complexity("O(N+M*log(M)) with N elements in the list or set and M of them answered")
.keys(&[SORTED_KEY, REFERRED_KEYS, STORE_KEY]);

/// The family's rows.
pub const ROWS: &[CommandSpec] = &[
    SORT,
    row(
        SORT,
        "sort_ro",
        "key:key [BY=pattern:pattern] [LIMIT={offset:integer count:integer}] \
            [GET=pattern:pattern*] [(ASC|DESC)] [ALPHA]",
        AtLeast(2),
        Flags::READONLY.or(Flags::MOVABLE_KEYS).or(Flags::COLLECTIONS).or(Flags::DANGEROUS),
        sort_ro,
    )
    .since("7.0.0")
    .summary("Sorts the elements of a list or set, by themselves or by other keys, and returns them.")
    .keys(&[SORTED_KEY, REFERRED_KEYS]),
];

/// Where the key behind SORT's last STORE is.
fn store_position(request: Request<'_>) -> Option<usize> {
    let (mut at, mut found) = (2, None);
    while let Some(word) = request.get(at) {
        let is = |option: &str| word.eq_ignore_ascii_case(option.as_bytes());
        if is("STORE") && at + 1 < request.len() {
            found = Some(at + 1);
        }
        at += match () {
            () if is("LIMIT") => 3,
            () if is("BY") || is("GET") || is("STORE") => 2,
            () => 1,
        };
    }
    found
}

/// A key, or a field of a hash, whose name contains an element.
#[derive(Clone, Copy, Debug)]
struct Reference<'r> {
    before: &'r [u8],
    after: &'r [u8],
    field: Option<&'r [u8]>,
}

/// What an element stands for.
#[derive(Clone, Copy, Debug)]
enum Source<'r> {
    /// Itself.
    Element,
    /// The value that another key holds.
    Lookup(Reference<'r>),
    /// Nothing: a pattern without a star.
    Nothing,
}

impl<'r> Source<'r> {
    /// Reads a pattern: the element takes the place of its first star. Behind that, `->` separates the name of a
    /// hash from a field.
    fn new(pattern: &'r [u8]) -> Source<'r> {
        let Some(star) = memchr(b'*', pattern) else { return Source::Nothing };
        let (before, after) = (&pattern[..star], &pattern[star + 1..]);
        let arrow = memchr::memmem::find(after, b"->").filter(|arrow| arrow + 2 < after.len());
        let (after, field) = match arrow {
            Some(arrow) => (&after[..arrow], Some(&after[arrow + 2..])),
            None => (after, None),
        };
        Source::Lookup(Reference { before, after, field })
    }

    fn value<'g>(&self, view: &mut View<'g>, element: &'g [u8]) -> Result<Option<Str<'g>>, CommandError> {
        let reference = match self {
            Source::Element => return Ok(Some(Str::Inline(element))),
            Source::Nothing => return Ok(None),
            Source::Lookup(reference) => reference,
        };
        let mut name: SmallVec<[u8; 64]> = SmallVec::from_slice(reference.before);
        name.extend_from_slice(element);
        name.extend_from_slice(reference.after);
        let Some(entry) = view.read(names::key(&name))? else { return Ok(None) };
        Ok(match reference.field {
            None => entry.string().ok(),
            Some(field) => {
                let item = entry.tree::<Hash>().ok().and_then(|hash| hash.get(field));
                item.map(|item| Str::Inline(item.value))
            }
        })
    }
}

/// SORT's options.
#[derive(Clone, Debug)]
struct SortOptions<'r> {
    by: Source<'r>,
    /// What is answered for each element.
    get: SmallVec<[Source<'r>; 4]>,
    offset: i64,
    count: i64,
    is_descending: bool,
    is_alphabetic: bool,
    store: Option<Key<'r>>,
}

impl<'r> SortOptions<'r> {
    fn parse(mut args: Args<'r>, may_store: bool) -> Result<SortOptions<'r>, CommandError> {
        let mut options = SortOptions {
            by: Source::Element,
            get: SmallVec::new(),
            offset: 0,
            count: -1,
            is_descending: false,
            is_alphabetic: false,
            store: None,
        };
        while !args.is_empty() {
            if args.take("ASC") {
                options.is_descending = false;
            } else if args.take("DESC") {
                options.is_descending = true;
            } else if args.take("ALPHA") {
                options.is_alphabetic = true;
            } else if args.take_with("LIMIT", 2) {
                (options.offset, options.count) = (args.integer()?, args.integer()?);
            } else if may_store && args.take_with("STORE", 1) {
                options.store = Some(args.key()?);
            } else if args.take_with("BY", 1) {
                let by = Source::new(args.bytes()?);
                // Once asked not to sort, it does not, whatever follows.
                let is_final = matches!(options.by, Source::Nothing);
                options.by = if is_final { Source::Nothing } else { by };
            } else if args.take_with("GET", 1) {
                let pattern = args.bytes()?;
                options.get.push(if pattern == b"#" { Source::Element } else { Source::new(pattern) });
            } else {
                return Err(CommandError::Syntax);
            }
        }
        if options.get.is_empty() {
            options.get.push(Source::Element);
        }
        Ok(options)
    }

    /// True if the key alone says what the answer is.
    fn concerns_one_key(&self) -> bool {
        let mut sources = self.get.iter().chain([&self.by]);
        self.store.is_none() && !sources.any(|source| matches!(source, Source::Lookup(_)))
    }

    /// True if the elements alone say what the answer is, once they are sorted.
    fn sorts_one_key(&self) -> bool {
        matches!(self.by, Source::Element) && self.get.len() == 1 && self.concerns_one_key()
    }

    /// The same options without what the request has of them, if they sort one key.
    fn of_one_key(&self) -> SortOptions<'static> {
        let SortOptions { offset, count, is_descending, is_alphabetic, .. } = *self;
        let get = SmallVec::from_slice(&[Source::Element]);
        SortOptions { by: Source::Element, get, offset, count, is_descending, is_alphabetic, store: None }
    }

    /// The positions that are answered, of `len`.
    fn range(&self, len: usize) -> Range<usize> {
        let clamped = |number: i64| usize::try_from(number).unwrap_or(0).min(len);
        let start = clamped(self.offset);
        let end = if self.count < 0 { len } else { (start + clamped(self.count)).min(len) };
        start..end
    }

    /// The elements that are answered, in their order.
    fn sorted<'g>(&self, view: &mut View<'g>, elements: Elements<'g>) -> Result<Vec<&'g [u8]>, CommandError> {
        let range = self.range(elements.len() as usize);
        match self.by {
            // A set has no order of its own that would be worth storing.
            Source::Nothing if self.store.is_some() && matches!(elements, Elements::Set(_)) => {
                Ok(self.by_bytes(elements.all(), range))
            }
            Source::Nothing => Ok(elements.native(range, self.is_descending)),
            Source::Element if self.is_alphabetic => Ok(self.by_bytes(elements.all(), range)),
            _ if self.is_alphabetic => self.by_text(view, elements, range),
            _ => self.by_number(elements.all(), range, |element| self.by.value(view, element)),
        }
    }

    /// The same of elements that were copied, by themselves.
    fn sorted_copies(&self, elements: &Texts) -> Result<Texts, CommandError> {
        let range = self.range(elements.len());
        let elements: Vec<&[u8]> = elements.iter().collect();
        let sorted = if self.is_alphabetic {
            self.by_bytes(elements, range)
        } else {
            self.by_number(elements, range, |element| Ok(Some(Str::Inline(element))))?
        };
        Ok(sorted.into_iter().collect())
    }

    /// By the elements' own bytes.
    fn by_bytes<'g>(&self, mut sorted: Vec<&'g [u8]>, range: Range<usize>) -> Vec<&'g [u8]> {
        self.arrange(&mut sorted, &range, |left, right| left.cmp(right));
        sorted[range].to_vec()
    }

    /// By the bytes of what the elements refer to, missing ones first; ties stay in their order.
    fn by_text<'g>(
        &self,
        view: &mut View<'g>,
        elements: Elements<'g>,
        range: Range<usize>,
    ) -> Result<Vec<&'g [u8]>, CommandError> {
        let weigh = |(turn, element): (usize, &'g [u8])| {
            let text = self.by.value(view, element)?.map(Str::bytes);
            Ok((text, if self.is_descending { usize::MAX - turn } else { turn }, element))
        };
        let weighed = elements.all().into_iter().enumerate().map(weigh);
        let mut sorted = weighed.collect::<Result<Vec<_>, CommandError>>()?;
        self.arrange(&mut sorted, &range, |left, right| (&left.0, left.1).cmp(&(&right.0, right.1)));
        Ok(sorted[range].iter().map(|(_, _, element)| *element).collect())
    }

    /// By the numbers that the elements are or refer to, missing ones as 0; ties by the elements' bytes.
    fn by_number<'g>(
        &self,
        elements: Vec<&'g [u8]>,
        range: Range<usize>,
        mut value: impl FnMut(&'g [u8]) -> Result<Option<Str<'g>>, CommandError>,
    ) -> Result<Vec<&'g [u8]>, CommandError> {
        let mut all_numbers = true;
        let weigh = |element: &'g [u8]| {
            let number = match value(element)? {
                None => Some(0.0),
                Some(Str::Int(value)) => Some(value as f64),
                Some(text) => number(&text.bytes()),
            };
            all_numbers &= number.is_some();
            Ok((number.unwrap_or_default(), element))
        };
        let weighed = elements.into_iter().map(weigh);
        let mut sorted = weighed.collect::<Result<Vec<_>, CommandError>>()?;
        if !all_numbers {
            return Err(CommandError::ScoreNotANumber);
        }
        let by_number = |left: &(f64, &[u8]), right: &(f64, &[u8])| left.partial_cmp(right);
        self.arrange(&mut sorted, &range, |left, right| by_number(left, right).unwrap_or(Ordering::Equal));
        Ok(sorted[range].iter().map(|(_, element)| *element).collect())
    }

    /// Puts those into `range` that belong there. O(n + m log m) for a range of m.
    fn arrange<T>(&self, elements: &mut [T], range: &Range<usize>, compare: impl Fn(&T, &T) -> Ordering) {
        let compare = |left: &T, right: &T| {
            let ordering = compare(left, right);
            if self.is_descending { ordering.reverse() } else { ordering }
        };
        if range.is_empty() {
            return;
        }
        if range.end < elements.len() {
            elements.select_nth_unstable_by(range.end, compare);
        }
        let elements = &mut elements[..range.end];
        if range.start > 0 {
            elements.select_nth_unstable_by(range.start, compare);
        }
        elements[range.start..].sort_unstable_by(compare);
    }

    /// The values that the sources give for the elements, one after the other.
    fn outputs<'g>(
        &self,
        view: &mut View<'g>,
        elements: Vec<&'g [u8]>,
    ) -> Result<Vec<Option<Str<'g>>>, CommandError> {
        let mut outputs = Vec::with_capacity(elements.len() * self.get.len());
        for element in elements {
            for source in &self.get {
                outputs.push(source.value(view, element)?);
            }
        }
        Ok(outputs)
    }
}

/// A number by strtod's rules that a double can hold.
fn number(text: &[u8]) -> Option<f64> {
    parse_loose_double(text).filter(|double| double.is_in_range).map(|double| double.value)
}

/// What can be sorted.
#[derive(Clone, Copy, Debug)]
enum Elements<'g> {
    List(Tree<'g, List>),
    Set(Tree<'g, Set>),
    SortedSet(SortedSet<'g>),
}

impl<'g> Elements<'g> {
    /// The elements of a key's value; a missing key has none.
    fn of(entry: Option<Entry<'g>>) -> Result<Elements<'g>, KeyspaceError> {
        let Some(entry) = entry else { return Ok(Elements::List(Tree::EMPTY)) };
        match entry.kind() {
            Kind::List => Ok(Elements::List(entry.tree()?)),
            Kind::Set => Ok(Elements::Set(entry.tree()?)),
            Kind::SortedSet => Ok(Elements::SortedSet(entry.sorted_set()?)),
            Kind::String | Kind::Hash => Err(KeyspaceError::WrongType),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Elements::List(tree) => tree.len(),
            Elements::Set(tree) => tree.len(),
            Elements::SortedSet(set) => set.len(),
        }
    }

    /// All elements, in any order that stays the same.
    fn all(&self) -> Vec<&'g [u8]> {
        self.native(0..self.len() as usize, false)
    }

    /// A stretch of the elements in their own order, or its reverse; sets have no reverse.
    fn native(&self, range: Range<usize>, is_descending: bool) -> Vec<&'g [u8]> {
        fn forward<'g, L: Layout>(tree: Tree<'g, L>, range: Range<usize>) -> Vec<&'g [u8]> {
            tree.iter_from(range.start as u64).take(range.len()).map(|item| item.key).collect()
        }
        match self {
            Elements::List(tree) if is_descending && !range.is_empty() => {
                let first = tree.len() - 1 - range.start as u64;
                tree.iter_back_from(first).take(range.len()).map(|item| item.key).collect()
            }
            Elements::List(tree) => forward(*tree, range),
            Elements::Set(tree) => forward(*tree, range),
            Elements::SortedSet(set) if is_descending && !range.is_empty() => {
                let first = set.len() - 1 - range.start as u64;
                set.iter_back_from_rank(first).take(range.len()).map(|scored| scored.member).collect()
            }
            Elements::SortedSet(set) => {
                set.iter_from_rank(range.start as u64).take(range.len()).map(|scored| scored.member).collect()
            }
        }
    }
}

/// `SORT key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC|DESC] [ALPHA] [STORE destination]`: an array
/// of the sorted elements, or of what GET makes of them; with STORE how many were stored.
fn sort(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    answer(cx, key, &SortOptions::parse(args, true)?)
}

/// `SORT_RO key [BY pattern] [LIMIT offset count] [GET pattern ...] [ASC|DESC] [ALPHA]`: an array of the sorted
/// elements, or of what GET makes of them.
fn sort_ro(cx: &mut Context<'_, '_>, mut args: Args<'_>) -> CommandResult {
    let key = args.key()?;
    answer(cx, key, &SortOptions::parse(args, false)?)
}

fn answer<'g>(cx: &mut Context<'_, 'g>, key: Key<'_>, options: &SortOptions<'_>) -> CommandResult {
    if let Some(made) = cx.session.take_made::<Result<Texts, CommandError>>() {
        return made.map(|sorted| reply_copies(cx, &sorted));
    }
    let entry = cx.view.peek(key)?;
    let about = Elements::of(entry)?.len();
    let is_copied = entry.is_some_and(|entry| cx.engine.is_worth_copying(about, entry.footprint()));
    if is_copied && options.sorts_one_key() && !cx.session.is_executing() {
        let elements = Elements::of(cx.view.read(key)?)?;
        let copies: Texts = cx.engine.run_long(|| elements.all().into_iter().collect());
        let options = options.of_one_key();
        return Err(cx.do_unpinned(move || options.sorted_copies(&copies)));
    }
    let view = &mut *cx.view;
    let read = |view: &mut View<'g>| {
        let elements = Elements::of(view.read(key)?)?;
        let sorted = options.sorted(view, elements)?;
        options.outputs(view, sorted)
    };
    let outputs = cx.engine.run_sized(about, || match options.store {
        None if options.concerns_one_key() => read(view),
        None => view.transact(&read),
        Some(destination) => view.transact(|view| {
            let outputs = read(view)?;
            store(view, destination, &outputs)?;
            Ok(outputs)
        }),
    })?;
    if options.store.is_some() {
        cx.reply.integer(outputs.len() as i64);
        return Ok(());
    }
    let reply = &mut *cx.reply;
    reply.array(outputs.len());
    cx.engine.run_sized(outputs.len() as u64, || {
        outputs.iter().for_each(|output| super::strings::reply_optional(reply, *output));
    });
    Ok(())
}

fn reply_copies(cx: &mut Context<'_, '_>, sorted: &Texts) {
    let reply = &mut *cx.reply;
    reply.array(sorted.len());
    cx.engine.run_sized(sorted.len() as u64, || sorted.iter().for_each(|element| reply.bulk(element)));
}

/// Puts a list of the outputs in place of what is there, a missing one as an empty element.
fn store(
    view: &mut View<'_>,
    destination: Key<'_>,
    outputs: &[Option<Str<'_>>],
) -> Result<(), KeyspaceError> {
    let texts: Vec<Cow<'_, [u8]>> =
        outputs.iter().map(|output| output.map(Str::bytes).unwrap_or_default()).collect();
    let items: Vec<&[u8]> = texts.iter().map(|text| &**text).collect();
    let mut delta = Delta::<List>::new(Tree::EMPTY, view.birth());
    delta.push_back(&items);
    view.store(destination, delta)?;
    Ok(())
}
