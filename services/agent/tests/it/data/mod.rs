//! Data ends of several hosts in one process, on real connections, with an authority of the test's own.

mod bad_days;
mod copies;
mod refusals;

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::time::Duration;

use agent::data::{DataEnd, Key, Roots, Settings};
use contracts::data::fetch_status::State;
use contracts::data::{
    Encryption, FetchRequest, FetchStatus, FileRef, PushRequest, SignedTicket, Ticket,
};
use contracts::names;
use contracts::transfer::EnrollResponse;
use prost::Message as _;
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    PublicKeyData, SignatureAlgorithm,
};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use support::eventually;

pub(crate) const MIB: u64 = 1 << 20;

/// What may be sent again after a cut, and what is said beside the content.
pub(crate) const IN_FLIGHT: u64 = 4 * MIB;
pub(crate) const TALK: u64 = 256 << 10;

/// The clock of every host.
pub(crate) const NOW_MS: i64 = 1_000_000;

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Vec<u8>,
    tickets: Ed25519KeyPair,
}

struct Point<'a>(&'a [u8]);

impl PublicKeyData for Point<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = params.self_signed(&key).unwrap().der().to_vec();
        let tickets = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            certificate,
            tickets: Ed25519KeyPair::from_pkcs8(tickets.as_ref()).unwrap(),
        }
    }

    /// Gives a data end the certificate of a host.
    pub(crate) fn enroll(&self, end: &DataEnd, host_id: &str) {
        let key = Key::generate().unwrap();
        let params = CertificateParams::new(vec![names::data_end(host_id)]).unwrap();
        let certificate = params
            .signed_by(&Point(key.public()), &self.issuer)
            .unwrap();
        let answer = EnrollResponse {
            certificate: certificate.der().to_vec(),
            authorities: vec![self.certificate.clone()],
            ticket_keys: vec![self.tickets.public_key().as_ref().to_vec()],
            ..EnrollResponse::default()
        };
        end.enrolled(&key, &answer).unwrap();
    }

    pub(crate) fn sign(&self, ticket: &Ticket) -> SignedTicket {
        let ticket = ticket.encode_to_vec();
        SignedTicket {
            signature: self.tickets.sign(&ticket).as_ref().to_vec(),
            ticket,
        }
    }
}

/// A host: a folder, and a data end on it that can be ended and started again.
pub(crate) struct Site {
    pub(crate) id: &'static str,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) end: Option<DataEnd>,
    listen: SocketAddr,
}

impl Site {
    pub(crate) fn new(id: &'static str, authority: &Authority) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("ds/images")).unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let mut site = Self {
            id,
            dir,
            end: None,
            listen,
        };
        site.start(authority);
        site
    }

    pub(crate) fn start(&mut self, authority: &Authority) {
        self.start_as(authority, self.id);
    }

    /// With the certificate of another host.
    pub(crate) fn start_as(&mut self, authority: &Authority, certified: &str) {
        self.end = None;
        let end = DataEnd::open(Settings {
            host_id: self.id.to_owned(),
            roots: Roots::new([("ds".to_owned(), self.dir.path().join("ds"))]),
            folder: self.dir.path().join("hashes"),
            listen: Some(self.listen),
            now_ms: Box::new(|| NOW_MS),
        });
        let end = end.unwrap();
        authority.enroll(&end, certified);
        // Where it will be found again.
        self.listen = end.address().unwrap();
        self.end = Some(end);
    }

    pub(crate) fn end(&self) -> &DataEnd {
        self.end.as_ref().unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.end().address().unwrap().port()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("ds/images").join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    /// Everything in the folder of images.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("")).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// A file with a MiB of data at each of these places, in MiB, and holes elsewhere.
    pub(crate) fn make(&self, name: &str, size_bytes: u64, data: &[u64], seed: u64) -> File {
        let file = File::create(self.path(name)).unwrap();
        file.set_len(size_bytes).unwrap();
        for at in data {
            file.write_all_at(&noise(seed.wrapping_add(*at)), at * MIB)
                .unwrap();
        }
        file
    }

    pub(crate) fn allocated(&self, name: &str) -> u64 {
        self.path(name).metadata().unwrap().blocks() * 512
    }
}

