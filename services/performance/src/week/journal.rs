//! The present six hours: one frame for each interval, appended.
//!
//! A frame is the length of its body, a checksum of it, and the body: the interval, then key and mean of each object in
//! order of key.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use super::{Key, ROWS_I64, checksum};
use crate::core::figures::COUNT;
use crate::core::pack::Coarse;

const HEAD: u64 = 4 + 8;
const INTERVAL: u64 = 8;
pub(super) const ENTRY: usize = 16 + 2 * COUNT;

pub(super) struct Journal {
    path: PathBuf,
    file: File,
    frames: Vec<Frame>,
    /// Where the next frame goes.
    end: u64,
}

/// Where the entries of an interval are.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    pub(super) interval: i64,
    start: u64,
    entries: u64,
    pub(super) count: u64,
}

impl Journal {
    /// Finds the frames, and cuts off what was not written to its end.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let mut journal = Self {
            path: path.to_owned(),
            file,
            frames: Vec::new(),
            end: 0,
        };
        while let Some(frame) = journal.look(journal.end)? {
            let next = frame.entries + frame.count * ENTRY as u64;
            let follows = journal
                .frames
                .last()
                .is_none_or(|last| last.interval < frame.interval);
            if !follows {
                break;
            }
            journal.frames.push(frame);
            journal.end = next;
        }
        journal.file.set_len(journal.end)?;
        Ok(journal)
    }

    /// The frame that begins here; `None`: none that is whole.
    fn look(&self, start: u64) -> io::Result<Option<Frame>> {
        let length = self.file.metadata()?.len();
        if start + HEAD + INTERVAL > length {
            return Ok(None);
        }
        let size = u64::from(u32::from_le_bytes(self.read_at(start)?));
        if size < INTERVAL || start + HEAD + size > length {
            return Ok(None);
        }
        let sum: [u8; 8] = self.read_at(start + 4)?;
        let mut body = vec![0; usize::try_from(size).unwrap_or(0)];
        self.file.read_exact_at(&mut body, start + HEAD)?;
        if checksum(&body) != sum {
            return Ok(None);
        }
        Ok(Some(Frame {
            interval: i64::from_le_bytes(self.read_at(start + HEAD)?),
            start,
            entries: start + HEAD + INTERVAL,
            count: (size - INTERVAL) / ENTRY as u64,
        }))
    }

    fn read_at<const N: usize>(&self, at: u64) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }

    /// Which six hours the frames are of; `None`: there are none.
    pub(super) fn chunk(&self) -> Option<i64> {
        let last = self.frames.last()?;
        Some(last.interval.div_euclid(ROWS_I64))
    }

    pub(super) fn append(
        &mut self,
        interval: i64,
        mut means: Vec<(Key, Coarse)>,
    ) -> io::Result<()> {
        means.sort_unstable_by_key(|(key, _)| *key);
        let mut body = interval.to_le_bytes().to_vec();
        body.reserve(means.len() * ENTRY);
        for (key, mean) in &means {
            body.extend(key);
            body.extend(mean.iter().flat_map(|value| value.to_le_bytes()));
        }
        let size = u32::try_from(body.len()).map_err(io::Error::other)?;
        let mut frame = size.to_le_bytes().to_vec();
        frame.extend(checksum::<8>(&body));
        frame.append(&mut body);
        self.file.write_all_at(&frame, self.end)?;
        self.file.sync_data()?;
        self.frames.push(Frame {
            interval,
            start: self.end,
            entries: self.end + HEAD + INTERVAL,
            count: means.len() as u64,
        });
        self.end += frame.len() as u64;
        Ok(())
    }

    /// Forgets frames of this interval and of later ones.
    pub(super) fn forget_from(&mut self, interval: i64) -> io::Result<()> {
        let Some(first) = self.frames.iter().position(|f| f.interval >= interval) else {
            return Ok(());
        };
        self.end = self.frames.get(first).map_or(0, |frame| frame.start);
        self.frames.truncate(first);
        self.file.set_len(self.end)
    }

    pub(super) fn clear(&mut self) -> io::Result<()> {
        self.forget_from(i64::MIN)
    }

    pub(super) fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// The entries of a frame, in order of key.
    pub(super) fn entries(&self, frame: &Frame) -> io::Result<impl io::Read> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(frame.entries))?;
        Ok(BufReader::new(file).take(frame.count * ENTRY as u64))
    }

    pub(super) fn read(&self, key: &Key) -> io::Result<Vec<(i64, Coarse)>> {
        let mut means = Vec::new();
        for frame in &self.frames {
            if let Some(entry) = self.find(frame, key)? {
                means.push((frame.interval, mean(&entry)));
            }
        }
        Ok(means)
    }

    fn find(&self, frame: &Frame, key: &Key) -> io::Result<Option<[u8; ENTRY]>> {
        let (mut low, mut high) = (0, frame.count);
        while low < high {
            let middle = low.midpoint(high);
            let entry: [u8; ENTRY] = self.read_at(frame.entries + middle * ENTRY as u64)?;
            match entry.get(..key.len()).cmp(&Some(key)) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Ok(Some(entry)),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Ok(None)
    }
}

pub(super) fn mean(entry: &[u8; ENTRY]) -> Coarse {
    let mut mean = Coarse::default();
    let values = entry.chunks_exact(2).skip(8);
    for (kept, bytes) in mean.iter_mut().zip(values) {
        *kept = bytes.try_into().map_or(0, u16::from_le_bytes);
    }
    mean
}
