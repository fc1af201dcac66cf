//! Requests and signals of core NATS.

use std::sync::Arc;
use std::time::Duration;

use contracts::limits::MESSAGE_BYTES_MAX;
use futures::StreamExt;
use kit::bus::{Bus, BusError, Endpoints, Message, Refusal, Serving, headers};
use support::eventually;

use super::{Stage, is_silent, next, text};

const TIMEOUT: Duration = Duration::from_secs(10);

async fn serve(bus: &Arc<dyn Bus>) -> Serving {
    let endpoints = [("Echo", "calls.v1.Echo"), ("Other", "calls.v1.Other")];
    let serving = bus.serve(Endpoints {
        service: "calls".to_owned(),
        endpoints: endpoints.map(|(m, s)| (m.to_owned(), s.to_owned())).into(),
    });
    serving.await.unwrap()
}

/// Answers everything with the name of who answered and of the method.
fn answer_all(serving: Serving, name: &'static str) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        // Whole: without its `stop` it ends.
        let mut serving = serving;
        while let Some(request) = serving.requests.next().await {
            let said = format!("{name} {} {}", request.method(), text(request.message()));
            let answer = Message::new(said).header(headers::REVISIONS, "b=7");
            request.answer(Ok(answer)).await;
        }
    })
}

async fn call(bus: &Arc<dyn Bus>, method: &str) -> Result<Message, BusError> {
    let subject = format!("calls.v1.{method}");
    bus.request(&subject, Message::new("hello"), TIMEOUT).await
}

/// Calls until somebody is there: that a server listens is known to its own connection first.
async fn call_when_there(bus: &Arc<dyn Bus>, method: &str) -> Message {
    eventually("somebody to answer", async || call(bus, method).await.ok())
        .await
        .unwrap()
}

pub async fn a_request_is_answered_with_headers(stage: &Stage) {
    let task = answer_all(serve(&stage.bus).await, "one");
    let answer = call_when_there(&stage.other, "Echo").await;
    assert_eq!(text(&answer), "one Echo hello");
    assert_eq!(answer.get(headers::REVISIONS), Some("b=7"));
    let answer = call(&stage.other, "Other").await.unwrap();
    assert_eq!(text(&answer), "one Other hello");
    task.abort();
}

pub async fn a_refusal_comes_with_its_headers_and_no_body(stage: &Stage) {
    let serving = serve(&stage.bus).await;
    let task = tokio::spawn(async move {
        let mut serving = serving;
        while let Some(request) = serving.requests.next().await {
            let refusal = Refusal {
                code: 9,
                text: "no".to_owned(),
                headers: Message::default()
                    .header(headers::STATUS, "encoded")
                    .headers,
            };
            request.answer(Err(refusal)).await;
        }
    });
    let answer = call_when_there(&stage.other, "Echo").await;
    assert_eq!(answer.get(headers::STATUS), Some("encoded"));
    assert_eq!(answer.get("Nats-Service-Error-Code"), Some("9"));
    assert_eq!(answer.get("Nats-Service-Error"), Some("no"));
    assert!(answer.payload.is_empty());
    task.abort();
}

pub async fn nobody_there_is_said_at_once(stage: &Stage) {
    let started = std::time::Instant::now();
    let missing = call(&stage.bus, "Echo").await;
    assert!(
        matches!(missing, Err(BusError::NoResponders(_))),
        "{missing:?}"
    );
    assert!(started.elapsed() < TIMEOUT / 2);
}

pub async fn a_request_that_nobody_answers_ends_at_its_timeout(stage: &Stage) {
    let serving = serve(&stage.bus).await;
    let taking = tokio::spawn(async move {
        let mut serving = serving;
        serving.requests.next().await.is_some()
    });
    let short = Duration::from_millis(500);
    let ended = eventually("the request to be taken", async || {
        let subject = "calls.v1.Echo";
        let ended = stage.other.request(subject, Message::new("x"), short).await;
        (!matches!(ended, Err(BusError::NoResponders(_)))).then_some(ended)
    });
    let ended = ended.await.unwrap();
    assert!(matches!(ended, Err(BusError::TimedOut(_))), "{ended:?}");
    assert!(taking.await.unwrap());
}

pub async fn a_request_that_is_too_large_is_refused(stage: &Stage) {
    let large = Message::new(vec![0; MESSAGE_BYTES_MAX + 1]);
    let refused = stage.bus.request("calls.v1.Echo", large, TIMEOUT).await;
    assert!(
        matches!(refused, Err(BusError::TooLarge { .. })),
        "{refused:?}"
    );
}

pub async fn instances_share_requests_and_each_is_answered_once(stage: &Stage) {
    let tasks = [
        answer_all(serve(&stage.bus).await, "one"),
        answer_all(serve(&stage.other).await, "two"),
    ];
    let mut answered = std::collections::BTreeSet::new();
    eventually("both to have answered", async || {
        if let Ok(answer) = call(&stage.bus, "Echo").await {
            answered.insert(text(&answer));
        }
        (answered.len() == 2).then_some(())
    })
    .await
    .unwrap();
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

pub async fn a_server_that_stopped_takes_no_more(stage: &Stage) {
    let mut serving = serve(&stage.bus).await;
    let stop = std::mem::replace(&mut serving.stop, Box::new(|| Box::pin(async {})));
    let task = answer_all(serving, "one");
    call_when_there(&stage.other, "Echo").await;
    stop().await;
    task.await.unwrap();
    nobody_is_there(stage).await;
}

async fn nobody_is_there(stage: &Stage) {
    eventually("nobody to be there", async || {
        let missing = call(&stage.other, "Echo").await;
        matches!(missing, Err(BusError::NoResponders(_))).then_some(())
    })
    .await
    .unwrap();
}

pub async fn a_server_that_was_dropped_takes_no_more(stage: &Stage) {
    let task = answer_all(serve(&stage.bus).await, "one");
    call_when_there(&stage.other, "Echo").await;
    task.abort();
    assert!(task.await.is_err());
    nobody_is_there(stage).await;
}

pub async fn a_signal_reaches_all_who_listen_in_order(stage: &Stage) {
    let mut own = stage.bus.subscribe("signals.*.beat").await.unwrap();
    let mut all = stage.other.subscribe("signals.>").await.unwrap();
    let mut none = stage.other.subscribe("signals.*").await.unwrap();
    // A connection is served in order, so after an answer its subscriptions are known.
    for bus in [&stage.bus, &stage.other] {
        let _ = bus.info("nothing").await;
    }
    for number in ["1", "2", "3"] {
        let subject = format!("signals.h{number}.beat");
        stage
            .bus
            .publish(&subject, Message::new(number))
            .await
            .unwrap();
    }
    for number in ["1", "2", "3"] {
        for stream in [&mut own, &mut all] {
            let incoming = next(stream).await;
            assert_eq!(text(&incoming.message), number);
            assert_eq!(incoming.subject, format!("signals.h{number}.beat"));
        }
    }
    assert!(is_silent(&mut none).await);
}
