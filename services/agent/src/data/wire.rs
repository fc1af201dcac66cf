//! Connections between data ends: plain or encrypted, and messages on them.

use std::io::{self, BufReader, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use contracts::Status;
use contracts::data::{Answer, Encryption};
use prost::Message;
use rustls::{ClientConnection, ServerConnection, StreamOwned};

use super::limits;

/// What is read from the kernel at a time: rustls asks for 4 KiB, which would be a system call each.
const READ_AHEAD_BYTES: usize = 256 << 10;

/// What rustls may hold encrypted before it is written.
const WRITE_AHEAD_BYTES: usize = 256 << 10;

/// A TCP connection that is read in large pieces.
pub(super) struct Line(BufReader<TcpStream>);

impl Read for Line {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Line {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.get_mut().write(buffer)
    }

    fn write_vectored(&mut self, buffers: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.get_mut().write_vectored(buffers)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) enum Connection {
    Plain(Line),
    Dialled(Box<StreamOwned<ClientConnection, Line>>),
    Accepted(Box<StreamOwned<ServerConnection, Line>>),
}

impl Connection {
    pub(super) fn plain(stream: TcpStream) -> Self {
        Self::Plain(line(stream))
    }

    /// Encrypts a connection that was dialled. Who the other is has been checked when it returns.
    pub(super) fn dialled(stream: TcpStream, mut tls: ClientConnection) -> io::Result<Self> {
        tls.set_buffer_limit(Some(WRITE_AHEAD_BYTES));
        let mut stream = line(stream);
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        Ok(Self::Dialled(Box::new(StreamOwned::new(tls, stream))))
    }

    /// Encrypts a connection that was accepted.
    pub(super) fn accepted(stream: TcpStream, mut tls: ServerConnection) -> io::Result<Self> {
        tls.set_buffer_limit(Some(WRITE_AHEAD_BYTES));
        let mut stream = line(stream);
        while tls.is_handshaking() {
            tls.complete_io(&mut stream)?;
        }
        Ok(Self::Accepted(Box::new(StreamOwned::new(tls, stream))))
    }

    pub(super) fn encryption(&self) -> Encryption {
        match self {
            Self::Plain(_) => Encryption::Plain,
            Self::Dialled(_) | Self::Accepted(_) => Encryption::Tls,
        }
    }

    /// The certificate of the other end, DER.
    pub(super) fn certificate(&self) -> Option<&[u8]> {
        let certificates = match self {
            Self::Plain(_) => None,
            Self::Dialled(tls) => tls.conn.peer_certificates(),
            Self::Accepted(tls) => tls.conn.peer_certificates(),
        };
        Some(certificates?.first()?.as_ref())
    }

    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(line) => line.0.get_ref(),
            Self::Dialled(tls) => tls.sock.0.get_ref(),
            Self::Accepted(tls) => tls.sock.0.get_ref(),
        }
    }

    /// How long reading may take; writing has the same time.
    pub(super) fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        set_timeout(self.tcp(), timeout)
    }

    /// Lets somebody else end the connection.
    pub(super) fn handle(&self) -> io::Result<Handle> {
        Ok(Handle(self.tcp().try_clone()?))
    }

    /// Writes a message and what belongs to it.
    pub(super) fn send(&mut self, message: &impl Message, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(message.encoded_len()).map_err(io::Error::other)?;
        let mut bytes = length.to_le_bytes().to_vec();
        message.encode(&mut bytes).map_err(io::Error::other)?;
        self.write_all(&bytes)?;
        self.write_all(payload)?;
        self.flush()
    }

    /// Reads a message. `None`: the other end has closed the connection.
    pub(super) fn receive<M: Message + Default>(&mut self) -> io::Result<Option<M>> {
        let mut length = [0; 4];
        match self.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > limits::MESSAGE_BYTES_MAX {
            return Err(io::Error::other("a message that is too long"));
        }
        let mut bytes = vec![0; length];
        self.read_exact(&mut bytes)?;
        M::decode(bytes.as_slice())
            .map(Some)
            .map_err(io::Error::other)
    }

    /// Says why no more is said. The connection ends with it.
    pub(super) fn refuse(&mut self, problem: &Status) {
        let answer = Answer {
            problem: Some(problem.clone()),
            what: None,
        };
        // Whoever is gone does not hear it.
        let _ = self.send(&answer, &[]);
        let _ = self.tcp().shutdown(Shutdown::Write);
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(line) => line.read(buffer),
            Self::Dialled(tls) => tls.read(buffer),
            Self::Accepted(tls) => tls.read(buffer),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(line) => line.write(buffer),
            Self::Dialled(tls) => tls.write(buffer),
            Self::Accepted(tls) => tls.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(line) => line.flush(),
            Self::Dialled(tls) => tls.flush(),
            Self::Accepted(tls) => tls.flush(),
        }
    }
}

/// Whether a connection ended since one end does not believe the other's certificate: to dial again is of no use.
pub(super) fn is_distrust(error: &io::Error) -> bool {
    let tls = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>());
    matches!(
        tls,
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::AlertReceived(_))
    )
}

/// Ends a connection that another thread waits on.
pub(super) struct Handle(TcpStream);

impl Handle {
    pub(super) fn end(&self) {
        // It may have ended already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

fn line(stream: TcpStream) -> Line {
    Line(BufReader::with_capacity(READ_AHEAD_BYTES, stream))
}

pub(super) fn set_timeout(stream: &TcpStream, timeout: Duration) -> io::Result<()> {
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))
}
