//! What a job kind is: a table of steps over a typed state, and how the engine sees it.

use async_trait::async_trait;
use contracts::jobs::{Job, Plan, PlannedStep, Step as JobStep, step};
use contracts::{ObjectRef, Status};
use futures::future::BoxFuture;
use prost::Message;

use crate::core::machine::{Rule, UndoRule};
use crate::fleet::Fleet;
use crate::hands::{Calls, Done, Hands};

/// Takes the object; every kind that changes one that is there begins with it.
pub(crate) const TAKE: &str = "take";
/// Gives the object back; every kind of an object of the fleet ends with it.
pub(crate) const RELEASE: &str = "release";

/// Does or undoes a step. Asked again, it finds what it did before and leaves it.
pub(crate) type Work<S> = for<'a> fn(&'a Hands, &'a mut S) -> BoxFuture<'a, Result<Done, Status>>;

pub(crate) enum Undo<S> {
    /// Also when the step did nothing, or half of it.
    By(Work<S>),
    /// Nothing that it leaves behind should be taken away: why.
    Nothing(&'static str),
    /// What it does cannot be taken back: why.
    Impossible(&'static str),
    /// The job's work is done when it is reached.
    Closing,
}

pub(crate) struct Step<S> {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    /// Whether this job has the step at all.
    pub(crate) needed: fn(&S) -> bool,
    pub(crate) action: Work<S>,
    pub(crate) undo: Undo<S>,
}

/// What a job is about.
pub(crate) struct Target {
    pub(crate) object: ObjectRef,
    pub(crate) group_id: String,
}

/// Whether the object is there before the job.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Object {
    Existing,
    /// The job makes it, under an id of its own: nobody else can want it.
    New,
    /// The job does not change it, so it waits for nobody and nobody for it.
    Untouched,
}

/// When a job looks at the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// It is asked for, and the object is free.
    Asked,
    /// It is asked for while another job has the object: what state it will find is not known yet.
    InLine,
    /// It has the object.
    Holding,
}

pub(crate) struct Table<S: 'static> {
    pub(crate) name: &'static str,
    pub(crate) object: Object,
    pub(crate) target: fn(&S) -> Target,
    /// Refuses what the fleet does not allow, and notes what the steps must know of it.
    pub(crate) look: fn(&Fleet, Moment, &mut S) -> Result<(), Status>,
    /// Asks others what it would take and says what would change. Changes nothing.
    pub(crate) plan: for<'a> fn(&'a Calls, &'a mut S) -> BoxFuture<'a, Result<Plan, Status>>,
    pub(crate) steps: &'static [Step<S>],
}

/// For steps that every job of the kind has.
pub(crate) fn always<S>(_: &S) -> bool {
    true
}

/// For kinds of which there is nothing to say beside the steps.
pub(crate) fn no_more<'a, S>(_: &'a Calls, _: &'a mut S) -> BoxFuture<'a, Result<Plan, Status>> {
    Box::pin(std::future::ready(Ok(Plan::default())))
}

/// Which way a step is worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Forward,
    Back,
}

/// A table as the engine sees it, the state encoded.
#[async_trait]
pub(crate) trait Kind: Send + Sync {
    fn name(&self) -> &'static str;
    /// Whether a job of the kind keeps others from its object.
    fn takes_object(&self) -> bool;
    fn target(&self, state: &[u8]) -> Result<Target, Status>;
    fn look(&self, fleet: &Fleet, moment: Moment, state: &[u8]) -> Result<Vec<u8>, Status>;
    async fn plan(&self, calls: &Calls, state: &[u8]) -> Result<(Vec<u8>, Plan), Status>;
    /// The steps of a job with this state.
    fn steps(&self, state: &[u8]) -> Result<Vec<JobStep>, Status>;
    fn rule(&self, step: &str) -> Option<Rule>;
    async fn work(
        &self,
        hands: &Hands,
        step: &str,
        way: Way,
        state: &[u8],
    ) -> Result<(Done, Vec<u8>), Status>;
}

fn read<S: Message + Default>(kind: &str, state: &[u8]) -> Result<S, Status> {
    S::decode(state).map_err(|error| {
        Status::internal(format!(
            "The state of a job {kind} could not be read: {error}."
        ))
    })
}

