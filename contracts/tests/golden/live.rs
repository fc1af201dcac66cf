//! Samples of the REST types about what a fleet does: what is used, what is looked at again, what is sent on.

use contracts::{performance, refresher, rest, webhooks};
use serde_json::{Value, json};

use super::rest::{Kind, from, kind, message};

pub(crate) fn kinds() -> Vec<Kind> {
    let mut kinds = measured();
    kinds.extend(refreshers());
    kinds.extend(webhooks());
    kinds
}

fn measured() -> Vec<Kind> {
    const FROM: &str = "2026-01-31T12:00:00Z";
    vec![
        kind::<rest::TopQuery>(
            "TopQuery",
            || json!({"kind": "vm", "sort": "disk_read", "limit": 7, "group": "Prod"}),
        ),
        kind::<rest::Top>("Top", top),
        kind::<rest::HistoryQuery>(
            "HistoryQuery",
            || json!({"from": FROM, "to": "2026-01-31T13:00:00Z", "resolution": "minute"}),
        ),
        kind::<rest::History>(
            "History",
            from::<performance::HistoryResponse, rest::History>,
        ),
        kind::<Vec<rest::Figure>>("words.Figure", || json!(rest::Figure::ALL)),
        kind::<Vec<rest::MeasuredKind>>("words.MeasuredKind", || json!(["host", "vm"])),
        kind::<Vec<rest::Resolution>>("words.Resolution", || json!(["minute", "nine_minutes"])),
    ]
}

fn top() -> Value {
    let message = message::<performance::TopEntry>();
    let entry = rest::TopEntry::new(message, "web-01".to_owned(), "host-1".to_owned());
    json!({"items": [entry], "total": 7})
}

fn refreshers() -> Vec<Kind> {
    vec![
        kind::<rest::Refresher>("Refresher", refresher),
        kind::<rest::Refreshers>("Refreshers", || json!({"items": [refresher()]})),
        kind::<rest::Refreshed>("Refreshed", from::<refresher::Refreshed, rest::Refreshed>),
        kind::<rest::SetRefresher>(
            "SetRefresher",
            || json!({"group": "Prod", "server": "host-1", "interval_secs": 300, "off": true}),
        ),
        kind::<Vec<rest::RefreshOutcome>>("words.RefreshOutcome", || {
            json!(rest::RefreshOutcome::ALL)
        }),
        kind::<Vec<rest::RefreshTrigger>>("words.RefreshTrigger", || {
            json!(rest::RefreshTrigger::ALL)
        }),
    ]
}

/// No interval that is set is for a group and for a server, on and off.
fn refresher() -> Value {
    let mut refresher = from::<refresher::KindState, rest::Refresher>();
    refresher["set"] =
        json!([{"group_id": "prod", "server_id": "h1", "interval_secs": 300, "off": true}]);
    refresher
}

fn webhooks() -> Vec<Kind> {
    vec![
        kind::<rest::Webhook>("Webhook", from::<webhooks::Listed, rest::Webhook>),
        kind::<rest::WebhookList>(
            "WebhookList",
            || json!({"items": [from::<webhooks::Listed, rest::Webhook>()]}),
        ),
        kind::<rest::CreateWebhook>("CreateWebhook", || {
            json!({
                "name": "chat", "url": "https://chat.example.com/hook", "kinds": ["vm"], "verbs": ["state_changed"],
                "group": "Prod",
            })
        }),
        kind::<rest::NewWebhook>("NewWebhook", || {
            let webhook = from::<webhooks::Listed, rest::Webhook>();
            json!({"webhook": webhook, "secret": "whsec_c2VjcmV0"})
        }),
        kind::<rest::UpdateWebhook>("UpdateWebhook", || json!({"enabled": true})),
        kind::<rest::WebhookTest>(
            "WebhookTest",
            from::<webhooks::TestResponse, rest::WebhookTest>,
        ),
        kind::<rest::DeadLetterList>(
            "DeadLetterList",
            from::<webhooks::DeadLettersResponse, rest::DeadLetterList>,
        ),
        kind::<rest::Redelivery>(
            "Redelivery",
            from::<webhooks::RedeliverResponse, rest::Redelivery>,
        ),
    ]
}
