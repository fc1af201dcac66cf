//! What is asked, with nothing left open: numbers to compare hosts by, and all that a host must be or have.

use contracts::inherit::Reserved;
use contracts::placement::{Goal as AskedGoal, RateRequest, Requirements, Weights};
use contracts::{Status, names};

use super::model::{Ask, Goal, RESOURCES, Resource, Sizes, WEIGHT_MAX};
use super::requirements;
use super::stay::Stay;
use super::units::{cut, mib_up, whole_up};

/// What the site says where nobody else does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Defaults {
    pub reserves: Reserved,
    pub expected_cpu_percent: f64,
    pub goal: Goal,
    pub weights: Weights,
}

/// Hosts that take part in placement have this bit in their row.
pub const TAKES_PART: u64 = 1;

/// Ratings that an answer has where it is not said how many.
const RATINGS_DEFAULT: u32 = 100;

#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// The request with the site's word filled in, so that it means the same wherever and whenever it is read.
    pub request: RateRequest,
    pub needs: Requirements,
    pub ask: Ask,
    pub weights: Weights,
}

impl Query {
    /// Refuses what nobody can mean.
    pub fn new(request: &RateRequest, defaults: &Defaults) -> Result<Self, Status> {
        for (field, id) in [
            ("group_id", &request.group_id),
            ("host_id", &request.host_id),
            ("vm_id", &request.vm_id),
        ] {
            if !id.is_empty() {
                names::check_id(field, id)?;
            }
        }
        let mut needs = requirements::check(request.requirements.as_ref())?.clone();
        needs
            .expected_cpu_percent
            .get_or_insert(defaults.expected_cpu_percent);
        let goal = match request.goal() {
            AskedGoal::Unspecified => defaults.goal,
            AskedGoal::Balance => Goal::Balance,
            AskedGoal::Maximise => Goal::Maximise,
        };
        let weights = request.weights.unwrap_or(defaults.weights);
        let ask = Ask {
            need: need(&needs),
            limits: Resource::Memory.bit(),
            features: TAKES_PART,
            size: size(&needs),
            weights: thousandths(&weights)?,
            goal,
            stay: stay(&needs),
        };
        let request = RateRequest {
            requirements: Some(needs.clone()),
            goal: asked(goal).into(),
            weights: Some(weights),
            limit: if request.limit == 0 {
                RATINGS_DEFAULT
            } else {
                request.limit
            },
            ..request.clone()
        };
        Ok(Self {
            request,
            needs,
            ask,
            weights,
        })
    }

    /// The same with how long the machine is expected to stay, where that counts and the request does not say.
    #[must_use]
    pub fn expecting(mut self, stay_secs: Option<u64>) -> Self {
        let is_open = self.needs.expected_stay_secs.is_none();
        if self.ask.goal == Goal::Maximise && is_open && stay_secs.is_some() {
            self.needs.expected_stay_secs = stay_secs;
            self.ask.stay = stay(&self.needs);
            self.request.requirements = Some(self.needs.clone());
        }
        self
    }

    /// Whether, rules aside, numbers alone say which hosts can take the machine.
    pub fn is_plain(&self) -> bool {
        let needs = &self.needs;
        let words = [&needs.platform, &needs.accelerator, &needs.datastore];
        let lists = [
            &needs.images,
            &needs.networks,
            &needs.cpu_features,
            &needs.host_tags,
            &needs.datastore_tags,
            &needs.possible_host_ids,
        ];
        let is_named = words.iter().any(|word| !word.is_empty());
        let is_listed = lists.iter().any(|list| !list.is_empty());
        !is_named && !is_listed && !needs.highly_available && !self.has_wishes()
    }

    /// Whether some hosts are liked better than their numbers say.
    pub fn has_wishes(&self) -> bool {
        !self.needs.preferred_host_ids.is_empty()
    }
}

