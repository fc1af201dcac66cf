//! A week of nine-minute means, in files.
//!
//! Means are written once, read seldom, and go all at once when they are old. So they lie in plain files: a journal of the
//! present six hours, one frame each nine minutes, and a segment for each six hours before, in which the means of one
//! object stand together, packed. A segment is never changed; what is older than a week is a file that is removed.
//!
//! A crash costs what was not yet written: the frame under way is cut off at the next start. Damage is seen by checksums
//! and costs what is damaged. After the clock was set back, what lies later than now is forgotten, and with it at most six
//! hours before.

mod journal;
mod segment;

use std::io;
use std::path::{Path, PathBuf};

use crate::core::fleet::Kind;
use crate::core::pack::{Coarse, ROWS};
use journal::Journal;
use segment::Segment;

/// How long a mean is of. Virtual Machine Manager's, and what placement will ask for.
pub const INTERVAL_MS: i64 = 9 * 60 * 1_000;

/// A week of them.
pub const INTERVALS: i64 = 7 * 24 * 60 / 9;

/// Names an object in the files: of fixed length, whatever its id.
pub type Key = [u8; 16];

pub fn key(kind: Kind, id: &str) -> Key {
    let kind = match kind {
        Kind::Host => "host",
        Kind::Vm => "vm",
    };
    let hash = blake3::hash(format!("{kind}/{id}").as_bytes());
    let mut key = Key::default();
    key.iter_mut()
        .zip(hash.as_bytes())
        .for_each(|(k, h)| *k = *h);
    key
}

/// First bytes of the hash of what stands beside it.
fn checksum<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let hash = blake3::hash(bytes);
    let mut sum = [0; N];
    sum.iter_mut()
        .zip(hash.as_bytes())
        .for_each(|(s, h)| *s = *h);
    sum
}

const ROWS_I64: i64 = ROWS as i64;

/// The means of all objects. One at a time may change it.
pub struct Week {
    folder: PathBuf,
    journal: Journal,
    /// In order of time.
    segments: Vec<Segment>,
}

impl Week {
    /// Opens what is in a folder, which is made when it is not there.
    pub fn open(folder: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self {
            journal: Journal::open(&folder.join("journal"))?,
            segments: segment::open_all(folder)?,
            folder: folder.to_owned(),
        })
    }

    /// Keeps the means of an interval (counted since 1970). When it returns they are on disk.
    pub fn append(&mut self, interval: i64, means: Vec<(Key, Coarse)>) -> io::Result<()> {
        self.journal.forget_from(interval)?;
        let chunk = interval.div_euclid(ROWS_I64);
        if self.journal.chunk().is_some_and(|written| written != chunk) {
            self.seal()?;
        }
        self.expire(interval)?;
        self.journal.append(interval, means)
    }

    /// Makes a segment of the journal.
    fn seal(&mut self) -> io::Result<()> {
        let Some(chunk) = self.journal.chunk() else {
            return Ok(());
        };
        // One of the same time is there when sealing was cut short, or the clock set back.
        self.segments.retain(|segment| segment.chunk() != chunk);
        let segment = segment::write(&self.folder, chunk, &self.journal)?;
        self.segments.push(segment);
        self.segments.sort_by_key(Segment::chunk);
        self.journal.clear()
    }

    fn expire(&mut self, interval: i64) -> io::Result<()> {
        let now = interval.div_euclid(ROWS_I64);
        let oldest = (interval - INTERVALS).div_euclid(ROWS_I64);
        // One of the present six hours is there only after the clock was set back.
        let wanted = |segment: &Segment| (oldest..now).contains(&segment.chunk());
        for segment in self.segments.iter().filter(|segment| !wanted(segment)) {
            segment.remove(&self.folder)?;
        }
        self.segments.retain(wanted);
        Ok(())
    }

    /// Means of one object from one interval to another, in order.
    pub fn read(&self, key: &Key, from: i64, to: i64) -> io::Result<Vec<(i64, Coarse)>> {
        let mut means = Vec::new();
        for segment in &self.segments {
            let first = segment.chunk() * ROWS_I64;
            if first <= to && first + ROWS_I64 > from {
                means.extend(segment.read(key)?);
            }
        }
        means.extend(self.journal.read(key)?);
        means.retain(|(interval, _)| (from..=to).contains(interval));
        // What was sealed and not yet cleared is in both.
        means.sort_by_key(|(interval, _)| *interval);
        means.dedup_by_key(|(interval, _)| *interval);
        Ok(means)
    }
}

#[cfg(test)]
mod tests;
