use super::format::{FRAME_HEADER_SIZE, FrameHeader, HEADER_SIZE, Header, MAGIC};
use super::*;
use crate::clock::Clock;
use rand::rngs::SmallRng;
use rand::{Rng, RngCore, SeedableRng};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Seek, SeekFrom, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// A value, as the tests hand it to a sink and find it again.
#[derive(Clone, Debug, PartialEq)]
struct Value {
    kind: Kind,
    deadline_ms: Option<u64>,
    /// One item for a string.
    items: Vec<Vec<u8>>,
    scores: Vec<f64>,
}

impl Value {
    fn len(&self) -> u64 {
        match self.kind {
            Kind::String => self.items[0].len() as u64,
            Kind::Hash => self.items.len() as u64 / 2,
            _ => self.items.len() as u64,
        }
    }
}

type Keys = BTreeMap<Vec<u8>, Value>;

fn feed(sink: &mut impl Sink, name: &[u8], value: &Value) {
    let Value { kind, deadline_ms, items, scores } = value;
    sink.begin(Head { name, kind: *kind, deadline_ms: *deadline_ms, len: value.len() });
    for (index, item) in items.iter().enumerate() {
        sink.item(item);
        scores.get(index).into_iter().for_each(|score| sink.score(*score));
        if sink.buffered() > 300 << 10 {
            sink.write_out().unwrap();
        }
    }
    sink.end();
}

impl Storage for Cursor<Vec<u8>> {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn random_bytes(random: &mut SmallRng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    random.fill_bytes(&mut bytes);
    bytes
}

/// Keys of every kind, some of them too large for a frame.
fn keys(random: &mut SmallRng, count: usize) -> Keys {
    let kinds = [Kind::String, Kind::List, Kind::Hash, Kind::Set, Kind::SortedSet];
    (0..count)
        .map(|number| {
            let kind = kinds[random.random_range(0..kinds.len())];
            let is_large = random.random_ratio(1, 40);
            let items = match kind {
                Kind::String => 1,
                _ if is_large => random.random_range(2_000..40_000),
                _ => random.random_range(1..30),
            };
            let items = if kind == Kind::Hash { 2 * items } else { items };
            let len = if kind == Kind::String && is_large { 900_000 } else { 40 };
            let items: Vec<Vec<u8>> = (0..items)
                .map(|index| {
                    let len = random.random_range(0..len);
                    let mut item = random_bytes(random, len);
                    if kind != Kind::String {
                        item.extend_from_slice(index.to_string().as_bytes());
                    }
                    item
                })
                .collect();
            let scores = match kind {
                Kind::SortedSet => items.iter().map(|_| random.random_range(-1e9..1e9)).collect(),
                _ => Vec::new(),
            };
            let deadline_ms = random.random_bool(0.3).then(|| random.random_range(1 << 40..1 << 41));
            let name = format!("ns{}/key:{number}", number % 7).into_bytes();
            (name, Value { kind, deadline_ms, items, scores })
        })
        .collect()
}

fn written(keys: &Keys) -> Vec<u8> {
    let mut storage = Cursor::new(Vec::new());
    let mut sink = FileSink::new(&mut storage, 77);
    keys.iter().for_each(|(name, value)| feed(&mut sink, name, value));
    sink.complete().unwrap();
    drop(sink);
    storage.into_inner()
}

impl<S: Storage> Storage for &mut S {
    fn sync(&mut self) -> io::Result<()> {
        S::sync(self)
    }
}

/// Puts together what it is given.
struct Collector<'k> {
    keys: &'k Mutex<Keys>,
    growing: Option<(Vec<u8>, Value)>,
}

impl Receiver for Collector<'_> {
    fn take(&mut self, frame: &Frame<'_>) -> Result<(), String> {
        for part in frame.parts() {
            let Head { name, kind, deadline_ms, .. } = part.head;
            let begun = (name.to_vec(), Value { kind, deadline_ms, items: Vec::new(), scores: Vec::new() });
            let (name, mut value) = self.growing.take().unwrap_or(begun);
            if kind == Kind::String {
                let mut whole = value.items.pop().unwrap_or_default();
                whole.extend_from_slice(part.bytes());
                value.items.push(whole);
            } else {
                value.items.extend(part.items().map(<[u8]>::to_vec));
                value.scores.extend(part.scores());
            }
            if matches!(frame.place(), Extent::Whole | Extent::Last) {
                self.keys.lock().unwrap().insert(name, value);
            } else {
                self.growing = Some((name, value));
            }
        }
        Ok(())
    }
}

