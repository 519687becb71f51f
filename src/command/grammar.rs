//! The grammar of each command's arguments, for COMMAND DOCS and the hints that clients make of it.
//!
//! ```text
//! name:type      an argument; without a type it is a string          NX         a word that stands for itself
//! EX=seconds     a word, and an argument behind it                    a...       once or more
//! [a]            may be left out                                      a*         once or more, each with its word
//! (a|b)          one of these                                         {a b}      these together
//! ```

/// What an argument is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape<'g> {
    /// A value of this name and type.
    Value(&'g str, &'g str),
    /// Nothing beside its word.
    Word,
    /// One of these.
    OneOf(Vec<Argument<'g>>),
    /// All of these.
    Block(Vec<Argument<'g>>),
}

/// An argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument<'g> {
    /// The word in front of it, if there is one.
    pub token: Option<&'g str>,
    /// What it is.
    pub shape: Shape<'g>,
    /// True if it may be left out.
    pub is_optional: bool,
    /// True if it may stand several times.
    pub is_multiple: bool,
    /// True if its word stands before each of them.
    pub repeats_token: bool,
}

/// The arguments that a grammar describes.
pub fn arguments(grammar: &str) -> Vec<Argument<'_>> {
    Reader { rest: grammar }.sequence()
}

/// Reads a grammar from left to right.
struct Reader<'g> {
    rest: &'g str,
}

impl<'g> Reader<'g> {
    /// Arguments up to a closing bracket or the end.
    fn sequence(&mut self) -> Vec<Argument<'g>> {
        let mut arguments = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() || self.rest.starts_with(['|', ')', '}', ']']) {
                return arguments;
            }
            arguments.push(self.argument());
        }
    }

    fn argument(&mut self) -> Argument<'g> {
        if self.take("[") {
            let inner = self.argument();
            self.take("]");
            return Argument { is_optional: true, ..inner };
        }
        let mut argument = Argument {
            token: None,
            shape: Shape::Word,
            is_optional: false,
            is_multiple: false,
            repeats_token: false,
        };
        if !self.rest.starts_with(['(', '{']) {
            let word = self.word();
            if self.take("=") {
                argument.token = Some(word);
                argument.shape = self.shape();
            } else if word.bytes().any(|byte| byte.is_ascii_lowercase()) {
                argument.shape = value(word);
            } else {
                argument.token = Some(word);
            }
        } else {
            argument.shape = self.shape();
        }
        argument.repeats_token = self.take("*");
        argument.is_multiple = self.take("...") || argument.repeats_token;
        argument
    }

    fn shape(&mut self) -> Shape<'g> {
        if self.take("{") {
            let block = self.sequence();
            self.take("}");
            return Shape::Block(block);
        }
        if !self.take("(") {
            return value(self.word());
        }
        let mut choices = Vec::new();
        while !self.rest.is_empty() && !self.take(")") {
            choices.extend(self.sequence());
            self.take("|");
        }
        Shape::OneOf(choices)
    }

    fn word(&mut self) -> &'g str {
        let is_end = |byte: char| " =|()[]{}*".contains(byte);
        let end = self.rest.find(is_end).unwrap_or(self.rest.len());
        let end = self.rest[..end].find("...").unwrap_or(end);
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }
}

fn value(word: &str) -> Shape<'_> {
    let (name, kind) = word.split_once(':').unwrap_or((word, "string"));
    Shape::Value(name, kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::spec::Arity;
    use crate::command::table::ROWS;

    /// What a row's arity admits beside the names has a grammar, and nothing else has.
    #[test]
    fn every_row_says_what_its_arguments_are() {
        // QUIT ignores arguments; the others take a whole command, which Redis does not document.
        const UNDESCRIBED: &[&str] = &["quit", "command|getkeys", "command|getkeysandflags"];
        for spec in ROWS {
            let mut reader = Reader { rest: spec.arguments };
            let is_described = !reader.sequence().is_empty();
            assert!(reader.rest.is_empty(), "{}: {} is left", spec.name, reader.rest);
            let names = if spec.is_subcommand() { 2 } else { 1 };
            let takes_some = spec.subcommands.is_empty() && spec.arity != Arity::Exactly(names);
            assert_eq!(is_described, takes_some && !UNDESCRIBED.contains(&spec.name), "{}", spec.name);
        }
    }

    #[test]
    fn a_grammar_is_read() {
        let grammar = "key:key {field value}... [EX=seconds:integer] [(NX|XX)] [GET=pattern:pattern*]";
        let mut reader = Reader { rest: grammar };
        let read = reader.sequence();
        assert_eq!(read[0].shape, Shape::Value("key", "key"));
        assert!(matches!(&read[1].shape, Shape::Block(block) if block.len() == 2) && read[1].is_multiple);
        assert_eq!((read[2].token, &read[2].shape), (Some("EX"), &Shape::Value("seconds", "integer")));
        assert!(
            matches!(&read[3].shape, Shape::OneOf(words) if words[1].token == Some("XX"))
                && read[3].is_optional
        );
        assert!(read[4].repeats_token && read[4].is_optional);
    }
}
