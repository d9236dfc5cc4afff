//! Who else writes the target's scale.
//!
//! preheat knows what it wrote last. A scale that asks for anything else was written by somebody
//! else, and two who write are worse than either alone: preheat steps back and says so.
//!
//! **Invariant:** what preheat wrote itself is never taken for somebody else's, not even when it died
//! between writing and noting it: what is about to be written is noted first, beside what was there.

/// What preheat last wrote, or was about to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The replicas it wrote.
    pub replicas: u32,
    /// What the scale asked for before, while it is not known whether the write arrived.
    pub before: Option<u32>,
}

impl Written {
    /// About to write `replicas` where `before` were asked for.
    pub const fn intended(replicas: u32, before: u32) -> Self {
        Self { replicas, before: Some(before) }
    }

    /// The write has arrived.
    pub const fn confirmed(replicas: u32) -> Self {
        Self { replicas, before: None }
    }

    /// Whether a scale that asks for `asked` is as preheat left it.
    pub fn explains(self, asked: u32) -> bool {
        asked == self.replicas || self.before == Some(asked)
    }
}

/// Why preheat stands back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// The scale is not what preheat wrote. It stands back until its own resource is changed.
    ForeignWrite {
        /// What preheat wrote.
        written: u32,
        /// What the scale asks for.
        asked: u32,
    },
    /// The same, found in the status that an earlier process left.
    Kept {
        /// As it was told then.
        message: String,
    },
    /// A HorizontalPodAutoscaler has the same target. It stands back for as long as that is so.
    Autoscaler {
        /// Its name.
        name: String,
    },
    /// One that reads the count itself, while preheat is to write. As long as that is so.
    Reader {
        /// Its name.
        name: String,
    },
    /// An older resource of this kind has the same target.
    SameTarget {
        /// Its name.
        name: String,
    },
}

impl Conflict {
    /// Whether it is about the target's scale alone. An older resource of the same target sees to its
    /// pods itself.
    pub const fn is_about_scale(&self) -> bool {
        !matches!(self, Self::SameTarget { .. })
    }

    /// One word, for a condition's reason.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::ForeignWrite { .. } | Self::Kept { .. } => FOREIGN_WRITE,
            Self::Autoscaler { .. } | Self::Reader { .. } => "HorizontalPodAutoscaler",
            Self::SameTarget { .. } => "SameTarget",
        }
    }

    /// What happened and what to do next.
    pub fn message(&self) -> String {
        match self {
            Self::ForeignWrite { written, asked } => format!(
                "somebody set the target to {asked} replicas after preheat wrote {written}; it only \
                 observes from here on. Once nobody else writes replicas, change this resource's \
                 spec (mode: Observe, then mode: Act) to let it act again"
            ),
            Self::Kept { message } => message.clone(),
            Self::Autoscaler { name } => format!(
                "the HorizontalPodAutoscaler {name} has the same target; delete it (or the \
                 ScaledObject that made it) to let preheat act"
            ),
            Self::Reader { name } => format!(
                "the HorizontalPodAutoscaler {name} reads preheat's count and writes the scale; set \
                 mode: Publish to let it, or delete it"
            ),
            Self::SameTarget { name } => format!(
                "the older InferenceAutoscaler {name} has the same target; delete one of them"
            ),
        }
    }
}

/// The reason of a conflict that outlives its cause.
pub const FOREIGN_WRITE: &str = "ForeignWrite";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_preheat_can_not_have_left_is_foreign() {
        let intended = Written::intended(5, 3);
        // The write may or may not have arrived when preheat died.
        assert!(intended.explains(5) && intended.explains(3));
        assert!(!intended.explains(4));
        let confirmed = Written::confirmed(5);
        assert!(confirmed.explains(5));
        assert!(!confirmed.explains(3));
    }

    #[test]
    fn conflicts_say_what_to_do() {
        let foreign = Conflict::ForeignWrite { written: 5, asked: 2 };
        assert!(foreign.message().contains("set the target to 2 replicas after preheat wrote 5"));
        assert_eq!(foreign.reason(), FOREIGN_WRITE);
    }
}
