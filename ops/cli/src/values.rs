//! What people write on the command line: sizes, durations, tags, names. Every parser is exact or refuses with a
//! sentence that says what to write instead.

use std::time::Duration;

use contracts::rest::Encryption;
use contracts::{limits, names};

/// Units of sizes, largest first. `G` means the same as `GiB`, as tools for virtual machines have it.
const UNITS: [(&str, &str, u64); 5] = [
    ("TiB", "T", 1 << 40),
    ("GiB", "G", 1 << 30),
    ("MiB", "M", 1 << 20),
    ("KiB", "K", 1 << 10),
    ("B", "", 1),
];

/// A number without a unit below this is surely not meant in bytes.
const UNITLESS_BYTES_MIN: u64 = 1 << 20;

/// Digits after the point that a size or duration may have; more would overflow before they are of use.
const FRACTION_DIGITS_MAX: usize = 9;

/// A size in bytes: `4GiB`, `512M`, `1.5T`, `1048576`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_number(text);
    if number.is_empty() {
        return Err("a size is a number and a unit, such as 512MiB or 4GiB".to_owned());
    }
    let unit_bytes = unit_bytes(number, unit)?;
    let bytes = scaled(number, unit_bytes)?;
    if unit.is_empty() && (1..UNITLESS_BYTES_MIN).contains(&bytes) {
        return Err(format!(
            "{number} of what? A number alone means bytes; write {number}MiB or {number}GiB"
        ));
    }
    Ok(bytes)
}

fn unit_bytes(number: &str, unit: &str) -> Result<u64, String> {
    if let Some((_, _, bytes)) = UNITS.iter().find(|(long, short, _)| {
        unit.eq_ignore_ascii_case(long) || unit.eq_ignore_ascii_case(short)
    }) {
        return Ok(*bytes);
    }
    match unit.to_ascii_uppercase().as_str() {
        "KB" | "MB" | "GB" | "TB" => {
            let letter = unit.get(..1).unwrap_or_default().to_ascii_uppercase();
            Err(format!(
                "{unit} can mean two sizes; write {number}{letter}iB for multiples of 1024"
            ))
        }
        _ => Err(format!(
            "{unit:?} is not a unit of size; use KiB, MiB, GiB or TiB"
        )),
    }
}

/// Memory of a machine.
pub(crate) fn memory(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    if bytes < limits::VM_MEMORY_BYTES_MIN {
        return Err("a virtual machine needs at least 16MiB of memory".to_owned());
    }
    if bytes > limits::VM_MEMORY_BYTES_MAX {
        return Err("a virtual machine can have at most 16TiB of memory".to_owned());
    }
    Ok(bytes)
}

/// Size of a disk.
pub(crate) fn disk_size(text: &str) -> Result<u64, String> {
    match size(text)? {
        0 => Err("a disk cannot be empty; write its size, such as 20GiB".to_owned()),
        bytes if bytes > limits::DISK_BYTES_MAX => Err("a disk can have at most 64TiB".to_owned()),
        bytes => Ok(bytes),
    }
}

/// How fast something may go, in bytes a second; 0 is no limit.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    match size(text)? {
        bytes if bytes > 0 && bytes < limits::TRANSFER_RATE_MIN => Err(format!(
            "a transfer cannot go slower than {}KiB a second",
            limits::TRANSFER_RATE_MIN >> 10
        )),
        bytes => Ok(bytes),
    }
}

/// How files travel between hosts.
pub(crate) fn encryption(text: &str) -> Result<Encryption, String> {
    let mut all = Encryption::ALL.iter().copied();
    all.find(|known| known.word() == text)
        .ok_or_else(|| "write tls, plain or inherit".to_owned())
}

/// Virtual processors.
pub(crate) fn cpus(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(count @ 1..=limits::VCPUS_MAX) => Ok(count),
        _ => Err(format!(
            "write a whole number from 1 to {}",
            limits::VCPUS_MAX
        )),
    }
}

/// A duration: `90s`, `5m`, `1h30m`, `2d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let hint = "a duration is a number and a unit, such as 30s, 5m, 1h30m or 2d";
    let mut rest = text;
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let (number, after) = split_number(rest);
        let letters = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (unit, tail) = after.split_at(letters);
        let unit_ms = duration_unit_ms(unit).ok_or(hint)?;
        let part = scaled(number, unit_ms).map_err(|_| hint)?;
        total_ms = total_ms.checked_add(part).ok_or("that is too long")?;
        rest = tail;
    }
    match total_ms {
        0 => Err(hint.to_owned()),
        ms => Ok(Duration::from_millis(ms)),
    }
}

fn duration_unit_ms(unit: &str) -> Option<u64> {
    match unit {
        "ms" => Some(1),
        "s" => Some(1_000),
        "m" | "min" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    }
}

/// The name of a machine that is to be made.
pub(crate) fn vm_name(text: &str) -> Result<String, String> {
    match names::check_vm_name(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(status) => Err(format!("{} {}", status.message, status.recommended_action)),
    }
}

/// The name or id of something that there is. It becomes one segment of an address, and dots alone would climb out.
pub(crate) fn object(text: &str) -> Result<String, String> {
    if text.is_empty() || text == "." || text == ".." || text.chars().any(char::is_control) {
        return Err("write a name or an id as Muster shows it".to_owned());
    }
    Ok(text.to_owned())
}

/// `key=value`.
pub(crate) fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("a tag is written key=value".to_owned()),
    }
}

/// Lines of a file, or one that is written out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lines(pub(crate) Vec<String>);

