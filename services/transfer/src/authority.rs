//! Muster's own small certificate authority: it vouches for the data ends of hosts, and signs their tickets.
//!
//! Its keys are one record, which only this service may read on the bus: the first instance of a fleet makes them, by
//! compare-and-set, and whichever instance asks later finds the same.

use std::time::Duration;

use contracts::call::Context;
use contracts::data::{SignedTicket, Ticket};
use contracts::transfer::{Authority, AuthorityKey};
use contracts::{Status, names};
use kit::records::{Decision, Records, Stored};
use prost::Message as _;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm,
    date_time_ymd,
};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

use crate::core::renewal;

/// Id of the one record.
const ID: &str = "authority";

/// Certificates hold from a while ago, since a host's clock may be behind.
const BACKDATED: Duration = Duration::from_secs(2 * 3600);

/// An uncompressed point of P-256: a mark and two coordinates.
const POINT_BYTES: usize = 65;
const POINT_MARK: u8 = 4;

/// The keys, made if there are none or they are getting old.
pub(crate) async fn keys(
    records: &Records<Authority>,
    now_ms: i64,
    lifetime: Duration,
) -> Result<Authority, Status> {
    if let Some(current) = records.get(ID)?
        && renewal::is_fresh(&current.value, now_ms)
    {
        return Ok(current.value);
    }
    let made = make_key(now_ms, lifetime).map_err(failed)?;
    let context = Context::new("system");
    records
        .update(&context, ID, |current: Option<&Stored<Authority>>| {
            let current = current.map(|c| c.value.clone()).unwrap_or_default();
            if renewal::is_fresh(&current, now_ms) {
                return Ok(Decision::Keep(current));
            }
            let renewed = renewal::renewed(current, made.clone(), now_ms);
            Ok(Decision::Put(renewed.clone(), renewed))
        })
        .await
}

fn failed(error: impl std::fmt::Display) -> Status {
    Status::internal(format!("Keys of the data ends could not be made: {error}."))
}

/// The newest key, which signs.
pub(crate) fn signing(authority: &Authority) -> Result<&AuthorityKey, Status> {
    authority
        .keys
        .first()
        .ok_or_else(|| failed("there are none"))
}

fn make_key(now_ms: i64, lifetime: Duration) -> anyhow::Result<AuthorityKey> {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let not_after_ms = now_ms.saturating_add(millis(lifetime));
    let certificate = authority_params(now_ms, not_after_ms)?.self_signed(&pair)?;
    let no_key = |_| anyhow::anyhow!("no key for tickets");
    let ticket = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(no_key)?;
    let public = Ed25519KeyPair::from_pkcs8(ticket.as_ref())
        .map_err(|error| anyhow::anyhow!("a key was refused: {error}"))?;
    Ok(AuthorityKey {
        certificate: certificate.der().to_vec(),
        private_key: pair.serialize_der(),
        ticket_private_key: ticket.as_ref().to_vec(),
        ticket_public_key: public.public_key().as_ref().to_vec(),
        created_ms: now_ms,
        not_after_ms,
    })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn named(name: String) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn valid(params: &mut CertificateParams, from_ms: i64, until_ms: i64) {
    let at = |ms: i64| {
        date_time_ymd(1970, 1, 1) + Duration::from_millis(u64::try_from(ms).unwrap_or_default())
    };
    params.not_before = at(from_ms.saturating_sub(millis(BACKDATED)));
    params.not_after = at(until_ms);
}

/// The same for the same times, so that they can be made again to sign with.
fn authority_params(created_ms: i64, not_after_ms: i64) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = named(format!("Muster data ends {created_ms}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    valid(&mut params, created_ms, not_after_ms);
    Ok(params)
}

/// A public key as a host gave it.
struct Point<'a>(&'a [u8]);

impl PublicKeyData for Point<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// A certificate for the data end of a host, DER.
pub(crate) fn certify(
    key: &AuthorityKey,
    host_id: &str,
    public_key: &[u8],
    now_ms: i64,
    lifetime: Duration,
) -> Result<Vec<u8>, Status> {
    if public_key.len() != POINT_BYTES || public_key.first() != Some(&POINT_MARK) {
        return Err(Status::invalid("public_key", "This is no point of P-256.")
            .action("Update the agent and this service so that both are of one release."));
    }
    issue(key, host_id, public_key, now_ms, lifetime).map_err(failed)
}

fn issue(
    key: &AuthorityKey,
    host_id: &str,
    public_key: &[u8],
    now_ms: i64,
    lifetime: Duration,
) -> anyhow::Result<Vec<u8>> {
    let pair = KeyPair::try_from(key.private_key.as_slice())?;
    let authority = authority_params(key.created_ms, key.not_after_ms)?;
    let issuer = Issuer::from_params(&authority, pair);
    let mut params = CertificateParams::new(vec![names::data_end(host_id)])?;
    params.distinguished_name = named(format!("Muster host {host_id}"));
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    let until_ms = now_ms
        .saturating_add(millis(lifetime))
        .min(key.not_after_ms);
    valid(&mut params, now_ms, until_ms);
    Ok(params
        .signed_by(&Point(public_key), &issuer)?
        .der()
        .to_vec())
}

/// Signs a ticket.
pub(crate) fn sign(key: &AuthorityKey, ticket: &Ticket) -> Result<SignedTicket, Status> {
    let pair = Ed25519KeyPair::from_pkcs8(&key.ticket_private_key).map_err(failed)?;
    let ticket = ticket.encode_to_vec();
    Ok(SignedTicket {
        signature: pair.sign(&ticket).as_ref().to_vec(),
        ticket,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_points_get_a_certificate() {
        let key = make_key(1_800_000_000_000, Duration::from_secs(3600)).unwrap();
        let hour = Duration::from_secs(3600);
        let certify = |public: &[u8]| certify(&key, "h1", public, 1_800_000_000_000, hour);
        assert!(certify(&[4; 64]).is_err());
        assert!(certify(&[5; 65]).is_err());
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        assert!(certify(pair.public_key_raw()).is_ok());
    }
}
