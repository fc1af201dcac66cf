//! Bytes that a broken or hostile client of the bus sends past every library; the server passes them on.

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use super::*;

/// Sends one request as bytes, and comes back when the server has taken it.
async fn send(nats: &NatsServer, headers: &[u8], payload: &[u8]) {
    let address = nats.url().trim_start_matches("nats://").to_owned();
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    let subject = contracts::subjects::call("placement", "Rate");
    let (header_bytes, total) = (headers.len(), headers.len() + payload.len());
    let connect = "CONNECT {\"verbose\":false,\"headers\":true}";
    let head = format!("{connect}\r\nHPUB {subject} inbox {header_bytes} {total}\r\n");
    let message = [head.as_bytes(), headers, payload, b"\r\nPING\r\n"].concat();
    stream.write_all(&message).await.unwrap();
    let mut line = String::new();
    while !line.starts_with("PONG") {
        line.clear();
        let read = stream.read_line(&mut line).await.unwrap();
        assert_ne!(read, 0, "the server hung up");
    }
}

async fn answers(client: &PlacementClient) {
    let context = Context::new("alice").with_timeout(Duration::from_secs(2));
    eventually("the service to answer", async || {
        client.rate(&context, &of_group("")).await.ok()
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn what_is_no_header_silences_nobody() {
    let nats = NatsServer::start().await.unwrap();
    let (_, _server, client) = start(&nats).await;
    let hostile: [&[u8]; 9] = [
        b"NATS/1.0\r\nno colon\r\n\r\n",
        b"NATS/1.0\r\nnot utf-8: \xff\xfe\r\n\r\n",
        b"NATS/9.9\r\n\r\n",
        b"NATS/1.0 hello\r\n\r\n",
        b"NATS/1.0\r\nname with spaces: 1\r\n\r\n",
        b"NATS/1.0\r\n: empty\r\n\r\n",
        b"\r\n\r\n",
        b"NATS/1.0\r\nMuster-Timeout-Ms: 18446744073709551615\r\nMuster-Revisions: =,vm=x,=\r\n\r\n",
        b"NATS/1.0\r\ntraceparent: 00-zz\r\nMuster-Revisions: vm=\x00\r\nMuster-Timeout-Ms: -1\r\n\r\n",
    ];
    for headers in hostile {
        send(&nats, headers, b"").await;
        answers(&client).await;
    }
}

#[tokio::test]
async fn payloads_that_are_no_message_silence_nobody() {
    let nats = NatsServer::start().await.unwrap();
    let (fickle, _server, client) = start(&nats).await;
    for payload in [&[0xff; 64][..], b"{}", b"\x0a\xff\xff\xff\xff\x0f"] {
        send(&nats, b"NATS/1.0\r\n\r\n", payload).await;
    }
    answers(&client).await;
    assert_eq!(
        fickle.calls.load(Ordering::SeqCst),
        1,
        "only the real one got through"
    );
}

/// Until async-nats survives it, this at least is seen, and the program ends and is started anew.
#[tokio::test]
async fn a_header_that_fells_the_connection_ends_the_program() {
    let nats = NatsServer::start().await.unwrap();
    let connection = NatsBus::connect("test", &nats.bus_config()).await.unwrap();
    let bus: Arc<dyn Bus> = Arc::new(connection.clone());
    let placement = Arc::new(PlacementServer(Arc::new(Fickle::default())));
    let _server = serve(&bus, Arc::new(Never), "placement", placement)
        .await
        .unwrap();
    // The server must know who serves before the bytes come, or they reach nobody.
    let asker: Arc<dyn Bus> =
        Arc::new(NatsBus::connect("asker", &nats.bus_config()).await.unwrap());
    answers(&PlacementClient::new(Caller::new(asker))).await;
    let (_, running) = tokio::join!(
        send(&nats, b"NATS/1.0\r\nMuster-Job: a\rb\r\n\r\n", b""),
        kit::service::run_connected(std::future::pending(), &connection),
    );
    assert!(running.unwrap_err().to_string().contains("fell over"));
}
