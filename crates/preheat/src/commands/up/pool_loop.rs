//! One pool's loop: observe, decide, apply, wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use preheat_api::schedule::Schedules;
use preheat_api::words;
use preheat_core::{Action, Controls, Explanation, Observation, Plan};
use preheat_local::LocalWorld;
use preheat_runtime::clock::Clock;
use preheat_runtime::control_board::ControlBoard;
use preheat_runtime::controller::Controller;
use preheat_runtime::journal::Journal;
use preheat_runtime::quota_board::QuotaBoard;
use preheat_runtime::routing::PoolId;
use preheat_runtime::traffic_meter::PoolMeter;
use tokio::sync::watch;

/// A controller that the loop ticks and the status reads.
#[derive(Clone, Debug)]
pub(super) struct SharedController(Arc<Mutex<Controller>>);

impl SharedController {
    pub(super) fn lock(&self) -> MutexGuard<'_, Controller> {
        // A tick that panicked leaves the memory of the tick before: still sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What pools have in common.
pub(super) struct Shared {
    /// Where GPUs are shared with other pools; `None` where there are none to share.
    pub(super) quota: Option<Arc<QuotaBoard>>,
    /// What operators have ordered; `None` where they may not.
    pub(super) controls: Option<Arc<ControlBoard>>,
}

/// Everything that one pool's loop works with.
pub(super) struct PoolLoop {
    pool: PoolId,
    controller: SharedController,
    world: Arc<LocalWorld>,
    meter: Arc<PoolMeter>,
    schedules: Schedules,
    shared: Shared,
    clock: Clock,
}

impl PoolLoop {
    /// `None` when the world has no such pool.
    pub(super) fn new(
        controller: Controller,
        schedules: Schedules,
        journal: &Journal,
        world: &Arc<LocalWorld>,
        shared: Shared,
        clock: &Clock,
    ) -> Option<Self> {
        let pool = controller.pool().clone();
        let meter = world.meter(&pool)?;
        let controller = controller.with_journal(journal.clone());
        let controller = SharedController(Arc::new(Mutex::new(controller)));
        let (world, clock) = (Arc::clone(world), clock.clone());
        Some(Self { pool, controller, world, meter, schedules, shared, clock })
    }

    pub(super) fn controller(&self) -> SharedController {
        self.controller.clone()
    }

    /// Ticks until stopped.
    pub(super) async fn run(self, mut stopped: watch::Receiver<bool>) {
        loop {
            let Some(next_tick_at) = self.tick().await else { return };
            tokio::select! {
                () = self.clock.sleep_until(next_tick_at) => {}
                _sent = stopped.wait_for(|stopped| *stopped) => break,
            }
        }
        self.controller.lock().shutdown(self.clock.now());
    }

    /// One tick; when the next is due, or `None` when the pool is gone.
    async fn tick(&self) -> Option<preheat_core::Instant> {
        let seen = self.world.observe(&self.pool).await.ok()?;
        let now = self.clock.now();
        let (controls, announced) = match &self.shared.controls {
            Some(board) => board.at(&self.pool.0, now),
            None => (Controls::default(), Vec::new()),
        };
        let mut scheduled = self.schedules.demand(now);
        scheduled.extend(announced);
        let plan = {
            let mut controller = self.controller.lock();
            let observation = Observation {
                tick: controller.next_tick(),
                now,
                replicas: seen.replicas,
                gateway: Some(self.meter.take(now)),
                demand: None,
                replicas_placeable: seen.replicas_placeable,
                placeable_on: Vec::new(),
                replicas_allowed: None,
                scheduled,
                controls,
            };
            let ticked = match &self.shared.quota {
                Some(board) => board.tick(&mut controller, observation),
                None => controller.tick(observation),
            };
            self.tell(&ticked.plan, ticked.entry.body.explanation());
            ticked.plan
        };
        self.world.apply(&self.pool, &plan.actions).await.ok()?;
        for action in &plan.actions {
            if let Action::Stop { replica, .. } = action {
                self.meter.forget(*replica);
            }
        }
        Some(plan.next_tick_at)
    }

    /// One line per change.
    fn tell(&self, plan: &Plan, explanation: Option<&Explanation>) {
        let Some(explanation) = explanation else { return };
        if !plan.actions.is_empty() {
            tracing::info!(
                pool = %self.pool,
                desired = plan.desired.0,
                reason = explanation.reason.name(),
                "{}",
                words::headline(plan, explanation)
            );
        }
    }
}