/// A MiB that cannot be told from chance.
pub(crate) fn noise(seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(MIB).unwrap()];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

pub(crate) fn image(name: &str) -> FileRef {
    FileRef {
        datastore: "ds".to_owned(),
        path: format!("images/{name}"),
    }
}

pub(crate) fn ticket(transfer_id: &str, from: &Site, to: &Site, name: &str) -> Ticket {
    Ticket {
        transfer_id: transfer_id.to_owned(),
        source_host_id: from.id.to_owned(),
        target_host_id: to.id.to_owned(),
        source: Some(image(name)),
        target: Some(image(name)),
        not_after_ms: NOW_MS + 60_000,
        encryption: Encryption::Tls.into(),
        ..Ticket::default()
    }
}

/// A fetch by the target, which dials this port.
pub(crate) fn pull(signed: SignedTicket, port: u16) -> FetchRequest {
    FetchRequest {
        ticket: Some(signed),
        source_address: format!("127.0.0.1:{port}"),
        ..FetchRequest::default()
    }
}

/// A fetch over connections that the source dials.
pub(crate) fn push(signed: &SignedTicket, from: &Site, to: &Site) -> FetchRequest {
    let request = PushRequest {
        ticket: Some(signed.clone()),
        target_address: format!("127.0.0.1:{}", to.port()),
    };
    from.end().push(&request).unwrap();
    FetchRequest {
        ticket: Some(signed.clone()),
        ..FetchRequest::default()
    }
}

pub(crate) async fn until(
    end: &DataEnd,
    transfer_id: &str,
    what: impl Fn(&FetchStatus) -> bool,
) -> FetchStatus {
    let found = eventually("the fetch to get there", async || {
        let status = end.status(transfer_id, Duration::ZERO).unwrap();
        what(&status).then_some(status)
    });
    let status = found.await;
    status.unwrap_or_else(|error| panic!("{error}: {:?}", end.status(transfer_id, Duration::ZERO)))
}

/// Waits until a fetch has ended well.
pub(crate) async fn done(end: &DataEnd, transfer_id: &str) -> FetchStatus {
    let status = until(end, transfer_id, |s| s.state() != State::Running).await;
    assert_eq!(status.state(), State::Done, "{status:?}");
    status
}

/// Waits until a fetch has ended badly.
pub(crate) async fn failed(end: &DataEnd, transfer_id: &str) -> contracts::Status {
    let status = until(end, transfer_id, |s| s.state() != State::Running).await;
    assert_eq!(status.state(), State::Failed, "{status:?}");
    status.problem.unwrap()
}

/// Lets a fetch of a large file go some way and holds it there.
pub(crate) async fn hold_midway(end: &DataEnd, transfer_id: &str, bytes: u64) -> FetchStatus {
    until(end, transfer_id, |s| s.bytes_done >= bytes).await;
    let request = contracts::data::ThrottleRequest {
        transfer_id: transfer_id.to_owned(),
        bytes_per_sec: contracts::limits::TRANSFER_RATE_MIN,
    };
    end.throttle(&request);
    // What was let through before the throttle has come when nothing comes any more.
    let mut last = u64::MAX;
    let mut same = 0;
    eventually("the fetch to stand", async || {
        let now = end
            .status(transfer_id, Duration::ZERO)
            .unwrap()
            .bytes_received;
        same = if now == last { same + 1 } else { 0 };
        last = now;
        (same > 20).then_some(())
    })
    .await
    .unwrap();
    end.status(transfer_id, Duration::ZERO).unwrap()
}

/// Slow enough to be caught on the way, fast enough not to be waited for.
pub(crate) const WALKING: u64 = 24 * MIB;
