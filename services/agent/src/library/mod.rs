//! The library's end: shares of this server, which files they have, and what these are.
//!
//! Each share has a task of its own. The kernel says when something changes; refreshes find what it does not say. What a
//! share has is told to the library as differences, as machines are to inventory. A file is never changed but for the
//! extended attribute that has its id; new ones are made by conversions, and by parcels that come from hosts.
//!
//! Reading order: `walk`, `look` and `identity` (one file), `scan` (one look), `looks` (who waits for which), `share` (who owns it), `teller`, then
//! this file. docs/library.md tells it as a whole.

mod convert;
mod identity;
mod index;
mod limits;
mod look;
mod looks;
mod package;
mod parcels;
mod room;
mod scan;
mod share;
mod teller;
mod text;
mod walk;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use contracts::call::{Call, Context};
use contracts::common::Empty;
use contracts::library::{
    CheckShareRequest, CheckShareResponse, CloseParcelRequest, ConvertRequest,
    EndConversionRequest, Found, LibraryClient, LibraryEnd, LookRequest, OpenParcelRequest,
    OpenParcelResponse, ParcelPlace, ReadPackageRequest, ReadPackageResponse, ReadTextRequest,
    ReadTextResponse, RegisterRequest, Share,
};
use contracts::{ObjectRef, Status, names};
use kit::world::World;
use tokio::task::JoinHandle;

use self::convert::Conversions;
use self::index::Index;
use self::looks::Looks;
use self::share::Keeper;
use self::teller::Teller;
use crate::data::DataEnd;
use crate::hypervisor::qemu::disk_look::DiskLook;
use crate::operations::Operations;
use crate::store::Identity;

/// What a library server is made of.
pub struct Settings {
    pub identity: Identity,
    pub name: String,
    /// Below which shares may lie.
    pub folders: Vec<PathBuf>,
    /// Of machines, where no share may lie.
    pub datastores: Vec<PathBuf>,
    /// For what is known of shares.
    pub index_folder: PathBuf,
    pub with_attributes: bool,
    pub qemu_img: PathBuf,
    pub qemu_user: String,
    pub world: World,
}

/// The library's end of one server.
pub struct Librarian {
    settings: Settings,
    caller: Arc<dyn Call>,
    data: Arc<DataEnd>,
    disks: Arc<DiskLook>,
    keepers: Mutex<BTreeMap<String, Kept>>,
    context: Context,
    conversions: Conversions,
    operations: Arc<Operations>,
    /// It has heard which shares it has.
    has_heard: AtomicBool,
}

