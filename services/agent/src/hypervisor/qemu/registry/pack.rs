//! Machines whose files are made ready to travel.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use contracts::host::{PackVmRequest, Parcel};
use contracts::{Code, Status};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Entry, Registry};
use crate::hypervisor::qemu::machine::Machine;
use crate::hypervisor::qemu::parcel;

/// Parcels that are being packed, so that they can be stopped.
#[derive(Default)]
pub(super) struct Packings(Mutex<HashMap<String, Packing>>);

#[derive(Clone)]
struct Packing {
    stop: CancellationToken,
    /// Closed when the packing has ended, one way or the other.
    ended: watch::Receiver<()>,
}

impl Packings {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Packing>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a packing, and waits until it has let go of its files.
    async fn stop(&self, parcel_id: &str) {
        let packing = self.lock().get(parcel_id).cloned();
        if let Some(mut packing) = packing {
            packing.stop.cancel();
            // An error is what we wait for: the other end was dropped.
            let _ = packing.ended.changed().await;
        }
    }
}

impl Registry {
    /// Makes the files of a machine that is off, or only says what they will be.
    pub(in crate::hypervisor::qemu) async fn pack(
        self: &Arc<Self>,
        request: PackVmRequest,
    ) -> Result<Parcel, Status> {
        parcel::check(&request)?;
        if request.check_only {
            let machine = self.machine(&request.vm_id)?;
            return parcel::plan(&machine, &request).await;
        }
        let (stop, ended) = (CancellationToken::new(), watch::channel(()));
        let packing = Packing {
            stop: stop.clone(),
            ended: ended.1,
        };
        let id = &request.parcel_id;
        self.packings.lock().insert(id.clone(), packing);
        let work = async {
            let held = self.hold(&request.vm_id, "being packed").await?;
            parcel::pack(&held.machine, &request).await
        };
        let packed = stop.run_until_cancelled(work).await;
        self.packings.lock().remove(id);
        drop(ended.0);
        packed.unwrap_or_else(|| Err(Status::new(Code::Cancelled, "The packing was stopped.")))
    }

    /// A machine as it is defined, whatever is being made of it now.
    fn machine(&self, vm_id: &str) -> Result<Arc<Machine>, Status> {
        let held = match self.entries().get(vm_id) {
            Some(Entry::Held(handle, _)) => Some(Arc::clone(&handle.machine)),
            _ => None,
        };
        match held {
            Some(machine) => Ok(machine),
            None => Ok(self.handle(vm_id)?.machine),
        }
    }

    pub(in crate::hypervisor::qemu) async fn drop_parcel(
        &self,
        parcel_id: &str,
    ) -> Result<(), Status> {
        self.packings.stop(parcel_id).await;
        let (environment, parcel_id) = (Arc::clone(&self.environment), parcel_id.to_owned());
        let dropped = tokio::task::spawn_blocking(move || {
            parcel::drop_parcel(&environment.datastores, &parcel_id)
        });
        dropped.await.unwrap_or_else(|error| {
            Err(Status::internal(format!(
                "The parcel could not be removed: {error}."
            )))
        })
    }
}
