//! The process's randomness, made a function of the seed.
//!
//! tokio picks the branch of a `select!` and the waiters of a `watch` at random, and hash maps choose their order at
//! random; both ask the system once, through `getrandom` of the C library. The standard library lets that symbol be
//! replaced. Here it is, so that a run of one seed is the same to the last step whatever the code under test uses.

#![allow(unsafe_code)]

use std::io::Read as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// State of the generator; 0: the system's randomness.
static STATE: AtomicU64 = AtomicU64::new(0);

/// From now on the process has no randomness but the seed's. Call it first, before there is a runtime or a thread.
pub fn seed(seed: u64) {
    STATE.store(mix(seed).max(1), Ordering::SeqCst);
}

/// One step of splitmix64.
fn mix(state: u64) -> u64 {
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

fn fill(bytes: &mut [u8]) -> bool {
    if STATE.load(Ordering::SeqCst) == 0 {
        return std::fs::File::open("/dev/urandom").is_ok_and(|mut f| f.read_exact(bytes).is_ok());
    }
    for chunk in bytes.chunks_mut(8) {
        let state = STATE.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst);
        let drawn = mix(state).to_le_bytes();
        chunk.copy_from_slice(&drawn[..chunk.len()]);
    }
    true
}

/// Stands in for the C library's.
///
/// # Safety
/// As `getrandom(2)`: `buffer` points to `length` bytes that may be written.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    // SAFETY: the caller's promise.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    if fill(bytes) {
        isize::try_from(length).unwrap_or(isize::MAX)
    } else {
        -1
    }
}
