//! The command `muster` as people type it, and as its manuals have it.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::fleet::Client;
use crate::process::program;

/// Lines of a manual's first block of commands, without what is said of them.
pub fn commands_of(manual: &str) -> Vec<String> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let text = fs::read_to_string(docs.join(manual)).unwrap();
    let block = text.split("```").nth(1).unwrap();
    let lines = block
        .lines()
        .map(|line| line.split(" #").next().unwrap().trim());
    lines
        .filter_map(|line| line.strip_prefix("muster "))
        .map(str::to_owned)
        .collect()
}

/// What a command prints, as a shell reads it.
pub fn run(client: &Client, command: &str) -> String {
    let mut shell = Command::new("sh");
    let shell = shell
        .args(["-c", &format!("\"$MUSTER\" {command}")])
        .env("MUSTER", program("muster"))
        .env("MUSTER_SERVER", client.server());
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{command}: {output:?}");
    let both = [output.stdout, output.stderr].concat();
    String::from_utf8(both).unwrap()
}
