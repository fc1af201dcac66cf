//! Library servers: they make themselves known, and people take them in.

use contracts::call::Context;
use contracts::common::Empty;
use contracts::library::{
    ListServersResponse, ListedServer, RegisterRequest, RegisterResponse, Server,
    UpdateServerRequest,
};
use contracts::{Code, ObjectRef, Status, names};
use kit::records::Decision;

use super::Api;
use crate::core::share::SERVERS_MAX;
use crate::store::delete;

/// Folders that a server may name.
const FOLDERS_MAX: usize = 64;

fn object(server: &Server) -> ObjectRef {
    ObjectRef::new("library_server", &server.id, &server.name)
}

impl Api {
    pub(super) async fn register_server(
        &self,
        context: &Context,
        request: RegisterRequest,
    ) -> Result<RegisterResponse, Status> {
        names::check_id("server_id", &request.server_id)?;
        names::check_title("name", &request.name)?;
        if request.folders.len() > FOLDERS_MAX {
            return Err(Status::invalid(
                "folders",
                "The server names too many folders.",
            ));
        }
        let id = &request.server_id;
        let is_new = self.desk.servers.get(id)?.is_none();
        if is_new && self.desk.servers.list()?.len() >= SERVERS_MAX {
            let message = format!("There are {SERVERS_MAX} library servers already.");
            return Err(Status::new(Code::ResourceExhausted, message)
                .action("Remove those that are no more."));
        }
        let now_ms = self.desk.world.now_ms();
        let decide = |current: Option<&kit::records::Stored<Server>>| {
            let before = current.map(|current| &current.value);
            let mut server = before.cloned().unwrap_or_else(|| Server {
                id: id.clone(),
                created_ms: now_ms,
                ..Server::default()
            });
            server.name.clone_from(&request.name);
            server.folders.clone_from(&request.folders);
            server.generation = server.generation.max(request.generation);
            let added = server.added;
            Ok(match before == Some(&server) {
                true => Decision::Keep(added),
                false => Decision::Put(server, added),
            })
        };
        let added = self.desk.servers.update(context, id, decide).await?;
        let shares = match added {
            true => self.desk.shares_of(id)?,
            false => Vec::new(),
        };
        Ok(RegisterResponse { added, shares })
    }

    pub(super) async fn take_server(
        &self,
        context: &Context,
        text: &str,
    ) -> Result<Server, Status> {
        let server = self.desk.server(text)?;
        let take = |server: &mut Server| server.added = true;
        self.edit_server(context, &server, take).await
    }

    pub(super) async fn change_server(
        &self,
        context: &Context,
        request: &UpdateServerRequest,
    ) -> Result<Server, Status> {
        let server = self.desk.server(&request.server)?;
        let change = |server: &mut Server| {
            if let Some(encryption) = request.encryption {
                server.encryption = encryption;
            }
        };
        self.edit_server(context, &server, change).await
    }

    async fn edit_server(
        &self,
        context: &Context,
        server: &Server,
        edit: impl Fn(&mut Server) + Send + Sync,
    ) -> Result<Server, Status> {
        let gone = || Status::not_found(object(server));
        let decide = |current: Option<&kit::records::Stored<Server>>| {
            let current = &current.ok_or_else(gone)?.value;
            let mut after = current.clone();
            edit(&mut after);
            Ok(match *current == after {
                true => Decision::Keep(after),
                false => Decision::Put(after.clone(), after),
            })
        };
        self.desk.servers.update(context, &server.id, decide).await
    }

    pub(super) async fn forget_server(
        &self,
        context: &Context,
        text: &str,
    ) -> Result<Empty, Status> {
        let server = self.desk.server(text)?;
        let shares = self.desk.shares_of(&server.id)?;
        if !shares.is_empty() {
            let names: Vec<&str> = shares.iter().map(|share| share.name.as_str()).collect();
            let message = format!(
                "Library server {} has shares: {}.",
                server.name,
                names::shorten(&names.join(", "))
            );
            return Err(Status::precondition(message)
                .about(object(&server))
                .action("Remove its shares first."));
        }
        delete(&self.desk.servers, context, &server.id).await?;
        Ok(Empty {})
    }

    pub(super) fn listed_servers(&self) -> Result<ListServersResponse, Status> {
        let shares = self.desk.all_shares()?;
        let mut servers = self.desk.all_servers()?;
        servers.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        let listed = servers.into_iter().map(|server| {
            let own = shares.iter().filter(|share| share.server_id == server.id);
            ListedServer {
                responding: self.heard.responds(&server.id),
                shares: u32::try_from(own.count()).unwrap_or(u32::MAX),
                server: Some(server),
            }
        });
        Ok(ListServersResponse {
            servers: listed.collect(),
        })
    }
}