fn read(bytes: &[u8], threads: usize) -> Result<(Loaded, Keys), String> {
    let keys = Mutex::default();
    let receiver = || Collector { keys: &keys, growing: None };
    let (progress, clock) = (LoadProgress::default(), Clock::manual(0));
    let loaded = load_from(bytes, bytes.len() as u64, threads, receiver, &progress, &clock)?;
    assert_eq!((progress.bytes.get(), progress.keys.get()), (loaded.bytes, loaded.keys));
    Ok((loaded, keys.into_inner().unwrap()))
}

/// Where each frame begins, and the end of the file.
fn frame_starts(bytes: &[u8]) -> Vec<usize> {
    let mut starts = vec![HEADER_SIZE];
    while starts[starts.len() - 1] < bytes.len() {
        let start = starts[starts.len() - 1];
        let header = bytes[start..start + FRAME_HEADER_SIZE].try_into().unwrap();
        let header = FrameHeader::read(header).unwrap();
        starts.push(start + FRAME_HEADER_SIZE + header.body_len as usize);
    }
    starts
}

#[test]
fn what_was_written_is_read() {
    let mut random = SmallRng::seed_from_u64(1);
    let keys = keys(&mut random, 600);
    let bytes = written(&keys);
    let frames = frame_starts(&bytes).len() - 1;
    assert!(frames > 20, "{frames} frames");
    for threads in [1, 2, 3] {
        let (loaded, found) = read(&bytes, threads).unwrap();
        assert_eq!(loaded, Loaded { keys: 600, bytes: bytes.len() as u64, begun_ms: 77 });
        assert!(found == keys, "the same keys with {threads} threads");
    }
}

#[test]
fn an_empty_store_has_a_snapshot_too() {
    let bytes = written(&Keys::new());
    assert_eq!(bytes.len(), HEADER_SIZE);
    assert_eq!(read(&bytes, 2).unwrap().0.keys, 0);
}

#[test]
fn a_key_may_come_twice() {
    let mut random = SmallRng::seed_from_u64(2);
    let keys = keys(&mut random, 50);
    let mut storage = Cursor::new(Vec::new());
    let mut sink = FileSink::new(&mut storage, 0);
    for (name, value) in keys.iter().chain(&keys) {
        feed(&mut sink, name, value);
    }
    sink.complete().unwrap();
    drop(sink);
    let (loaded, found) = read(&storage.into_inner(), 2).unwrap();
    assert_eq!((loaded.keys, found == keys), (100, true));
}

#[test]
fn empty_items_and_extreme_values_survive() {
    let value = |kind, items: &[&[u8]], scores: &[f64]| Value {
        kind,
        deadline_ms: Some(u64::MAX - 1),
        items: items.iter().map(|item| item.to_vec()).collect(),
        scores: scores.to_vec(),
    };
    let infinite = [f64::NEG_INFINITY, f64::INFINITY, -0.0, f64::MIN_POSITIVE];
    let keys = Keys::from([
        (b"".to_vec(), value(Kind::String, &[b""], &[])),
        (b"a/".to_vec(), value(Kind::List, &[b"", b"", b""], &[])),
        (b"/".to_vec(), value(Kind::Hash, &[b"", b""], &[])),
        (b"z".to_vec(), value(Kind::SortedSet, &[b"", b"b", b"c", b"d"], &infinite)),
    ]);
    assert_eq!(read(&written(&keys), 1).unwrap().1, keys);
}

/// Loads a damaged file: it must be refused, in one line.
#[track_caller]
fn refuse(bytes: &[u8]) -> String {
    let reason = read(bytes, 2).expect_err("a damaged file is refused");
    assert!(!reason.is_empty() && !reason.contains('\n'), "{reason:?}");
    reason
}

