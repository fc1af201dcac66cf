//! What happens to programs and to the whole bus.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use contracts::subjects;

use super::program::{End, Program, Role};
use super::{Disaster, Site, log_of_records};

/// How long things stay away.
const AWAY_MAX: Duration = Duration::from_secs(10);

/// In which every owner has put back what it knew into a log that was lost.
const HEALING: Duration = Duration::from_secs(60);

/// As long as a client waits for a call, and more.
const CALL_MAX: Duration = Duration::from_secs(60);

/// Between two looks whether a call has ended.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// A little more than half of the lifetime of deletion markers, at which a view that was away is thrown away.
const SKIP_MAX: Duration = Duration::from_secs(5 * 24 * 3600);

impl Site {
    pub(super) async fn strike(&self, disaster: Disaster) {
        match disaster {
            Disaster::Cut => self.cut(),
            Disaster::Restart => self.restart(|_| {}).await,
            Disaster::Crash => self.end(End::Crash).await,
            Disaster::LoseFolder => self.end(End::CrashAndLoseFolder).await,
            Disaster::Stop => self.end(End::Orderly).await,
            Disaster::LoseLog => self.lose_log().await,
            Disaster::Restore => self.back_up_or_restore().await,
            Disaster::Skip => self.skip().await,
        }
    }

    fn away(&self) -> Duration {
        self.world
            .draw(|chance| chance.duration(Duration::ZERO, AWAY_MAX))
    }

    fn any_program(&self) -> Arc<Program> {
        self.world
            .draw(|chance| Arc::clone(chance.one_of(&self.programs)))
    }

    fn cut(&self) {
        let (server, away) = (Arc::clone(&self.server), self.away());
        if let Some(bus) = self.any_program().bus() {
            tokio::spawn(async move { server.cut(&bus, away).await });
        }
    }

    async fn restart(&self, while_down: impl FnOnce(&crate::bus::Server)) {
        self.server.restart(self.away(), while_down).await;
    }

    /// Ends a program; it comes back after a while.
    async fn end(&self, end: End) {
        let (program, world, away) = (self.any_program(), self.world.clone(), self.away());
        if !program.is_running() {
            return;
        }
        if end != End::Orderly && program.role == Role::Owner {
            self.forget_floor();
        }
        program.end(end).await;
        tokio::spawn(async move {
            world.pass(away).await;
            program.start();
        });
    }

    async fn lose_log(&self) {
        if self.note_floor() {
            self.restart(|server| server.lose_log(&log_of_records()))
                .await;
        }
    }

    /// False: what was lost last is not yet put back.
    fn note_floor(&self) -> bool {
        let mut ledger = self.ledger();
        let now = self.world.elapsed();
        if ledger.lost_at.is_some_and(|lost| now < lost + HEALING) {
            return false;
        }
        ledger.lost_at = Some(now);
        // What every owner's view has is put back; what only some have may lose against a write that comes first.
        let known = self.owners().map(|owner| owner.revision()).min();
        let epoch = self.server.epochs(&log_of_records());
        ledger.floors.insert(epoch, known.unwrap_or(0));
        true
    }

    /// An owner that dies before it has put back what it knew may have been the last to know it.
    fn forget_floor(&self) {
        let mut ledger = self.ledger();
        if ledger
            .lost_at
            .is_some_and(|lost| self.world.elapsed() < lost + HEALING)
            && let Some(mut last) = ledger.floors.last_entry()
        {
            last.insert(0);
        }
    }

    /// Makes a backup of the bus, or restores it as the documentation says: with every program stopped, and the views,
    /// which know of what is no more, thrown away.
    async fn back_up_or_restore(&self) {
        let backup = self
            .backup
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let logs = [log_of_records(), subjects::EVENTS.to_owned()];
        let Some(backup) = backup else {
            self.world.tell("server", "a backup is made");
            let copies = logs
                .iter()
                .filter_map(|log| self.server.copy_log(log))
                .collect();
            *self.backup.lock().unwrap_or_else(PoisonError::into_inner) = Some(copies);
            return;
        };
        self.forget_floor();
        for program in &self.programs {
            program.end(End::CrashAndLoseFolder).await;
        }
        self.restart(|server| {
            logs.iter().for_each(|log| server.lose_log(log));
            backup.iter().for_each(|backup| server.restore_log(backup));
        })
        .await;
        for program in &self.programs {
            program.start();
        }
    }

    /// Days pass. No call takes days, so they pass between calls.
    async fn skip(&self) {
        let until = self.world.elapsed() + CALL_MAX;
        while self.sessions.iter().any(|session| session.is_busy()) {
            if self.world.elapsed() > until {
                return;
            }
            self.world.pass(LOOK_INTERVAL).await;
        }
        let time = self
            .world
            .draw(|chance| chance.duration(Duration::ZERO, SKIP_MAX));
        self.server.skip(time);
    }
}
