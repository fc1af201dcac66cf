//! A fleet that joins, lives, suffers and recovers, and at the end Muster's picture of it beside its own account.

use std::path::Path;
use std::time::{Duration, Instant};

use comfy_table::{Table, presets};
use kit::config::BusConfig;

use crate::core::compare::Difference;
use crate::core::fault::Fault;
use crate::core::lies::Lie;
use crate::measure::latency::Listener;
use crate::measure::usage::{Meter, Process};
use crate::measure::{Times, lists, milliseconds};
use crate::muster::Muster;
use crate::{Churn, Config, Fleet, Which};

/// How long the whole fleet may take to be known. 30 s is what is wanted of 2,500 hosts; here machines that are slow
/// or busy must not fail.
const JOIN_PATIENCE: Duration = Duration::from_secs(300);

/// How long the picture may take to be true again when all is well again: silent hosts are heard within a heartbeat.
const AGREE_PATIENCE: Duration = Duration::from_secs(60);

/// Pages asked for, and how often a second.
const PAGES: usize = 400;
const PAGES_RATE: u32 = 200;

/// Of the fleet one in so many has each fault.
const FAULTY_ONE_IN: usize = 20;

/// What to check, and how.
pub struct Settings {
    pub fleet: Config,
    pub bus: BusConfig,
    pub muster: Muster,
    /// How long the fleet lives and suffers.
    pub time: Duration,
    /// Whose memory and time on processors is measured.
    pub processes: Vec<Process>,
}

/// What came of it.
pub struct Outcome {
    /// What was measured, in the order of the table.
    pub figures: Vec<(String, String)>,
    pub differences: Vec<Difference>,
}

impl Outcome {
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header(["what", "measured"]);
        for (what, figure) in &self.figures {
            table.add_row([what, figure]);
        }
        table.to_string()
    }
}

/// Runs the fleet in this process against a Muster that runs; in `folder` the fleet keeps what it needs.
pub async fn run(settings: Settings, folder: &Path) -> anyhow::Result<Outcome> {
    let mut figures = Figures::default();
    let config = Config {
        join_token: settings.muster.join_token().await?,
        churn: Churn::default(),
        ..settings.fleet.clone()
    };
    figures.add("hosts", config.hosts);
    figures.add("machines", config.vms);
    let joined = Instant::now();
    let fleet = Fleet::start(&config, &settings.bus, folder).await?;
    let muster = &settings.muster;
    muster.has(config.hosts, config.vms, JOIN_PATIENCE).await?;
    figures.add("until all were known", seconds(joined.elapsed()));
    let life = live(&settings, &config, &fleet).await?;
    figures.add("changes seen by a client", life.events.len());
    for percent in [50, 99] {
        let what = format!("from a change on a host to its event at a client, p{percent}");
        figures.add(&what, life.events.shown(percent));
    }
    figures.processes(&settings.processes, &life.parts)?;
    fleet.set_churn(Churn::default());
    fleet.fault(&Which::All, &Fault::Calm);
    let differences = match muster.agrees(|| fleet.account(), AGREE_PATIENCE).await? {
        Ok(took) => {
            figures.add(
                "until the picture was true again after all faults",
                seconds(took),
            );
            Vec::new()
        }
        Err(differences) => differences,
    };
    figures.add(
        "differences from the fleet's own account",
        differences.len(),
    );
    figures.lists(muster).await?;
    fleet.stop().await;
    Ok(Outcome {
        figures: figures.0,
        differences,
    })
}

/// What was seen while the fleet lived.
struct Life {
    events: Times,
    parts: Vec<(String, f64)>,
}

/// Churn all the time, and one kind of fault after another, each on hosts of its own or on those of the one before.
async fn live(settings: &Settings, config: &Config, fleet: &Fleet) -> anyhow::Result<Life> {
    let listener = Listener::start(&settings.muster, fleet).await?;
    let meter = Meter::start(&settings.processes)?;
    fleet.set_churn(churn_of(config));
    let faults = faults(settings.time);
    let each = settings.time / u32::try_from(faults.len()).unwrap_or(1);
    let mut turns = tokio::time::interval(each);
    turns.tick().await;
    let some = Which::Some(config.hosts.div_ceil(FAULTY_ONE_IN));
    for fault in &faults {
        let hosts = fleet.fault(&some, fault);
        tracing::info!(?fault, hosts, "something goes wrong");
        turns.tick().await;
    }
    Ok(Life {
        events: listener.stop().await?,
        parts: meter.parts()?,
    })
}

/// What the configuration says; else one of a hundred machines changes each minute, and at least one a second, so that
/// there is something to see also in a small fleet.
fn churn_of(config: &Config) -> Churn {
    if config.churn.changes_per_minute != 0 {
        return config.churn;
    }
    let changes = u32::try_from(config.vms / 100).unwrap_or(u32::MAX).max(60);
    Churn {
        changes_per_minute: changes,
    }
}

fn faults(time: Duration) -> Vec<Fault> {
    let secs = time.as_secs().div_ceil(8).max(1);
    let lie = |lie| Fault::Lies { lie };
    vec![
        Fault::Restart,
        Fault::Silence { secs },
        Fault::Flapping {
            period_ms: 1_000,
            secs,
        },
        Fault::Slowness {
            delay_ms: 500,
            secs,
        },
        Fault::Skew { ahead_secs: 3_600 },
        lie(Lie::AnothersMachine),
        lie(Lie::NegativeSizes),
        lie(Lie::OneIdTwice),
        lie(Lie::TooMany),
    ]
}

/// What was measured.
#[derive(Default)]
struct Figures(Vec<(String, String)>);

impl Figures {
    fn add(&mut self, what: &str, figure: impl ToString) {
        self.0.push((what.to_owned(), figure.to_string()));
    }

    fn processes(&mut self, processes: &[Process], parts: &[(String, f64)]) -> anyhow::Result<()> {
        for (name, part) in parts {
            let what = format!("{name}, part of a core");
            self.add(&what, format!("{:.1} %", part * 100.0));
        }
        for process in processes {
            let what = format!("{}, memory", process.name);
            self.add(&what, format!("{} MB", process.memory_bytes()? / 1_000_000));
        }
        Ok(())
    }

    async fn lists(&mut self, muster: &Muster) -> anyhow::Result<()> {
        let pages = lists::pages(muster, PAGES_RATE, PAGES).await?;
        for percent in [50, 99] {
            let what = format!("a filtered, sorted page at {PAGES_RATE} a second, p{percent}");
            self.add(&what, pages.shown(percent));
        }
        let asked = Instant::now();
        muster.vms().await?;
        self.add(
            "the list of all machines, read",
            milliseconds(asked.elapsed()),
        );
        Ok(())
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