#[test]
fn a_cut_file_is_refused_wherever_it_is_cut() {
    let mut random = SmallRng::seed_from_u64(3);
    let bytes = written(&keys(&mut random, 300));
    let mut cuts = frame_starts(&bytes);
    cuts.pop();
    cuts.extend(0..HEADER_SIZE + FRAME_HEADER_SIZE);
    cuts.extend((0..300).map(|_| random.random_range(0..bytes.len())));
    for cut in cuts {
        let reason = refuse(&bytes[..cut]);
        assert_eq!(cut == 0, reason == "the file is empty", "{reason}");
        // Nor does it help to correct the length that the header has.
        if cut >= HEADER_SIZE {
            let mut cut = bytes[..cut].to_vec();
            let header = Header::read(&bytes, bytes.len() as u64).unwrap();
            let header = Header { file_len: cut.len() as u64, ..header };
            cut[..HEADER_SIZE].copy_from_slice(&header.write());
            refuse(&cut);
        }
    }
}

#[test]
fn a_flipped_bit_is_found() {
    let mut random = SmallRng::seed_from_u64(4);
    let bytes = written(&keys(&mut random, 40));
    let ends = frame_starts(&bytes);
    let headers = ends.iter().flat_map(|start| *start..start + FRAME_HEADER_SIZE);
    let places: Vec<usize> = (0..HEADER_SIZE).chain(headers).filter(|place| *place < bytes.len()).collect();
    for case in 0..2_000 {
        let place = places.get(case).copied().unwrap_or_else(|| random.random_range(0..bytes.len()));
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << random.random_range(0..8);
        refuse(&damaged);
    }
}

#[test]
fn frames_that_are_missing_or_out_of_order_are_found() {
    let mut random = SmallRng::seed_from_u64(5);
    let bytes = written(&keys(&mut random, 300));
    let starts = frame_starts(&bytes);
    let frames: Vec<&[u8]> = starts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
    let header = Header::read(&bytes, bytes.len() as u64).unwrap();
    let assembled = |frames: &[&[u8]]| {
        let body = frames.concat();
        let file_len = (HEADER_SIZE + body.len()) as u64;
        [&Header { file_len, ..header }.write()[..], &body].concat()
    };
    assert_eq!(assembled(&frames), bytes);
    for index in 0..frames.len() {
        let mut fewer = frames.clone();
        fewer.remove(index);
        refuse(&assembled(&fewer));
        let mut swapped = frames.clone();
        swapped.swap(index, (index + 1) % frames.len());
        refuse(&assembled(&swapped));
        let mut twice = frames.clone();
        twice.insert(index, frames[index]);
        refuse(&assembled(&twice));
    }
}

#[test]
fn other_files_are_refused_by_name() {
    let good = written(&Keys::new());
    assert_eq!(refuse(b""), "the file is empty");
    assert_eq!(refuse(&[0; 500]), "the snapshot was never finished");
    assert!(refuse(b"REDIS0010\xfa\x09redis-ver\x057.0.15").contains("no kvns snapshot"));
    assert!(refuse(b"kvns").contains("no kvns snapshot"));
    assert!(refuse(&good[..20]).contains("cut off"));
    assert!(refuse(&[&good[..], b"x"].concat()).contains("65 bytes instead of 64"));
    let of_version = |version: u32| [&MAGIC[..], &version.to_le_bytes(), &good[12..]].concat();
    assert!(refuse(&of_version(2)).contains("version 2"), "{}", refuse(&of_version(2)));
    assert!(refuse(&of_version(0)).contains("no version 0"));
}

