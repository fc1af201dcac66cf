//! Six hours that are over: the packed rows of each object, then an index by key, then where the index is.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::journal::{ENTRY, Journal, mean};
use super::{Key, ROWS_I64, checksum};
use crate::core::pack::{self, Coarse};

const SUFFIX: &str = "means";
const UNFINISHED: &str = "unfinished";

/// Key and place of an object.
const INDEX_ENTRY: usize = 16 + 4;
/// Where the index is, how many entries it has, and their checksum.
const FOOT: usize = 4 + 4 + 8;
/// Length and checksum of packed rows.
const HEAD: usize = 2 + 4;

pub(super) struct Segment {
    chunk: i64,
    file: File,
    index: u64,
    count: u64,
}

fn path(folder: &Path, chunk: i64) -> PathBuf {
    folder.join(format!("{chunk}.{SUFFIX}"))
}

/// Every segment of a folder, in order of time. One that is damaged is told and passed over.
pub(super) fn open_all(folder: &Path) -> io::Result<Vec<Segment>> {
    let mut segments = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let file = entry?.path();
        let name = file
            .file_stem()
            .and_then(|n| n.to_str())
            .unwrap_or_default();
        let is_segment = file.extension().is_some_and(|e| e == SUFFIX);
        let Some(chunk) = name.parse().ok().filter(|_| is_segment) else {
            continue;
        };
        match Segment::open(folder, chunk) {
            Ok(segment) => segments.push(segment),
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "six hours of means cannot be read");
            }
        }
    }
    segments.sort_by_key(Segment::chunk);
    Ok(segments)
}

/// Writes what a journal has. It is there whole or not at all.
pub(super) fn write(folder: &Path, chunk: i64, journal: &Journal) -> io::Result<Segment> {
    let unfinished = folder.join(UNFINISHED);
    let mut file = BufWriter::new(File::create(&unfinished)?);
    let mut cursors = Vec::new();
    for frame in journal.frames() {
        let place = usize::try_from(frame.interval.rem_euclid(ROWS_I64)).unwrap_or(0);
        cursors.push(Cursor::new(place, journal.entries(frame)?)?);
    }
    let (mut index, mut place, mut count) = (Vec::new(), 0_u32, 0_u32);
    while let Some(key) = cursors.iter().filter_map(Cursor::key).min() {
        let mut rows = Vec::new();
        for cursor in cursors
            .iter_mut()
            .filter(|cursor| cursor.key() == Some(key))
        {
            rows.extend(cursor.take()?);
        }
        let packed = pack::pack(&rows);
        let length = u16::try_from(packed.len()).map_err(io::Error::other)?;
        file.write_all(&length.to_le_bytes())?;
        file.write_all(&checksum::<4>(&packed))?;
        file.write_all(&packed)?;
        index.extend(key);
        index.extend(place.to_le_bytes());
        place += u32::from(length) + HEAD as u32;
        count += 1;
    }
    file.write_all(&index)?;
    file.write_all(&place.to_le_bytes())?;
    file.write_all(&count.to_le_bytes())?;
    file.write_all(&checksum::<8>(&index))?;
    file.into_inner()
        .map_err(io::IntoInnerError::into_error)?
        .sync_all()?;
    std::fs::rename(&unfinished, path(folder, chunk))?;
    File::open(folder)?.sync_all()?;
    Segment::open(folder, chunk)
}

/// The next entry of a frame.
struct Cursor<R> {
    place: usize,
    entries: R,
    next: Option<[u8; ENTRY]>,
}

impl<R: Read> Cursor<R> {
    fn new(place: usize, entries: R) -> io::Result<Self> {
        let mut cursor = Self {
            place,
            entries,
            next: None,
        };
        cursor.take()?;
        Ok(cursor)
    }

    fn key(&self) -> Option<Key> {
        self.next.as_ref()?.first_chunk().copied()
    }

    /// Goes on to the next entry and gives the one before it.
    fn take(&mut self) -> io::Result<Option<(usize, Coarse)>> {
        let mut entry = [0; ENTRY];
        let next = match self.entries.read_exact(&mut entry) {
            Ok(()) => Some(entry),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => None,
            Err(error) => return Err(error),
        };
        let taken = std::mem::replace(&mut self.next, next);
        Ok(taken.map(|entry| (self.place, mean(&entry))))
    }
}

impl Segment {
    fn open(folder: &Path, chunk: i64) -> io::Result<Self> {
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "it is damaged");
        let file = File::open(path(folder, chunk))?;
        let length = file.metadata()?.len();
        let foot_at = length.checked_sub(FOOT as u64).ok_or_else(damaged)?;
        let mut foot = [0; FOOT];
        file.read_exact_at(&mut foot, foot_at)?;
        let number = |at: usize| {
            let bytes = foot.get(at..)?.first_chunk().copied()?;
            Some(u64::from(u32::from_le_bytes(bytes)))
        };
        let (index, count) = number(0).zip(number(4)).ok_or_else(damaged)?;
        if index + count * INDEX_ENTRY as u64 != foot_at {
            return Err(damaged());
        }
        let mut entries = vec![0; usize::try_from(foot_at - index).map_err(io::Error::other)?];
        file.read_exact_at(&mut entries, index)?;
        if foot.get(8..) != Some(&checksum::<8>(&entries)) {
            return Err(damaged());
        }
        Ok(Self {
            chunk,
            file,
            index,
            count,
        })
    }

    pub(super) fn chunk(&self) -> i64 {
        self.chunk
    }

    pub(super) fn remove(&self, folder: &Path) -> io::Result<()> {
        match std::fs::remove_file(path(folder, self.chunk)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) fn read(&self, key: &Key) -> io::Result<Vec<(i64, Coarse)>> {
        let Some(place) = self.find(key)? else {
            return Ok(Vec::new());
        };
        let Some(rows) = self.rows_at(place)? else {
            tracing::warn!(
                chunk = self.chunk,
                "the means of an object are damaged and passed over"
            );
            return Ok(Vec::new());
        };
        let first = self.chunk * ROWS_I64;
        let rows = rows.into_iter();
        Ok(rows
            .map(|(place, mean)| (first + i64::try_from(place).unwrap_or(0), mean))
            .collect())
    }

    /// `None`: they are damaged.
    fn rows_at(&self, place: u64) -> io::Result<Option<Vec<(usize, Coarse)>>> {
        let mut head = [0; HEAD];
        self.file.read_exact_at(&mut head, place)?;
        let [low, high, sum @ ..] = head;
        let length = u16::from_le_bytes([low, high]);
        let data_at = place + HEAD as u64;
        if data_at + u64::from(length) > self.index {
            return Ok(None);
        }
        let mut packed = vec![0; usize::from(length)];
        self.file.read_exact_at(&mut packed, data_at)?;
        Ok(pack::unpack(&packed).filter(|_| checksum(&packed) == sum))
    }

    fn find(&self, key: &Key) -> io::Result<Option<u64>> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            let mut entry = [0; INDEX_ENTRY];
            self.file
                .read_exact_at(&mut entry, self.index + middle * INDEX_ENTRY as u64)?;
            let [found @ .., a, b, c, d] = entry;
            match found.cmp(key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => {
                    return Ok(Some(u64::from(u32::from_le_bytes([a, b, c, d]))));
                }
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }
}
