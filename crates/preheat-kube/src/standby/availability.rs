//! Whether a resource's pods can be set aside and put to sleep, and what is missing where they can't.
//!
//! **Invariant:** pure. What is not known yet is neither possible nor impossible: nothing is set aside
//! meanwhile, and what sleeps is not given up.

use crate::resource::ConditionStatus;
use crate::roster::Replica;
use crate::traffic::{Reach, TRAFFIC_LABEL, Traffic};

/// Whether pods can be put to sleep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// They can. What is worth knowing all the same.
    Possible {
        /// Pods that get requests although they are set aside.
        disturbed: Vec<String>,
    },
    /// They can't.
    Impossible(Obstacle),
    /// Nobody knows yet.
    Unknown(Doubt),
}

/// Why pods can't be put to sleep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// Which pod goes when the scale shrinks can't be chosen.
    NotOfReplicaSet,
    /// The target selects its pods by the label: one without it would be replaced.
    SelectedByTarget,
    /// A pod does not have the label.
    Unlabelled {
        /// Its name.
        pod: String,
    },
    /// A Service selects pods whatever the label says.
    BlindService {
        /// Its name.
        service: String,
    },
    /// No Service selects the pods by the label.
    NoService,
    /// The engine can't be put to sleep.
    NoEndpoints {
        /// Whose.
        pod: String,
        /// What it says.
        problem: String,
    },
}

/// Why nobody knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// The Services have not been listed.
    Services,
    /// No engine has said whether it can sleep.
    Engines,
}

/// What is known of a pool's engines together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// At least one has the endpoints, and none lacks them.
    Present,
    /// One lacks them, or they fail.
    Absent {
        /// Whose.
        pod: String,
        /// What it says.
        problem: String,
    },
    /// None has said.
    Unasked,
}

impl Availability {
    /// What follows from pods, Services and engines; `reach` is absent until Services are listed.
    pub fn of(
        selector: &str,
        replicas: &[Replica],
        reach: Option<&Reach>,
        engines: &Known,
        disturbed: Vec<String>,
    ) -> Self {
        let pods = || replicas.iter().filter(|r| !r.ending).filter_map(|r| r.pod.as_ref());
        if selector.contains(TRAFFIC_LABEL) {
            return Self::Impossible(Obstacle::SelectedByTarget);
        }
        if pods().any(|pod| !pod.of_replica_set) {
            return Self::Impossible(Obstacle::NotOfReplicaSet);
        }
        if let Some(pod) = pods().find(|pod| pod.traffic == Traffic::Unlabelled) {
            return Self::Impossible(Obstacle::Unlabelled { pod: pod.name.clone() });
        }
        if let Known::Absent { pod, problem } = engines {
            let (pod, problem) = (pod.clone(), problem.clone());
            return Self::Impossible(Obstacle::NoEndpoints { pod, problem });
        }
        let Some(reach) = reach else { return Self::Unknown(Doubt::Services) };
        if let Some(service) = &reach.blind {
            return Self::Impossible(Obstacle::BlindService { service: service.clone() });
        }
        if *engines == Known::Unasked {
            return Self::Unknown(Doubt::Engines);
        }
        if reach.heeding.is_none() {
            return Self::Impossible(Obstacle::NoService);
        }
        Self::Possible { disturbed }
    }

    /// Whether pods may be taken out of traffic and put to sleep.
    pub const fn is_possible(&self) -> bool {
        matches!(self, Self::Possible { .. })
    }

    /// Whether requests reach pods that are set aside.
    pub const fn reaches_sleepers(&self) -> bool {
        matches!(self, Self::Impossible(Obstacle::BlindService { .. }))
    }

    /// As a condition.
    pub fn told(&self) -> (ConditionStatus, &'static str, String) {
        use ConditionStatus::{False, True, Unknown};
        match self {
            Self::Possible { disturbed } if !disturbed.is_empty() => {
                let message = format!(
                    "out of traffic, and still sent requests, so not put to sleep: {}. Who sends them \
                     does not go by a Service that selects {TRAFFIC_LABEL}: \"on\"",
                    disturbed.join(", "),
                );
                (True, "Disturbed", message)
            }
            Self::Possible { .. } => {
                let message = "Services heed the label, and engines can sleep".to_owned();
                (True, "Possible", message)
            }
            Self::Impossible(obstacle) => (False, obstacle.reason(), obstacle.message()),
            Self::Unknown(Doubt::Services) => {
                let message = "the Services can't be listed, so nobody knows whether a sleeping pod \
                               would get requests; none is taken out of traffic (deploy/rbac.yaml has the \
                               right)";
                (Unknown, "ServicesUnknown", message.to_owned())
            }
            Self::Unknown(Doubt::Engines) => {
                let message = "no engine has said yet whether it can sleep; until one does, none is \
                               taken out of traffic";
                (Unknown, "EnginesUnknown", message.to_owned())
            }
        }
    }
}

impl Obstacle {
    const fn reason(&self) -> &'static str {
        match self {
            Self::NotOfReplicaSet => "NotOfReplicaSet",
            Self::SelectedByTarget => "SelectedByTarget",
            Self::Unlabelled { .. } => "PodsUnlabelled",
            Self::BlindService { .. } => "BlindService",
            Self::NoService => "NoService",
            Self::NoEndpoints { .. } => "NoSleepEndpoints",
        }
    }

    fn message(&self) -> String {
        match self {
            Self::NotOfReplicaSet => {
                "which of its pods goes can be chosen only of a Deployment or a \
                                      ReplicaSet; nothing is put to sleep"
                    .to_owned()
            }
            Self::SelectedByTarget => format!(
                "the target's own selector has {TRAFFIC_LABEL}, so a pod that is set aside would be \
                 replaced; take it out of spec.selector and leave it in the template"
            ),
            Self::Unlabelled { pod } => format!(
                "{pod} has no label {TRAFFIC_LABEL}; add {TRAFFIC_LABEL}: \"on\" to the template's \
                 labels"
            ),
            Self::BlindService { service } => format!(
                "the Service {service} would send requests to sleeping pods; add {TRAFFIC_LABEL}: \
                 \"on\" to its selector, or label it {TRAFFIC_LABEL}: \"none\" if it carries no \
                 requests"
            ),
            Self::NoService => format!(
                "no Service of this namespace selects the pods by {TRAFFIC_LABEL}: \"on\"; add it to \
                 the selector of the one that clients use"
            ),
            Self::NoEndpoints { pod, problem } => format!(
                "the engine of {pod} can't be put to sleep: {problem}. vLLM needs --enable-sleep-mode \
                 and VLLM_SERVER_DEV_MODE=1; asked again in 10 minutes"
            ),
        }
    }
}