/// Random bytes with all checksums right: what the checks of the records have to find.
#[test]
fn damaged_records_with_right_checksums_are_no_panic() {
    let mut random = SmallRng::seed_from_u64(6);
    let bytes = written(&keys(&mut random, 30));
    let starts = frame_starts(&bytes);
    for _ in 0..3_000 {
        let mut damaged = bytes.clone();
        let frame = random.random_range(0..starts.len() - 1);
        let body = starts[frame] + FRAME_HEADER_SIZE..starts[frame + 1];
        // Most of the records lie at the end.
        for _ in 0..random.random_range(1..4) {
            let reach = if random.random_bool(0.7) { body.len().min(200) } else { body.len() };
            let place = body.end - 1 - random.random_range(0..reach);
            damaged[place] = random.random_range(0..=255);
        }
        let start = starts[frame];
        let header: [u8; FRAME_HEADER_SIZE] = damaged[start..start + FRAME_HEADER_SIZE].try_into().unwrap();
        let header = FrameHeader::read(&header).unwrap();
        let body_sum = crc32fast::hash(&damaged[body]);
        damaged[start..start + FRAME_HEADER_SIZE]
            .copy_from_slice(&FrameHeader { body_sum, ..header }.write());
        if let Err(reason) = read(&damaged, 1) {
            assert!(!reason.contains('\n'), "{reason:?}");
        }
    }
}

#[test]
fn a_score_that_is_no_number_is_refused() {
    let items = vec![b"a".to_vec(), b"b".to_vec()];
    let value = Value { kind: Kind::SortedSet, deadline_ms: None, items, scores: vec![1.0, f64::NAN] };
    let reason = refuse(&written(&Keys::from([(b"z".to_vec(), value)])));
    assert!(reason.contains("a score is not a number"), "{reason}");
}

/// Two keys whose parts have the same type, deadline and length: their names alone tell them apart.
#[test]
fn parts_of_two_keys_do_not_make_one() {
    let value =
        Value { kind: Kind::String, deadline_ms: None, items: vec![vec![b'.'; 900_000]], scores: Vec::new() };
    let bytes = written(&Keys::from([(b"the key".to_vec(), value)]));
    let starts = frame_starts(&bytes);
    assert!(starts.len() > 3, "the key comes in parts");
    let mut damaged = bytes.clone();
    let last = starts[starts.len() - 2]..starts[starts.len() - 1];
    let body = last.start + FRAME_HEADER_SIZE..last.end;
    let name = damaged[body.clone()].windows(7).position(|found| found == b"the key").unwrap();
    damaged[body.start + name..][..7].copy_from_slice(b"another");
    let header = damaged[last.start..body.start].try_into().unwrap();
    let header = FrameHeader {
        body_sum: crc32fast::hash(&damaged[body.clone()]),
        ..FrameHeader::read(header).unwrap()
    };
    damaged[last.start..body.start].copy_from_slice(&header.write());
    assert!(refuse(&damaged).contains("a part belongs to another key"));
}

/// A frame that announces a gigabyte and has nothing.
#[test]
fn what_a_header_announces_is_not_allocated() {
    let header = FrameHeader { place: Extent::Whole, body_len: 1 << 30, body_sum: 0, number: 0, stream: 0 };
    let file_len = (HEADER_SIZE + FRAME_HEADER_SIZE) as u64 + (1 << 30);
    let start = Header { file_len, frames: 1, keys: 1, begun_ms: 0 }.write();
    let bytes = [&start[..], &header.write()].concat();
    let keys = Mutex::default();
    let receiver = || Collector { keys: &keys, growing: None };
    let reason = load_from(&bytes[..], file_len, 1, receiver, &LoadProgress::default(), &Clock::manual(0));
    assert!(reason.unwrap_err().contains("cut off"));
}

fn scratch(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("kvns-snapshot-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&path);
    path
}

fn load_file(path: &std::path::Path) -> Result<Keys, Refused> {
    let keys = Mutex::default();
    load(path, 2, || Collector { keys: &keys, growing: None }, &LoadProgress::default(), &Clock::system())?;
    Ok(keys.into_inner().unwrap())
}

/// What is beside a file.
fn others(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|entry| entry != path).collect()
}

