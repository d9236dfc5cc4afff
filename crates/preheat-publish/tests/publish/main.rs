//! Both servers on real sockets, with the cluster's answers made up.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking, and tells on stdout what it leaves out"
)]

mod cluster;
mod external_metrics;
mod keda_itself;
mod scaler;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use preheat_publish::{Counts, Published, Refusal};
use tokio::sync::watch;

/// The counts of one resource, `chat` in `here`, that a test changes.
#[derive(Clone, Default)]
struct Chat {
    /// `None` for none.
    replicas: Arc<Mutex<Option<u32>>>,
    changes: watch::Sender<u64>,
    asked: Arc<AtomicU32>,
}

impl Chat {
    fn set(&self, replicas: Option<u32>) {
        *self.replicas.lock().unwrap() = replicas;
        self.changes.send_modify(|count| *count += 1);
    }

    fn counts(&self) -> Counts {
        let chat = self.clone();
        let ask = move |namespace: &str, name: &str| {
            chat.asked.fetch_add(1, Ordering::Relaxed);
            if (namespace, name) != ("here", "chat") {
                let (namespace, name) = (namespace.to_owned(), name.to_owned());
                return Err(Refusal::Unknown { namespace, name });
            }
            let replicas = *chat.replicas.lock().unwrap();
            let silent =
                || Refusal::Silent { name: name.to_owned(), why: "it is a test".to_owned() };
            Ok(Published { replicas: replicas.ok_or_else(silent)?, at: Timestamp::UNIX_EPOCH })
        };
        Counts::new(ask, self.changes.subscribe())
    }
}
