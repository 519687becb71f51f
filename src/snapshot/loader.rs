//! Reads a snapshot. Frames are read in their order and decoded by several threads; nothing of a file is believed
//! before it was checked, and nothing is allocated because the file merely announces it.

use super::format::{BODY_MAX, FRAME_HEADER_SIZE, FrameHeader, HEADER_SIZE, Header};
use super::frame::{Extent, Frame, Part};
use crate::clock::Clock;
use crate::concurrent::counters::counter::{Counter, Flag};
use crate::value::Kind;
use crate::value::string::MAX_STRING_LEN;
use rkyv::util::AlignedVec;
use rustix::fs::OFlags;
use std::fmt;
use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes by which the room for a body grows, so that a body that is announced and not there takes no memory.
const READ_SIZE: usize = 1 << 20;

/// Bytes of a file that a key takes at least.
const LEAST_RECORD: u64 = 24;

/// Microseconds between two lines about the progress.
const REPORT_EVERY_US: u64 = 2_000_000;

/// Why a file was not loaded, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Receives the keys of a snapshot; one for each thread that loads.
pub trait Receiver {
    /// Told once, before the first frame, how many keys come at most.
    fn expect(&mut self, keys: u64) {
        let _ = keys;
    }

    /// Takes the keys of a frame, or the part of one. The parts of one key come to one receiver, one after the
    /// other.
    ///
    /// # Errors
    /// Why the file is refused.
    fn take(&mut self, frame: &Frame<'_>) -> Result<(), String>;
}

/// How far a load has come, for others to see.
#[derive(Debug, Default)]
pub struct LoadProgress {
    /// Bytes of the file.
    pub total_bytes: Counter,
    /// Bytes that were read.
    pub bytes: Counter,
    /// Keys that were found.
    pub keys: Counter,
    /// Raised by whoever wants the load to end: it then fails.
    pub cancelled: Flag,
}

impl LoadProgress {
    /// Begins again, for another load.
    pub fn restart(&self) {
        [&self.total_bytes, &self.bytes, &self.keys].into_iter().for_each(Counter::reset);
    }

    /// Percent of the bytes.
    pub fn percent(&self) -> f64 {
        self.bytes.get() as f64 * 100.0 / self.total_bytes.get().max(1) as f64
    }
}

/// What a file had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Keys; one that is there twice counts twice.
    pub keys: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// When the snapshot was begun: Unix time in milliseconds.
    pub begun_ms: u64,
}

/// Loads the file `path` on so many threads, at least one, each with a receiver that it makes. On an error some keys
/// may have been received.
///
/// # Errors
/// The file can't be read, is damaged, or a receiver refused it.
pub fn load<R: Receiver>(
    path: &Path,
    threads: usize,
    receiver: impl Fn() -> R + Sync,
    progress: &LoadProgress,
    clock: &Clock,
) -> Result<Loaded, Refused> {
    let refused = |reason: String| Refused(format!("cannot load the snapshot {}: {reason}", path.display()));
    let (file, len) = open(path).map_err(refused)?;
    load_from(file, len, threads, receiver, progress, clock).map_err(refused)
}

/// Opens a regular file, and nothing else: who opens a FIFO waits for a writer, and to open a device may do something.
fn open(path: &Path) -> Result<(File, u64), String> {
    let check = |metadata: Metadata| match what_it_is(metadata.file_type()) {
        None => Ok(metadata.len()),
        Some(kind) => Err(format!("it is a {kind}, not a regular file")),
    };
    check(fs::metadata(path).map_err(|error| error.to_string())?)?;
    let flags = OFlags::NONBLOCK.bits() as i32;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(|error| error.to_string())?;
    // It may have been replaced in between.
    let len = check(file.metadata().map_err(|error| error.to_string())?)?;
    Ok((file, len))
}

/// The name of a kind of file other than a regular one.
fn what_it_is(kind: FileType) -> Option<&'static str> {
    match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some("directory"),
        () if kind.is_fifo() => Some("FIFO"),
        () if kind.is_socket() => Some("socket"),
        () => Some("device"),
    }
}

