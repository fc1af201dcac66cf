//! What the service knows: transfers, data ends, its authority, and the fleet as inventory has it.

use std::sync::Arc;

use contracts::data::Encryption;
use contracts::inventory::{Host, HostGroup, host};
use contracts::library::{Server, Share};
use contracts::records::indexes;
use contracts::transfer::{Authority, DataEndRecord, TransferRecord};
use contracts::{ObjectRef, Status, limits};
use kit::records::{Mirror, Records};
use kit::rpc::Gate;
use kit::service::Parts;

use crate::Config;
use crate::core::checks::object;
use crate::core::encryption;

#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) transfers: Records<TransferRecord>,
    pub(crate) data_ends: Records<DataEndRecord>,
    pub(crate) authority: Records<Authority>,
    hosts: Mirror<Host>,
    groups: Mirror<HostGroup>,
    library_servers: Mirror<Server>,
    shares: Mirror<Share>,
}

impl Store {
    pub(crate) async fn open(parts: &Parts<Config>) -> anyhow::Result<(Self, Arc<dyn Gate>)> {
        let store = parts.open_store()?;
        let opened = Self {
            transfers: store.own().await?,
            data_ends: store.own().await?,
            authority: store.own().await?,
            hosts: store.mirror().await?,
            groups: store.mirror().await?,
            library_servers: store.mirror().await?,
            shares: store.mirror().await?,
        };
        Ok((opened, store))
    }

    /// Every transfer that has not ended.
    pub(crate) fn open_transfers(&self) -> Result<Vec<TransferRecord>, Status> {
        let open = self.transfers.find(indexes::PHASE, "open")?;
        Ok(open.into_iter().map(|stored| stored.value).collect())
    }

    /// A host of the fleet that takes part, or a library server.
    pub(crate) fn host(&self, id: &str) -> Result<Host, Status> {
        let found = match self.hosts.get(id)? {
            Some(stored) => Some(stored.value),
            None => self.library_server(id)?,
        };
        let host = found.ok_or_else(|| Status::not_found(ObjectRef::new("host", id, "")))?;
        if host.approval() == host::Approval::Approved && !host.removing {
            return Ok(host);
        }
        Err(
            Status::precondition(format!("Host {} is not in the fleet.", host.name))
                .about(object(&host))
                .action("Add it, then try again."),
        )
    }

    /// A library server that is no host, as the host that its data end is.
    fn library_server(&self, id: &str) -> Result<Option<Host>, Status> {
        let found = self.library_servers.get(id)?.map(|stored| stored.value);
        Ok(found.filter(|server| server.added).map(|server| Host {
            id: server.id,
            name: server.name,
            approval: host::Approval::Approved.into(),
            // Whether it responds shows when it is asked for the file.
            status: host::Status::Responding.into(),
            ..Host::default()
        }))
    }

    /// A share of a library server, if the id is that of one.
    pub(crate) fn share(&self, server: &Host, id: &str) -> Result<Option<Share>, Status> {
        let found = self.shares.get(id)?.map(|stored| stored.value);
        Ok(found.filter(|share| share.server_id == server.id))
    }

    pub(crate) fn data_end(&self, host: &Host) -> Result<DataEndRecord, Status> {
        let found = self.data_ends.get(&host.id)?.map(|stored| stored.value);
        found.ok_or_else(|| {
            Status::unavailable(format!(
                "The data end of host {} is not known yet.",
                host.name
            ))
            .about(object(host))
            .action("See that its agent runs and is of this release, then try again.")
        })
    }

    /// Whether what travels between two hosts is encrypted, as they and their groups say now.
    pub(crate) fn encryption(&self, source: &Host, target: &Host) -> Result<Encryption, Status> {
        let (source, target) = (self.said_of(source)?, self.said_of(target)?);
        Ok(encryption::between(source, target))
    }

    fn said_of(&self, host: &Host) -> Result<Encryption, Status> {
        let server = self.library_servers.get(&host.id)?;
        let own = server.map(|server| server.value.encryption());
        let groups = self.line_of(&host.group_id)?;
        let groups = groups.iter().map(HostGroup::encryption);
        Ok(encryption::nearest(own.into_iter().chain(groups)))
    }

    /// The groups above one, itself first.
    fn line_of(&self, group_id: &str) -> Result<Vec<HostGroup>, Status> {
        let mut line: Vec<HostGroup> = Vec::new();
        let mut next = group_id.to_owned();
        // Twice the depth that can be made ends a circle.
        while !next.is_empty() && line.len() < 2 * limits::GROUP_DEPTH_MAX {
            let Some(group) = self.groups.get(&next)? else {
                break;
            };
            next.clone_from(&group.value.parent_id);
            line.push(group.value);
        }
        Ok(line)
    }
}
