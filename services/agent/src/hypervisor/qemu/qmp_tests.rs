use tokio::io::AsyncReadExt as _;
use tokio::net::UnixListener;

use super::*;

#[test]
fn an_event_of_any_name_is_a_name_and_a_value() {
    let line = br#"{"timestamp":{"seconds":1,"microseconds":2},"event":"NEW_IN_QEMU_99","data":{"a":[1]}}"#;
    let event = Event {
        name: "NEW_IN_QEMU_99".to_owned(),
        data: json!({"a": [1]}),
    };
    assert_eq!(parse(line).unwrap(), Line::Event(event));
}

#[test]
fn an_answer_keeps_its_id_and_a_refusal_its_reason() {
    assert_eq!(
        parse(br#"{"return":{"status":"running"},"id":7}"#).unwrap(),
        Line::Answer {
            id: 7,
            result: Ok(json!({"status": "running"}))
        }
    );
    let refusal = Refusal {
        class: "GenericError".to_owned(),
        description: "no".to_owned(),
    };
    assert_eq!(
        parse(br#"{"id":8,"error":{"class":"GenericError","desc":"no"}}"#).unwrap(),
        Line::Answer {
            id: 8,
            result: Err(refusal)
        }
    );
}

#[test]
fn nonsense_is_an_error_or_unknown_and_never_a_panic() {
    for line in [&b""[..], b"{", b"\xff\xfe", b"nul", &[b'['; 10_000]] {
        assert!(parse(line).is_err());
    }
    for line in [
        &b"1"[..],
        b"null",
        b"[]",
        b"{}",
        br#"{"id":"x"}"#,
        br#"{"id":1}"#,
        br#"{"event":5}"#,
    ] {
        assert_eq!(parse(line).unwrap(), Line::Unknown);
    }
}

/// A QEMU that greets, leaves negotiation, and then says what the test wants.
async fn qemu_that_says(says: &'static [u8]) -> Session {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("qmp");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = [0; 4096];
        stream
            .write_all(b"{\"QMP\":{\"version\":{}}}\r\n")
            .await
            .unwrap();
        let _ = stream.read(&mut buffer).await.unwrap();
        stream
            .write_all(b"{\"return\":{},\"id\":1}\r\n")
            .await
            .unwrap();
        let _ = stream.read(&mut buffer).await.unwrap();
        stream.write_all(says).await.unwrap();
    });
    Qmp::connect(&path).await.unwrap()
}

#[tokio::test]
async fn an_unknown_event_before_the_answer_harms_nothing() {
    let says = b"{\"event\":\"WHO_KNOWS\"}\r\n{\"return\":5,\"id\":2}\r\n";
    let mut session = qemu_that_says(says).await;
    let answer = session.qmp.execute("query-five", json!({})).await.unwrap();
    assert_eq!(answer, json!(5));
    assert_eq!(session.events.recv().await.unwrap().name, "WHO_KNOWS");
}

#[tokio::test]
async fn a_lost_connection_fails_what_waits_and_everything_after_it() {
    let mut session = qemu_that_says(b"").await;
    for _ in 0..2 {
        let error = session
            .qmp
            .execute("query-status", json!({}))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, QmpError::Lost { command, .. } if command == "query-status"),
            "{error}"
        );
    }
    assert!(session.events.recv().await.is_none());
}

#[tokio::test]
async fn a_line_that_is_no_json_ends_the_session() {
    let session = qemu_that_says(b"hello\r\n").await;
    let error = session
        .qmp
        .execute("query-status", json!({}))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no QMP"), "{error}");
}

#[tokio::test]
async fn an_answer_that_never_comes_is_a_timeout() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("qmp");
    let listener = UnixListener::bind(&path).unwrap();
    let silent = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"{\"QMP\":{}}\n{\"return\":{},\"id\":1}\n")
            .await
            .unwrap();
        stream
    });
    let session = Qmp::connect(&path).await.unwrap();
    let limit = Duration::from_millis(20);
    let error = session
        .qmp
        .execute_within(limit, "stop", json!({}))
        .await
        .unwrap_err();
    assert!(matches!(error, QmpError::TimedOut { .. }), "{error}");
    drop(silent);
}
