//! The fields of each kind.

use contracts::inventory::{Host, HostGroup, Vm};
use contracts::jobs::Job;
use contracts::{host, rest};

use super::fields::{Cell, Field, Is, Listed, number, shown_state};
use super::names::Names;

const fn text<R>(name: &'static str, get: for<'a> fn(&'a R) -> Cell<'a>) -> Field<R> {
    field(name, Is::Text, get)
}

const fn field<R>(name: &'static str, is: Is, get: for<'a> fn(&'a R) -> Cell<'a>) -> Field<R> {
    Field { name, is, get }
}

impl Listed for HostGroup {
    const FIELDS: &'static [Field<Self>] = &[
        text("id", |g| Cell::Text(&g.id)),
        text("name", |g| Cell::Text(&g.name)),
        field("group", Is::Group, |g| Cell::Text(&g.id)),
        text("parent", |g| Cell::Text(&g.parent_id)),
        text("job", |g| Cell::Text(&g.job_id)),
        field("created", Is::Time, |g| Cell::Number(g.created_ms)),
    ];
    const DEFAULT_SORT: &'static str = "group";
    type Rest = rest::HostGroup;

    fn record_id(&self) -> &str {
        &self.id
    }

    fn to_rest(&self, names: &Names) -> rest::HostGroup {
        rest::HostGroup {
            path: names.group_path(&self.id).to_owned(),
            ..self.clone().into()
        }
    }
}

fn facts(host: &Host) -> Option<&host::HostFacts> {
    host.facts.as_ref()
}

impl Listed for Host {
    const FIELDS: &'static [Field<Self>] = &[
        text("id", |h| Cell::Text(&h.id)),
        text("name", |h| Cell::Text(&h.name)),
        field("group", Is::Group, |h| Cell::Text(&h.group_id)),
        text("status", |h| {
            Cell::Text(rest::HostStatus::from(h.status()).word())
        }),
        text("approval", |h| {
            Cell::Text(rest::Approval::from(h.approval()).word())
        }),
        text("accelerator", |h| {
            Cell::Text(facts(h).map_or("", |f| &f.accelerator))
        }),
        text("os", |h| Cell::Text(facts(h).map_or("", |f| &f.os))),
        text("agent_version", |h| {
            Cell::Text(facts(h).map_or("", |f| &f.agent_version))
        }),
        text("job", |h| Cell::Text(&h.job_id)),
        field("cpus", Is::Number, |h| {
            number(facts(h).map_or(0, |f| f.cpus))
        }),
        field("memory_bytes", Is::Number, |h| {
            number(facts(h).map_or(0, |f| f.memory_bytes))
        }),
        field("created", Is::Time, |h| Cell::Number(h.created_ms)),
        field("status_changed", Is::Time, |h| {
            Cell::Number(h.status_changed_ms)
        }),
    ];
    const DEFAULT_SORT: &'static str = "name";
    type Rest = rest::Host;

    fn record_id(&self) -> &str {
        &self.id
    }

    fn to_rest(&self, names: &Names) -> rest::Host {
        let path = names.group_path(&self.group_id);
        rest::Host {
            group_path: (!path.is_empty()).then(|| path.to_owned()),
            ..self.clone().into()
        }
    }
}

fn hardware(vm: &Vm) -> Option<&host::Hardware> {
    vm.hardware.as_ref()
}

impl Listed for Vm {
    const FIELDS: &'static [Field<Self>] = &[
        text("id", |v| Cell::Text(&v.id)),
        text("name", |v| Cell::Text(&v.name)),
        field("state", Is::State, |v| Cell::State {
            word: rest::VmState::from(v.state()).word(),
            host_id: &v.host_id,
        }),
        field("host", Is::Host, |v| Cell::Text(&v.host_id)),
        field("group", Is::Group, |v| Cell::Text(&v.group_id)),
        text("owner", |v| Cell::Text(&v.owner)),
        text("datastore", |v| Cell::Text(&v.datastore)),
        text("accelerator", |v| Cell::Text(&v.accelerator)),
        text("origin", |v| {
            Cell::Text(rest::VmOrigin::from(v.origin()).word())
        }),
        text("job", |v| Cell::Text(&v.job_id)),
        field("vcpus", Is::Number, |v| {
            number(hardware(v).map_or(0, |h| h.vcpus))
        }),
        field("memory_bytes", Is::Number, |v| {
            number(hardware(v).map_or(0, |h| h.memory_bytes))
        }),
        field("created", Is::Time, |v| Cell::Number(v.created_ms)),
        field("started", Is::Time, |v| Cell::Number(v.started_ms)),
        field("state_changed", Is::Time, |v| {
            Cell::Number(v.state_changed_ms)
        }),
    ];
    const DEFAULT_SORT: &'static str = "name";
    const HAS_TAGS: bool = true;
    type Rest = rest::Vm;

    fn record_id(&self) -> &str {
        &self.id
    }

    fn to_rest(&self, names: &Names) -> rest::Vm {
        let host = names.host(&self.host_id);
        let mut vm = rest::Vm {
            host_name: (!host.is_empty()).then(|| host.to_owned()),
            ..self.clone().into()
        };
        let shown = shown_state(vm.state.word(), &self.host_id, |id| names.is_silent(id));
        if shown != vm.state.word() {
            vm.state_reason = format!("its host does not respond; it was {} before", vm.state);
            vm.state = rest::VmState::HostNotResponding;
        }
        vm
    }

    fn tag(&self, key: &str) -> Option<&str> {
        self.tags.get(key).map(String::as_str)
    }
}

impl Listed for Job {
    const FIELDS: &'static [Field<Self>] = &[
        text("id", |j| Cell::Text(&j.id)),
        text("kind", |j| Cell::Text(&j.kind)),
        text("state", |j| {
            Cell::Text(rest::JobState::from(j.state()).word())
        }),
        text("owner", |j| Cell::Text(&j.owner)),
        text("target", |j| {
            Cell::Text(j.target.as_ref().map_or("", |t| &t.name))
        }),
        text("target", |j| {
            Cell::Text(j.target.as_ref().map_or("", |t| &t.id))
        }),
        text("target_kind", |j| {
            Cell::Text(j.target.as_ref().map_or("", |t| &t.kind))
        }),
        field("group", Is::Group, |j| Cell::Text(&j.group_id)),
        text("parent", |j| Cell::Text(&j.parent_id)),
        field("progress_percent", Is::Number, |j| {
            number(j.progress_percent)
        }),
        field("created", Is::Time, |j| Cell::Number(j.created_ms)),
        field("started", Is::Time, |j| Cell::Number(j.started_ms)),
        field("ended", Is::Time, |j| Cell::Number(j.ended_ms)),
    ];
    const DEFAULT_SORT: &'static str = "-created";
    type Rest = rest::Job;

    fn record_id(&self) -> &str {
        &self.id
    }

    fn to_rest(&self, _names: &Names) -> rest::Job {
        self.clone().into()
    }
}