#[test]
fn a_file_is_in_place_when_it_is_finished_and_not_before() {
    let folder = scratch("place");
    let path = folder.join("deep/er/kvns.snapshot");
    let mut random = SmallRng::seed_from_u64(7);
    let (old, new) = (keys(&mut random, 20), keys(&mut random, 30));
    for (round, keys) in [&old, &new].into_iter().enumerate() {
        let mut sink = FileSink::create(&path, 1).unwrap();
        keys.iter().for_each(|(name, value)| feed(&mut sink, name, value));
        sink.write_out().unwrap();
        assert_eq!(load_file(&path).is_ok(), round > 0);
        let unfinished = others(&path);
        assert_eq!(unfinished.len(), 1, "{unfinished:?}");
        assert!(load_file(&unfinished[0]).unwrap_err().to_string().contains("never finished"));
        let saved = sink.finish(&path).unwrap();
        assert_eq!(saved.bytes, fs::metadata(&path).unwrap().len());
        assert!(others(&path).is_empty());
        assert!(load_file(&path).unwrap() == *keys);
    }
    // One that is given up leaves what was there.
    let mut sink = FileSink::create(&path, 1).unwrap();
    old.iter().for_each(|(name, value)| feed(&mut sink, name, value));
    drop(sink);
    assert!(others(&path).is_empty() && load_file(&path).unwrap() == new);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn paths_that_cannot_be_written_or_read_are_errors() {
    let folder = scratch("paths");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("file"), b"").unwrap();
    assert!(FileSink::create(&folder.join("file/below"), 0).is_err());
    let missing = load_file(&folder.join("missing")).unwrap_err().to_string();
    assert!(missing.starts_with("cannot load the snapshot ") && missing.contains("missing"), "{missing}");
    assert!(load_file(&folder).unwrap_err().to_string().contains("it is a directory, not a regular file"));
    // A folder stands where the file is to be.
    fs::create_dir_all(folder.join("taken/x")).unwrap();
    let sink = FileSink::create(&folder.join("taken"), 0).unwrap();
    assert!(sink.finish(&folder.join("taken")).is_err());
    assert_eq!(others(&folder.join("taken")), [folder.join("file")]);
    fs::remove_dir_all(folder).unwrap();
}

/// A disk that is full after so many bytes.
struct SmallDisk(Cursor<Vec<u8>>, usize);

