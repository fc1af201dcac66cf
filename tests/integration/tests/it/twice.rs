//! Every service twice, each its own process and its own bus user, on a nats-server with the permissions of the contracts.

use serde_json::json;

use crate::fleet::{bare_vm, small_vm};
use crate::invariants;
use crate::site::{Plan, Site};

#[tokio::test(flavor = "multi_thread")]
async fn two_of_every_service_run_the_main_job() {
    let mut site = Site::build(Plan::default()).await;
    let [one, other] = site.client().each().try_into().ok().unwrap();
    let submit = async |name: &str, body| {
        let job = one.submit("POST", "/api/v1/vms", body).await.unwrap();
        let ended = other.job_ended(&job).await;
        assert_eq!(ended["state"], "succeeded", "{name}: {ended:#}");
    };
    submit("twin-1", small_vm("twin-1", true, true)).await;
    for name in ["twin-2", "twin-3", "twin-4"] {
        submit(name, bare_vm(name, false)).await;
    }
    for number in 1..=4 {
        let path = format!("/api/v1/vms/twin-{number}?force=true");
        other.done("DELETE", &path, json!({})).await;
    }
    site.fleet.nothing_is_left().await;
    invariants::hold(&site.fleet).await;
    for service in &mut site.services {
        assert!(service.is_running(), "{} has ended", service.name);
        let status = service.terminate();
        assert!(status.success(), "{} ended with {status}", service.name);
    }
    site.nothing_was_refused();
}
