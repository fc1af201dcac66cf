//! A trace of machines that come and go: CSV, or CSV packed by xz, with a header that names at least `t_s`, `vcpu`, `mem_gib`
//! and `life_s`; where `censored` is 1 the machine never goes. Where there is a column `owner`, it tells kinds of machines
//! apart.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use placement::core::lifetimes;

/// In hundredths of a processor and MiB.
pub(super) type Size = [u32; 2];

#[derive(Clone, Copy)]
pub(super) struct Vm {
    pub(super) from_secs: i64,
    /// `None`: it stays.
    pub(super) until_secs: Option<i64>,
    pub(super) size: Size,
    /// Among the kinds of the trace.
    pub(super) kind: usize,
}

pub(super) struct Trace {
    /// In the order in which they come.
    pub(super) vms: Vec<Vm>,
    /// The names of each kind, as placement tells machines apart.
    pub(super) kinds: Vec<Vec<String>>,
}

pub(super) fn read(path: &Path) -> anyhow::Result<Trace> {
    let text = if path.extension().is_some_and(|extension| extension == "xz") {
        let unpacked = Command::new("xz").arg("-dc").arg(path).output();
        let unpacked = unpacked.context("xz, which unpacks the trace, did not run")?;
        anyhow::ensure!(
            unpacked.status.success(),
            "xz could not unpack {}",
            path.display()
        );
        String::from_utf8(unpacked.stdout)?
    } else {
        std::fs::read_to_string(path)?
    };
    parse(&text)
}

fn parse(text: &str) -> anyhow::Result<Trace> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| header.iter().position(|column| *column == name);
    let wanted =
        |name: &str| column(name).with_context(|| format!("the trace has no column {name}"));
    let (t, vcpu, memory, life) = (
        wanted("t_s")?,
        wanted("vcpu")?,
        wanted("mem_gib")?,
        wanted("life_s")?,
    );
    let (censored, owner) = (column("censored"), column("owner"));
    let mut kinds = Vec::new();
    let mut numbers = HashMap::new();
    let mut vm = |line: &str| -> anyhow::Result<Vm> {
        let fields: Vec<&str> = line.split(',').collect();
        let number = |at: usize| -> anyhow::Result<f64> {
            Ok(fields
                .get(at)
                .context("a field is missing")?
                .trim()
                .parse()?)
        };
        let stays = censored.is_some_and(|at| fields.get(at).is_some_and(|c| c.trim() == "1"));
        let from_secs = whole(number(t)?);
        let size = [
            amount(number(vcpu)? * 100.0),
            amount(number(memory)? * 1024.0),
        ];
        let owner = owner.and_then(|at| fields.get(at)).copied();
        let names = lifetimes::names(size, owner.unwrap_or_default());
        let next = kinds.len();
        let kind = *numbers.entry(names.clone()).or_insert(next);
        if kind == next {
            kinds.push(names);
        }
        Ok(Vm {
            from_secs,
            until_secs: (!stays).then_some(from_secs + whole(number(life)?)),
            size,
            kind,
        })
    };
    let rows = lines.filter(|line| !line.is_empty()).enumerate();
    let parsed =
        rows.map(|(at, line)| vm(line).with_context(|| format!("row {} of the trace", at + 1)));
    let mut vms = parsed.collect::<anyhow::Result<Vec<Vm>>>()?;
    vms.sort_by_key(|vm| vm.from_secs);
    Ok(Trace { vms, kinds })
}

#[allow(clippy::cast_possible_truncation)]
fn whole(number: f64) -> i64 {
    number.round() as i64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(super) fn amount(number: f64) -> u32 {
    number.ceil().max(0.0) as u32
}
