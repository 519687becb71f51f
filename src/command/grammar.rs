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

/// The arguments of a command by its full name; none for a command without any.
pub fn arguments(name: &str) -> Vec<Argument<'static>> {
    let found = GRAMMARS.binary_search_by_key(&name, |(known, _)| known);
    found.map(|place| Reader { rest: GRAMMARS[place].1 }.sequence()).unwrap_or_default()
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

/// Ordered by name.
#[rustfmt::skip]
const GRAMMARS: &[(&str, &str)] = &[
    ("append", "key:key value"),
    ("auth", "[username] password"),
    ("bgsave", "[SCHEDULE]"),
    ("client|kill", "({ip-port}|{[ID=client-id:integer] [TYPE=(NORMAL|MASTER|SLAVE|REPLICA|PUBSUB)] [USER=username] [ADDR=ip-port] [LADDR=ip-port] [SKIPME=(YES|NO)] [MAXAGE=seconds:integer]})"),
    ("client|list", "[TYPE=(NORMAL|MASTER|REPLICA|PUBSUB)] [ID={client-id:integer...}]"),
    ("client|no-evict", "(ON|OFF)"),
    ("client|no-touch", "(ON|OFF)"),
    ("client|pause", "timeout:integer [(WRITE|ALL)]"),
    ("client|reply", "(ON|OFF|SKIP)"),
    ("client|setinfo", "(LIB-NAME=libname|LIB-VER=libver)"),
    ("client|setname", "connection-name"),
    ("client|unblock", "client-id:integer [(TIMEOUT|ERROR)]"),
    ("command|docs", "[command-name...]"),
    ("command|info", "[command-name...]"),
    ("command|list", "[FILTERBY=(MODULE=module-name|ACLCAT=category|PATTERN=pattern:pattern)]"),
    ("config|get", "{parameter}..."),
    ("config|set", "{parameter value}..."),
    ("copy", "source:key destination:key [DB=destination-db:integer] [REPLACE]"),
    ("debug", "subcommand [argument...]"),
    ("decr", "key:key"),
    ("decrby", "key:key decrement:integer"),
    ("del", "key:key..."),
    ("echo", "message"),
    ("exists", "key:key..."),
    ("expire", "key:key seconds:integer [(NX|XX|GT|LT)]"),
    ("expireat", "key:key unix-time-seconds:unix-time [(NX|XX|GT|LT)]"),
    ("expiretime", "key:key"),
    ("flushall", "[(ASYNC|SYNC)]"),
    ("flushdb", "[(ASYNC|SYNC)]"),
    ("get", "key:key"),
    ("getdel", "key:key"),
    ("getex", "key:key [(EX=seconds:integer|PX=milliseconds:integer|EXAT=unix-time-seconds:unix-time|PXAT=unix-time-milliseconds:unix-time|PERSIST)]"),
    ("getrange", "key:key start:integer end:integer"),
    ("getset", "key:key value"),
    ("hdel", "key:key field..."),
    ("hello", "[{protover:integer [AUTH={username password}] [SETNAME=clientname]}]"),
    ("hexists", "key:key field"),
    ("hget", "key:key field"),
    ("hgetall", "key:key"),
    ("hincrby", "key:key field increment:integer"),
    ("hincrbyfloat", "key:key field increment:double"),
    ("hkeys", "key:key"),
    ("hlen", "key:key"),
    ("hmget", "key:key field..."),
    ("hmset", "key:key {field value}..."),
    ("hrandfield", "key:key [{count:integer [WITHVALUES]}]"),
    ("hscan", "key:key cursor:integer [MATCH=pattern:pattern] [COUNT=count:integer]"),
    ("hset", "key:key {field value}..."),
    ("hsetnx", "key:key field value"),
    ("hstrlen", "key:key field"),
    ("hvals", "key:key"),
    ("incr", "key:key"),
    ("incrby", "key:key increment:integer"),
    ("incrbyfloat", "key:key increment:double"),
    ("info", "[section...]"),
    ("keys", "pattern:pattern"),
    ("latency|graph", "event"),
    ("latency|histogram", "[command...]"),
    ("latency|history", "event"),
    ("latency|reset", "[event...]"),
    ("lcs", "key1:key key2:key [LEN] [IDX] [MINMATCHLEN=len:integer] [WITHMATCHLEN]"),
    ("lindex", "key:key index:integer"),
    ("linsert", "key:key (BEFORE|AFTER) pivot element"),
    ("llen", "key:key"),
    ("lmove", "source:key destination:key (LEFT|RIGHT) (LEFT|RIGHT)"),
    ("lmpop", "numkeys:integer key:key... (LEFT|RIGHT) [COUNT=count:integer]"),
    ("lolwut", "[VERSION=version:integer]"),
    ("lpop", "key:key [count:integer]"),
    ("lpos", "key:key element [RANK=rank:integer] [COUNT=num-matches:integer] [MAXLEN=len:integer]"),
    ("lpush", "key:key element..."),
    ("lpushx", "key:key element..."),
    ("lrange", "key:key start:integer stop:integer"),
    ("lrem", "key:key count:integer element"),
    ("lset", "key:key index:integer element"),
    ("ltrim", "key:key start:integer stop:integer"),
    ("memory|usage", "key:key [SAMPLES=count:integer]"),
    ("mget", "key:key..."),
    ("mset", "{key:key value}..."),
    ("msetnx", "{key:key value}..."),
    ("namespace|flush", "namespace"),
    ("namespace|list", "[pattern:pattern]"),
    ("namespace|set", "namespace (POLICY=policy|LIMIT=bytes)..."),
    ("namespace|stats", "namespace"),
    ("object|encoding", "key:key"),
    ("object|freq", "key:key"),
    ("object|idletime", "key:key"),
    ("object|refcount", "key:key"),
    ("persist", "key:key"),
    ("pexpire", "key:key milliseconds:integer [(NX|XX|GT|LT)]"),
    ("pexpireat", "key:key unix-time-milliseconds:unix-time [(NX|XX|GT|LT)]"),
    ("pexpiretime", "key:key"),
    ("ping", "[message]"),
    ("psetex", "key:key milliseconds:integer value"),
    ("psubscribe", "{pattern:pattern}..."),
    ("pttl", "key:key"),
    ("publish", "channel message"),
    ("pubsub|channels", "[pattern:pattern]"),
    ("pubsub|numsub", "[channel...]"),
    ("pubsub|shardchannels", "[pattern:pattern]"),
    ("pubsub|shardnumsub", "[shardchannel...]"),
    ("punsubscribe", "[pattern:pattern...]"),
    ("rename", "key:key newkey:key"),
    ("renamenx", "key:key newkey:key"),
    ("rpop", "key:key [count:integer]"),
    ("rpoplpush", "source:key destination:key"),
    ("rpush", "key:key element..."),
    ("rpushx", "key:key element..."),
    ("sadd", "key:key member..."),
    ("scan", "cursor:integer [MATCH=pattern:pattern] [COUNT=count:integer] [TYPE=type]"),
    ("scard", "key:key"),
    ("sdiff", "key:key..."),
    ("sdiffstore", "destination:key key:key..."),
    ("select", "index:integer"),
    ("set", "key:key value [(NX|XX)] [GET] [(EX=seconds:integer|PX=milliseconds:integer|EXAT=unix-time-seconds:unix-time|PXAT=unix-time-milliseconds:unix-time|KEEPTTL)]"),
    ("setex", "key:key seconds:integer value"),
    ("setnx", "key:key value"),
    ("setrange", "key:key offset:integer value"),
    ("shutdown", "[(NOSAVE|SAVE)] [NOW] [FORCE] [ABORT]"),
    ("sinter", "key:key..."),
    ("sintercard", "numkeys:integer key:key... [LIMIT=limit:integer]"),
    ("sinterstore", "destination:key key:key..."),
    ("sismember", "key:key member"),
    ("slowlog|get", "[count:integer]"),
    ("smembers", "key:key"),
    ("smismember", "key:key member..."),
    ("smove", "source:key destination:key member"),
    ("sort", "key:key [BY=pattern:pattern] [LIMIT={offset:integer count:integer}] [GET=pattern:pattern*] [(ASC|DESC)] [ALPHA] [STORE=destination:key]"),
    ("sort_ro", "key:key [BY=pattern:pattern] [LIMIT={offset:integer count:integer}] [GET=pattern:pattern*] [(ASC|DESC)] [ALPHA]"),
    ("spop", "key:key [count:integer]"),
    ("spublish", "shardchannel message"),
    ("srandmember", "key:key [count:integer]"),
    ("srem", "key:key member..."),
    ("sscan", "key:key cursor:integer [MATCH=pattern:pattern] [COUNT=count:integer]"),
    ("ssubscribe", "shardchannel..."),
    ("strlen", "key:key"),
    ("subscribe", "channel..."),
    ("substr", "key:key start:integer end:integer"),
    ("sunion", "key:key..."),
    ("sunionstore", "destination:key key:key..."),
    ("sunsubscribe", "[shardchannel...]"),
    ("touch", "key:key..."),
    ("ttl", "key:key"),
    ("type", "key:key"),
    ("unlink", "key:key..."),
    ("unsubscribe", "[channel...]"),
    ("wait", "numreplicas:integer timeout:integer"),
    ("watch", "key:key..."),
    ("xadd", "key:key [NOMKSTREAM] [{(MAXLEN|MINID) [(=|~)] threshold [LIMIT=count:integer]}] (*|id) {field value}..."),
    ("zadd", "key:key [(NX|XX)] [(GT|LT)] [CH] [INCR] {score:double member}..."),
    ("zcard", "key:key"),
    ("zcount", "key:key min:double max:double"),
    ("zdiff", "numkeys:integer key:key... [WITHSCORES]"),
    ("zdiffstore", "destination:key numkeys:integer key:key..."),
    ("zincrby", "key:key increment:integer member"),
    ("zinter", "numkeys:integer key:key... [WEIGHTS=weight:integer...] [AGGREGATE=(SUM|MIN|MAX)] [WITHSCORES]"),
    ("zintercard", "numkeys:integer key:key... [LIMIT=limit:integer]"),
    ("zinterstore", "destination:key numkeys:integer key:key... [WEIGHTS=weight:integer...] [AGGREGATE=(SUM|MIN|MAX)]"),
    ("zlexcount", "key:key min max"),
    ("zmpop", "numkeys:integer key:key... (MIN|MAX) [COUNT=count:integer]"),
    ("zmscore", "key:key member..."),
    ("zpopmax", "key:key [count:integer]"),
    ("zpopmin", "key:key [count:integer]"),
    ("zrandmember", "key:key [{count:integer [WITHSCORES]}]"),
    ("zrange", "key:key start stop [(BYSCORE|BYLEX)] [REV] [LIMIT={offset:integer count:integer}] [WITHSCORES]"),
    ("zrangebylex", "key:key min max [LIMIT={offset:integer count:integer}]"),
    ("zrangebyscore", "key:key min:double max:double [WITHSCORES] [LIMIT={offset:integer count:integer}]"),
    ("zrangestore", "dst:key src:key min max [(BYSCORE|BYLEX)] [REV] [LIMIT={offset:integer count:integer}]"),
    ("zrank", "key:key member"),
    ("zrem", "key:key member..."),
    ("zremrangebylex", "key:key min max"),
    ("zremrangebyrank", "key:key start:integer stop:integer"),
    ("zremrangebyscore", "key:key min:double max:double"),
    ("zrevrange", "key:key start:integer stop:integer [WITHSCORES]"),
    ("zrevrangebylex", "key:key max min [LIMIT={offset:integer count:integer}]"),
    ("zrevrangebyscore", "key:key max:double min:double [WITHSCORES] [LIMIT={offset:integer count:integer}]"),
    ("zrevrank", "key:key member"),
    ("zscan", "key:key cursor:integer [MATCH=pattern:pattern] [COUNT=count:integer]"),
    ("zscore", "key:key member"),
    ("zunion", "numkeys:integer key:key... [WEIGHTS=weight:integer...] [AGGREGATE=(SUM|MIN|MAX)] [WITHSCORES]"),
    ("zunionstore", "destination:key numkeys:integer key:key... [WEIGHTS=weight:integer...] [AGGREGATE=(SUM|MIN|MAX)]"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammars_are_ordered_and_read_to_their_end() {
        assert!(GRAMMARS.is_sorted_by_key(|(name, _)| name));
        for (name, grammar) in GRAMMARS {
            let mut reader = Reader { rest: grammar };
            assert!(
                !reader.sequence().is_empty() && reader.rest.is_empty(),
                "{name}: {} is left",
                reader.rest
            );
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
