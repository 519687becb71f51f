//! The argument cursor: strict numbers, options in any case, leftovers are an error.

use super::error::CommandError;
use super::names;
use crate::keyspace::Key;
use crate::number::parse_integer;
use crate::resp::{OwnedRequest, Request};

/// Reads a request's arguments from left to right, after the command's name (and its subcommand's).
#[derive(Clone, Copy, Debug)]
pub struct Args<'r> {
    request: Request<'r>,
    next: usize,
}

impl<'r> Args<'r> {
    /// The arguments of `request` from index `first` on.
    pub fn new(request: Request<'r>, first: usize) -> Args<'r> {
        Args { request, next: first }
    }

    /// The second word of the request as the client wrote it: the subcommand's name, where there is one.
    pub fn subcommand(&self) -> &'r [u8] {
        self.request.get(1).unwrap_or_default()
    }

    /// Number of arguments not yet read.
    pub fn len(&self) -> usize {
        self.request.len() - self.next.min(self.request.len())
    }

    /// True if every argument has been read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The next argument, whatever it is. Arity promised those that must be there.
    ///
    /// # Errors
    /// A syntax error if none is left.
    pub fn bytes(&mut self) -> Result<&'r [u8], CommandError> {
        let argument = self.request.get(self.next).ok_or(CommandError::Syntax)?;
        self.next += 1;
        Ok(argument)
    }

    /// The next argument as a key.
    ///
    /// # Errors
    /// A syntax error if none is left.
    pub fn key(&mut self) -> Result<Key<'r>, CommandError> {
        self.bytes().map(names::key)
    }

    /// The next argument as an integer by Redis's strict rule.
    ///
    /// # Errors
    /// It is missing or no integer.
    pub fn integer(&mut self) -> Result<i64, CommandError> {
        parse_integer(self.bytes()?).ok_or(CommandError::NotAnInteger)
    }

    /// The next argument as a cursor: an unsigned decimal number.
    ///
    /// # Errors
    /// It is missing or no cursor.
    pub fn cursor(&mut self) -> Result<u64, CommandError> {
        let text = self.bytes()?;
        let is_decimal = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        let number = || std::str::from_utf8(text).ok()?.parse().ok();
        is_decimal.then(number).flatten().ok_or(CommandError::InvalidCursor)
    }

    /// The next argument as a number of 1 or more; the error calls it `name`.
    ///
    /// # Errors
    /// It is missing, no integer, or below 1.
    pub fn above_zero(&mut self, name: &'static str) -> Result<u64, CommandError> {
        let number = parse_integer(self.bytes()?).and_then(|number| u64::try_from(number).ok());
        number.filter(|number| *number > 0).ok_or(CommandError::NotAboveZero(name))
    }

    /// The next argument as a number of 1 or more, and as many keys behind it.
    ///
    /// # Errors
    /// The number is below 1, or larger than the number of arguments left.
    pub fn numbered_keys(&mut self) -> Result<impl Iterator<Item = Key<'r>> + Clone + use<'r>, CommandError> {
        let numkeys = self.above_zero("numkeys")?;
        let keys = self.rest_keys().take(usize::try_from(numkeys).unwrap_or(usize::MAX));
        for _ in 0..numkeys {
            self.bytes()?;
        }
        Ok(keys)
    }

    /// The next argument as a count of 0 or more.
    ///
    /// # Errors
    /// It is missing, no integer, or below 0.
    pub fn count(&mut self) -> Result<u64, CommandError> {
        let count = parse_integer(self.bytes()?).and_then(|count| u64::try_from(count).ok());
        count.ok_or(CommandError::NotPositive)
    }

    /// The next argument as the index of a database. There is only database 0.
    ///
    /// # Errors
    /// It is missing, no number, or another than 0.
    pub fn database(&mut self) -> Result<(), CommandError> {
        match i32::try_from(self.integer()?) {
            Ok(0) => Ok(()),
            Ok(_) => Err(CommandError::DbIndexOutOfRange),
            Err(_) => Err(CommandError::NotAnInt32),
        }
    }

    /// The next argument, without reading it.
    pub fn peek(&self) -> Option<&'r [u8]> {
        self.request.get(self.next)
    }

    /// Reads the next argument if it is `option`, in any case.
    pub fn take(&mut self, option: &str) -> bool {
        let found = self.peek().is_some_and(|argument| argument.eq_ignore_ascii_case(option.as_bytes()));
        self.next += usize::from(found);
        found
    }

    /// Like [`Args::take`], for an option that has `values` arguments behind it; false if they are not there.
    pub fn take_with(&mut self, option: &str, values: usize) -> bool {
        self.len() > values && self.take(option)
    }

    /// The rest, whatever they are. Reads nothing.
    pub fn rest_bytes(&self) -> impl ExactSizeIterator<Item = &'r [u8]> + Clone + use<'r> {
        let request = self.request;
        (self.next..request.len()).map(move |index| request.get(index).unwrap_or_default())
    }

    /// The rest as keys, for commands that end in them. Reads nothing.
    pub fn rest_keys(&self) -> impl ExactSizeIterator<Item = Key<'r>> + Clone + use<'r> {
        self.rest_bytes().map(names::key)
    }

    /// The rest as pairs of a key and bytes; an odd one out is left unread. Reads nothing.
    pub fn rest_pairs(&self) -> impl ExactSizeIterator<Item = (Key<'r>, &'r [u8])> + Clone + use<'r> {
        let (request, first) = (self.request, self.next);
        let argument = move |index| request.get(index).unwrap_or_default();
        (0..self.len() / 2)
            .map(move |pair| (names::key(argument(first + 2 * pair)), argument(first + 2 * pair + 1)))
    }

    /// The rest as a request of its own, for commands about commands.
    pub fn rest_request(&self) -> OwnedRequest {
        OwnedRequest::from_args(self.request.iter().skip(self.next))
    }

    /// Ends the reading: every argument must have been read.
    ///
    /// # Errors
    /// Some are left.
    pub fn finish(&self) -> Result<(), CommandError> {
        if self.is_empty() { Ok(()) } else { Err(CommandError::Syntax) }
    }
}
