//! How quickly lists are answered.

use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::Times;
use crate::muster::Muster;

/// A page of what runs, in an order that no index has.
const PAGE: &str = "/api/v1/vms?limit=100&filter=state:running&sort=-memory_bytes,name";

/// Asks for a filtered, sorted page so often a second, whether or not the answers before have come.
pub async fn pages(muster: &Muster, rate: u32, requests: usize) -> anyhow::Result<Times> {
    let mut turns = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
    let mut open = FuturesUnordered::new();
    let mut times = Vec::with_capacity(requests);
    for _ in 0..requests {
        loop {
            tokio::select! {
                _ = turns.tick() => break,
                Some(time) = open.next() => times.push(time),
            }
        }
        open.push(page(muster));
    }
    while let Some(time) = open.next().await {
        times.push(time);
    }
    let times: anyhow::Result<Vec<Duration>> = times.into_iter().collect();
    Ok(Times::new(times?))
}

/// Reads the whole list of machines, page after page; answers how many bytes it has.
pub async fn whole(muster: &Muster) -> anyhow::Result<usize> {
    let mut bytes = 0;
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/vms?limit=1000&sort=id{cursor}");
        let answer = muster.request(&path).send().await?.error_for_status()?;
        let page = answer.bytes().await?;
        bytes += page.len();
        let next: Next = serde_json::from_slice(&page)?;
        match next.next_cursor {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(bytes),
        }
    }
}

/// All that is read of a page.
#[derive(serde::Deserialize)]
struct Next {
    next_cursor: Option<String>,
}

async fn page(muster: &Muster) -> anyhow::Result<Duration> {
    let asked = Instant::now();
    let answer = muster.request(PAGE).send().await?.error_for_status()?;
    answer.bytes().await?;
    Ok(asked.elapsed())
}
