//! What a host answers when it is asked what differs.

use contracts::call::Context;
use contracts::digest;
use contracts::host::{Level, RefreshRequest, VmReport, VmState};
use prost::Message as _;
use support::eventually;

use crate::bus::{World, create};

#[tokio::test(flavor = "multi_thread")]
async fn a_host_answers_a_refresh_with_what_differs() {
    let world = World::new().await;
    world.inventory.told(|told| told.approved = true);
    let (stop, agent) = world.start_agent();
    let first = world
        .until("the first report", |told| told.reports.first().cloned())
        .await;
    let (host, context) = (world.host(), Context::new("system"));
    let made = host.create_vm(&context, &create("a")).await.unwrap();
    world.until_state("a", VmState::Stopped).await;
    let ask = |level: Level, known: Option<&VmReport>| {
        let known = digest::each(level, known);
        let digest = match level {
            Level::Host => digest::facts(first.facts.as_ref().unwrap()),
            _ => digest::machines(&known),
        };
        RefreshRequest {
            level: level.into(),
            digest,
            known_vms: known,
            with_known_vms: true,
            ..RefreshRequest::default()
        }
    };
    for level in [Level::Light, Level::Heavy, Level::Host] {
        let request = ask(level, Some(&made));
        let answer = eventually("nothing to be on its way", async || {
            let answer = host.refresh(&context, &request).await.unwrap();
            (!answer.reports_waiting).then_some(answer)
        });
        let answer = answer.await.unwrap();
        assert_eq!(answer.digest, request.digest, "{level:?}");
        assert!(
            answer.encoded_len() < 24 && answer.generation == 1,
            "{answer:?}"
        );
    }
    let answer = host
        .refresh(&context, &ask(Level::Light, None))
        .await
        .unwrap();
    assert_eq!(answer.vms, [made]);
    stop.cancel();
    agent.await.unwrap().unwrap();
}
