//! Moments of their own for each of thousands of hosts.

/// A number from 0 to 1, always the same for a host and evenly spread over all.
pub fn fraction(host_id: &str) -> f64 {
    let hash = blake3::hash(host_id.as_bytes());
    let [a, b, c, d, ..] = *hash.as_bytes();
    f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX)
}
