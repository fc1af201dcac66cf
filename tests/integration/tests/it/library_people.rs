//! What people do with the library: every route, and every command of the manual as it is written there.

use std::fs;

use serde_json::{Value, json};
use support::eventually;

use crate::fleet::{Client, Fleet, guest_image};
use crate::invariants;
use crate::library::{SHARES, add_share, is, item, items, open_library, refresh};
use crate::typed::{commands_of, run};

const ITEMS: &str = "/api/v1/library/items";
const SERVERS: &str = "/api/v1/library/servers";

async fn patch(client: &Client, path: &str, words: Value) -> Value {
    let answer = client.send("PATCH", path, Some(words)).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// Paths of the items that a query finds.
async fn found(client: &Client, query: &str) -> Vec<String> {
    let list = client.get(&format!("{ITEMS}?{query}")).await.unwrap();
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| item["path"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn items_are_described_disabled_and_forgotten() {
    let mut fleet = Fleet::start(1).await;
    let folder = open_library(&mut fleet).await;
    let client = fleet.client.clone();
    fs::write(folder.join("deep/one.iso"), "one").unwrap();
    fs::write(folder.join("two.sh"), "true\n").unwrap();
    add_share(&client, &folder).await;
    item(&client, "deep/one.iso", is("ok")).await;
    item(&client, "two.sh", is("ok")).await;

    // By its name, and only what is said.
    let path = format!("{ITEMS}/images%2Fdeep%2Fone.iso");
    let words = json!({"description": "The first.", "family": "one", "release": "1.0", "owner": "ann",
        "os": "none", "set_tags": {"tier": "test", "old": "yes"}});
    patch(&client, &path, words).await;
    let words = json!({"release": "1.1", "remove_tags": ["old"]});
    let said = patch(&client, &path, words).await;
    assert_eq!(client.get(&path).await.unwrap(), said);
    for (word, value) in [
        ("description", json!("The first.")),
        ("family", json!("one")),
        ("release", json!("1.1")),
        ("owner", json!("ann")),
        ("os", json!("none")),
        ("tags", json!({"tier": "test"})),
        ("disabled", json!(false)),
    ] {
        assert_eq!(said[word], value, "{word}: {said:#}");
    }
    let long = json!({"owner": "x".repeat(1_000)});
    let refused = client.send("PATCH", &path, Some(long)).await.unwrap();
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(client.get(&path).await.unwrap()["owner"], "ann");

    // Disabled, and enabled again.
    let off = patch(&client, &path, json!({"disabled": true})).await;
    assert_eq!(off["status"], "disabled");
    assert_eq!(found(&client, "status=disabled").await, ["deep/one.iso"]);
    assert_eq!(found(&client, "family=one&share=images").await.len(), 1);
    assert_eq!(found(&client, "kind=script").await, ["two.sh"]);
    let on = patch(&client, &path, json!({"disabled": false})).await;
    assert_eq!(on["status"], "ok");
    assert!(found(&client, "status=disabled").await.is_empty());

    // In pages.
    let first = client.get(&format!("{ITEMS}?limit=1")).await.unwrap();
    let next = first["next"].as_str().unwrap();
    let second = client.get(&format!("{ITEMS}?limit=1&after={next}")).await;
    let second = second.unwrap();
    assert!(second["next"].is_null(), "{second:#}");
    assert_ne!(first["items"][0]["id"], second["items"][0]["id"]);

    // Forgotten only when the file is gone.
    let there = client.send("DELETE", &path, None).await.unwrap();
    assert_eq!(there.status, 409, "{there:?}");
    fs::remove_file(folder.join("deep/one.iso")).unwrap();
    item(&client, "deep/one.iso", is("missing")).await;
    let gone = client.send("DELETE", &path, None).await.unwrap();
    assert_eq!(gone.status, 204, "{gone:?}");
    assert_eq!(client.send("GET", &path, None).await.unwrap().status, 404);
    invariants::hold(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_and_shares_are_taken_in_and_let_go() {
    let mut fleet = Fleet::start(1).await;
    let folder = open_library(&mut fleet).await;
    let client = fleet.client.clone();
    fs::write(folder.join("one.iso"), "one").unwrap();
    add_share(&client, &folder).await;
    item(&client, "one.iso", is("ok")).await;

    let delete = async |path: &str| client.send("DELETE", path, None).await.unwrap();
    let server = format!("{SERVERS}/host-1");
    let kept = delete(&server).await;
    assert_eq!(kept.status, 409, "{kept:?}");
    let action = kept.body["recommended_action"].as_str().unwrap();
    assert!(action.contains("Remove its shares"), "{action}");

    let share = format!("{SHARES}/images");
    assert_eq!(delete(&share).await.status, 204);
    assert_eq!(delete(&share).await.status, 404);
    let refresh = format!("{share}/actions/refresh");
    assert_eq!(
        client.send("POST", &refresh, None).await.unwrap().status,
        404
    );
    eventually("its items to be forgotten", async || {
        items(&client).await.is_empty().then_some(())
    })
    .await
    .unwrap();
    assert!(folder.join("one.iso").exists());

    assert_eq!(delete(&server).await.status, 204);
    // It is there, so it makes itself known again, and waits to be taken in.
    eventually("the server to be known again", async || {
        let servers = client.get(SERVERS).await.ok()?;
        let server = &servers["items"][0];
        (server["name"] == "host-1" && server["added"] == false).then_some(())
    })
    .await
    .unwrap();
    let body = json!({"server": "host-1", "path": folder});
    let early = client.send("POST", SHARES, Some(body)).await.unwrap();
    assert_eq!(early.status, 409, "{early:?}");
    let body = json!({"server": "host-1"});
    let again = client.send("POST", SERVERS, Some(body)).await.unwrap();
    assert_eq!(again.status, 204, "{again:?}");
    // The same file is found again, as who it was.
    add_share(&client, &folder).await;
    item(&client, "one.iso", is("ok")).await;
    invariants::hold(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_files_than_fit_into_a_report_are_taken_down_once() {
    const FILES: usize = 300;
    let mut fleet = Fleet::start(1).await;
    let folder = open_library(&mut fleet).await;
    let client = fleet.client.clone();
    for number in 0..FILES {
        fs::write(folder.join(format!("{number}.iso")), number.to_string()).unwrap();
    }
    // However many files there are, few are open at a time.
    support::limit_open_files(fleet.agents[0].id(), Some(256)).unwrap();
    add_share(&client, &folder).await;
    // Whoever asks now waits for what is under way, and for a look of their own.
    let nothing_more = refresh(&client).await;
    let seen = (&nothing_more["items"], &nothing_more["new"]);
    assert_eq!(seen, (&json!(FILES), &json!(0)), "{nothing_more:#}");
    let shares = client.get(SHARES).await.unwrap();
    assert_eq!(shares["items"][0]["items"], json!(FILES));
    invariants::hold(&fleet).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_of_the_manual_do_what_it_says() {
    let mut fleet = Fleet::start(1).await;
    let folder = open_library(&mut fleet).await;
    let client = fleet.client.clone();
    fs::copy(guest_image(), folder.join("debian-13.qcow2")).unwrap();
    std::os::unix::fs::symlink("debian-13.qcow2", folder.join("latest.qcow2")).unwrap();
    let commands = commands_of("library.md");
    assert!(commands.len() > 8, "{commands:?}");
    let mut told = String::new();
    for command in commands {
        if command.contains("item") {
            item(&client, "debian-13.qcow2", |_| true).await;
        }
        if command.contains("item remove") {
            fs::remove_file(folder.join("debian-13.qcow2")).unwrap();
            item(&client, "debian-13.qcow2", is("missing")).await;
        }
        let here = command.replace("store-01", "host-1");
        let here = here.replace("/srv/muster/images", folder.to_str().unwrap());
        told += &run(&client, &here);
    }
    for wanted in [
        "host-1",
        "images",
        "debian-13.qcow2",
        "13.1",
        "ann",
        "1 items",
        "is a link",
        "forgotten",
    ] {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
    assert!(items(&client).await.is_empty());
    let shares = client.get(SHARES).await.unwrap();
    assert_eq!(shares["items"], json!([]));
}