/// A share with the task that keeps it.
struct Kept {
    share: Share,
    looks: Looks,
    task: JoinHandle<()>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Librarian {
    pub async fn open(
        settings: Settings,
        caller: Arc<dyn Call>,
        data: Arc<DataEnd>,
        operations: Arc<Operations>,
    ) -> std::io::Result<Arc<Self>> {
        std::fs::create_dir_all(&settings.index_folder)?;
        for folder in &settings.folders {
            std::fs::create_dir_all(folder)?;
        }
        Ok(Arc::new(Self {
            disks: Arc::new(DiskLook::new(&settings.qemu_img, &settings.qemu_user).await),
            context: Context::new(format!("host:{}", settings.identity.host_id)),
            caller,
            data,
            keepers: Mutex::default(),
            conversions: Conversions::default(),
            operations,
            has_heard: AtomicBool::new(false),
            settings,
        }))
    }

    fn keepers(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Kept>> {
        self.keepers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the server known and keeps its shares. Goes on for ever.
    pub async fn run(&self) {
        let mut last_word = String::new();
        loop {
            let word = match self.register(&self.context).await {
                Ok(true) => "the server is in the library".to_owned(),
                Ok(false) => "an administrator has to add the server to the library".to_owned(),
                Err(status) => status.to_string(),
            };
            if word != last_word {
                tracing::info!(server = self.settings.name, word, "library");
                last_word = word;
            }
            tokio::time::sleep(limits::REGISTER_INTERVAL).await;
        }
    }

    async fn register(&self, context: &Context) -> Result<bool, Status> {
        let identity = &self.settings.identity;
        let folders = self.settings.folders.iter();
        let request = RegisterRequest {
            server_id: identity.host_id.clone(),
            name: self.settings.name.clone(),
            generation: identity.generation,
            folders: folders.map(|folder| folder.display().to_string()).collect(),
        };
        let library = LibraryClient::new(Arc::clone(&self.caller));
        let answer = library.register(context, &request).await?;
        self.keep(answer.shares);
        Ok(answer.added)
    }

    /// Begins to keep shares that are new, and lets go of those that are the server's no more.
    fn keep(&self, shares: Vec<Share>) {
        let mut keepers = self.keepers();
        let wanted: BTreeMap<String, Share> =
            shares.into_iter().map(|s| (s.id.clone(), s)).collect();
        let forgotten = keepers.extract_if(.., |id, kept| {
            // One that has ended by itself was removed, and may have been added again since.
            let is_same = |share: &Share| share.path == kept.share.path;
            wanted.get(id).is_none_or(|share| !is_same(share)) || kept.task.is_finished()
        });
        for (id, kept) in forgotten.collect::<Vec<_>>() {
            drop(kept);
            if !wanted.contains_key(&id) {
                Index::open(&self.settings.index_folder, &id).forget();
            }
        }
        for (id, share) in wanted {
            if names::is_token(&id) && !keepers.contains_key(&id) {
                keepers.insert(id, self.begin(share));
            }
        }
        let roots = keepers.iter();
        let roots = roots.map(|(id, kept)| (id.clone(), PathBuf::from(&kept.share.path)));
        self.data.set_shares(roots.collect());
        self.has_heard.store(true, Ordering::Release);
    }

    fn begin(&self, share: Share) -> Kept {
        let identity = self.settings.identity.clone();
        let looks = Looks::new(identity.generation);
        let keeper = Keeper {
            name: share.name.clone(),
            root: PathBuf::from(&share.path),
            with_attributes: self.settings.with_attributes,
            disks: Arc::clone(&self.disks),
            share_id: share.id.clone(),
            index: Index::open(&self.settings.index_folder, &share.id),
            teller: Teller::new(Arc::clone(&self.caller), identity, &share.id),
            looks: looks.clone(),
            context: self.context.clone(),
            state: share::unknown(),
            changed_files: self.data.changed_files(),
            changed: BTreeSet::new(),
            world: self.settings.world.clone(),
            anew: BTreeSet::new(),
        };
        Kept {
            share,
            looks,
            task: tokio::spawn(keeper.run()),
        }
    }

    fn looks(&self, share_id: &str) -> Result<Looks, Status> {
        let keepers = self.keepers();
        let kept = keepers
            .get(share_id)
            .filter(|kept| !kept.task.is_finished());
        let unknown = || {
            Status::not_found(ObjectRef::new("library_share", share_id, ""))
                .action("Wait until the server has heard of the share, and try again.")
        };
        Ok(kept.ok_or_else(unknown)?.looks.clone())
    }

    /// The folder of a share.
    fn root(&self, share_id: &str) -> Result<PathBuf, Status> {
        if !self.has_heard.load(Ordering::Acquire) {
            let message =
                "The library server has just started, and has not heard of its shares yet.";
            return Err(Status::unavailable(message).action("Try again in a moment."));
        }
        let keepers = self.keepers();
        let kept = keepers.get(share_id);
        let unknown = || Status::not_found(ObjectRef::new("library_share", share_id, ""));
        Ok(PathBuf::from(&kept.ok_or_else(unknown)?.share.path))
    }

    /// The folder of the share that a parcel is for.
    fn root_of(&self, place: Option<&ParcelPlace>) -> Result<PathBuf, Status> {
        self.root(place.map_or("", |place| place.share_id.as_str()))
    }

    /// The real path of a folder that may be a share.
    fn check(&self, path: &str) -> Result<String, Status> {
        let allowed = self.settings.folders.iter();
        let allowed: Vec<PathBuf> = allowed
            .filter_map(|f| std::fs::canonicalize(f).ok())
            .collect();
        let named: Vec<String> = allowed.iter().map(|f| f.display().to_string()).collect();
        let refused = |why: String| {
            Status::invalid("path", format!("{:?} {why}.", names::shorten(path))).action(format!(
                "Name a folder in or below {} (library_folders of the agent).",
                named.join(", ")
            ))
        };
        if !Path::new(path).is_absolute() {
            return Err(refused("is no absolute path".to_owned()));
        }
        let real =
            std::fs::canonicalize(path).map_err(|e| refused(format!("cannot be reached: {e}")))?;
        if !real.is_dir() {
            return Err(refused("is no folder".to_owned()));
        }
        if !allowed.iter().any(|folder| real.starts_with(folder)) {
            return Err(refused("may not be a share".to_owned()));
        }
        let mut datastores = self.settings.datastores.iter();
        let of_machines = datastores.find_map(|datastore| {
            let datastore = std::fs::canonicalize(datastore).ok()?;
            let is_one = real.starts_with(&datastore) || datastore.starts_with(&real);
            is_one.then_some(datastore)
        });
        if let Some(datastore) = of_machines {
            let datastore = datastore.display();
            return Err(refused(format!(
                "holds disks of machines, or lies among them (datastore {datastore})"
            )));
        }
        let text = real.to_str().map(str::to_owned);
        text.ok_or_else(|| refused("is not UTF-8".to_owned()))
    }
}

/// What a library server answers on the bus.
pub struct Api(pub Arc<Librarian>);

#[async_trait]
impl LibraryEnd for Api {
    async fn check_share(
        &self,
        _: &Context,
        request: CheckShareRequest,
    ) -> Result<CheckShareResponse, Status> {
        let librarian = Arc::clone(&self.0);
        let path = beside(move || librarian.check(&request.path)).await?;
        Ok(CheckShareResponse { path })
    }

    async fn shares_changed(&self, context: &Context, _: Empty) -> Result<Empty, Status> {
        // The context says what the library has to have seen.
        let mut own = self.0.context.clone();
        own.trace_parent.clone_from(&context.trace_parent);
        own.saw_all(&context.seen());
        self.0.register(&own).await?;
        Ok(Empty {})
    }

    async fn look(&self, context: &Context, request: LookRequest) -> Result<Found, Status> {
        names::check_id("share_id", &request.share_id)?;
        let looks = self.0.looks(&request.share_id)?;
        let wait = Duration::from_millis(request.wait_ms.into());
        let (found, seen) = looks.ask(&request.look, request.digest, wait).await;
        // The answer reflects what was told.
        context.saw_all(&seen);
        Ok(found)
    }

    async fn read_text(
        &self,
        _: &Context,
        request: ReadTextRequest,
    ) -> Result<ReadTextResponse, Status> {
        let root = self.0.root(&request.share_id)?;
        beside(move || text::read(&root, &request.path)).await
    }

    async fn read_package(
        &self,
        _: &Context,
        request: ReadPackageRequest,
    ) -> Result<ReadPackageResponse, Status> {
        let root = self.0.root(&request.share_id)?;
        package::read(&self.0.disks, &root, &request.path).await
    }

    async fn convert(&self, _: &Context, request: ConvertRequest) -> Result<Empty, Status> {
        let root = self.0.root(&request.share_id)?;
        let (librarian, operation) = (Arc::clone(&self.0), request.operation_id.clone());
        let check_only = request.check_only;
        let work = async move {
            let (conversions, disks) = (&librarian.conversions, &librarian.disks);
            let converted = convert::convert(conversions, disks, &root, &request).await;
            converted.map(|()| Empty {})
        };
        match check_only {
            true => work.await,
            false => self.0.operations.once("Convert", &operation, work).await,
        }
    }

    async fn end_conversion(
        &self,
        _: &Context,
        request: EndConversionRequest,
    ) -> Result<Empty, Status> {
        let root = self.0.root(&request.share_id)?;
        let librarian = Arc::clone(&self.0);
        beside(move || convert::end(&librarian.conversions, &root, &request)).await?;
        Ok(Empty {})
    }

    async fn open_parcel(
        &self,
        _: &Context,
        request: OpenParcelRequest,
    ) -> Result<OpenParcelResponse, Status> {
        let root = self.0.root_of(request.place.as_ref())?;
        beside(move || parcels::open(&root, &request)).await
    }

    async fn name_parcel(&self, _: &Context, request: ParcelPlace) -> Result<Empty, Status> {
        let root = self.0.root_of(Some(&request))?;
        beside(move || parcels::name(&root, &request)).await?;
        Ok(Empty {})
    }

    async fn close_parcel(
        &self,
        _: &Context,
        request: CloseParcelRequest,
    ) -> Result<Empty, Status> {
        let root = self.0.root_of(request.place.as_ref())?;
        beside(move || parcels::close(&root, &request)).await?;
        Ok(Empty {})
    }
}

/// Storage that does not answer must hold up nobody else.
async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Status> + Send + 'static,
) -> Result<T, Status> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| Err(Status::internal("The library's end failed in itself.")))
}