/// Like [`load`], from a source of `len` bytes.
///
/// # Errors
/// The reason alone.
pub fn load_from<R: Receiver>(
    mut source: impl Read + Send,
    len: u64,
    threads: usize,
    receiver: impl Fn() -> R + Sync,
    progress: &LoadProgress,
    clock: &Clock,
) -> Result<Loaded, String> {
    let mut start = Vec::with_capacity(HEADER_SIZE);
    let read = (&mut source).take(HEADER_SIZE as u64).read_to_end(&mut start);
    read.map_err(|error| error.to_string())?;
    let header = Header::read(&start, len)?;
    progress.total_bytes.add(len);
    progress.bytes.add(HEADER_SIZE as u64);
    // No more than there is room for in the file, whatever it announces.
    receiver().expect(header.keys.min(len / LEAST_RECORD));
    let frames = Mutex::new(Frames {
        source,
        header,
        position: HEADER_SIZE as u64,
        next: 0,
        stream: 0,
        keys: 0,
        failed: None,
        progress,
        clock,
        report_us: clock.monotonic_us() + REPORT_EVERY_US,
    });
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|| work(&frames, &mut receiver()));
        }
        work(&frames, &mut receiver());
    });
    let frames = frames.into_inner().unwrap_or_else(PoisonError::into_inner);
    frames.conclude()
}

/// The frames of a file, read one after the other.
struct Frames<'p, S> {
    source: S,
    header: Header,
    /// Bytes of the file before the next frame.
    position: u64,
    /// Number of the next frame.
    next: u64,
    /// Number of the last key in parts.
    stream: u32,
    keys: u64,
    failed: Option<String>,
    progress: &'p LoadProgress,
    clock: &'p Clock,
    report_us: u64,
}

