//! `preheat crd`: the resource's definition, on stdout.

use crate::failure::Answer;

pub(crate) fn run() -> anyhow::Result<Answer> {
    super::print(&preheat_kube::manifests::definition_yaml()?)?;
    Ok(Answer::Yes)
}
