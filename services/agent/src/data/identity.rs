//! Who this data end is, and by what it knows others: keys and certificates, renewed while it runs.

use std::sync::{Arc, RwLock};

use contracts::names;
use contracts::transfer::EnrollResponse;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::client::{Resumption, verify_server_name};
use rustls::crypto::{CryptoProvider, ring as provider};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{
    CipherSuite, ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
};

/// A key that a certificate is asked for. It lives as long as the certificate and never leaves the process.
pub struct Key {
    pkcs8: Vec<u8>,
    public: Vec<u8>,
}

impl Key {
    pub fn generate() -> anyhow::Result<Self> {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_ASN1_SIGNING;
        let failed = |_| anyhow::anyhow!("no key could be made");
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(failed)?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random);
        let pair = pair.map_err(|error| anyhow::anyhow!("a key was refused: {error}"))?;
        Ok(Self {
            pkcs8: pkcs8.as_ref().to_vec(),
            public: pair.public_key().as_ref().to_vec(),
        })
    }

    /// The public half, as it goes into the certificate.
    pub fn public(&self) -> &[u8] {
        &self.public
    }
}

/// What an enrollment gave.
struct Papers {
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
    ticket_keys: Vec<Vec<u8>>,
}

/// Shared by everything in the data end; what is renewed holds for the connections that begin afterwards.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) host_id: String,
    papers: Arc<RwLock<Option<Arc<Papers>>>>,
}

/// The host has no certificate yet.
#[derive(Debug, thiserror::Error)]
#[error(
    "this host has no certificate yet; it gets one from the transfer service when it is approved"
)]
pub(super) struct NotEnrolled;

impl Identity {
    pub(super) fn new(host_id: &str) -> Self {
        Self {
            host_id: host_id.to_owned(),
            papers: Arc::default(),
        }
    }

    /// Takes over what an enrollment gave.
    pub(super) fn renew(&self, key: &Key, answer: &EnrollResponse) -> anyhow::Result<()> {
        let papers = Arc::new(papers(key, answer)?);
        let mut current = self.papers.write().unwrap_or_else(|e| e.into_inner());
        *current = Some(papers);
        Ok(())
    }

    fn papers(&self) -> Result<Arc<Papers>, NotEnrolled> {
        let papers = self.papers.read().unwrap_or_else(|e| e.into_inner());
        papers.clone().ok_or(NotEnrolled)
    }

    /// For dialling a host: its certificate has to be that host's.
    pub(super) fn dial(&self, host_id: &str) -> anyhow::Result<ClientConnection> {
        let name = ServerName::try_from(names::data_end(host_id))?;
        Ok(ClientConnection::new(
            Arc::clone(&self.papers()?.client),
            name,
        )?)
    }

    /// For whoever dials here: he has to have a certificate, and says afterwards whose.
    pub(super) fn accept(&self) -> anyhow::Result<ServerConnection> {
        Ok(ServerConnection::new(Arc::clone(&self.papers()?.server))?)
    }

    pub(super) fn ticket_keys(&self) -> Result<Vec<Vec<u8>>, NotEnrolled> {
        Ok(self.papers()?.ticket_keys.clone())
    }
}

/// Whether a certificate, which the authority signed, is that of a host.
pub(super) fn is_of(certificate: &[u8], host_id: &str) -> bool {
    let certificate = CertificateDer::from(certificate);
    let (Ok(parsed), Ok(name)) = (
        ParsedCertificate::try_from(&certificate),
        ServerName::try_from(names::data_end(host_id)),
    ) else {
        return false;
    };
    verify_server_name(&parsed, &name).is_ok()
}

/// ring, with the cipher that processors do in hardware first.
fn crypto() -> CryptoProvider {
    let mut crypto = provider::default_provider();
    crypto
        .cipher_suites
        .sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    crypto
}

fn papers(key: &Key, answer: &EnrollResponse) -> anyhow::Result<Papers> {
    let mut roots = RootCertStore::empty();
    for authority in &answer.authorities {
        roots.add(CertificateDer::from(authority.clone()))?;
    }
    let (roots, crypto) = (Arc::new(roots), Arc::new(crypto()));
    let chain = vec![CertificateDer::from(answer.certificate.clone())];
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.pkcs8.clone()));
    let mut client = ClientConfig::builder_with_provider(Arc::clone(&crypto))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(Arc::clone(&roots))
        .with_client_auth_cert(chain.clone(), private.clone_key())?;
    client.resumption = Resumption::disabled();
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&crypto)).build()?;
    let mut server = ServerConfig::builder_with_provider(crypto)
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, private)?;
    // Who each end is is looked at each time.
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    Ok(Papers {
        client: Arc::new(client),
        server: Arc::new(server),
        ticket_keys: answer.ticket_keys.clone(),
    })
}
