//! Messages by their full name, for what knows them by their descriptors only: tests of every message that there is.

use prost::Message;

include!(concat!(env!("OUT_DIR"), "/messages.rs"));

fn recode_as<M: Message + Default>(bytes: &[u8]) -> Result<Vec<u8>, prost::DecodeError> {
    M::decode(bytes).map(|message| message.encode_to_vec())
}
