//! Events: each once and in order, whatever happens to the client.

use std::collections::BTreeSet;
use std::time::Duration;

use contracts::host::VmState;
use contracts::inventory::Vm;
use contracts::subjects;
use gateway::Config;
use kit::bus::{LogKind, LogSpec};
use reqwest::{Method, StatusCode};
use serde_json::json;
use support::{NatsServer, eventually};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::fleet::{Fleet, Gateway, answer, bus};
use crate::streams::{Message, Stream};

fn state(n: usize) -> VmState {
    if n.is_multiple_of(2) {
        VmState::Running
    } else {
        VmState::Stopped
    }
}

/// Comes and goes until it has seen event `last`; answers with the sequences that it saw.
async fn restless(gateways: [&Gateway; 2], number: usize, last: u64) -> Vec<u64> {
    let (mut seen, mut at, mut round) = (Vec::new(), 0, number);
    while at < last {
        let gateway = gateways[round % 2];
        let mut stream = Stream::open(gateway, "/api/v1/events", Some(at)).await;
        // It stays for a different number of events each time.
        for _ in 0..(7 * round + 3 * number) % 40 + 1 {
            let message = stream.next().await.unwrap();
            assert_ne!(message.event, "reset");
            at = message.id.unwrap();
            seen.push(at);
            if at >= last {
                break;
            }
        }
        round += 1;
    }
    seen
}

/// Asks for the events and never reads one.
async fn stuck(gateway: &Gateway) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let request = "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_come_and_go_see_each_of_500_events_exactly_once() {
    const EVENTS: u64 = 500;
    let fleet = Fleet::start().await;
    let (a, b) = (fleet.gateway("a").await, fleet.gateway("b").await);
    let _stuck = (stuck(&a).await, stuck(&b).await);
    // The root group was the first.
    let write = async {
        for n in 0..EVENTS as usize - 1 {
            fleet.vm(&format!("v{}", n % 7), "web", state(n / 7)).await;
        }
    };
    let clients = async {
        let clients = (0..8).map(|number| restless([&a, &b], number, EVENTS));
        futures::future::join_all(clients).await
    };
    let ((), seen) = tokio::join!(write, clients);
    let each_once: Vec<u64> = (1..=EVENTS).collect();
    for seen in seen {
        assert_eq!(seen, each_once);
    }
}

#[tokio::test]
async fn an_event_says_what_changed_from_what_to_what() {
    let fleet = Fleet::start().await;
    fleet.vm("v1", "web-01", VmState::Stopped).await;
    let gateway = fleet.gateway("0").await;
    eventually("the stream to begin after what was", async || {
        let mut stream = Stream::open(&gateway, "/api/v1/events", None).await;
        stream.opened().await;
        (stream.last_id == Some(2)).then_some(())
    })
    .await
    .unwrap();
    let mut stream = Stream::open(&gateway, "/api/v1/events", None).await;
    let revision = fleet.vm("v1", "web-01", VmState::Running).await;
    let Message { id, event, data } = stream.next().await.unwrap();
    assert_eq!((id, event.as_str()), (Some(3), "vm.state_changed"));
    assert_eq!(data["sequence"], 3);
    assert_eq!(data["revision"], revision);
    assert_eq!(
        (&data["id"], &data["name"]),
        (&json!("v1"), &json!("web-01"))
    );
    assert_eq!(data["principal"], "tester");
    let change = json!([{"property": "state", "previous": "stopped", "new": "running"}]);
    assert_eq!(data["changes"], change);
}

#[tokio::test]
async fn only_what_was_asked_for_is_sent() {
    let fleet = Fleet::start().await;
    fleet.group("g1", "Prod", "all-hosts").await;
    fleet.group("g2", "Web", "g1").await;
    fleet.host("h1", "host-1", "g2").await;
    fleet.host("h2", "host-2", "all-hosts").await;
    fleet.vm("v1", "web-01", VmState::Stopped).await;
    let vm = Vm {
        id: "v2".to_owned(),
        group_id: "g2".to_owned(),
        ..Vm::default()
    };
    fleet.put_vm(vm).await;
    let gateway = fleet.gateway("0").await;
    for (query, ids) in [
        ("kind=host", vec!["h1", "h2"]),
        ("kind=host,vm", vec!["h1", "h2", "v1", "v2"]),
        ("group=Prod", vec!["g1", "g2", "h1", "v2"]),
        ("group=g2&kind=vm", vec!["v2"]),
        ("id=v1", vec!["v1"]),
    ] {
        let mut stream = Stream::open(&gateway, &format!("/api/v1/events?{query}"), Some(0)).await;
        let mut seen = BTreeSet::new();
        for _ in &ids {
            let data = stream.next().await.unwrap().data;
            seen.insert(data["id"].as_str().unwrap().to_owned());
        }
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), ids, "{query}");
    }
}

