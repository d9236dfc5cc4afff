//! `kubectl preheat`: what a cluster's preheat does, from what its resources say.

use jiff::Timestamp;
use preheat_kube::plugin::{self, PluginError};

use crate::cli::{ClusterArgs, KubectlArgs, KubectlQuestion};
use crate::failure::{Answer, hinted};

pub(crate) fn run(args: &KubectlArgs) -> anyhow::Result<Answer> {
    let text = super::runtime()?.block_on(async {
        match &args.question {
            KubectlQuestion::Status { cluster, all_namespaces } => {
                status(cluster, *all_namespaces).await
            }
            KubectlQuestion::Nodes { name, cluster, all_namespaces, weights_gb, cache_gb } => {
                let cache = cache_gb.map(|cache_gb| Cache { weights_gb, cache_gb });
                nodes(cluster, name.as_deref(), *all_namespaces, cache).await
            }
            KubectlQuestion::Why { name, cluster } => why(cluster, name.as_deref()).await,
        }
    })?;
    super::print(&text)?;
    Ok(Answer::Yes)
}

async fn status(args: &ClusterArgs, all: bool) -> anyhow::Result<String> {
    let (client, namespace) = connect(args).await?;
    let wanted = (!all).then_some(namespace.as_str());
    let resources = plugin::resources(&client, wanted).await.map_err(failed)?;
    if resources.is_empty() {
        let place =
            if all { "the cluster".to_owned() } else { format!("the namespace {namespace}") };
        return Ok(format!("no InferenceAutoscaler in {place}\n"));
    }
    Ok(plugin::status(&resources, all, Timestamp::now()))
}

/// What is known of weights and of the room for them.
struct Cache<'a> {
    weights_gb: &'a [(String, f64)],
    cache_gb: f64,
}

async fn nodes(
    args: &ClusterArgs,
    name: Option<&str>,
    all: bool,
    cache: Option<Cache<'_>>,
) -> anyhow::Result<String> {
    let (client, namespace) = connect(args).await?;
    let resources = match name {
        Some(name) => vec![plugin::resource(&client, &namespace, name).await.map_err(failed)?],
        None => {
            let wanted = (!all).then_some(namespace.as_str());
            plugin::resources(&client, wanted).await.map_err(failed)?
        }
    };
    let nodes = plugin::nodes(&client).await.map_err(failed)?;
    let mut rows = Vec::new();
    let (mut models, mut unknown) = (Vec::new(), String::new());
    for resource in &resources {
        let pods = plugin::pods(&client, resource).await.map_err(failed)?;
        let mine = plugin::node_rows(resource, &pods, &nodes);
        let name = resource.metadata.name.as_deref().unwrap_or_default();
        let size = cache.iter().flat_map(|cache| cache.weights_gb).find(|(of, _)| of == name);
        match size.map(|(_, gb)| plugin::model(resource, &mine, bytes(*gb))) {
            Some(Ok(model)) => models.push(model),
            Some(Err(problem)) => unknown.push_str(&format!("no advice on {name}: {problem}\n")),
            None => {}
        }
        rows.extend(mine);
    }
    if rows.is_empty() {
        let what = "no InferenceAutoscaler with a pod, or no node that may take one";
        return Ok(format!("{what}\n"));
    }
    let mut text = plugin::node_table(&rows);
    if let Some(cache) = cache {
        let advice = plugin::advise(&models, bytes(cache.cache_gb));
        text.push_str(&format!("\n{}{unknown}", plugin::advice_text(&advice, &rows)));
    }
    Ok(text)
}

fn bytes(gb: f64) -> u64 {
    (gb * 1e9) as u64
}

async fn why(args: &ClusterArgs, name: Option<&str>) -> anyhow::Result<String> {
    let (client, namespace) = connect(args).await?;
    let resources = match name {
        Some(name) => {
            vec![plugin::resource(&client, &namespace, name).await.map_err(failed)?]
        }
        None => plugin::resources(&client, Some(&namespace)).await.map_err(failed)?,
    };
    if resources.is_empty() {
        return Ok(format!("no InferenceAutoscaler in the namespace {namespace}\n"));
    }
    let mut texts = Vec::new();
    for resource in &resources {
        let events = plugin::events(&client, resource).await.map_err(failed)?;
        texts.push(plugin::why(resource, &events, Timestamp::now()));
    }
    Ok(texts.join("\n"))
}

async fn connect(args: &ClusterArgs) -> anyhow::Result<(preheat_kube::Client, String)> {
    let client = preheat_kube::connect(args.kubeconfig.as_deref(), args.context.as_deref())
        .await
        .map_err(|error| {
        let hint = error.hint();
        hinted(error, hint)
    })?;
    let namespace = args.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    Ok((client, namespace))
}

fn failed(error: PluginError) -> anyhow::Error {
    let hint = error.hint();
    hinted(error, hint)
}
