//! `preheat controller`: scales what runs in a cluster. Here, and only here, the cluster, the journal
//! and the admin server are wired to each other.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use preheat_api::status::{ClockStatus, Status};
use preheat_api::words;
use preheat_kube::{ControllerOptions, KubeController, LeaseOptions, PoolStatuses, StartError};
use preheat_local::StateDir;
use preheat_publish::{Certificate, Publisher, PublisherOptions, ScalerOptions, ServeError};
use preheat_runtime::clock::{Clock, TimeScale};
use preheat_runtime::journal::{Journal, JournalOptions};
use preheat_runtime::prometheus::{PodSource, Prometheus};
use preheat_web::{Admin, Source, StatusSource};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::up;
use super::why::JOURNAL_FILE;
use crate::cli::ControllerArgs;
use crate::failure::{Answer, hinted};

pub(crate) fn run(args: ControllerArgs) -> anyhow::Result<Answer> {
    super::log_to_stderr();
    super::runtime()?.block_on(control(args))
}

async fn control(args: ControllerArgs) -> anyhow::Result<Answer> {
    let stop = up::stop_signal()?;
    let state = StateDir::open(&args.state_dir).map_err(|error| {
        let hint = error.hint();
        hinted(error, hint)
    })?;
    let token = super::read_token(args.admin_token_file.as_deref())?;
    let admin = Admin::bind(args.admin, token)
        .await
        .map_err(|error| up::cannot_bind("--admin", args.admin, &error))?;
    let publishing = publishing(&args).await?;
    // A cluster's times are real ones.
    let clock = Clock::start(TimeScale::REAL);
    let failed = |error: StartError| {
        let hint = error.hint();
        hinted(error, hint)
    };
    let client = preheat_kube::connect(args.kubeconfig.as_deref(), args.context.as_deref())
        .await
        .map_err(failed)?;
    let publisher = match publishing {
        Some(options) => {
            let publisher = Publisher::start(options, client.clone()).await;
            Some(publisher.map_err(|error: ServeError| {
                let hint = error.hint();
                hinted(error, hint)
            })?)
        }
        None => None,
    };
    let journal_file = state.root().join(JOURNAL_FILE);
    let journal = Journal::open(&journal_file, JournalOptions::default());
    let instance = args.identity.unwrap_or_else(|| {
        // Different for each process on a machine, and for each start of it.
        format!("preheat-{}-{:x}", std::process::id(), clock.now().as_nanos())
    });
    let lease = (!args.no_lease).then(|| LeaseOptions {
        namespace: args.lease_namespace,
        name: preheat_kube::manifests::NAME.to_owned(),
        identity: instance.clone(),
    });
    let demand = args.source.config().map(Prometheus::new).transpose().map_err(|error| {
        let hint = error.hint();
        hinted(error, hint)
    })?;
    let metrics = demand.clone().filter(|_| !args.prometheus_for_demand_only);
    let metrics =
        metrics.map(|prometheus| PodSource { prometheus, pod_label: args.prometheus_pod_label });
    let options = ControllerOptions {
        namespace: args.namespace,
        lease,
        journal_file: journal_file.clone(),
        instance,
        metrics,
        demand,
        headline: words::headline,
    };
    let controller =
        KubeController::start(client, clock.clone(), Some(journal.clone()), options).await;
    let controller = controller.map_err(failed)?;
    let (stopping, stopped) = watch::channel(false);
    let status = status_source(controller.statuses(), clock, journal.clone());
    let source =
        Source { status, journal: Some(journal_file), controls: None, figures: None, live: true };
    let publisher_task = publisher
        .map(|publisher| tokio::spawn(publisher.serve(controller.counts(), stopped.clone())));
    let admin_task = tokio::spawn(admin.serve(source, up::until(stopped.clone())));
    let controller_task = tokio::spawn(controller.run(stopped));
    tracing::info!(admin = %args.admin, "watching the cluster");

    stop.await;
    tracing::info!("stopping: targets stay as they are");
    stopping.send_replace(true);
    controller_task.await.context("the controller failed")?;
    admin_task.await.context("the admin server failed")?;
    if let Some(task) = publisher_task {
        task.await.context("the servers of counts failed")?;
    }
    tokio::task::spawn_blocking(move || journal.close()).await?;
    Ok(Answer::Yes)
}

/// What is published and where; `None` for nothing.
async fn publishing(args: &ControllerArgs) -> anyhow::Result<Option<PublisherOptions>> {
    if args.external_metrics.is_none() && args.scaler.is_none() {
        return Ok(None);
    }
    let certificate = match (&args.tls_cert_file, &args.tls_key_file) {
        (Some(certificate), Some(key)) => {
            Certificate::Files { certificate: certificate.clone(), key: key.clone() }
        }
        (Some(_), None) | (None, Some(_) | None) => Certificate::Kept {
            namespace: args.lease_namespace.clone(),
            service: args.service.clone(),
        },
    };
    let external_metrics = match args.external_metrics {
        Some(address) => Some(bind("--external-metrics", address).await?),
        None => None,
    };
    let scaler = match args.scaler {
        Some(address) => Some(ScalerOptions {
            listener: bind("--scaler", address).await?,
            plain: args.scaler_plain,
            client_authority: args.scaler_client_ca_file.clone(),
        }),
        None => None,
    };
    Ok(Some(PublisherOptions { external_metrics, scaler, certificate }))
}

async fn bind(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| up::cannot_bind(flag, address, &error))
}

fn status_source(pools: PoolStatuses, clock: Clock, journal: Journal) -> StatusSource {
    let started_at = clock.now();
    Arc::new(move || {
        let now = clock.now();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_s: now.since(started_at).as_secs_f64(),
            clock: ClockStatus { scale: clock.anchor().scale.get(), now },
            journal: Some(journal.health()),
            gateway: None,
            pools: pools.get(),
        }
    })
}
