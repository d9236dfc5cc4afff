//! Every other autoscaler as a policy, by its name on the command line.
//!
//! **Invariant:** a policy is pure: it knows its settings, the pool's bounds and what views have
//! shown it. What each one is made after, and what it leaves out, is in `docs/policies/peers.md`.

pub mod aibrix;
pub mod dynamo;
pub mod fixed;
pub mod hpa;
pub mod hpa_cpu;
pub mod hpa_gpu;
pub mod hpa_queue;
pub mod inferline;
pub mod keda;
pub mod knative;
mod knobs;
pub mod kubeai;
pub mod llmd;
pub mod ray_serve;
mod signals;
pub mod skyserve;
pub mod wva;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod in_cluster;

use std::fmt::Write;

pub use knobs::{Knob, Target};

use crate::scaler::Scaler;
use crate::view::PoolBounds;
use knobs::{Spec, Tunable};

/// Why there is no such policy.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum UnknownPolicy {
    /// No policy has the name.
    #[error("no policy is called `{name}`; there are {}", list())]
    Name {
        /// What was asked for.
        name: String,
    },
    /// The policy has no such variant.
    #[error("policy `{policy}` has no variant `{variant}`; {}", variants(policy))]
    Variant {
        /// The policy.
        policy: &'static str,
        /// What followed its colon.
        variant: String,
    },
    /// The policy has no such knob.
    #[error("policy `{policy}` has no knob `{knob}`; it has {}", knob_names(policy))]
    Knob {
        /// The policy.
        policy: &'static str,
        /// What was to be set.
        knob: String,
    },
}

/// Values for some of a policy's knobs.
pub type Assignment<'a> = &'a [(&'a str, f64)];

/// The policy of this name, with its project's defaults. A variant follows a colon: `static:4`,
/// `knative:guide`, `aibrix:corrected`.
///
/// # Errors
/// Lists the names there are.
pub fn by_name(name: &str, bounds: &PoolBounds) -> Result<Box<dyn Scaler>, UnknownPolicy> {
    tuned(name, bounds, &[])
}

/// The policy of this name with some of its knobs set.
///
/// # Errors
/// Names what there is not.
pub fn tuned(
    name: &str,
    bounds: &PoolBounds,
    assignment: Assignment<'_>,
) -> Result<Box<dyn Scaler>, UnknownPolicy> {
    let (entry, variant) = find(name)?;
    (entry.build)(bounds, variant, assignment)
}

/// What can be tuned in the policy of this name.
///
/// # Errors
/// Lists the names there are.
pub fn knobs(name: &str) -> Result<Vec<Knob>, UnknownPolicy> {
    find(name).map(|(entry, _)| (entry.knobs)())
}

/// Names of all policies; `static` wants a number after a colon.
pub fn names() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().map(|entry| entry.name)
}

/// Names of those that a comparison of all has.
pub fn names_in_all() -> impl Iterator<Item = &'static str> {
    ENTRIES.iter().filter(|entry| entry.in_all).map(|entry| entry.name)
}

/// A policy, or why there is none.
type Built = Result<Box<dyn Scaler>, UnknownPolicy>;

struct Entry {
    name: &'static str,
    variants: &'static [&'static str],
    in_all: bool,
    build: fn(&PoolBounds, Option<&str>, Assignment<'_>) -> Built,
    knobs: fn() -> Vec<Knob>,
}

static ENTRIES: [Entry; 19] = [
    entry::<fixed::Static>(),
    entry::<hpa_cpu::HpaCpu>(),
    entry::<hpa_gpu::HpaGpu>(),
    entry::<hpa_queue::HpaQueue>(),
    entry::<keda::KedaWaiting>(),
    entry::<keda::KedaConcurrency>(),
    entry::<knative::Knative>(),
    entry::<ray_serve::RayServe>(),
    entry::<skyserve::SkyServe>(),
    entry::<kubeai::KubeAi>(),
    entry::<aibrix::Aibrix>(),
    entry::<wva::WvaV1>(),
    entry::<wva::WvaV2>(),
    entry::<llmd::QueueGuard>(),
    entry::<llmd::LlmdSlo>(),
    entry::<dynamo::DynamoThroughput>(),
    entry::<dynamo::DynamoLoad>(),
    entry::<dynamo::DynamoHybrid>(),
    entry::<inferline::InferLine>(),
];

const fn entry<S: Spec>() -> Entry {
    let (build, knobs) = (build::<S>, describe::<S>);
    Entry { name: S::NAME, variants: S::VARIANTS, in_all: S::IN_ALL, build, knobs }
}

