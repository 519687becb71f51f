//! A strict reader of replies, which knows nothing of how `kvns::resp` writes them.

/// What a reply may be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Resp2,
    Resp3,
    /// The protocol may change on the way, as by HELLO in a transaction.
    Both,
}

/// Aggregates inside aggregates; COMMAND DOCS goes deepest.
const MAX_DEPTH: usize = 16;

/// The number of replies that `bytes` are, or what is wrong with them.
pub fn count_replies(bytes: &[u8], dialect: Dialect) -> Result<usize, String> {
    let mut reader = Reader { rest: bytes, dialect };
    let mut count = 0;
    while !reader.rest.is_empty() {
        reader.value(0)?;
        count += 1;
    }
    Ok(count)
}

struct Reader<'a> {
    rest: &'a [u8],
    dialect: Dialect,
}

impl<'a> Reader<'a> {
    fn value(&mut self, depth: usize) -> Result<(), String> {
        let line = self.line()?;
        let Some((kind, text)) = line.split_first() else { return Err("an empty line".into()) };
        let allowed: &[u8] = match self.dialect {
            Dialect::Resp2 => b"+-:$*",
            Dialect::Resp3 | Dialect::Both => b"+-:$*%~>,#_=(",
        };
        if !allowed.contains(kind) || depth > MAX_DEPTH {
            return Err(format!("{:?} at depth {depth}", line.escape_ascii().to_string()));
        }
        match kind {
            b'+' | b'-' => Ok(()),
            b':' => canonical(text).map(|_| ()),
            b',' => std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.parse::<f64>().ok())
                .map(|_| ())
                .ok_or_else(|| wrong(line)),
            b'#' if matches!(text, b"t" | b"f") => Ok(()),
            b'_' if text.is_empty() => Ok(()),
            b'(' => Ok(()),
            b'$' | b'*' if text == b"-1" && self.dialect != Dialect::Resp3 => Ok(()),
            b'$' | b'=' => self.bulk(length(text)?),
            b'*' | b'~' | b'>' => (0..length(text)?).try_for_each(|_| self.value(depth + 1)),
            b'%' => (0..2 * length(text)?).try_for_each(|_| self.value(depth + 1)),
            _ => Err(wrong(line)),
        }
    }

    /// The next line without its end. A line end inside it shows as an error one way or the other.
    fn line(&mut self) -> Result<&'a [u8], String> {
        let end = self.rest.windows(2).position(|pair| pair == b"\r\n").ok_or_else(|| wrong(self.rest))?;
        let (line, rest) = (&self.rest[..end], &self.rest[end + 2..]);
        self.rest = rest;
        if line.contains(&b'\n') || line.contains(&b'\r') { Err(wrong(line)) } else { Ok(line) }
    }

    fn bulk(&mut self, len: usize) -> Result<(), String> {
        if self.rest.get(len..len + 2) != Some(b"\r\n") {
            return Err(format!("no bulk string of {len} bytes: {}", wrong(self.rest)));
        }
        self.rest = &self.rest[len + 2..];
        Ok(())
    }
}

/// An integer without leading zeros, plus sign or blanks.
fn canonical(text: &[u8]) -> Result<i64, String> {
    let value = std::str::from_utf8(text).ok().and_then(|text| text.parse::<i64>().ok());
    value.filter(|value| value.to_string().as_bytes() == text).ok_or_else(|| wrong(text))
}

fn length(text: &[u8]) -> Result<usize, String> {
    canonical(text)?.try_into().map_err(|_| wrong(text))
}

fn wrong(bytes: &[u8]) -> String {
    format!("not a reply: {:?}", bytes[..bytes.len().min(100)].escape_ascii().to_string())
}
