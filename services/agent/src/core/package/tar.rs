//! Which members an OVA has, and where they lie in it. They are read in place: nothing is ever unpacked.

use std::collections::BTreeSet;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Component;

use super::quoted;

/// Members that are looked at. An OVA has a descriptor, a manifest, a certificate, and its disks.
const MEMBERS_MAX: usize = 1_000;

/// All that is read of an archive: a header for each member, and long names. Never what the members hold.
const HEADER_BYTES_MAX: u64 = 4 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    pub offset_bytes: u64,
    pub bytes: u64,
}

/// Lists the members of an archive of so many bytes. None leads out of it, is a link, or ends behind its end. The error goes on
/// from "Package … " and "The file …".
pub fn members(archive: impl Read + Seek, archive_bytes: u64) -> Result<Vec<Member>, String> {
    let mut archive = ::tar::Archive::new(Headers {
        archive,
        left_bytes: HEADER_BYTES_MAX,
    });
    let mut found: Vec<Member> = Vec::new();
    let mut names = BTreeSet::new();
    for entry in archive.entries_with_seek().map_err(broken)? {
        let member = member(&entry.map_err(broken)?, archive_bytes)?;
        if !names.insert(member.name.clone()) {
            return Err(format!("has two members {}", quoted(&member.name)));
        }
        found.push(member);
        if found.len() > MEMBERS_MAX {
            return Err(format!("has more than {MEMBERS_MAX} members"));
        }
    }
    match found.is_empty() {
        true => Err("is an empty archive".to_owned()),
        false => Ok(found),
    }
}

fn broken(error: io::Error) -> String {
    format!("is no whole archive: {}", quoted(&error.to_string()))
}

fn member(entry: &::tar::Entry<'_, impl Read>, archive_bytes: u64) -> Result<Member, String> {
    let path = entry.path().map_err(broken)?;
    let name = path.to_str();
    let name = name.ok_or_else(|| "has a member whose name is not UTF-8".to_owned())?;
    let inside = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if !path.components().all(inside) {
        return Err(format!(
            "has a member {}, which leads out of it",
            quoted(name)
        ));
    }
    if !entry.header().entry_type().is_file() {
        return Err(format!("has a member {} that is no file", quoted(name)));
    }
    let (offset_bytes, bytes) = (entry.raw_file_position(), entry.size());
    let end = offset_bytes.checked_add(bytes);
    if end.is_none_or(|end| end > archive_bytes) {
        return Err(format!("is cut off within its member {}", quoted(name)));
    }
    Ok(Member {
        name: name.strip_prefix("./").unwrap_or(name).to_owned(),
        offset_bytes,
        bytes,
    })
}

/// Reads so much and no more, however long a name says that it is.
struct Headers<R> {
    archive: R,
    left_bytes: u64,
}

impl<R: Read> Read for Headers<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.archive.read(buffer)?;
        let left = self.left_bytes.checked_sub(read as u64);
        let too_many = || io::Error::new(io::ErrorKind::InvalidData, "its headers are too long");
        self.left_bytes = left.ok_or_else(too_many)?;
        Ok(read)
    }
}

impl<R: Seek> Seek for Headers<R> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.archive.seek(position)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use ::tar::{Builder, EntryType, Header};

    use super::*;

    fn archive(build: impl FnOnce(&mut Builder<Vec<u8>>)) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        build(&mut builder);
        builder.into_inner().unwrap()
    }

    fn put(builder: &mut Builder<Vec<u8>>, name: &str, kind: EntryType, content: &[u8]) {
        let mut header = Header::new_gnu();
        // Set by hand: the builder refuses what a hostile one would write.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }

    fn listed(bytes: &[u8]) -> Result<Vec<Member>, String> {
        members(Cursor::new(bytes), bytes.len() as u64)
    }

    #[test]
    fn members_are_found_where_they_lie() {
        let long = "x".repeat(200);
        let bytes = archive(|tar| {
            put(tar, "web.ovf", EntryType::Regular, b"<Envelope/>");
            put(tar, "./web.vmdk", EntryType::Regular, &[7; 1000]);
            let mut header = Header::new_gnu();
            header.set_size(3);
            tar.append_data(&mut header, &long, &b"end"[..]).unwrap();
        });
        let members = listed(&bytes).unwrap();
        let found: Vec<(&str, &[u8])> = members
            .iter()
            .map(|member| {
                let start = member.offset_bytes as usize;
                let end = start + member.bytes as usize;
                (member.name.as_str(), &bytes[start..end])
            })
            .collect();
        let disk = [7; 1000];
        let expected: [(&str, &[u8]); 3] = [
            ("web.ovf", b"<Envelope/>"),
            ("web.vmdk", &disk),
            (&long, b"end"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn an_archive_that_leads_out_links_or_ends_early_is_refused() {
        let one = |name: &str, kind| archive(|tar| put(tar, name, kind, b""));
        for (name, kind, words) in [
            (
                "../out.vmdk",
                EntryType::Regular,
                "\"../out.vmdk\", which leads out",
            ),
            ("/etc/shadow", EntryType::Regular, "leads out"),
            ("a/../../b", EntryType::Regular, "leads out"),
            (
                "link.vmdk",
                EntryType::Symlink,
                "\"link.vmdk\" that is no file",
            ),
            ("link.vmdk", EntryType::Link, "no file"),
            ("disk.vmdk", EntryType::GNUSparse, ""),
            ("pipe", EntryType::Fifo, "no file"),
            ("folder", EntryType::Directory, "no file"),
        ] {
            let refused = listed(&one(name, kind)).unwrap_err();
            assert!(refused.contains(words), "{name}: {refused}");
        }
        let twice = archive(|tar| {
            for _ in 0..2 {
                put(tar, "a", EntryType::Regular, b"");
            }
        });
        assert!(listed(&twice).unwrap_err().contains("two members \"a\""));
        let whole = archive(|tar| put(tar, "web.vmdk", EntryType::Regular, &[7; 4096]));
        let cut = listed(&whole[..2048]).unwrap_err();
        assert!(
            cut.contains("cut off within its member \"web.vmdk\""),
            "{cut}"
        );
        assert!(listed(&whole[..100]).is_err() && listed(b"").is_err());
        assert!(
            listed(&[b'x'; 4096])
                .unwrap_err()
                .contains("no whole archive")
        );
    }

    #[test]
    fn a_name_of_8_exbibytes_is_not_read_and_a_member_of_it_is_cut_off() {
        let with_size = |kind: EntryType| {
            let mut header = Header::new_gnu();
            header.set_path("a").unwrap();
            header.set_entry_type(kind);
            header.set_size(i64::MAX as u64);
            header.set_cksum();
            let mut bytes = header.as_bytes().to_vec();
            bytes.resize(8 << 20, b'x');
            bytes
        };
        let name = listed(&with_size(EntryType::GNULongName)).unwrap_err();
        assert!(name.contains("headers are too long"), "{name}");
        let member = listed(&with_size(EntryType::Regular)).unwrap_err();
        assert!(member.contains("cut off"), "{member}");
    }

    #[test]
    fn members_without_end_are_refused() {
        let bytes = archive(|tar| {
            for member in 0..=MEMBERS_MAX {
                put(tar, &member.to_string(), EntryType::Regular, b"");
            }
        });
        assert!(listed(&bytes).unwrap_err().contains("more than 1000"));
    }
}