fn build<S: Spec>(bounds: &PoolBounds, variant: Option<&str>, assignment: Assignment<'_>) -> Built {
    let mut knobs = match variant {
        None => S::defaults(),
        Some(variant) => S::variant(variant).ok_or_else(|| UnknownPolicy::Variant {
            policy: S::NAME,
            variant: variant.to_owned(),
        })?,
    };
    for (name, value) in assignment {
        let tunable = S::TUNABLES.iter().find(|tunable| tunable.name == *name);
        let tunable = tunable
            .ok_or_else(|| UnknownPolicy::Knob { policy: S::NAME, knob: (*name).to_owned() })?;
        (tunable.set)(&mut knobs, *value);
    }
    Ok(S::build(bounds, knobs))
}

fn describe<S: Spec>() -> Vec<Knob> {
    let knob =
        |tunable: &Tunable<S::Knobs>| Knob { name: tunable.name, values: tunable.values.to_vec() };
    S::TUNABLES.iter().map(knob).collect()
}

fn find(name: &str) -> Result<(&'static Entry, Option<&str>), UnknownPolicy> {
    let (base, variant) = match name.split_once(':') {
        Some((base, variant)) => (base, Some(variant)),
        None => (name, None),
    };
    let entry = ENTRIES.iter().find(|entry| entry.name == base);
    let entry = entry.ok_or_else(|| UnknownPolicy::Name { name: name.to_owned() })?;
    Ok((entry, variant))
}

fn list() -> String {
    let names: Vec<&str> =
        names().map(|name| if name == "static" { "static:N" } else { name }).collect();
    names.join(", ")
}

fn variants(policy: &str) -> String {
    if policy == "static" {
        return "write the number of replicas after the colon, as in `static:4`".to_owned();
    }
    let variants = ENTRIES.iter().find(|entry| entry.name == policy).map(|entry| entry.variants);
    match variants.unwrap_or_default() {
        [] => format!("write `{policy}` alone"),
        some => some.iter().fold("there are".to_owned(), |mut text, variant| {
            // Writing to a string can't fail.
            let _ = write!(text, " `{policy}:{variant}`");
            text
        }),
    }
}

fn knob_names(policy: &str) -> String {
    let knobs = knobs(policy).unwrap_or_default();
    let names: Vec<&str> = knobs.iter().map(|knob| knob.name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::fixture::{Fleet, bounds};
    use super::*;

    #[test]
    fn every_policy_is_found_ticks_and_says_its_name() {
        for name in names() {
            let mut scaler = by_name(name, &bounds(1, 10)).unwrap();
            let expected = if name == "static" { "static:1" } else { name };
            assert_eq!(scaler.name(), expected);
            assert!(!scaler.period().is_zero() && !scaler.pipeline().scrape_interval.is_zero());
            let fleet = Fleet::new(60).ready(3, |m| m.running = 5);
            assert!((1..=10).contains(&scaler.tick(&fleet.view())), "{name}");
        }
    }

    #[test]
    fn every_knob_takes_each_of_its_values() {
        for name in names() {
            for knob in knobs(name).unwrap() {
                for value in &knob.values {
                    let mut scaler = tuned(name, &bounds(1, 10), &[(knob.name, *value)]).unwrap();
                    scaler.tick(&Fleet::new(60).ready(3, |m| m.running = 5).view());
                }
            }
        }
    }

    #[test]
    fn every_variant_exists() {
        for entry in &ENTRIES {
            for variant in entry.variants {
                let name = format!("{}:{variant}", entry.name);
                assert!(by_name(&name, &bounds(1, 10)).is_ok(), "{name}");
            }
        }
        let mut scaler = by_name("static:7", &bounds(1, 10)).unwrap();
        assert_eq!((scaler.tick(&Fleet::new(0).view()), scaler.name()), (7, "static:7"));
    }

    #[test]
    fn errors_say_what_there_is() {
        let error = |name: &str, assignment: Assignment<'_>| {
            tuned(name, &bounds(1, 10), assignment).err().map(|error| error.to_string())
        };
        let unknown = error("hpa", &[]).unwrap();
        assert!(unknown.contains("`hpa`") && unknown.contains("static:N, hpa-cpu"), "{unknown}");
        let variant = error("aibrix:fast", &[]).unwrap();
        assert!(variant.contains("`aibrix:corrected`"), "{variant}");
        let knob = error("skyserve", &[("qps", 1.0)]).unwrap();
        assert!(knob.contains("target_qps, upscale_delay_s"), "{knob}");
        assert!(error("static:many", &[]).unwrap().contains("static:4"));
    }
}
