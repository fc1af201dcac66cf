//! What a webhook may be, and which events it wants.

use contracts::common::Event;
use contracts::events::DESCRIBED;
use contracts::names::{self, shorten};
use contracts::webhooks::{CreateRequest, Webhook};
use contracts::{Code, Status};

use super::address::{self, Reach};

/// Webhooks of a site. Each reads all events and has a task and a connection of its own.
pub const WEBHOOKS_MAX: usize = 100;

/// Checks everything that a person can get wrong.
pub fn check(request: &CreateRequest, reach: Reach) -> Result<(), Status> {
    names::check_title("name", &request.name)?;
    address::check(&request.url, reach)?;
    let kinds: Vec<&str> = DESCRIBED.iter().map(|d| d.kind).collect();
    known("kinds", &request.kinds, &kinds)?;
    let verbs = DESCRIBED.iter().flat_map(|d| d.verbs).map(|v| v.name);
    let mut verbs: Vec<&str> = verbs.collect();
    verbs.sort_unstable();
    verbs.dedup();
    known("verbs", &request.verbs, &verbs)?;
    if request.group_id.is_empty() {
        return Ok(());
    }
    names::check_id("group_id", &request.group_id)
}

fn known(field: &str, given: &[String], all: &[&str]) -> Result<(), Status> {
    match given.iter().find(|word| !all.contains(&word.as_str())) {
        None => Ok(()),
        Some(word) => Err(Status::invalid(
            field,
            format!("No event has {:?} among its {field}.", shorten(word)),
        )
        .action(format!("Use some of: {}.", all.join(", ")))),
    }
}

/// Whether there may be one more, of that name.
pub fn check_room(name: &str, there: &[Webhook]) -> Result<(), Status> {
    if there.len() >= WEBHOOKS_MAX {
        let message = format!("There are {WEBHOOKS_MAX} webhooks already, and that is the most.");
        return Err(Status::new(Code::ResourceExhausted, message)
            .action("Remove one, or read events from the bus or the API."));
    }
    if there.iter().any(|webhook| webhook.name == name) {
        let message = format!("There is a webhook called {:?} already.", shorten(name));
        return Err(Status::new(Code::AlreadyExists, message).action("Choose another name."));
    }
    Ok(())
}

/// As others may see it.
pub fn without_secret(webhook: Webhook) -> Webhook {
    Webhook {
        secret: Vec::new(),
        ..webhook
    }
}

pub fn wants(webhook: &Webhook, event: &Event) -> bool {
    let any = |wanted: &[String], word: &str| wanted.is_empty() || wanted.iter().any(|w| w == word);
    any(&webhook.kinds, &event.kind)
        && any(&webhook.verbs, &event.verb)
        && (webhook.group_id.is_empty() || webhook.group_id == event.group_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> CreateRequest {
        CreateRequest {
            name: "chat".to_owned(),
            url: "https://example.com/".to_owned(),
            kinds: vec!["vm".to_owned()],
            verbs: vec!["deleted".to_owned()],
            ..CreateRequest::default()
        }
    }

    #[test]
    fn a_wish_for_what_there_is_not_is_refused_by_name() {
        assert!(check(&request(), Reach::Outside).is_ok());
        let mut wrong = request();
        wrong.kinds = vec!["vms".to_owned()];
        let refused = check(&wrong, Reach::Outside).unwrap_err();
        assert_eq!(refused.field, "kinds");
        assert!(refused.recommended_action.contains("host_group"));
    }

    #[test]
    fn what_is_not_said_takes_all() {
        let event = |kind: &str, verb: &str| Event {
            kind: kind.to_owned(),
            verb: verb.to_owned(),
            group_id: "g".to_owned(),
            ..Event::default()
        };
        let all = Webhook::default();
        assert!(wants(&all, &event("job", "created")));
        let some = Webhook {
            kinds: vec!["vm".to_owned()],
            group_id: "g".to_owned(),
            ..Webhook::default()
        };
        assert!(wants(&some, &event("vm", "moved")) && !wants(&some, &event("host", "moved")));
    }

    #[test]
    fn there_is_a_most_and_a_name_is_given_once() {
        let one = Webhook {
            name: "a".to_owned(),
            ..Webhook::default()
        };
        assert!(check_room("b", std::slice::from_ref(&one)).is_ok());
        assert!(check_room("a", std::slice::from_ref(&one)).is_err());
        assert!(check_room("b", &vec![one; WEBHOOKS_MAX]).is_err());
    }
}
