//! Writes a snapshot: to a new file beside `PATH`, synced, then renamed. Whatever fails, the file that was there stays.

use super::format::{HEADER_SIZE, Header};
use super::frame::{Extent, Filling};
use super::{Head, Sink};
use crate::value::Kind;
use rkyv::util::AlignedVec;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::mem::take;
use std::path::{Path, PathBuf};

/// Bytes of a frame of whole keys, about; and of a key's part in it from which on the key gets frames of its own.
const FRAME_SIZE: usize = 256 << 10;

/// A key that goes on when all is to be written out is cut from this size on.
const LEAST_PART: usize = 64 << 10;

/// Bytes after which the file is synced, so that the last sync does not have it all to write.
const SYNC_EVERY: u64 = 32 << 20;

/// The file that a snapshot is written to.
pub trait Storage: Write + Seek {
    /// Returns once all that was written is on the disk.
    ///
    /// # Errors
    /// The disk did not take it.
    fn sync(&mut self) -> io::Result<()>;
}

impl Storage for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Keys; one that came twice counts twice.
    pub keys: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// A key that has begun.
struct Open {
    name: Vec<u8>,
    kind: Kind,
    deadline_ms: Option<u64>,
    len: u64,
    /// Number of its stream once it has parts, else 0.
    stream: u32,
}

impl Open {
    fn head(&self) -> Head<'_> {
        Head { name: &self.name, kind: self.kind, deadline_ms: self.deadline_ms, len: self.len }
    }
}

/// Writes the keys it is given to a file. [`FileSink::finish`] puts it into its place; without it nothing is left.
pub struct FileSink<S = File> {
    storage: S,
    /// The file to remove if the snapshot is not finished; `None` without one.
    temporary: Option<PathBuf>,
    filling: Filling,
    open: Option<Open>,
    /// Frames that are not written out.
    sealed: Vec<AlignedVec>,
    sealed_bytes: usize,
    /// The room of a frame that was written out.
    spare: AlignedVec,
    frames: u64,
    streams: u32,
    keys: u64,
    written: u64,
    unsynced: u64,
    begun_ms: u64,
    error: Option<io::Error>,
}

/// What the name of a file ends with that is not in its place yet; a dot and random digits follow.
const TEMPORARY: &str = ".tmp";

/// Random hexadecimal digits in such a name.
const DIGITS: usize = 16;

/// How often the name that was drawn may be taken.
const ATTEMPTS: usize = 8;

/// The path with something behind the name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// True if `name` is that of a file that was to become `of`; without digits, if an early version was to write it.
pub(super) fn is_temporary(name: &OsStr, of: &OsStr) -> bool {
    let name = name.as_encoded_bytes().strip_prefix(of.as_encoded_bytes());
    match name.and_then(|rest| rest.strip_prefix(TEMPORARY.as_bytes())) {
        Some([]) => true,
        Some([b'.', digits @ ..]) => digits.len() == DIGITS && digits.iter().all(u8::is_ascii_hexdigit),
        _ => false,
    }
}

/// A file of its own beside `path`, which nobody else has, and nobody could prepare.
fn create_temporary(path: &Path) -> io::Result<(PathBuf, File)> {
    for _ in 0..ATTEMPTS {
        let temporary = with_suffix(path, &format!("{TEMPORARY}.{:0DIGITS$x}", rand::random::<u64>()));
        // A new file only: what is there is neither overwritten nor, if it is a link, followed.
        match File::create_new(&temporary) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            created => return Ok((temporary, created?)),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// The folder that a file is in.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl FileSink<File> {
    /// Starts a snapshot that is to become the file `path` and was begun at `begun_ms` (Unix time in milliseconds).
    /// Makes the folders that are missing.
    ///
    /// # Errors
    /// The file can't be created.
    pub fn create(path: &Path, begun_ms: u64) -> io::Result<FileSink<File>> {
        fs::create_dir_all(folder(path))?;
        let (temporary, file) = create_temporary(path)?;
        let mut sink = FileSink::new(file, begun_ms);
        sink.temporary = Some(temporary);
        Ok(sink)
    }

    /// Completes the file, syncs it and puts it in the place of `path`, which [`FileSink::create`] was given.
    /// Returns when the disk has it.
    ///
    /// # Errors
    /// The file can't be written, synced or put into its place.
    pub fn finish(mut self, path: &Path) -> io::Result<Saved> {
        let saved = self.complete()?;
        if let Some(temporary) = self.temporary.take() {
            if let Err(error) = fs::rename(&temporary, path) {
                self.temporary = Some(temporary);
                return Err(error);
            }
            // The name is on the disk when its folder is.
            File::open(folder(path))?.sync_all()?;
        }
        Ok(saved)
    }
}

impl<S> Drop for FileSink<S> {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            // Left behind it does no harm: the next start removes it.
            let _ = fs::remove_file(temporary);
        }
    }
}

