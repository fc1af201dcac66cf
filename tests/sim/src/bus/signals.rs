//! Subscriptions and requests of core NATS: to whoever listens now, one of each queue group.

use std::collections::BTreeMap;
use std::sync::Arc;

use kit::bus::{Incoming, Message};
use tokio::sync::{mpsc, oneshot};

use super::link::Link;
use super::server::Server;
use super::subject::matches;

/// What a request came to, as the requester's connection learns it.
pub(super) enum Answer {
    NoResponders,
    Message(Message),
}

/// Where an answer goes.
#[derive(Clone)]
pub(super) struct ReplyTo {
    pub(super) link: Arc<Link>,
    sender: Arc<std::sync::Mutex<Option<oneshot::Sender<Answer>>>>,
}

impl ReplyTo {
    pub(super) fn new(link: Arc<Link>) -> (Self, oneshot::Receiver<Answer>) {
        let (sender, receiver) = oneshot::channel();
        let sender = Arc::new(std::sync::Mutex::new(Some(sender)));
        (Self { link, sender }, receiver)
    }

    /// The first answer counts.
    pub(super) fn answer(self, answer: Answer) {
        let link = Arc::clone(&self.link);
        link.send_back(move || {
            let sender = self.sender.lock().ok().and_then(|mut sender| sender.take());
            if let Some(sender) = sender {
                // An error: nobody waits any more.
                let _ = sender.send(answer);
            }
        });
    }
}

/// What reaches a subscriber.
pub(super) struct Arrived {
    pub(super) endpoint: String,
    pub(super) incoming: Incoming,
    pub(super) reply_to: Option<ReplyTo>,
}

struct Subscription {
    filter: String,
    /// Of a service: its queue group, and the method of this subject.
    group: Option<(String, String)>,
    link: Arc<Link>,
    sender: mpsc::UnboundedSender<Arrived>,
}

#[derive(Default)]
pub(super) struct Subscriptions {
    next: u64,
    all: BTreeMap<u64, Subscription>,
}

impl Subscriptions {
    pub(super) fn add(
        &mut self,
        filter: &str,
        group: Option<(String, String)>,
        link: Arc<Link>,
        sender: mpsc::UnboundedSender<Arrived>,
    ) -> u64 {
        self.next += 1;
        let filter = filter.to_owned();
        let subscription = Subscription {
            filter,
            group,
            link,
            sender,
        };
        self.all.insert(self.next, subscription);
        self.next
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.all.remove(&id);
    }

    /// Those that listen to a subject now: all without a group, and the members of each group.
    fn listening(&mut self, subject: &str) -> (Vec<u64>, BTreeMap<String, Vec<u64>>) {
        self.all
            .retain(|_, s| !s.sender.is_closed() && !s.link.is_closed());
        let (mut singles, mut groups) = (Vec::new(), BTreeMap::<String, Vec<u64>>::new());
        let there = |s: &&Subscription| s.link.is_up() && matches(&s.filter, subject);
        for (id, s) in self.all.iter().filter(|(_, s)| there(s)) {
            match &s.group {
                Some((group, _)) => groups.entry(group.clone()).or_default().push(*id),
                None => singles.push(*id),
            }
        }
        (singles, groups)
    }
}

impl Server {
    /// Hands a message to those who listen. False: nobody does.
    pub(super) fn route(
        &self,
        subject: &str,
        message: &Message,
        reply_to: Option<&ReplyTo>,
    ) -> bool {
        let (mut to, groups) = self.subscriptions(|all| all.listening(subject));
        for members in groups.values() {
            to.push(self.world.draw(|chance| *chance.one_of(members)));
        }
        for id in &to {
            self.deliver(*id, subject, message, reply_to);
        }
        !to.is_empty()
    }

    fn deliver(&self, id: u64, subject: &str, message: &Message, reply_to: Option<&ReplyTo>) {
        let found = self.subscriptions(|all| {
            let s = all.all.get(&id)?;
            let endpoint = s.group.as_ref().map(|(_, method)| method.clone());
            Some((
                Arc::clone(&s.link),
                s.sender.clone(),
                endpoint.unwrap_or_default(),
            ))
        });
        let Some((link, sender, endpoint)) = found else {
            return;
        };
        let arrived = Arrived {
            endpoint,
            incoming: Incoming {
                subject: subject.to_owned(),
                message: message.clone(),
            },
            reply_to: reply_to.cloned(),
        };
        link.send_back(move || {
            // An error: it unsubscribed meanwhile.
            let _ = sender.send(arrived);
        });
    }
}