/// As hosts say how large a machine they take.
fn size(needs: &Requirements) -> Sizes {
    [needs.vcpus, mib_up(needs.disk_bytes).saturating_add(1)]
}

fn stay(needs: &Requirements) -> Stay {
    let secs = needs.expected_stay_secs;
    secs.map_or(Stay::UNKNOWN, Stay::of_secs)
}

fn asked(goal: Goal) -> AskedGoal {
    match goal {
        Goal::Balance => AskedGoal::Balance,
        Goal::Maximise => AskedGoal::Maximise,
    }
}

fn need(needs: &Requirements) -> [u32; RESOURCES] {
    let cpu = f64::from(needs.vcpus) * needs.expected_cpu_percent.unwrap_or(0.0);
    [
        cut(whole_up(cpu)),
        mib_up(needs.memory_bytes),
        cut(whole_up(needs.expected_disk_io_per_sec.unwrap_or(0.0))),
        cut(whole_up(needs.expected_network_mbit.unwrap_or(0.0))),
    ]
}

/// Weights as whole numbers. Refuses what does not weigh: negative, none at all, no number.
pub fn thousandths(weights: &Weights) -> Result<[u32; RESOURCES], Status> {
    const MOST: f64 = 100.0;
    let Weights {
        cpu,
        memory,
        disk_io,
        network,
    } = *weights;
    let mut parts = [0; RESOURCES];
    for ((part, weight), resource) in parts
        .iter_mut()
        .zip([cpu, memory, disk_io, network])
        .zip(Resource::ALL)
    {
        if !(0.0..=MOST).contains(&weight) {
            let field = format!("weights.{}", resource.name());
            let message = format!("{field}: {weight} is not between 0 and {MOST}.");
            return Err(Status::invalid(field, message)
                .action("Use 0 for what does not count, and up to 100 for what counts most."));
        }
        *part = cut(whole_up(weight * 1000.0)).min(WEIGHT_MAX);
    }
    if parts == [0; RESOURCES] {
        return Err(Status::invalid(
            "weights",
            "Every weight is 0, so every host would be alike.",
        )
        .action("Give at least one resource a weight above 0."));
    }
    Ok(parts)
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    pub(in crate::core) const DEFAULTS: Defaults = Defaults {
        reserves: Reserved {
            cpu_percent: 10.0,
            memory_bytes: 512 << 20,
            disk_bytes: 1 << 30,
            disk_io_per_sec: 0.0,
            network_percent: 0.0,
        },
        expected_cpu_percent: 20.0,
        goal: Goal::Balance,
        weights: Weights {
            cpu: 1.0,
            memory: 1.0,
            disk_io: 1.0,
            network: 1.0,
        },
    };

    pub(in crate::core) fn query(needs: Requirements) -> Query {
        let request = RateRequest {
            requirements: Some(needs),
            ..RateRequest::default()
        };
        Query::new(&request, &DEFAULTS).unwrap()
    }

    #[test]
    fn what_is_left_open_is_the_sites() {
        let query = query(Requirements {
            vcpus: 3,
            memory_bytes: (64 << 20) + 1,
            ..Requirements::default()
        });
        assert_eq!(query.ask.need, [60, 65, 0, 0]);
        assert_eq!(query.request.weights, Some(DEFAULTS.weights));
        let again = Query::new(&query.request, &DEFAULTS).unwrap();
        assert_eq!(again, query);
    }

    #[test]
    fn weights_that_do_not_weigh_are_refused_by_name() {
        let with = |memory| Weights {
            cpu: 0.0,
            memory,
            disk_io: 0.0,
            network: 0.0,
        };
        for bad in [-1.0, f64::NAN, 100.1] {
            assert_eq!(thousandths(&with(bad)).unwrap_err().field, "weights.memory");
        }
        assert_eq!(thousandths(&with(0.0)).unwrap_err().field, "weights");
        assert_eq!(thousandths(&with(0.0005)).unwrap(), [0, 1, 0, 0]);
    }
}
