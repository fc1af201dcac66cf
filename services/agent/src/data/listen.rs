//! The data end's door: who comes in, and with which ticket.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use contracts::Status;
use contracts::data::{Encryption, Hello, Ticket};

use super::dial::PLAIN;
use super::wire::{Connection, set_timeout};
use super::{Shared, identity, limits, serve, ticket};

/// First byte of a handshake of TLS.
const TLS_HANDSHAKE: u8 = 0x16;

/// Accepts until the data end stops.
pub(super) fn run(shared: &Arc<Shared>, listener: &TcpListener) {
    let connections = Arc::new(AtomicUsize::new(0));
    while let Ok((stream, address)) = accept(listener) {
        if shared.is_stopping() {
            return;
        }
        let count = Counted::new(&connections);
        if count.number > limits::CONNECTIONS_MAX {
            tracing::warn!(%address, "turned away: the data end has too many connections");
            continue;
        }
        let shared = Arc::clone(shared);
        let thread = std::thread::Builder::new().name("data-end".to_owned());
        let spawned = thread.spawn(move || {
            let _count = count;
            if let Err(error) = welcome(&shared, stream) {
                tracing::debug!(%address, %error, "a connection to the data end ended");
            }
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "turned away: no thread for a connection");
        }
    }
}

/// The next connection. What is wrong with one is no reason to end.
fn accept(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        match listener.accept() {
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
                ) => {}
            // Out of file descriptors, and the like: others end, and then there are some.
            Err(error) if error.raw_os_error().is_some() => {
                tracing::warn!(%error, "no connection could be accepted");
                std::thread::park_timeout(limits::REDIAL_INTERVAL);
            }
            accepted => return accepted,
        }
    }
}

struct Counted {
    connections: Arc<AtomicUsize>,
    number: usize,
}

impl Counted {
    fn new(connections: &Arc<AtomicUsize>) -> Self {
        Self {
            connections: Arc::clone(connections),
            number: connections.fetch_add(1, Ordering::SeqCst) + 1,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.connections.fetch_sub(1, Ordering::SeqCst);
    }
}

fn welcome(shared: &Shared, stream: TcpStream) -> anyhow::Result<()> {
    set_timeout(&stream, limits::HELLO_TIMEOUT)?;
    stream.set_nodelay(true)?;
    let mut first = [0];
    stream.peek(&mut first)?;
    let mut connection = match first {
        [TLS_HANDSHAKE] => Connection::accepted(stream, shared.identity.accept()?)?,
        _ => plain(stream)?,
    };
    let Some(hello) = connection.receive::<Hello>()? else {
        return Ok(());
    };
    match check(shared, &connection, &hello) {
        Ok(ticket) if hello.is_source => {
            // Whoever pushes asks nothing, and so hears nothing: that it is not wanted shows in the end of it.
            if let Some(fetch) = shared.fetch_of(&ticket.transfer_id) {
                connection.set_timeout(limits::ANSWER_TIMEOUT)?;
                fetch.take(connection);
            }
        }
        Ok(ticket) => drop(serve::serve(shared, &mut connection, &ticket)?),
        Err(problem) => {
            tracing::warn!(%problem, "turned away by the data end");
            if !hello.is_source {
                connection.refuse(&problem);
            }
        }
    }
    Ok(())
}

fn plain(stream: TcpStream) -> anyhow::Result<Connection> {
    let mut connection = Connection::plain(stream);
    let mut start = [0; PLAIN.len()];
    connection.read_exact(&mut start)?;
    anyhow::ensure!(start == *PLAIN, "it does not speak to a data end");
    Ok(connection)
}

/// Whether the ticket is for this host, this connection, and the host that came with it.
fn check(shared: &Shared, connection: &Connection, hello: &Hello) -> Result<Ticket, Status> {
    let keys = shared.identity.ticket_keys();
    let keys = keys.map_err(|e| Status::unavailable(format!("{e}.")))?;
    let ticket = ticket::read(&keys, hello.ticket.as_ref(), shared.now_ms())?;
    ticket::check_encryption(&ticket, connection.encryption())?;
    let (here, there) = match hello.is_source {
        true => (&ticket.target_host_id, &ticket.source_host_id),
        false => (&ticket.source_host_id, &ticket.target_host_id),
    };
    if *here != shared.identity.host_id {
        return Err(ticket::refused(
            "The ticket is for the data end of another host.",
        ));
    }
    let is_theirs = match connection.certificate() {
        Some(certificate) => identity::is_of(certificate, there),
        // Without a certificate the ticket is all there is.
        None => connection.encryption() == Encryption::Plain,
    };
    if !is_theirs {
        return Err(ticket::refused(
            "The ticket is for another host than came with it.",
        ));
    }
    Ok(ticket)
}
