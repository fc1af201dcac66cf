//! Machines made of others on real agents, as people ask for them: whole and linked, `kill -9` of the agent on the way, and
//! images that are needed.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use support::eventually;

use crate::fleet::{Client, Fleet, small_vm};
use crate::invariants;
use crate::typed::run;

const VMS: &str = "/api/v1/vms";

/// Layers among the images of the only host.
fn layers(fleet: &Fleet) -> Vec<String> {
    let entries = fs::read_dir(fleet.datastore("host-1").join("images")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("layer-")).collect()
}

async fn refused(client: &Client, path: &str, body: Value, words: &str) {
    let answer = client.send("POST", path, Some(body)).await.unwrap();
    assert_eq!(answer.status, 409, "{answer:?}");
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.contains(words), "{words}: {detail}");
}

fn macs(vm: &Value) -> String {
    vm["hardware"]["network_cards"][0]["mac"].to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_machine_is_cloned_and_what_its_clones_need_stays() {
    let fleet = Fleet::start(1).await;
    let client = fleet.client.clone();
    client
        .done("POST", VMS, small_vm("golden", true, true))
        .await;
    let path = format!("{VMS}/golden/actions/clone");
    let running = json!({"name": "early", "linked": true});
    refused(&client, &path, running, "only a stopped one can be cloned").await;
    client.act("golden", "shutdown").await;

    let muster = |command: &str| run(&client, command);
    muster("vm clone golden web-1 --linked --host-name web-1.example.org --wait-guest --wait");
    muster("vm clone golden copy --tag tier=test --wait");
    let plan = muster("vm clone golden more --linked --dry-run");
    assert!(plan.contains("disks"), "{plan}");
    let golden = client.vm("golden").await.unwrap();
    let web = client.vm("web-1").await.unwrap();
    let copy = client.vm("copy").await.unwrap();
    assert_eq!(web["guest"]["hostname"], "web-1.example.org", "{web:#}");
    assert_eq!(web["hardware"]["disks"][0]["source"], "overlay");
    assert_eq!(
        (&copy["state"], &copy["tags"]["tier"]),
        (&json!("stopped"), &json!("test"))
    );
    assert!(macs(&golden) != macs(&web) && macs(&web) != macs(&copy));
    client
        .done("POST", &format!("{VMS}/copy/actions/start"), json!({}))
        .await;

    // Six more at once, all on one layer: nothing was written to the machine since.
    let jobs = (2..8).map(async |number| {
        let body = json!({"name": format!("web-{number}"), "linked": true});
        client.submit("POST", &path, body).await.unwrap()
    });
    for id in futures::future::join_all(jobs).await {
        let job = client.job_ended(&id).await;
        assert_eq!(job["state"], "succeeded", "{job:#}");
    }
    let [layer] = layers(&fleet).try_into().unwrap();

    let delete = "/api/v1/images/actions/delete";
    let of_layer = json!({"host": "host-1", "image": format!("local/{layer}")});
    let needed = "needed by 8 machines: golden, web-1, web-2";
    refused(&client, delete, of_layer.clone(), needed).await;
    for vm in client.vms().await {
        let name = vm["name"].as_str().unwrap().to_owned();
        if name == "copy" {
            continue;
        }
        let path = format!("{VMS}/{name}?force=true");
        client.done("DELETE", &path, json!({})).await;
    }
    muster(&format!("image delete host-1:local/{layer} --wait"));
    assert!(layers(&fleet).is_empty());
    client.act("copy", "turn-off").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_whose_host_is_killed_is_made_all_the_same_or_not_at_all() {
    let mut fleet = Fleet::start(1).await;
    let client = fleet.client.clone();
    client
        .done("POST", VMS, small_vm("golden", false, false))
        .await;
    let path = format!("{VMS}/golden/actions/clone");
    for (number, linked) in [true, false, true, false].into_iter().enumerate() {
        let name = format!("clone-{number}");
        let body = json!({"name": name, "linked": linked});
        let id = client.submit("POST", &path, body).await.unwrap();
        let job = format!("/api/v1/jobs/{id}");
        eventually("the host to be asked", async || {
            let job = client.get(&job).await.ok()?;
            let steps = job["steps"].as_array()?;
            let is_at = |s: &Value| s["name"] == "disks" && s["state"] != "pending";
            steps.iter().any(is_at).then_some(())
        })
        .await
        .unwrap();
        fleet.agents[0].kill();
        fleet.agents[0].restart();
        fleet.hosts_responding(1).await;
        let ended = client.job_ended(&id).await;
        assert_eq!(ended["state"], "succeeded", "{ended:#}");
    }
    // Each starts, and so does the machine that they are of.
    for name in ["golden", "clone-0", "clone-1", "clone-2", "clone-3"] {
        client.act(name, "start").await;
        client.act(name, "turn-off").await;
    }
    let folders: Vec<PathBuf> = fleet.machine_folders();
    assert_eq!(folders.len(), 5, "{folders:?}");
    invariants::hold(&fleet).await;
}