impl Write for SmallDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.1.saturating_sub(self.0.position() as usize).min(bytes.len());
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.write(&bytes[..room])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for SmallDisk {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

impl Storage for SmallDisk {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_is_an_error_wherever_it_is_full() {
    let mut random = SmallRng::seed_from_u64(8);
    let keys = keys(&mut random, 100);
    let needed = written(&keys).len();
    let try_room = |room| {
        let mut sink = FileSink::new(SmallDisk(Cursor::new(Vec::new()), room), 0);
        for (name, Value { kind, deadline_ms, items, scores }) in &keys {
            let len = keys[name].len();
            sink.begin(Head { name, kind: *kind, deadline_ms: *deadline_ms, len });
            for (index, item) in items.iter().enumerate() {
                sink.item(item);
                scores.get(index).into_iter().for_each(|score| sink.score(*score));
            }
            sink.end();
            sink.write_out()?;
        }
        sink.complete()
    };
    for room in (0..40).map(|part| needed * part / 41) {
        assert_eq!(try_room(room).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
    assert!(try_room(2 * needed).is_ok());
}

fn held(home: &mut Home) -> bool {
    match home.lock() {
        Ok(()) => false,
        Err(NotLocked::Held(by)) => {
            assert!(by.starts_with(&format!("process {} on host ", std::process::id())), "{by}");
            true
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn one_server_has_a_path_by_whatever_spelling() {
    let folder = scratch("lock");
    let path = folder.join("sub/kvns.snapshot");
    let mut first = Home::new(&path);
    assert!(!held(&mut first) && !held(&mut first));
    symlink(&path, folder.join("sub/link")).unwrap();
    symlink("link", folder.join("sub/link-to-link")).unwrap();
    symlink("sub", folder.join("other")).unwrap();
    for spelling in ["sub/../sub/./kvns.snapshot", "sub/link", "sub/link-to-link", "other/kvns.snapshot"] {
        let mut second = Home::new(&folder.join(spelling));
        assert!(held(&mut second), "{spelling}");
        assert_eq!(second.path(), first.path(), "{spelling}");
    }
    assert!(!held(&mut Home::new(&folder.join("sub/kvns.snapshot2"))));
    drop(first);
    let mut second = Home::new(&path);
    assert!(!held(&mut second), "the lock ends with its holder, the file stays");
    // Whoever deletes the file takes the lock away only until the holder looks.
    let lock = folder.join("sub/kvns.snapshot.lock");
    fs::remove_file(&lock).unwrap();
    assert!(!held(&mut second) && held(&mut Home::new(&path)));
    fs::remove_file(&lock).unwrap();
    let mut third = Home::new(&path);
    assert!(!held(&mut third) && held(&mut second), "it is lost to who was faster");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn where_no_lock_can_be_made_is_said() {
    let folder = scratch("no-lock");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("victim"), b"not ours").unwrap();
    symlink("victim", folder.join("kvns.snapshot.lock")).unwrap();
    symlink("ring", folder.join("ring")).unwrap();
    for path in ["victim/below", "kvns.snapshot", "ring"] {
        let mut home = Home::new(&folder.join(path));
        assert!(matches!(home.lock(), Err(NotLocked::Impossible(_))), "{path}");
    }
    assert_eq!(fs::read(folder.join("victim")).unwrap(), b"not ours");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn leftovers_of_this_file_alone_are_removed() {
    let folder = scratch("leftovers");
    fs::create_dir_all(folder.join("snapshot.tmp.000000000000000f")).unwrap();
    symlink("other", folder.join("snapshot.tmp.00000000000000ff")).unwrap();
    let stay = [
        "other",
        "other.tmp",
        "snapshot",
        "snapshot.tmp.old",
        "snapshot.tmp.0123456789abcdef0",
        "snapshot.tmpl",
    ];
    let go = ["snapshot.tmp", "snapshot.tmp.0123456789abcdef"];
    stay.iter().chain(&go).for_each(|name| fs::write(folder.join(name), b"x").unwrap());
    let home = Home::new(&folder.join("snapshot"));
    assert_eq!(home.remove_leftovers().unwrap(), go.len());
    assert_eq!(home.remove_leftovers().unwrap(), 0);
    assert!(stay.iter().all(|name| folder.join(name).exists()));
    assert_eq!(others(&folder.join("snapshot")).len(), stay.len() - 1 + 2);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let folder = scratch("kinds");
    fs::create_dir_all(&folder).unwrap();
    let fifo = folder.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _listener = UnixListener::bind(folder.join("socket")).unwrap();
    symlink("fifo", folder.join("link")).unwrap();
    for (path, kind) in [("fifo", "FIFO"), ("link", "FIFO"), ("socket", "socket"), ("/dev/null", "device")] {
        let error = load_file(&folder.join(path)).unwrap_err().to_string();
        assert!(error.ends_with(&format!("it is a {kind}, not a regular file")), "{error}");
    }
    fs::remove_dir_all(folder).unwrap();
}

/// A disk that may lose what was not synced.
#[derive(Default)]
struct CachingDisk {
    bytes: Cursor<Vec<u8>>,
    unsynced: usize,
}

impl Write for CachingDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.starts_with(&MAGIC) {
            assert_eq!(self.unsynced, 0, "the header vouches for what the disk may lose");
        }
        self.unsynced += bytes.len();
        self.bytes.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for CachingDisk {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.bytes.seek(to)
    }
}

impl Storage for CachingDisk {
    fn sync(&mut self) -> io::Result<()> {
        self.unsynced = 0;
        Ok(())
    }
}

#[test]
fn the_header_is_written_when_the_disk_has_the_rest_and_synced_itself() {
    let mut disk = CachingDisk::default();
    let mut sink = FileSink::new(&mut disk, 0);
    let keys = keys(&mut SmallRng::seed_from_u64(9), 20);
    keys.iter().for_each(|(name, value)| feed(&mut sink, name, value));
    sink.complete().unwrap();
    drop(sink);
    assert_eq!(disk.unsynced, 0, "the file may take its place");
    assert!(read(disk.bytes.get_ref(), 1).is_ok());
}