/// A step that the program does not have: the job was begun by another release.
pub(crate) fn unknown_step(kind: &str, step: &str) -> Status {
    Status::internal(format!("This release knows no step {step} of {kind}."))
        .action("Run the release that the job was begun with, then restart the job.")
}

impl<S> Table<S> {
    fn step(&self, name: &str) -> Option<&'static Step<S>> {
        self.steps.iter().find(|step| step.name == name)
    }
}

#[async_trait]
impl<S: Message + Default + 'static> Kind for Table<S> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn takes_object(&self) -> bool {
        self.object != Object::Untouched
    }

    fn target(&self, state: &[u8]) -> Result<Target, Status> {
        Ok((self.target)(&read(self.name, state)?))
    }

    fn look(&self, fleet: &Fleet, moment: Moment, state: &[u8]) -> Result<Vec<u8>, Status> {
        let mut state: S = read(self.name, state)?;
        (self.look)(fleet, moment, &mut state)?;
        Ok(state.encode_to_vec())
    }

    async fn plan(&self, calls: &Calls, state: &[u8]) -> Result<(Vec<u8>, Plan), Status> {
        let mut state: S = read(self.name, state)?;
        let plan = (self.plan)(calls, &mut state).await?;
        Ok((state.encode_to_vec(), plan))
    }

    fn steps(&self, state: &[u8]) -> Result<Vec<JobStep>, Status> {
        let state: S = read(self.name, state)?;
        let take = (self.object == Object::Existing).then_some(TAKE);
        let own = self.steps.iter().filter(|step| (step.needed)(&state));
        let release = (self.object != Object::Untouched).then_some(RELEASE);
        let names = take.into_iter().chain(own.map(|s| s.name)).chain(release);
        Ok(names
            .map(|name| JobStep {
                name: name.to_owned(),
                state: step::State::Pending.into(),
                ..JobStep::default()
            })
            .collect())
    }

    fn rule(&self, name: &str) -> Option<Rule> {
        implicit(name).or_else(|| {
            let step = self.step(name)?;
            let undo = match &step.undo {
                Undo::By(_) => UndoRule::By,
                Undo::Nothing(_) => UndoRule::Nothing,
                Undo::Impossible(_) => UndoRule::Impossible,
                Undo::Closing => UndoRule::Closing,
            };
            Some(Rule {
                name: step.name,
                description: step.description,
                undo,
            })
        })
    }

    async fn work(
        &self,
        hands: &Hands,
        name: &str,
        way: Way,
        state: &[u8],
    ) -> Result<(Done, Vec<u8>), Status> {
        let step = self
            .step(name)
            .ok_or_else(|| unknown_step(self.name, name))?;
        let mut state: S = read(self.name, state)?;
        let done = match (way, &step.undo) {
            (Way::Forward, _) => (step.action)(hands, &mut state).await?,
            (Way::Back, Undo::By(undo)) => undo(hands, &mut state).await?,
            (Way::Back, Undo::Nothing(why) | Undo::Impossible(why)) => Done::saying(*why)?,
            (Way::Back, Undo::Closing) => Done::default(),
        };
        Ok((done, state.encode_to_vec()))
    }
}

fn implicit(name: &str) -> Option<Rule> {
    match name {
        TAKE => Some(Rule {
            name: TAKE,
            description: "Take the object, so that no other job changes it",
            undo: UndoRule::By,
        }),
        RELEASE => Some(Rule {
            name: RELEASE,
            description: "Give the object back",
            undo: UndoRule::Closing,
        }),
        _ => None,
    }
}

/// The rules of a job's steps, in their order.
pub(crate) fn rules(kind: &dyn Kind, job: &Job) -> Result<Vec<Rule>, Status> {
    job.steps
        .iter()
        .map(|step| {
            kind.rule(&step.name)
                .ok_or_else(|| unknown_step(kind.name(), &step.name))
        })
        .collect()
}

/// The steps as a plan shows them.
pub(crate) fn planned(kind: &dyn Kind, steps: &[JobStep]) -> Vec<PlannedStep> {
    steps
        .iter()
        .filter_map(|step| kind.rule(&step.name))
        .map(|rule| PlannedStep {
            name: rule.name.to_owned(),
            description: rule.description.to_owned(),
            can_be_undone: rule.undo == UndoRule::By,
        })
        .collect()
}
