//! Block nodes: how QEMU and its tools are told of disks and images.
//!
//! Every node of a chain is named and every format is said. QEMU then neither guesses a format nor follows the name
//! that stands in a file's header, and a later commit can say down to which node it goes (without a base it would write
//! into the shared image). Image locks are never off: they are what keeps two processes from writing one disk.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::definition::{Disk, Format, Layer};
use super::folder::Folder;

/// The node that the guest's disk is.
pub(super) fn top_node_name(disk_id: &str) -> String {
    format!("{disk_id}-top")
}

/// A disk of a machine with everything below it.
pub(super) fn disk(disk: &Disk, folder: &Folder, datastore: &Path) -> Value {
    let mut file = file(&folder.file(&disk.file));
    file.insert("node-name".to_owned(), json!(format!("{}-file", disk.id)));
    json!({
        "driver": Format::Qcow2.name(),
        "node-name": top_node_name(&disk.id),
        "discard": "unmap",
        "file": file,
        "backing": layers(&disk.backing, datastore, Some(&disk.id), 0),
    })
}

/// An image with everything below it, to be read.
pub(super) fn chain(layers_of_image: &[Layer], datastore: &Path) -> Value {
    layers(layers_of_image, datastore, None, 0)
}

/// One image file alone: nothing below it is opened.
pub(super) fn image(path: &Path, format: Format) -> Value {
    Value::Object(node(path, format))
}

/// A firmware's code, or what it has noted. Code serves many machines at once, so it is never opened to be written.
pub(super) fn firmware(name: &str, path: &Path, read_only: bool) -> Value {
    let mut file = file(path);
    file.insert("read-only".to_owned(), json!(read_only));
    json!({"driver": "raw", "node-name": name, "read-only": read_only, "file": file})
}

fn layers(chain: &[Layer], datastore: &Path, disk_id: Option<&str>, depth: usize) -> Value {
    let Some((layer, below)) = chain.split_first() else {
        return Value::Null;
    };
    let mut node = node(&datastore.join(&layer.file), layer.format);
    node.insert("read-only".to_owned(), json!(true));
    if let Some(disk_id) = disk_id {
        node.insert(
            "node-name".to_owned(),
            json!(format!("{disk_id}-base{depth}")),
        );
    }
    if layer.format == Format::Qcow2 {
        node.insert(
            "backing".to_owned(),
            layers(below, datastore, disk_id, depth + 1),
        );
    }
    Value::Object(node)
}

fn node(path: &Path, format: Format) -> Map<String, Value> {
    let mut node = Map::new();
    node.insert("driver".to_owned(), json!(format.name()));
    node.insert("file".to_owned(), Value::Object(file(path)));
    if format == Format::Qcow2 {
        // Not left out: QEMU would then open what the header names.
        node.insert("backing".to_owned(), Value::Null);
    }
    node
}

fn file(path: &Path) -> Map<String, Value> {
    let mut file = Map::new();
    file.insert("driver".to_owned(), json!("file"));
    file.insert("filename".to_owned(), json!(path.to_string_lossy()));
    file.insert("locking".to_owned(), json!("on"));
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::qemu::definition;

    #[test]
    fn every_node_of_a_chain_is_named_and_no_header_is_trusted() {
        let layer = |file: &str, format| Layer {
            file: file.to_owned(),
            format,
        };
        let mut sample = definition::sample();
        let disks = &mut sample.disks;
        if let Some(disk) = disks.first_mut() {
            disk.backing = vec![
                layer("images/a.qcow2", Format::Qcow2),
                layer("images/b.raw", Format::Raw),
            ];
        }
        let folder = Folder::new("/ds/vms/x".into());
        let nodes: Vec<Value> = disks
            .iter()
            .map(|d| disk(d, &folder, Path::new("/ds")))
            .collect();
        let file = |path: &str| json!({"driver": "file", "filename": path, "locking": "on"});
        let expected = json!([{
            "driver": "qcow2", "node-name": "disk0-top", "discard": "unmap",
            "file": {"driver": "file", "filename": "/ds/vms/x/disk0.qcow2", "locking": "on", "node-name": "disk0-file"},
            "backing": {
                "driver": "qcow2", "node-name": "disk0-base0", "read-only": true, "file": file("/ds/images/a.qcow2"),
                "backing": {
                    "driver": "raw", "node-name": "disk0-base1", "read-only": true, "file": file("/ds/images/b.raw"),
                }
            }
        }]);
        assert_eq!(Value::from(nodes), expected);
    }

    #[test]
    fn an_image_alone_opens_nothing_below_it() {
        let image = image(Path::new("/a,b.qcow2"), Format::Qcow2);
        assert_eq!(image.get("backing"), Some(&Value::Null));
    }
}
