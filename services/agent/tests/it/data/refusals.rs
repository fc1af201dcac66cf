//! What the data end refuses by itself, whoever asks.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::symlink;

use contracts::data::{
    Answer, ChunkList, ChunkPart, Encryption, Hello, Open, Question, answer, question,
};
use contracts::{Code, Status};

use super::*;

/// Somebody who speaks the protocol and does not keep to its rules.
struct Stranger(TcpStream);

impl Stranger {
    fn dial(site: &Site) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", site.port())).unwrap();
        stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
        stream.write_all(b"MUSTER1\n").unwrap();
        Self(stream)
    }

    fn with(site: &Site, signed: SignedTicket) -> Self {
        let mut stranger = Self::dial(site);
        stranger.send(&Hello {
            ticket: Some(signed),
            is_source: false,
        });
        stranger
    }

    fn send(&mut self, message: &impl prost::Message) {
        let bytes = message.encode_to_vec();
        let length = u32::try_from(bytes.len()).unwrap();
        // It may have hung up already.
        let _ = self.0.write_all(&length.to_le_bytes());
        let _ = self.0.write_all(&bytes);
    }

    fn hear(&mut self) -> Option<Answer> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).ok()?;
        let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
        self.0.read_exact(&mut bytes).ok()?;
        Some(Answer::decode(bytes.as_slice()).unwrap())
    }

    fn ask(&mut self, what: question::What) -> Result<answer::What, Status> {
        self.send(&Question { what: Some(what) });
        let answer = self.hear().expect("an answer");
        answer.problem.map_or_else(|| Ok(answer.what.unwrap()), Err)
    }

    fn open(&mut self) -> Result<answer::What, Status> {
        self.ask(question::What::Open(Open::default()))
    }
}

