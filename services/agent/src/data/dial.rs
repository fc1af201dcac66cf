//! Connections to other data ends.

use std::net::{TcpStream, ToSocketAddrs as _};

use anyhow::Context as _;
use contracts::data::Encryption;

use super::wire::{Connection, set_timeout};
use super::{Shared, limits};

/// What a connection that is not encrypted begins with; one that is begins with a handshake of TLS.
pub(super) const PLAIN: &[u8; 8] = b"MUSTER1\n";

/// Connects to the data end of a host. An encrypted one is that host's for certain.
pub(super) fn dial(
    shared: &Shared,
    address: &str,
    host_id: &str,
    encryption: Encryption,
) -> anyhow::Result<Connection> {
    let stream = connect(address)?;
    match encryption {
        Encryption::Tls => {
            let tls = shared.identity.dial(host_id)?;
            let encrypted = Connection::dialled(stream, tls);
            encrypted.with_context(|| format!("no encrypted connection with {address}"))
        }
        Encryption::Plain => {
            let mut connection = Connection::plain(stream);
            std::io::Write::write_all(&mut connection, PLAIN)?;
            Ok(connection)
        }
        Encryption::Unspecified => anyhow::bail!("the ticket does not say how to connect"),
    }
}

fn connect(address: &str) -> anyhow::Result<TcpStream> {
    let not_found = || format!("{address} is no address");
    let mut last = None;
    for address in address.to_socket_addrs().with_context(not_found)? {
        match TcpStream::connect_timeout(&address, limits::DIAL_TIMEOUT) {
            Ok(stream) => {
                set_timeout(&stream, limits::HELLO_TIMEOUT)?;
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    let error = last.with_context(not_found)?;
    Err(error).with_context(|| format!("{address} cannot be reached"))
}
