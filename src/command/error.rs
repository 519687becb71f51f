//! The text of every error reply, once.

use crate::engine::wanted::Unwanted;
use crate::keyspace::KeyspaceError;
use crate::wait::Wait;

/// The result of a handler: the reply is written, or this error is to be.
pub type CommandResult = Result<(), CommandError>;

/// Why a command was refused or failed. Texts are Redis's to the letter, for clients match on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// The key holds a value of another type.
    WrongType,
    /// There is no room for what the command adds.
    OutOfMemory,
    /// EXEC of a queue for whose commands there is no room.
    ExecAbortOutOfMemory,
    /// No reply: the command waits and runs again from its start.
    Wait(Wait),
    /// No reply: nobody wants the command's work any more.
    Unwanted,
    /// The keys are being loaded.
    Loading,
    /// The snapshot that was asked for failed, and why.
    SnapshotFailed(String),
    /// A RESP2 client that is subscribed sent what is no command about subscriptions.
    OnlySubscriptions,
    /// DEBUG ERROR: the client says what.
    Custom(Vec<u8>),
    /// A subcommand (as it was written) that the container does not know, or with other arguments than it takes.
    SubcommandSyntax(Vec<u8>),
    /// What one command alone answers, in full.
    Plain(&'static str),
    /// CLIENT KILL USER of an unknown user.
    NoSuchUser(Vec<u8>),
    /// LATENCY GRAPH of what never happened.
    NoSamples(Vec<u8>),
    /// No command of this name; the text shows the start of its arguments.
    UnknownCommand(Box<UnknownCommand>),
    /// The container (given in upper case) has no such subcommand.
    UnknownSubcommand {
        /// The container's name.
        container: &'static str,
        /// The subcommand as the client wrote it.
        subcommand: Vec<u8>,
    },
    /// Too few or too many arguments.
    WrongArity,
    /// An argument is not an integer, or out of range.
    NotAnInteger,
    /// An integer of more than 32 bits where Redis takes an `int`.
    NotAnInt32,
    /// A count that is negative, or no integer.
    NotPositive,
    /// The number of this name should be 0 or more.
    Negative(&'static str),
    /// The number of this name should be 1 or more.
    NotAboveZero(&'static str),
    /// A position where the list has no element.
    IndexOutOfRange,
    /// LPOS of match number 0.
    RankZero,
    /// A number of keys beyond the number of arguments.
    TooManyKeys,
    /// A count of more than a reply can hold.
    OutOfRange,
    /// A count whose opposite is no integer.
    CountOutOfRange,
    /// An argument or value is not a float.
    NotAFloat,
    /// SORT by numbers of what is no number.
    ScoreNotANumber,
    /// ZADD with both XX and NX.
    XxNxConflict,
    /// ZADD with two of GT, LT and NX.
    GtLtNxConflict,
    /// ZADD INCR of several members.
    IncrOfSeveral,
    /// A score that would be infinity minus infinity.
    ResultNotANumber,
    /// A bound of scores that is no number.
    BoundNotAFloat,
    /// A bound of members without `[`, `(`, `-` or `+`.
    BoundNotAMember,
    /// ZRANGE by rank with LIMIT.
    LimitByRank,
    /// ZRANGE BYLEX with WITHSCORES.
    ScoresByLex,
    /// ZUNION and its kind of no keys.
    NoInputKeys,
    /// ZUNION and its kind with a weight that is no number.
    WeightNotAFloat,
    /// HINCRBY of a field whose value is no integer.
    HashValueNotAnInteger,
    /// HINCRBYFLOAT of a field whose value is no float.
    HashValueNotAFloat,
    /// HINCRBYFLOAT by an infinity.
    InfiniteIncrement,
    /// The result of INCRBYFLOAT or HINCRBYFLOAT is no finite number.
    NotFinite,
    /// The arguments do not follow the command's grammar.
    Syntax,
    /// A time to live that is not positive or too far away.
    InvalidExpireTime,
    /// INCR and its kind left the range of an `i64`.
    IncrementOverflow,
    /// DECRBY of the smallest `i64`, which has no negative.
    DecrementOverflow,
    /// SETRANGE with a negative offset.
    OffsetOutOfRange,
    /// A string would grow beyond 512 MB.
    StringTooLong,
    /// LCS of a key that holds no string.
    LcsNeedsStrings,
    /// LCS with both LEN and IDX.
    LcsLenAndIdx,
    /// LCS of strings whose table would be too large.
    LcsTooLarge,
    /// The key does not exist, and the command needs it.
    NoSuchKey,
    /// COPY of a key to itself.
    SameObject,
    /// EXPIRE with NX beside another condition.
    ExpireNxConflict,
    /// EXPIRE with both GT and LT.
    ExpireGtLtConflict,
    /// EXPIRE with an option it does not know.
    UnsupportedOption(Vec<u8>),
    /// A SCAN cursor that is no unsigned number.
    InvalidCursor,
    /// SELECT, or COPY's DB, of a database other than 0.
    DbIndexOutOfRange,
    /// MULTI inside MULTI.
    NestedMulti,
    /// WATCH inside MULTI.
    WatchInsideMulti,
    /// EXEC without MULTI.
    ExecWithoutMulti,
    /// DISCARD without MULTI.
    DiscardWithoutMulti,
    /// EXEC of a queue into which a command was refused.
    ExecAbort,
    /// HELLO with a protocol version that is no integer.
    ProtocolNotAnInteger,
    /// HELLO with a protocol version other than 2 and 3.
    UnsupportedProtocol,
    /// HELLO with an option it does not know, or that lacks its arguments.
    HelloOption(Vec<u8>),
    /// AUTH with a password alone: the default user has none.
    AuthWithoutPassword,
    /// AUTH of a user other than the default one.
    WrongPassword,
    /// CLIENT SETNAME of bytes that cannot be in a name.
    InvalidClientName,
    /// CLIENT SETINFO of bytes that cannot be in the attribute (its name).
    InvalidClientInfo(&'static str),
    /// CLIENT SETINFO of an attribute it does not know.
    UnrecognizedOption(Vec<u8>),
    /// CLIENT LIST ID of what is no client id.
    InvalidClientId,
    /// CLIENT LIST TYPE of a type there is not.
    UnknownClientType(Vec<u8>),
    /// COMMAND GETKEYS of a command there is not.
    GetKeysUnknown,
    /// COMMAND GETKEYS of a command without keys.
    GetKeysNone,
    /// COMMAND GETKEYS of a command that announces keys it does not have.
    GetKeysInvalid,
    /// COMMAND GETKEYS with too few or too many arguments for the command.
    GetKeysArity,
    /// CONFIG SET of a setting there is not.
    UnknownSetting(Vec<u8>),
    /// CONFIG SET that did not work out for this setting.
    SettingRefused {
        /// The setting's name.
        name: Vec<u8>,
        /// The reason.
        reason: String,
    },
    /// CONFIG REWRITE: kvns reads no configuration file.
    NoConfigFile,
}

/// The name of a command there is not, and the start of its arguments, as the error shows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCommand {
    /// At most 128 bytes of the name.
    pub name: Vec<u8>,
    /// At most about 128 bytes of quoted arguments, each followed by a space.
    pub args: Vec<u8>,
}

impl From<KeyspaceError> for CommandError {
    fn from(error: KeyspaceError) -> CommandError {
        match error {
            KeyspaceError::WrongType => CommandError::WrongType,
            KeyspaceError::NoRoom => CommandError::OutOfMemory,
            KeyspaceError::Wait(wait) => CommandError::Wait(wait),
        }
    }
}

impl From<Unwanted> for CommandError {
    fn from(_: Unwanted) -> CommandError {
        CommandError::Unwanted
    }
}

impl From<Wait> for CommandError {
    fn from(wait: Wait) -> CommandError {
        CommandError::Wait(wait)
    }
}

impl CommandError {
    /// The error reply's text, without the leading `-` and the line end. `command` is the full name of the
    /// command that failed.
    pub fn text(&self, command: &str) -> Vec<u8> {
        use CommandError::*;
        match self {
            UnknownCommand(unknown) => quoted(
                &[b"ERR unknown command '", &unknown.name, b"', with args beginning with: ", &unknown.args],
                b"",
            ),
            UnknownSubcommand { container, subcommand } => quoted(
                &[b"ERR unknown subcommand '", &subcommand[..subcommand.len().min(128)], b"'. Try "],
                format!("{} HELP.", container.to_ascii_uppercase()).as_bytes(),
            ),
            WrongArity => format!("ERR wrong number of arguments for '{command}' command").into_bytes(),
            InvalidExpireTime => format!("ERR invalid expire time in '{command}' command").into_bytes(),
            Negative(name) => format!("ERR {name} can't be negative").into_bytes(),
            NotAboveZero(name) => format!("ERR {name} should be greater than 0").into_bytes(),
            NoInputKeys => format!("ERR at least 1 input key is needed for '{command}' command").into_bytes(),
            UnsupportedOption(option) => quoted(&[b"ERR Unsupported option "], option),
            HelloOption(option) => quoted(&[b"ERR Syntax error in HELLO option '", option], b"'"),
            UnrecognizedOption(option) => quoted(&[b"ERR Unrecognized option '", option], b"'"),
            OnlySubscriptions => format!(
                "ERR Can't execute '{command}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in \
                 this context"
            )
            .into_bytes(),
            SnapshotFailed(reason) => format!("ERR the snapshot failed: {reason}").into_bytes(),
            Custom(text) => text.clone(),
            SubcommandSyntax(subcommand) => quoted(
                &[
                    b"ERR unknown subcommand or wrong number of arguments for '",
                    &subcommand[..subcommand.len().min(128)],
                    b"'. Try ",
                ],
                format!("{} HELP.", command.split('|').next().unwrap_or_default().to_ascii_uppercase()).as_bytes(),
            ),
            NoSuchUser(user) => quoted(&[b"ERR No such user '", user], b"'"),
            NoSamples(event) => quoted(&[b"ERR No samples available for event '", event], b"'"),
            UnknownClientType(kind) => quoted(&[b"ERR Unknown client type '", kind], b"'"),
            InvalidClientInfo(attribute) => {
                format!("ERR {attribute} cannot contain spaces, newlines or special characters.").into_bytes()
            }
            UnknownSetting(name) => {
                quoted(&[b"ERR Unknown option or number of arguments for CONFIG SET - '", name], b"'")
            }
            SettingRefused { name, reason } => quoted(
                &[b"ERR CONFIG SET failed (possibly related to argument '", name, b"') - "],
                reason.as_bytes(),
            ),
            fixed => fixed.fixed_text().as_bytes().to_vec(),
        }
    }

    /// The text of the errors that name nothing: those of arguments and values first.
    fn fixed_text(&self) -> &'static str {
        use CommandError::*;
        match self {
            WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
            NotAnInteger => "ERR value is not an integer or out of range",
            NotAnInt32 => "ERR value is out of range, value must between -2147483648 and 2147483647",
            NotPositive => "ERR value is out of range, must be positive",
            TooManyKeys => "ERR Number of keys can't be greater than number of args",
            OutOfRange => "ERR value is out of range",
            CountOutOfRange => {
                "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807"
            }
            NotAFloat => "ERR value is not a valid float",
            ScoreNotANumber => "ERR One or more scores can't be converted into double",
            HashValueNotAnInteger => "ERR hash value is not an integer",
            HashValueNotAFloat => "ERR hash value is not a float",
            InfiniteIncrement => "ERR value is NaN or Infinity",
            NotFinite => "ERR increment would produce NaN or Infinity",
            Syntax => "ERR syntax error",
            IncrementOverflow => "ERR increment or decrement would overflow",
            DecrementOverflow => "ERR decrement would overflow",
            OffsetOutOfRange => "ERR offset is out of range",
            StringTooLong => "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            LcsNeedsStrings => "ERR The specified keys must contain string values",
            LcsLenAndIdx => "ERR If you want both the length and indexes, please just use IDX.",
            LcsTooLarge => "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len",
            IndexOutOfRange => "ERR index out of range",
            RankZero => {
                "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... \
                 or use negative to start from the end of the list"
            }
            NoSuchKey => "ERR no such key",
            SameObject => "ERR source and destination objects are the same",
            ExpireNxConflict => "ERR NX and XX, GT or LT options at the same time are not compatible",
            ExpireGtLtConflict => "ERR GT and LT options at the same time are not compatible",
            InvalidCursor => "ERR invalid cursor",
            DbIndexOutOfRange => "ERR DB index is out of range",
            other => other.sorted_set_text(),
        }
    }

    /// The text of those that concern sorted sets.
    fn sorted_set_text(&self) -> &'static str {
        use CommandError::*;
        match self {
            XxNxConflict => "ERR XX and NX options at the same time are not compatible",
            GtLtNxConflict => "ERR GT, LT, and/or NX options at the same time are not compatible",
            IncrOfSeveral => "ERR INCR option supports a single increment-element pair",
            ResultNotANumber => "ERR resulting score is not a number (NaN)",
            BoundNotAFloat => "ERR min or max is not a float",
            BoundNotAMember => "ERR min or max not valid string range item",
            LimitByRank => {
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX"
            }
            ScoresByLex => "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            WeightNotAFloat => "ERR weight value is not a float",
            other => other.session_text(),
        }
    }

    /// The text of those that concern sessions and the server.
    fn session_text(&self) -> &'static str {
        use CommandError::*;
        match self {
            NestedMulti => "ERR MULTI calls can not be nested",
            WatchInsideMulti => "ERR WATCH inside MULTI is not allowed",
            ExecWithoutMulti => "ERR EXEC without MULTI",
            DiscardWithoutMulti => "ERR DISCARD without MULTI",
            ExecAbort => "EXECABORT Transaction discarded because of previous errors.",
            ProtocolNotAnInteger => "ERR Protocol version is not an integer or out of range",
            UnsupportedProtocol => "NOPROTO unsupported protocol version",
            AuthWithoutPassword => {
                "ERR AUTH <password> called without any password configured for the default user. \
                 Are you sure your configuration is correct?"
            }
            WrongPassword => "WRONGPASS invalid username-password pair or user is disabled.",
            InvalidClientName => "ERR Client names cannot contain spaces, newlines or special characters.",
            InvalidClientId => "ERR Invalid client ID",
            GetKeysUnknown => "ERR Invalid command specified",
            GetKeysNone => "ERR The command has no key arguments",
            GetKeysInvalid => "ERR Invalid arguments specified for command",
            GetKeysArity => "ERR Invalid number of arguments specified for command",
            OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.",
            ExecAbortOutOfMemory => {
                "EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'."
            }
            Loading => "LOADING Redis is loading the dataset in memory",
            NoConfigFile => {
                "ERR The server is running without a config file: settings come from the environment"
            }
            Plain(text) => text,
            _ => "ERR",
        }
    }
}

/// `parts` and `end`, one after the other.
fn quoted(parts: &[&[u8]], end: &[u8]) -> Vec<u8> {
    let mut text = parts.concat();
    text.extend_from_slice(end);
    text
}
