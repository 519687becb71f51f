//! The place of snapshots: one server for a path, by a lock on a file beside it.
//!
//! The lock is the kernel's (flock): it ends with the process that holds it, however that ends. The file that bears it
//! is never deleted, for somebody could lock a new one beside whoever holds the old one. Should others delete it, the
//! holder sees that before it writes, and makes a new one or finds that it has lost the path.

use super::writer::{folder, is_temporary, with_suffix};
use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Links that are followed from the path before they count as a ring, as in Linux.
const MOST_LINKS: usize = 40;

/// How often the file that bears the lock may be deleted while it is locked.
const ATTEMPTS: usize = 8;

/// Bytes that are read of what a holder has written of itself.
const SIGNATURE_MAX: u64 = 256;

/// The place of a server's snapshots.
#[derive(Debug)]
pub struct Home {
    given: PathBuf,
    path: PathBuf,
    lock: Option<File>,
}

/// Why a path is not locked.
#[derive(Debug)]
pub enum NotLocked {
    /// Another server has it, which this describes.
    Held(String),
    /// No lock can be made there.
    Impossible(io::Error),
}

impl fmt::Display for NotLocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotLocked::Held(holder) => write!(f, "{holder} uses it for its snapshots"),
            NotLocked::Impossible(error) => write!(f, "no lock can be made beside it: {error}"),
        }
    }
}

impl Home {
    /// The place `given` leads to, not locked yet.
    pub fn new(given: &Path) -> Home {
        let path = resolved(given).unwrap_or_else(|_| given.to_owned());
        Home { given: given.to_owned(), path, lock: None }
    }

    /// The file itself: no link, so that what replaces it leaves links to it alone.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Locks the path, unless this server has the lock. To be called before each snapshot too: the lock may not have
    /// been possible before, or its file may have been deleted.
    ///
    /// # Errors
    /// Another server has it, or the file of the lock can't be opened.
    pub fn lock(&mut self) -> Result<(), NotLocked> {
        if self.lock.as_ref().is_some_and(|lock| is_at(lock, &lock_path(&self.path))) {
            return Ok(());
        }
        self.lock = None;
        self.path = resolved(&self.given).map_err(NotLocked::Impossible)?;
        self.lock = Some(take(&lock_path(&self.path))?);
        Ok(())
    }

    /// Removes the unfinished files of servers that were killed, and returns how many. For whoever has the lock.
    ///
    /// # Errors
    /// The folder can't be read, or a file can't be removed.
    pub fn remove_leftovers(&self) -> io::Result<usize> {
        let mut removed = 0;
        for entry in fs::read_dir(folder(&self.path))? {
            let entry = entry?;
            // A link or a folder of such a name is not from a snapshot.
            if entry.file_type()?.is_file() && is_temporary(&entry.file_name(), self.name()) {
                fs::remove_file(entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }
}

/// The file that a path leads to, in a folder without links, so that all spellings of one file come to the same. The
/// file need not be there; folders that are missing are made.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        fs::create_dir_all(folder(&path))?;
        let folder = fs::canonicalize(folder(&path))?;
        let name = path.file_name().ok_or_else(|| io::Error::other("a link leads to a folder"))?;
        let place = folder.join(name);
        match fs::read_link(&place) {
            Ok(target) => path = folder.join(target),
            // It is no link, or not there.
            Err(_) => return Ok(place),
        }
    }
    Err(io::Error::other("too many links"))
}

fn lock_path(path: &Path) -> PathBuf {
    with_suffix(path, ".lock")
}

fn take(path: &Path) -> Result<File, NotLocked> {
    for _ in 0..ATTEMPTS {
        let mut file = open(path).map_err(NotLocked::Impossible)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_at(&file, path) => {
                sign(&file);
                return Ok(file);
            }
            // It was deleted in between: another server may have locked the next one.
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(NotLocked::Held(holder(&mut file))),
            Err(error) => return Err(NotLocked::Impossible(error.into())),
        }
    }
    Err(NotLocked::Impossible(io::Error::other("its file is deleted over and over")))
}

fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).custom_flags(flags).open(path);
    let file = match file {
        // That of another user can be locked all the same.
        Err(error)
            if [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem].contains(&error.kind()) =>
        {
            OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|_| error)?
        }
        file => file?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::Error::other(format!("{} is no regular file", path.display())));
    }
    Ok(file)
}

/// True if the open file is the one at this path.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(file), Ok(there)) => identity(file) == identity(there),
        _ => false,
    }
}

/// Writes the process and its host into the file. It is written over, not emptied first, so that this succeeds on a
/// full disk; where it fails nevertheless, the lock holds without a name.
fn sign(file: &File) {
    let host = rustix::system::uname();
    let signature = format!("{} {}\n", std::process::id(), host.nodename().to_string_lossy());
    let signed =
        file.write_all_at(signature.as_bytes(), 0).and_then(|()| file.set_len(signature.len() as u64));
    if let Err(error) = signed {
        tracing::debug!(%error, "the lock has no name");
    }
}

/// The holder of the lock, as written in the file.
fn holder(file: &mut File) -> String {
    let mut signature = Vec::new();
    // Without it the message lacks the name only.
    let _ = file.take(SIGNATURE_MAX).read_to_end(&mut signature);
    let signature = String::from_utf8_lossy(&signature);
    let line = signature.lines().next().unwrap_or_default();
    match line.split_once(' ') {
        Some((pid, host)) if pid.parse::<u32>().is_ok() => {
            format!("process {pid} on host {}", host.escape_debug())
        }
        _ => "another process".to_owned(),
    }
}
