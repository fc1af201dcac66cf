//! What is delivered: an event as JSON, named, timed and signed as <https://www.standardwebhooks.com> has it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use contracts::rest;
use jiff::Timestamp;
use ring::hmac;
use serde::Serialize;

/// Names of headers.
pub mod headers {
    /// Names the delivery; the same whenever it is tried again.
    pub const ID: &str = "webhook-id";
    /// When this try was made, in seconds since 1970.
    pub const TIMESTAMP: &str = "webhook-timestamp";
    /// `v1,` and the HMAC-SHA256 of `<id>.<timestamp>.<body>` in base64.
    pub const SIGNATURE: &str = "webhook-signature";
}

/// Length of a secret, as the standard recommends.
pub const SECRET_BYTES: usize = 32;

const SECRET_PREFIX: &str = "whsec_";

/// A larger body goes without what changed: it must fit into a dead letter, and endpoints have limits too.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// What the body is made of.
#[derive(Serialize)]
struct Body {
    /// `<kind>.<verb>`.
    r#type: String,
    timestamp: Option<Timestamp>,
    data: rest::Event,
}

/// The body of an event's delivery.
pub fn body(event: rest::Event) -> Vec<u8> {
    let mut body = Body {
        r#type: format!("{}.{}", event.kind, event.verb),
        timestamp: event.time,
        data: event,
    };
    let bytes = serde_json::to_vec(&body).unwrap_or_default();
    if bytes.len() <= BODY_BYTES_MAX {
        return bytes;
    }
    body.data.changes.clear();
    serde_json::to_vec(&body).unwrap_or_default()
}

/// Names the delivery of an event: a function of the event's name in the stream. Without a dot, which stands between the
/// parts that are signed.
pub fn id(message_id: &str) -> String {
    let hash = blake3::hash(message_id.as_bytes()).to_hex();
    format!("evt_{}", hash.get(..32).unwrap_or_default())
}

/// The header that proves who has sent it.
pub fn signature(secret: &[u8], id: &str, timestamp_secs: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{id}.{timestamp_secs}.").as_bytes());
    context.update(body);
    format!("v1,{}", BASE64.encode(context.sign()))
}

/// A secret as it is shown, once.
pub fn shown(secret: &[u8]) -> String {
    format!("{SECRET_PREFIX}{}", BASE64.encode(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_standard() {
        // The example of the standard's own libraries.
        let secret = BASE64.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signed = signature(&secret, id, 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(shown(&secret), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    }

    #[test]
    fn a_delivery_has_the_same_name_whenever_it_is_tried() {
        let name = id("vm:2026-11-29T06:00:00.123456789Z:42");
        assert_eq!(name, id("vm:2026-11-29T06:00:00.123456789Z:42"));
        assert!(!name.contains('.') && name.len() == 36);
    }
}
