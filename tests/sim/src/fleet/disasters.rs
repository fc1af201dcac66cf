//! What happens to instances of services, to hosts and to the whole bus.

use std::sync::Arc;
use std::time::Duration;

use contracts::subjects::RUNS;

use super::hosts::Host;
use super::program::{Folder, Program};
use super::{Disaster, Site};
use crate::bus::{Death, SimBus};

/// How long things stay away.
const AWAY_MAX: Duration = Duration::from_secs(10);

/// At which of its next messages an instance dies, at the latest: about what it sends for two jobs.
const MESSAGES_MAX: u64 = 60;

impl Site {
    pub(super) async fn strike(&self, disaster: Disaster) {
        let away = self.away();
        match disaster {
            Disaster::Cut => self.cut(away),
            Disaster::Restart => self.server.restart(away, |_| {}).await,
            Disaster::Trap => self.set_trap(away),
            Disaster::LoseFolder => self.lose_folder(away),
            Disaster::Stop => self.stop(away),
            Disaster::LoseHost => self.lose_host(away),
            Disaster::LoseQueue => {
                self.server
                    .restart(away, |server| server.lose_log(RUNS))
                    .await;
            }
            Disaster::PowerOff => self.power_off(),
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

    fn any_host(&self) -> Arc<Host> {
        self.world
            .draw(|chance| Arc::clone(chance.one_of(&self.hosts)))
    }

    fn cut(&self, away: Duration) {
        let programs = self.programs.iter().filter_map(|program| program.bus());
        let hosts = self.hosts.iter().filter_map(|host| host.bus());
        let all: Vec<SimBus> = programs.chain(hosts).collect();
        if all.is_empty() {
            return;
        }
        let bus = self.world.draw(|chance| chance.one_of(&all).clone());
        let server = Arc::clone(&self.server);
        tokio::spawn(async move { server.cut(&bus, away).await });
    }

    fn set_trap(&self, away: Duration) {
        let (program, death) = (self.any_program(), [Death::Before, Death::After]);
        let (message, death) = self
            .world
            .draw(|chance| (chance.between(0, MESSAGES_MAX), *chance.one_of(&death)));
        tokio::spawn(program.die_at(message, death, away));
    }

    fn lose_folder(&self, away: Duration) {
        let (program, world) = (self.any_program(), self.world.clone());
        program.die(Folder::Lost);
        tokio::spawn(async move {
            world.pass(away).await;
            program.start();
        });
    }

    fn stop(&self, away: Duration) {
        let (program, world) = (self.any_program(), self.world.clone());
        tokio::spawn(async move {
            program.stop().await;
            world.pass(away).await;
            program.start();
        });
    }

    fn lose_host(&self, away: Duration) {
        let (host, world) = (self.any_host(), self.world.clone());
        host.die();
        tokio::spawn(async move {
            world.pass(away).await;
            host.start().await;
        });
    }

    fn power_off(&self) {
        let host = self.any_host();
        let machines = host.machines();
        if !machines.is_empty() {
            let machine = self.world.draw(|chance| chance.one_of(&machines).clone());
            host.power_off(&machine.vm_id);
        }
    }
}