#[tokio::test]
async fn a_place_that_the_log_never_gave_is_answered_with_a_reset() {
    let fleet = Fleet::start().await;
    let gateway = fleet.gateway("0").await;
    let mut stream = Stream::open(&gateway, "/api/v1/events", Some(1_000_000)).await;
    let reset = stream.next().await.unwrap();
    assert_eq!(reset.event, "reset");
    let head = reset.id.unwrap();
    assert_eq!(reset.data["sequence"], head);
    fleet.vm("v1", "web-01", VmState::Stopped).await;
    assert_eq!(stream.next().await.unwrap().id, Some(head + 1));
    let nonsense = gateway.ask(Method::GET, "/api/v1/events");
    let refused = answer(nonsense.header("last-event-id", "yesterday")).await;
    assert_eq!(refused.json()["field"], "last-event-id");
}

#[tokio::test]
async fn a_place_that_is_no_longer_kept_is_answered_with_a_reset() {
    let nats = NatsServer::start().await.unwrap();
    let small = LogSpec {
        name: subjects::EVENTS.to_owned(),
        subject: subjects::all_events(),
        kind: LogKind::Stream {
            age_max: Duration::from_secs(3_600),
            bytes_max: 16 << 10,
        },
        first_sequence: 1,
    };
    bus(&nats).await.ensure(&small).await.unwrap();
    let fleet = Fleet::on(nats).await;
    for n in 0..60 {
        fleet.vm("v1", "web-01", state(n)).await;
    }
    let gateway = fleet.gateway("0").await;
    eventually("the gateway to have seen all events", async || {
        let mut stream = Stream::open(&gateway, "/api/v1/events", None).await;
        stream.opened().await;
        (stream.last_id == Some(61)).then_some(())
    })
    .await
    .unwrap();
    let mut stream = Stream::open(&gateway, "/api/v1/events", Some(2)).await;
    let reset = stream.next().await.unwrap();
    assert_eq!((reset.event.as_str(), reset.id), ("reset", Some(61)));
    fleet.vm("v1", "web-01", VmState::Paused).await;
    assert_eq!(stream.next().await.unwrap().id, Some(62));
}

#[tokio::test]
async fn clients_are_told_when_the_log_was_lost() {
    let mut fleet = Fleet::start().await;
    fleet.vm("v1", "web-01", VmState::Stopped).await;
    let gateway = fleet.gateway("0").await;
    let mut stream = Stream::open(&gateway, "/api/v1/events", Some(0)).await;
    for sequence in [1, 2] {
        assert_eq!(stream.next().await.unwrap().id, Some(sequence));
    }
    fleet.nats.kill();
    fleet.nats.lose_store().unwrap();
    fleet.nats.restart().await.unwrap();
    fleet.vm("v1", "web-01", VmState::Running).await;
    assert_eq!(stream.next().await.unwrap().event, "reset");
    let next = stream.next().await.unwrap();
    assert_eq!(
        (next.event.as_str(), &next.data["id"]),
        ("vm.state_changed", &json!("v1"))
    );
}

#[tokio::test]
async fn there_are_only_so_many_streams() {
    let fleet = Fleet::start().await;
    let config = Config {
        streams_max: 2,
        ..Config::default()
    };
    let gateway = fleet.gateway_with("0", config).await;
    let first = Stream::open(&gateway, "/api/v1/events", None).await;
    let _second = Stream::open(&gateway, "/api/v1/events", None).await;
    let third = gateway.get("/api/v1/events").await;
    assert_eq!(third.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(third.json()["code"], "RESOURCE_EXHAUSTED");
    assert!(third.headers.contains_key("retry-after"));
    drop(first);
    eventually("the place of a client that left", async || {
        let request = gateway.ask(Method::GET, "/api/v1/events");
        let response = request.send().await.unwrap();
        (response.status() == StatusCode::OK).then_some(())
    })
    .await
    .unwrap();
}
