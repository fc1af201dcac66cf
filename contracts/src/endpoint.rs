//! Files as transfers and the data channel name them.

use crate::data::FileRef;
use crate::transfer::Endpoint;

impl FileRef {
    /// A file below a datastore, or below a share by its id.
    pub fn new(datastore: &str, path: impl Into<String>) -> Self {
        Self {
            datastore: datastore.to_owned(),
            path: path.into(),
        }
    }
}

impl Endpoint {
    /// The end of a transfer that is a file of a host.
    pub fn new(host_id: &str, file: FileRef) -> Self {
        Self {
            host_id: host_id.to_owned(),
            file: Some(file),
        }
    }
}
