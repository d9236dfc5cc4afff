//! Whether a lease may be taken.
//!
//! **Invariant:** pure. That another's lease has run out is judged by how long this process has seen
//! it unchanged, never by the times that are written in it.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::LeaseSpec;
use preheat_core::Instant;

/// One contender's view of the lease.
#[derive(Debug)]
pub(super) struct Election {
    identity: String,
    /// For a lease that does not say how long it is good for.
    duration: Duration,
    /// Another's lease, and since when it has been seen as it is.
    seen: Option<(LeaseSpec, Instant)>,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Somebody holds it.
    Wait,
    /// Take or renew it.
    Take {
        /// How often it has changed hands, this time included.
        transitions: i32,
    },
}

impl Election {
    pub(super) fn new(identity: &str, duration: Duration) -> Self {
        Self { identity: identity.to_owned(), duration, seen: None }
    }

    /// Looks at the lease as it is at `now`; `None` where there is none.
    pub(super) fn step(&mut self, lease: Option<&LeaseSpec>, now: Instant) -> Step {
        let Some(lease) = lease else { return Step::Take { transitions: 0 } };
        let transitions = lease.lease_transitions.unwrap_or(0);
        let next = Step::Take { transitions: transitions.saturating_add(1) };
        match lease.holder_identity.as_deref() {
            Some(holder) if holder == self.identity => {
                self.seen = None;
                return Step::Take { transitions };
            }
            None | Some("") => return next,
            Some(_) => {}
        }
        let since = match &self.seen {
            Some((seen, since)) if seen == lease => *since,
            _ => {
                self.seen = Some((lease.clone(), now));
                now
            }
        };
        let stated = lease.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let good_for = stated.map_or(self.duration, Duration::from_secs);
        if now.since(since) > good_for { next } else { Step::Wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, transitions: i32) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant::ORIGIN.saturating_add(Duration::from_secs(seconds))
    }

    #[test]
    fn what_nobody_holds_is_taken() {
        let mut election = Election::new("a", Duration::from_secs(15));
        assert_eq!(election.step(None, at(0)), Step::Take { transitions: 0 });
        assert_eq!(election.step(Some(&lease("", 3)), at(1)), Step::Take { transitions: 4 });
        // Renewing is no transition.
        assert_eq!(election.step(Some(&lease("a", 4)), at(2)), Step::Take { transitions: 4 });
    }

    #[test]
    fn anothers_lease_is_taken_only_after_it_was_seen_unchanged_for_its_duration() {
        let mut election = Election::new("a", Duration::from_secs(15));
        let held = lease("b", 0);
        assert_eq!(election.step(Some(&held), at(100)), Step::Wait);
        assert_eq!(election.step(Some(&held), at(115)), Step::Wait);
        // Renewed at the last moment.
        let mut renewed = held;
        renewed.lease_transitions = Some(1);
        assert_eq!(election.step(Some(&renewed), at(116)), Step::Wait);
        assert_eq!(election.step(Some(&renewed), at(131)), Step::Wait);
        assert_eq!(election.step(Some(&renewed), at(132)), Step::Take { transitions: 2 });
    }

    #[test]
    fn a_lease_that_says_nothing_is_good_for_the_usual_time() {
        let mut election = Election::new("a", Duration::from_secs(15));
        let held = LeaseSpec { holder_identity: Some("b".to_owned()), ..LeaseSpec::default() };
        assert_eq!(election.step(Some(&held), at(0)), Step::Wait);
        assert_eq!(election.step(Some(&held), at(16)), Step::Take { transitions: 1 });
    }
}
