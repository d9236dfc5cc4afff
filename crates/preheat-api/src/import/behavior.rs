//! `behavior` of a HorizontalPodAutoscaler, which ScaledObject and others have as well.

use std::time::Duration;

use super::manifest::{Field, Section};
use super::{ImportError, Imported, SCALE_UP_REASON};

/// What the controller fills in where a manifest says nothing.
const WINDOW_DEFAULT: Duration = Duration::from_secs(300);
const PERIOD_DEFAULT: Duration = Duration::from_secs(15);

/// Reads it, with the controller's defaults.
pub(super) fn read(imported: &mut Imported, mut behavior: Section<'_>) -> Result<(), ImportError> {
    let up = behavior.section("scaleUp")?;
    let down = behavior.section("scaleDown")?;
    let up_is_off = is_disabled(&up);
    let down_is_off = is_disabled(&down);
    imported.pause = match (up_is_off, down_is_off) {
        (true, true) => Some("All"),
        (true, false) => Some("ScaleUp"),
        (false, true) => Some("ScaleDown"),
        (false, false) => None,
    };
    let kept = |field: &Field<'_>| !(up_is_off && field.path.ends_with(".selectPolicy"));
    imported.drop_all(up.rest().into_iter().filter(kept), SCALE_UP_REASON);
    scale_down(imported, down)?;
    imported.drop_rest(behavior, &[]);
    Ok(())
}

fn is_disabled(section: &Section<'_>) -> bool {
    let policy = section.clone().take("selectPolicy");
    policy.is_some_and(|field| field.text().is_ok_and(|text| text == "Disabled"))
}

fn scale_down(imported: &mut Imported, mut down: Section<'_>) -> Result<(), ImportError> {
    let window = down.take("stabilizationWindowSeconds");
    imported.keys.stabilization_window = Some(match &window {
        Some(field) => seconds(field)?,
        None => {
            let text = "5m, which is what the HPA's controller does when nothing is said";
            imported.assume("behavior.scaleDown.stabilizationWindow", text);
            WINDOW_DEFAULT
        }
    });
    let policies = match down.take("policies") {
        Some(field) => field.list()?,
        None => Vec::new(),
    };
    let select = down.take("selectPolicy");
    if let Some(field) = &select {
        match field.text()? {
            "Max" | "Disabled" => {}
            "Min" if policies.len() < 2 => {}
            "Min" => {
                imported.notes.push(field.note(
                    "preheat allows what the laxer of its two limits allows, not the stricter",
                ))
            }
            _ => return Err(field.must_be("`Max`, `Min` or `Disabled`")),
        }
    }
    limits(imported, &policies)?;
    imported.drop_rest(
        down,
        &[("tolerance", "preheat has no dead band: it shrinks when none of the window needed it")],
    );
    Ok(())
}

/// One limit by number and one by share fit, over one period.
fn limits(imported: &mut Imported, policies: &[Field<'_>]) -> Result<(), ImportError> {
    let (mut replicas, mut share): (Option<u32>, Option<f64>) = (None, None);
    let mut period: Option<Duration> = None;
    for policy in policies {
        let mut section = policy.section()?;
        let kind = section.need("type")?;
        let value = section.need("value")?;
        let within = seconds(&section.need("periodSeconds")?)?;
        let is_first = period.is_none_or(|period| period == within);
        match kind.text()? {
            "Pods" if is_first && replicas.is_none() => replicas = Some(value.count()?.max(1)),
            "Percent" if is_first && share.is_none() => {
                share = Some((f64::from(value.count()?) / 100.0).min(1.0));
            }
            "Pods" | "Percent" => {
                let why = "preheat has one limit by number and one by share, over one period";
                imported.notes.push(policy.note(why));
                continue;
            }
            _ => return Err(kind.must_be("`Pods` or `Percent`")),
        }
        period = Some(within);
        imported.drop_rest(section, &[]);
    }
    let keys = &mut imported.keys;
    match period {
        None => {
            // 100 % within 15 s: only the window holds a scale-down back.
            (keys.limit_share, keys.limit_period) = (Some(1.0), Some(PERIOD_DEFAULT));
            let text = "100 % within 15s, which is what the HPA's controller does when nothing is \
                        said; leave it out for preheat's own, which is gentler";
            imported.assume("behavior.scaleDown.limit", text);
        }
        Some(period) => {
            keys.limit_replicas = Some(replicas.unwrap_or(1));
            keys.limit_share = Some(share.unwrap_or(0.0));
            keys.limit_period = Some(period);
        }
    }
    Ok(())
}

/// A whole number of seconds.
pub(super) fn seconds(field: &Field<'_>) -> Result<Duration, ImportError> {
    field.count().map(|seconds| Duration::from_secs(u64::from(seconds)))
}