/// Reads and decodes frames until there are no more, or somebody failed.
fn work<S: Read, R: Receiver>(frames: &Mutex<Frames<'_, S>>, receiver: &mut R) {
    let mut body = AlignedVec::new();
    loop {
        let mut reader = lock(frames);
        if reader.failed.is_some() {
            return;
        }
        let mut header = match reader.next(&mut body) {
            Ok(None) => return,
            Ok(Some(header)) => header,
            Err(reason) => return reader.fail(reason),
        };
        let mut split = None;
        if header.place != Extent::Whole {
            // The parts of a key follow one another: nobody else reads on before the last of them is read.
            match reader.take_parts(header, &mut body, receiver) {
                Ok((last, so_far)) => (header, split) = (last, Some(so_far)),
                Err(reason) => return reader.fail(reason),
            }
        }
        drop(reader);
        let taken = decode(&header, &body).and_then(|frame| {
            match &mut split {
                None => frame.parts().try_for_each(|part| check_whole(&part))?,
                Some(split) => split.check(&frame)?,
            }
            receiver.take(&frame)?;
            Ok(frame.keys())
        });
        let mut reader = lock(frames);
        match taken {
            Ok(keys) => reader.note(keys),
            Err(reason) => return reader.fail(in_frame(&header, &reason)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn in_frame(header: &FrameHeader, reason: &str) -> String {
    format!("frame {} is damaged: {reason}", header.number)
}

fn decode<'f>(header: &FrameHeader, body: &'f [u8]) -> Result<Frame<'f>, String> {
    if crc32fast::hash(body) != header.body_sum {
        return Err("its checksum differs".to_owned());
    }
    Frame::decode(body, header.place)
}

/// What holds for every whole key.
fn check_whole(part: &Part<'_>) -> Result<(), String> {
    check_len(part)?;
    if part.len() != part.head.len {
        return Err("a value is shorter or longer than announced".to_owned());
    }
    Ok(())
}

fn check_len(part: &Part<'_>) -> Result<(), String> {
    match part.head.kind {
        Kind::String if part.head.len > MAX_STRING_LEN as u64 => Err("a string is too long".to_owned()),
        Kind::String => Ok(()),
        _ if part.head.len == 0 => Err("a collection is empty".to_owned()),
        _ => Ok(()),
    }
}

/// The state of a key whose parts are being read.
#[derive(Default)]
struct Split {
    name: Vec<u8>,
    /// Type, deadline and length of the whole.
    announced: Option<(Kind, Option<u64>, u64)>,
    found: u64,
}

impl Split {
    /// Checks that the next part goes on where the last one ended.
    fn check(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        for part in frame.parts() {
            let head = (part.head.kind, part.head.deadline_ms, part.head.len);
            if frame.place() == Extent::First {
                check_len(&part)?;
                self.name.extend_from_slice(part.head.name);
                self.announced = Some(head);
            }
            if self.name != part.head.name || self.announced != Some(head) {
                return Err("a part belongs to another key".to_owned());
            }
            self.found += part.len();
            let is_last = frame.place() == Extent::Last;
            if self.found > part.head.len || (is_last && self.found != part.head.len) {
                return Err("a value is shorter or longer than announced".to_owned());
            }
        }
        Ok(())
    }
}

impl<S: Read> Frames<'_, S> {
    /// Reads the next frame into `body`; `None` at the end of the file.
    fn next(&mut self, body: &mut AlignedVec) -> Result<Option<FrameHeader>, String> {
        let left = self.header.file_len.saturating_sub(self.position);
        if left == 0 {
            return Ok(None);
        }
        if self.progress.cancelled.is_raised() {
            return Err("the load was cancelled".to_owned());
        }
        let mut header = [0; FRAME_HEADER_SIZE];
        self.source.read_exact(&mut header).map_err(|error| self.unread(&error))?;
        let header = FrameHeader::read(&header)
            .filter(|header| header.number == self.next)
            .ok_or_else(|| format!("frame {} has a damaged header", self.next))?;
        let len = header.body_len as usize;
        if u64::from(header.body_len) + FRAME_HEADER_SIZE as u64 > left || len > BODY_MAX {
            return Err(in_frame(&header, "it is longer than the file"));
        }
        body.clear();
        while body.len() < len {
            let read = body.len();
            body.resize(len.min(read + READ_SIZE), 0);
            self.source.read_exact(&mut body[read..]).map_err(|error| self.unread(&error))?;
        }
        self.next += 1;
        self.position += (FRAME_HEADER_SIZE + len) as u64;
        self.progress.bytes.add((FRAME_HEADER_SIZE + len) as u64);
        Ok(Some(header))
    }

    fn unread(&self, error: &io::Error) -> String {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => format!("it is cut off in frame {}", self.next),
            _ => format!("frame {} cannot be read: {error}", self.next),
        }
    }

    /// Takes a key in parts, whose first part is in `body`, up to its last part, which is in `body` then.
    fn take_parts<R: Receiver>(
        &mut self,
        first: FrameHeader,
        body: &mut AlignedVec,
        receiver: &mut R,
    ) -> Result<(FrameHeader, Split), String> {
        if first.place != Extent::First || first.stream != self.stream + 1 {
            return Err(in_frame(&first, "a part of a key is not in its place"));
        }
        self.stream = first.stream;
        let (mut header, mut split) = (first, Split::default());
        while header.place != Extent::Last {
            let damaged = |reason: String| in_frame(&header, &reason);
            let frame = decode(&header, body).map_err(damaged)?;
            split.check(&frame).map_err(damaged)?;
            receiver.take(&frame).map_err(damaged)?;
            self.note(frame.keys());
            let next = self.next(body)?.ok_or("the last key has no end")?;
            if !matches!(next.place, Extent::Middle | Extent::Last) || next.stream != first.stream {
                return Err(in_frame(&next, "a part of a key is missing before it"));
            }
            header = next;
        }
        Ok((header, split))
    }

    /// Counts keys, and says now and then how far the load has come.
    fn note(&mut self, keys: u64) {
        self.keys += keys;
        self.progress.keys.add(keys);
        let now_us = self.clock.monotonic_us();
        if now_us >= self.report_us {
            self.report_us = now_us + REPORT_EVERY_US;
            let percent = (self.position as f64 * 100.0 / self.header.file_len.max(1) as f64) as u64;
            tracing::info!(keys = self.keys, bytes = self.position, percent, "reading the snapshot");
        }
    }

    fn fail(&mut self, reason: String) {
        self.failed.get_or_insert(reason);
    }

    fn conclude(self) -> Result<Loaded, String> {
        if let Some(reason) = self.failed {
            return Err(reason);
        }
        let Header { file_len, frames, keys, begun_ms } = self.header;
        if (self.next, self.keys) != (frames, keys) {
            return Err(format!(
                "it has {} keys in {} frames instead of {keys} in {frames}",
                self.keys, self.next
            ));
        }
        Ok(Loaded { keys, bytes: file_len, begun_ms })
    }
}
