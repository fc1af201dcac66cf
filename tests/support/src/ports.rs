//! Ports for the servers of tests.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::Mutex;

use anyhow::Context;

/// Where the search for a port begins when the system does not tell which ports it gives to connections.
const EPHEMERAL_FIRST: u16 = 32_768;

/// Ports under this are other people's.
const LOWEST: u16 = 10_000;

/// What keeps the ports of this process from others that ask here.
static KEPT: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A port of the loopback address that is this process's until it ends, whether a server listens on it or not.
///
/// It lies below the ports that the system gives to connections: of those, one whose server is down could be taken by any
/// connection, even by that of a client which tries to reach it. A UDP socket of the same number keeps it from other
/// processes that ask here, and is gone with the process however it ends.
pub fn free_port() -> anyhow::Result<u16> {
    let end = ephemeral_first();
    // Processes begin at different places, so that they do not all try the same ports.
    let start = LOWEST + u16::try_from(std::process::id() * 101 % u32::from(end - LOWEST))?;
    let mut kept = KEPT
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    (start..end)
        .chain(LOWEST..start)
        .find_map(|port| {
            let keeper = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
            TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
            kept.push(keeper);
            Some(port)
        })
        .context("no port is free")
}

fn ephemeral_first() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .filter(|first| *first > LOWEST)
        .unwrap_or(EPHEMERAL_FIRST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once_and_lies_below_those_of_connections() {
        let ports: std::collections::BTreeSet<u16> =
            (0..50).map(|_| free_port().unwrap()).collect();
        assert_eq!(ports.len(), 50);
        assert!(ports.iter().all(|port| *port < ephemeral_first()));
    }
}
