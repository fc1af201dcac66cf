//! Reads the header of a qcow2 file ourselves, before any tool opens it: what it refers to outside itself decides
//! whether a tool may see it at all. Source: QEMU's docs/interop/qcow2.rst.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::definition::Format;

/// Header and everything that follows it in the first cluster, as far as QEMU ever writes it.
pub(super) const HEADER_BYTES: usize = 64 << 10;

const MAGIC: [u8; 4] = *b"QFI\xfb";
const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
/// Incompatible feature bits.
const CORRUPT: u64 = 1 << 1;
const EXTERNAL_DATA_FILE: u64 = 1 << 2;

/// What a header says that matters to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) virtual_bytes: u64,
    pub(super) cluster_bytes: u64,
    pub(super) backing: Option<Backing>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Backing {
    /// As it stands in the header: relative to the folder of the file, or absolute.
    pub(super) name: String,
    pub(super) format: Option<Format>,
}

pub(super) fn has_magic(start: &[u8]) -> bool {
    start.starts_with(&MAGIC)
}

/// Reads a header. The error says why a machine must not run from the file, to go on from "the image …".
pub(super) fn parse(start: &[u8]) -> Result<Header, String> {
    let broken = || "has a header that is cut off or makes no sense".to_owned();
    let version = u32_at(start, 4).ok_or_else(broken)?;
    if !(2..=3).contains(&version) {
        return Err(format!(
            "is qcow2 of version {version}, which QEMU does not know"
        ));
    }
    let cluster_bits = u32_at(start, 20).ok_or_else(broken)?;
    if !(9..=21).contains(&cluster_bits) {
        return Err(broken());
    }
    if u32_at(start, 32).ok_or_else(broken)? != 0 {
        return Err("is encrypted".to_owned());
    }
    check_features(start, version).ok_or_else(broken)??;
    Ok(Header {
        virtual_bytes: u64_at(start, 24).ok_or_else(broken)?,
        cluster_bytes: 1 << cluster_bits,
        backing: backing(start, version).map_err(|()| broken())?,
    })
}

fn check_features(start: &[u8], version: u32) -> Option<Result<(), String>> {
    let incompatible = if version < 3 { 0 } else { u64_at(start, 72)? };
    Some(if incompatible & EXTERNAL_DATA_FILE != 0 {
        Err("keeps its data in another file".to_owned())
    } else if incompatible & CORRUPT != 0 {
        Err("is marked as corrupt".to_owned())
    } else {
        Ok(())
    })
}

fn backing(start: &[u8], version: u32) -> Result<Option<Backing>, ()> {
    let offset = u64_at(start, 8).ok_or(())?;
    if offset == 0 {
        return Ok(None);
    }
    let length = u32_at(start, 16).ok_or(())?;
    let name = slice(start, offset, length.into()).ok_or(())?;
    let name = String::from_utf8(name.to_vec()).map_err(|_| ())?;
    let format = backing_format(start, version)?;
    Ok(Some(Backing { name, format }))
}

/// The format that the header declares for its backing file; `Err` for one that we do not run.
fn backing_format(start: &[u8], version: u32) -> Result<Option<Format>, ()> {
    let mut offset = match version {
        2 => 72,
        _ => u64::from(u32_at(start, 100).ok_or(())?),
    };
    loop {
        let kind = extension_word(start, offset)?;
        let length = extension_word(start, offset + 4)?;
        match kind {
            0 => return Ok(None),
            EXTENSION_BACKING_FORMAT => {
                return match slice(start, offset + 8, length.into()).ok_or(())? {
                    b"qcow2" => Ok(Some(Format::Qcow2)),
                    b"raw" => Ok(Some(Format::Raw)),
                    _ => Err(()),
                };
            }
            _ => offset += 8 + u64::from(length).next_multiple_of(8),
        }
    }
}