impl<S> FileSink<S> {
    /// Starts a snapshot in an empty storage; see [`FileSink::create`].
    pub fn new(storage: S, begun_ms: u64) -> FileSink<S> {
        FileSink {
            storage,
            temporary: None,
            filling: Filling::default(),
            open: None,
            sealed: Vec::new(),
            sealed_bytes: 0,
            spare: AlignedVec::new(),
            frames: 0,
            streams: 0,
            keys: 0,
            written: 0,
            unsynced: 0,
            begun_ms,
            error: None,
        }
    }

    /// Keys taken so far.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// Bytes written out so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Ends the frame that is being filled.
    fn seal(&mut self, place: Extent, stream: u32) {
        if self.filling.is_empty() {
            return;
        }
        match self.filling.seal(place, stream, self.frames, take(&mut self.spare)) {
            Ok(frame) => {
                self.frames += 1;
                self.sealed_bytes += frame.len();
                self.sealed.push(frame);
            }
            Err(error) => {
                self.error.get_or_insert_with(|| io::Error::other(error.to_string()));
            }
        }
    }

    /// Ends the frame in front of its last key, if it has others.
    fn seal_before_last(&mut self) {
        if self.filling.keys() > 1 {
            let last = self.filling.split_last();
            self.seal(Extent::Whole, 0);
            self.filling = last;
        }
    }

    /// Puts what there is of the open key into a frame of its own, and goes on with the next part.
    fn cut(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        if open.stream == 0 {
            self.seal_before_last();
            self.streams += 1;
            open.stream = self.streams;
            self.seal(Extent::First, open.stream);
        } else {
            self.seal(Extent::Middle, open.stream);
        }
        self.filling.begin(open.head());
        self.open = Some(open);
    }

    fn cut_if_large(&mut self) {
        if self.filling.size_of_last() >= FRAME_SIZE && self.filling.is_between_items() {
            self.cut();
        }
    }
}

impl<S: Storage> FileSink<S> {
    /// Writes out everything and the header, and syncs; a file is still to be put into its place. To be called once.
    ///
    /// # Errors
    /// The file can't be written or synced.
    pub fn complete(&mut self) -> io::Result<Saved> {
        debug_assert!(self.open.is_none(), "a snapshot ends behind a key");
        self.seal(Extent::Whole, 0);
        if self.frames == 0 {
            self.write(&[])?;
        }
        self.write_out()?;
        // The frames are to be on the disk before the header that vouches for them.
        self.storage.sync()?;
        let saved = Saved { keys: self.keys, bytes: self.written };
        let header =
            Header { file_len: saved.bytes, frames: self.frames, keys: saved.keys, begun_ms: self.begun_ms };
        self.storage.seek(SeekFrom::Start(0))?;
        self.storage.write_all(&header.write())?;
        self.storage.sync()?;
        Ok(saved)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.written == 0 {
            self.storage.write_all(&[0; HEADER_SIZE])?;
            self.written = HEADER_SIZE as u64;
        }
        self.storage.write_all(bytes)?;
        self.written += bytes.len() as u64;
        self.unsynced += bytes.len() as u64;
        if self.unsynced >= SYNC_EVERY {
            self.unsynced = 0;
            self.storage.sync()?;
        }
        Ok(())
    }
}

impl<S: Storage> Sink for FileSink<S> {
    fn begin(&mut self, head: Head<'_>) {
        debug_assert!(self.open.is_none(), "one key after the other");
        if self.filling.size() >= FRAME_SIZE {
            self.seal(Extent::Whole, 0);
        }
        self.keys += 1;
        let Head { name, kind, deadline_ms, len } = head;
        self.open = Some(Open { name: name.to_vec(), kind, deadline_ms, len, stream: 0 });
        self.filling.begin(head);
    }

    fn item(&mut self, bytes: &[u8]) {
        match self.open.as_ref().map(|open| open.kind) {
            Some(Kind::String) => {
                for piece in bytes.chunks(FRAME_SIZE) {
                    self.filling.push_string(piece);
                    self.cut_if_large();
                }
            }
            Some(_) => {
                self.filling.push_item(bytes);
                self.cut_if_large();
            }
            None => debug_assert!(false, "an item belongs to a key"),
        }
    }

    fn score(&mut self, score: f64) {
        self.filling.push_score(score);
        self.cut_if_large();
    }

    fn end(&mut self) {
        if let Some(open) = self.open.take()
            && open.stream > 0
        {
            self.seal(Extent::Last, open.stream);
        }
    }

    fn buffered(&self) -> usize {
        self.sealed_bytes + self.filling.size()
    }

    fn write_out(&mut self) -> io::Result<()> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        match &self.open {
            None => self.seal(Extent::Whole, 0),
            Some(_) if self.filling.is_between_items() && self.filling.size_of_last() >= LEAST_PART => {
                self.cut()
            }
            Some(_) => self.seal_before_last(),
        }
        self.sealed_bytes = 0;
        for mut frame in take(&mut self.sealed) {
            self.write(&frame)?;
            frame.clear();
            self.spare = frame;
        }
        Ok(())
    }
}