fn plain(ticket: Ticket) -> Ticket {
    Ticket {
        encryption: Encryption::Plain.into(),
        ..ticket
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_that_are_wrong_open_nothing() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (from, to) = (Site::new("h1", &authority), Site::new("h2", &authority));
    from.make("a.raw", MIB, &[0], 1);
    let good = plain(ticket("t1", &from, &to, "a.raw"));
    let expired = Ticket {
        not_after_ms: NOW_MS - 1,
        ..good.clone()
    };
    let elsewhere = Ticket {
        source_host_id: "h9".to_owned(),
        ..good.clone()
    };
    let encrypted = ticket("t1", &from, &to, "a.raw");
    let mut forged = authority.sign(&good);
    forged.ticket.extend(
        plain(Ticket {
            not_after_ms: i64::MAX,
            ..Ticket::default()
        })
        .encode_to_vec(),
    );
    for (what, signed) in [
        ("expired", authority.sign(&expired)),
        ("of another host", authority.sign(&elsewhere)),
        ("of another authority", other.sign(&good)),
        ("for an encrypted connection", authority.sign(&encrypted)),
        ("changed after it was signed", forged),
    ] {
        let mut stranger = Stranger::with(&from, signed);
        let problem = stranger.hear().unwrap().problem.unwrap();
        assert_eq!(problem.code(), Code::PermissionDenied, "{what}: {problem}");
        assert!(stranger.hear().is_none(), "{what}: it goes on");
    }
    let mut stranger = Stranger::with(&from, authority.sign(&good));
    assert!(stranger.open().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_ticket_is_not_for_is_not_given() {
    let authority = Authority::new();
    let (from, to) = (Site::new("h1", &authority), Site::new("h2", &authority));
    from.make("a.raw", 4 * MIB, &[0, 1, 2, 3], 1);
    symlink("a.raw", from.path("link.raw")).unwrap();
    let pipe = from.path("pipe.raw");
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    std::fs::write(from.dir.path().join("secret"), "x").unwrap();
    let named = |path: &str| {
        let source = FileRef {
            datastore: "ds".to_owned(),
            path: path.to_owned(),
        };
        let ticket = Ticket {
            source: Some(source),
            ..ticket("t1", &from, &to, "")
        };
        Stranger::with(&from, authority.sign(&plain(ticket)))
    };
    for path in [
        "../secret",
        "images/link.raw",
        "images/pipe.raw",
        "images",
        "/etc/passwd",
    ] {
        let problem = named(path).open().unwrap_err();
        assert_eq!(
            problem.code(),
            Code::FailedPrecondition,
            "{path}: {problem}"
        );
    }
    assert_eq!(
        named("images/none.raw").open().unwrap_err().code(),
        Code::NotFound
    );
    // A part of the file only, and nothing beyond its end.
    let part = Ticket {
        offset_bytes: MIB,
        length_bytes: MIB,
        ..ticket("t1", &from, &to, "a.raw")
    };
    let whole = ticket("t1", &from, &to, "a.raw");
    let refused = |ticket: &Ticket, what: question::What| {
        let mut stranger = Stranger::with(&from, authority.sign(&plain(ticket.clone())));
        stranger.open().unwrap();
        stranger.ask(what).unwrap_err().code()
    };
    let denied = Code::PermissionDenied;
    for index in [0, 2, u64::MAX] {
        assert_eq!(
            refused(&part, question::What::Chunk(index)),
            denied,
            "{index}"
        );
    }
    assert_eq!(refused(&part, question::What::Finish(true)), denied);
    assert_eq!(refused(&part, question::What::HashesFrom(0)), denied);
    assert_eq!(refused(&whole, question::What::Chunk(4)), denied);
    assert_eq!(refused(&whole, question::What::Chunk(u64::MAX / 7)), denied);
    // Blocks of chunks: of a file as a whole, of chunks that it has, of blocks that a chunk has, and not of all at once.
    let blocks_of = |indexes: Vec<u64>| question::What::BlocksOf(ChunkList { indexes });
    let blocks = |index: u64, blocks: &[u8]| {
        let blocks = blocks.to_vec();
        question::What::Part(ChunkPart { index, blocks })
    };
    assert_eq!(refused(&part, blocks_of(vec![1])), denied);
    assert_eq!(refused(&part, blocks(1, &[1; 32])), denied);
    assert_eq!(refused(&whole, blocks(4, &[])), denied);
    assert_eq!(refused(&whole, blocks(0, &[1; 31])), denied);
    for indexes in [vec![0; 65], vec![u64::MAX]] {
        assert_eq!(refused(&whole, blocks_of(indexes)), Code::InvalidArgument);
    }
    let mut stranger = Stranger::with(&from, authority.sign(&plain(part)));
    assert_eq!(
        stranger.ask(question::What::Chunk(1)).unwrap_err().code(),
        denied,
        "not opened"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_speaks_otherwise_is_hung_up_on_and_others_are_served() {
    let authority = Authority::new();
    let (from, to) = (Site::new("h1", &authority), Site::new("h2", &authority));
    from.make("a.raw", MIB, &[0], 1);
    let talk = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(("127.0.0.1", from.port())).unwrap();
        stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        said
    };
    assert!(talk(b"GET / HTTP/1.1\r\n\r\n").is_empty());
    assert!(talk(b"MUSTER1\n\xff\xff\xff\xffrubbish").is_empty());
    assert!(talk(b"").is_empty());
    // A handshake that is none: an alert of TLS at most.
    assert!(talk(&[0x16; 64]).len() < 64);
    let signed = authority.sign(&plain(ticket("t1", &from, &to, "a.raw")));
    let mut rude = Stranger::with(&from, signed);
    rude.0.write_all(&u32::MAX.to_le_bytes()).unwrap();
    assert!(rude.hear().is_none());
    let signed = authority.sign(&ticket("t2", &from, &to, "a.raw"));
    to.end().fetch(pull(signed, from.port())).unwrap();
    done(to.end(), "t2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_of_another_authority_or_another_host_are_not_believed() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (mut from, mut to) = (Site::new("h1", &authority), Site::new("h2", &authority));
    from.make("a.raw", MIB, &[0], 1);
    let attempt = async |id: &str, from: &Site, to: &Site, signer: &Authority| {
        let signed = signer.sign(&ticket(id, from, to, "a.raw"));
        to.end().fetch(pull(signed, from.port())).unwrap();
        failed(to.end(), id).await
    };
    // The source's authority is another one; then the source is another host of ours.
    from.start_as(&other, "h1");
    let problem = attempt("t1", &from, &to, &authority).await;
    assert!(problem.message.contains("certificate"), "{problem}");
    from.start_as(&authority, "h7");
    let problem = attempt("t2", &from, &to, &authority).await;
    assert!(problem.message.contains("certificate"), "{problem}");
    // The target is another host of ours than the ticket is for.
    from.start(&authority);
    to.start_as(&authority, "h8");
    let problem = attempt("t3", &from, &to, &authority).await;
    assert_eq!(problem.code(), Code::PermissionDenied, "{problem}");
    // Each end believes the other's only once both have the same authority.
    to.start(&authority);
    let signed = authority.sign(&ticket("t4", &from, &to, "a.raw"));
    to.end().fetch(pull(signed, from.port())).unwrap();
    done(to.end(), "t4").await;
}