fn extension_word(start: &[u8], offset: u64) -> Result<u32, ()> {
    let offset = usize::try_from(offset).map_err(|_| ())?;
    u32_at(start, offset).ok_or(())
}

fn slice(start: &[u8], offset: u64, length: u64) -> Option<&[u8]> {
    let from = usize::try_from(offset).ok()?;
    let to = usize::try_from(offset.checked_add(length)?).ok()?;
    start.get(from..to)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(
        bytes.get(at..at.checked_add(8)?)?.try_into().ok()?,
    ))
}

/// Whether nothing was written to an image since it was made: no entry of its first table leads to data, and it keeps no
/// snapshots.
pub(super) fn is_untouched(file: &File) -> io::Result<bool> {
    let mut start = [0; 72];
    file.read_exact_at(&mut start, 0)?;
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "its header makes no sense");
    let word = |at| u32_at(&start, at).ok_or_else(broken);
    let (entries, snapshots) = (word(36)?, word(60)?);
    let table = u64_at(&start, 40).ok_or_else(broken)?;
    // 64 TiB in clusters of 512 bytes, the smallest, are as many.
    if !has_magic(&start) || u64::from(entries) > contracts::limits::DISK_BYTES_MAX >> 15 {
        return Err(broken());
    }
    let mut left = u64::from(entries) * 8;
    let mut buffer = [0; 8 << 10];
    while left > 0 {
        let at = table.checked_add(u64::from(entries) * 8 - left);
        let part = usize::try_from(left).unwrap_or(buffer.len());
        let part = part.min(buffer.len());
        let piece = buffer.get_mut(..part).ok_or_else(broken)?;
        file.read_exact_at(piece, at.ok_or_else(broken)?)?;
        if piece.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        left -= part as u64;
    }
    Ok(snapshots == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header of version 3 with a backing file "base" of a declared format.
    fn header(backing_format: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 512];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&3u32.to_be_bytes());
        bytes[8..16].copy_from_slice(&400u64.to_be_bytes());
        bytes[16..20].copy_from_slice(&4u32.to_be_bytes());
        bytes[20..24].copy_from_slice(&16u32.to_be_bytes());
        bytes[24..32].copy_from_slice(&(1u64 << 30).to_be_bytes());
        bytes[100..104].copy_from_slice(&112u32.to_be_bytes());
        bytes[112..116].copy_from_slice(&EXTENSION_BACKING_FORMAT.to_be_bytes());
        bytes[116..120]
            .copy_from_slice(&u32::try_from(backing_format.len()).unwrap().to_be_bytes());
        bytes[120..120 + backing_format.len()].copy_from_slice(backing_format);
        bytes[400..404].copy_from_slice(b"base");
        bytes
    }

    #[test]
    fn a_backing_file_is_seen_with_its_format() {
        let backing = Backing {
            name: "base".to_owned(),
            format: Some(Format::Raw),
        };
        let expected = Header {
            virtual_bytes: 1 << 30,
            cluster_bytes: 1 << 16,
            backing: Some(backing),
        };
        assert_eq!(parse(&header(b"raw")), Ok(expected));
    }

    #[test]
    fn what_must_not_run_is_refused_with_the_reason() {
        let with = |at: usize, byte: u8| {
            let mut bytes = header(b"qcow2");
            bytes[at] = byte;
            parse(&bytes).unwrap_err()
        };
        assert_eq!(with(35, 1), "is encrypted");
        assert_eq!(with(79, 4), "keeps its data in another file");
        assert_eq!(with(79, 2), "is marked as corrupt");
        assert!(with(7, 9).contains("version 9"));
        assert!(parse(&header(b"vmdk")).is_err());
    }

    #[test]
    fn no_bytes_make_the_parser_panic() {
        let whole = header(b"qcow2");
        for cut in 0..whole.len() {
            let _ = parse(&whole[..cut]);
        }
        for at in 0..whole.len() {
            for byte in [0x00, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                let _ = parse(&bytes);
            }
        }
    }
}