/// A public key for SSH, or a file with such keys.
pub(crate) fn ssh_keys(text: &str) -> Result<Lines, String> {
    let is_written_out = text.contains(" AAAA");
    let content = match is_written_out {
        true => text.to_owned(),
        false => read_file(text)?,
    };
    let lines = content.lines().map(str::trim);
    let keys: Vec<String> = lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    if keys.is_empty() {
        return Err(format!("{text} has no keys"));
    }
    match names::check_ssh_keys("", &keys) {
        Ok(()) => Ok(Lines(keys)),
        Err(status) => Err(format!("{} {}", status.message, status.recommended_action)),
    }
}

/// `name=key`, the key as in [`ssh_keys`].
pub(crate) fn user(text: &str) -> Result<(String, Lines), String> {
    match text.split_once('=') {
        Some((name, key)) if !name.is_empty() => Ok((name.to_owned(), ssh_keys(key)?)),
        _ => Err("a user is written name=key".to_owned()),
    }
}

/// The text of a file; `-` is the standard input.
pub(crate) fn read_file(path: &str) -> Result<String, String> {
    let read = match path {
        "-" => std::io::read_to_string(std::io::stdin()),
        path => std::fs::read_to_string(path),
    };
    read.map_err(|error| format!("{path} cannot be read: {error}"))
}

/// Where a text stops being a number.
fn split_number(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// `number` times `unit`, exactly: a fraction must come out whole.
fn scaled(number: &str, unit: u64) -> Result<u64, String> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let point_without_digits = number.contains('.') && fraction.is_empty();
    if whole.is_empty()
        || point_without_digits
        || fraction.contains('.')
        || fraction.len() > FRACTION_DIGITS_MAX
    {
        return Err(format!("{number:?} is not a number that can be used here"));
    }
    let too_large = || format!("{number} is more than can be counted");
    let denominator = 10u128.pow(fraction.len().try_into().unwrap_or(u32::MAX));
    let digits: u128 = format!("{whole}{fraction}")
        .parse()
        .map_err(|_| too_large())?;
    let product = digits.checked_mul(unit.into()).ok_or_else(too_large)?;
    if product % denominator != 0 {
        return Err(format!("{number} of this unit is not a whole number"));
    }
    u64::try_from(product / denominator).map_err(|_| too_large())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_out_or_in_a_file_and_never_private() {
        let key = "ssh-ed25519 AAAAC3Nz ann@example.org";
        assert_eq!(ssh_keys(key), Ok(Lines(vec![key.to_owned()])));
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("keys");
        std::fs::write(&file, format!("# mine\n{key}\n\n{key}\n")).unwrap();
        let file = file.to_str().unwrap();
        assert_eq!(ssh_keys(file).unwrap().0.len(), 2);
        assert_eq!(user(&format!("ann={file}")).unwrap().0, "ann");
        std::fs::write(file, "-----BEGIN OPENSSH PRIVATE KEY-----\nsecret\n").unwrap();
        let refused = ssh_keys(file).unwrap_err();
        assert!(!refused.contains("secret"), "{refused}");
        assert!(ssh_keys("/none/there").is_err() && user("ann").is_err());
    }

    #[test]
    fn sizes_are_exact_and_binary() {
        for (text, bytes) in [
            ("4GiB", 4 << 30),
            ("512MiB", 512 << 20),
            ("2G", 2 << 30),
            ("2g", 2 << 30),
            ("2k", 2 << 10),
            ("1.5GiB", 3 << 29),
            ("0.5T", 1 << 39),
            ("134217728", 128 << 20),
            ("100B", 100),
            ("0", 0),
            ("4 GiB", 4 << 30),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_what_to_write() {
        for (text, says) in [
            ("banana", "such as 512MiB"),
            ("", "such as 512MiB"),
            ("-1G", "such as 512MiB"),
            ("4GB", "write 4GiB"),
            ("4X", "is not a unit"),
            ("512", "512MiB or 512GiB"),
            ("0.3K", "not a whole number"),
            ("1..5G", "not a number"),
            ("1.G", "not a number"),
            (".5G", "not a number"),
            ("99999999999999T", "more than can be counted"),
            (
                "9999999999999999999999999999999999999999999G",
                "more than can be counted",
            ),
        ] {
            let refused = size(text).unwrap_err();
            assert!(refused.contains(says), "{text}: {refused}");
        }
    }

    #[test]
    fn memory_and_disks_have_bounds() {
        assert!(memory("0").unwrap_err().contains("at least 16MiB"));
        assert!(memory("17T").unwrap_err().contains("at most 16TiB"));
        assert_eq!(memory("16MiB"), Ok(16 << 20));
        assert!(disk_size("0").unwrap_err().contains("cannot be empty"));
        assert!(disk_size("65T").unwrap_err().contains("at most 64TiB"));
        assert!(cpus("0").is_err() && cpus("241").is_err() && cpus("two").is_err());
        assert_eq!(cpus("240"), Ok(240));
    }

    #[test]
    fn durations_add_up() {
        for (text, secs) in [
            ("30s", 30),
            ("1h30m", 5_400),
            ("2d", 172_800),
            ("5min", 300),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1_500)));
        for text in [
            "",
            "5",
            "h",
            "0s",
            "3 weeks",
            "1h-5m",
            "99999999999999999999d",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_name_can_never_leave_its_address() {
        for bad in ["", ".", "..", "a\nb"] {
            assert!(object(bad).is_err(), "{bad:?}");
        }
        assert!(object("a/b").is_ok(), "a slash is escaped in the address");
        assert_eq!(tag("env=a=b"), Ok(("env".to_owned(), "a=b".to_owned())));
        assert!(tag("env").is_err() && tag("=x").is_err());
    }
}
