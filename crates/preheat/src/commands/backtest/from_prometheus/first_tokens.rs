//! First tokens, and those of them that were within the SLO, by the buckets of the engines' histogram.
//!
//! **Invariant:** only the bounds around the SLO are asked for, of each replica: a histogram has two
//! dozen.

use preheat_compare::backtest::Cumulative;
use preheat_runtime::dialect::table::{Dialect, Signal};
use preheat_runtime::prometheus::Series;

use super::super::super::prometheus::failed;
use super::Asked;

/// All of each step, and those within the SLO, in seconds; `None` where nobody counted.
pub(super) async fn of(
    asked: &Asked<'_>,
    dialect: &Dialect,
    slo: f64,
) -> anyhow::Result<Vec<Option<(f64, f64)>>> {
    let unknown = vec![None; asked.steps];
    let Some(source) = dialect.sources(Signal::Ttft).first() else { return Ok(unknown) };
    let name = format!("{}_bucket", source.name);
    let hours = asked.hours();
    let query = format!("count by (le) ({})", hours.all(&asked.series_of(&[&name])));
    let found = asked.prometheus.hourly(hours, &query).await.map_err(failed)?;
    let bounds = Bounds::around(slo, found.iter().filter_map(|series| series.label("le")));
    let Some(bounds) = bounds else { return Ok(unknown) };
    let les: Vec<String> =
        bounds.les().map(|le| le.replace('.', r"\\.").replace('+', r"\\+")).collect();
    let buckets = format!("{{__name__=\"{name}\",le=~\"{}\",{}}}", les.join("|"), asked.selector);
    let query = asked.scraped.within(&buckets, asked.step);
    let found = asked.prometheus.range(&query, asked.from, asked.until, asked.step).await;
    let found = found.map_err(failed)?;
    let counted = |les: &[String]| {
        let is_of =
            |series: &&Series| series.label("le").is_some_and(|le| les.iter().any(|one| one == le));
        asked.counted(found.iter().filter(is_of))
    };
    let all = counted(&bounds.all);
    let below = bounds.below.as_ref().map(|(bound, les)| (*bound, counted(les)));
    let above = bounds.above.as_ref().map(|(bound, les)| (*bound, counted(les)));
    let step = |index: usize| {
        let at = |counter: &Cumulative| counter.counts.get(index).copied();
        let bucket = |of: &Option<(f64, Cumulative)>| Some((of.as_ref()?.0, at(&of.as_ref()?.1)?));
        let known = all.known.get(index).copied().unwrap_or(false);
        known.then(|| Some(within(at(&all)?, bucket(&below), bucket(&above), slo)))?
    };
    Ok((0..asked.steps).map(step).collect())
}

/// The bounds of a histogram around an SLO, each as it is written: versions of an engine differ in
/// that.
#[derive(Debug, PartialEq)]
struct Bounds {
    all: Vec<String>,
    below: Option<(f64, Vec<String>)>,
    above: Option<(f64, Vec<String>)>,
}

impl Bounds {
    fn around<'a>(slo: f64, les: impl Iterator<Item = &'a str>) -> Option<Self> {
        let parsed = les.filter_map(|le| Some((le.parse::<f64>().ok()?, le.to_owned())));
        let mut les: Vec<(f64, String)> = parsed.filter(|(bound, _)| !bound.is_nan()).collect();
        les.sort_by(|a, b| a.0.total_cmp(&b.0));
        les.dedup();
        let named = |bound: f64| {
            let same = les.iter().filter(|(of, _)| *of == bound);
            same.map(|(_, le)| le.clone()).collect::<Vec<_>>()
        };
        let all = named(f64::INFINITY);
        let finite = || les.iter().map(|(bound, _)| *bound).filter(|bound| bound.is_finite());
        let below = finite().rfind(|bound| *bound <= slo).map(|bound| (bound, named(bound)));
        let above = finite().find(|bound| *bound > slo).map(|bound| (bound, named(bound)));
        (!all.is_empty()).then_some(Self { all, below, above })
    }

    fn les(&self) -> impl Iterator<Item = &String> {
        let around = self.below.iter().chain(&self.above).flat_map(|(_, les)| les);
        self.all.iter().chain(around)
    }
}

/// All of them, and those up to `slo`, on the line between the buckets around it.
fn within(all: f64, below: Option<(f64, f64)>, above: Option<(f64, f64)>, slo: f64) -> (f64, f64) {
    let (lower, before) = below.unwrap_or((0.0, 0.0));
    let inside = above.map_or(before, |(upper, through)| {
        before + (through - before) * (slo - lower) / (upper - lower)
    });
    (all, inside.clamp(0.0, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_that_the_slo_divides_is_divided() {
        let (one, three) = (Some((1.0, 10.0)), Some((3.0, 30.0)));
        assert_eq!(within(40.0, one, three, 2.0), (40.0, 20.0));
        assert_eq!(within(40.0, one, three, 1.0), (40.0, 10.0));
        assert_eq!(within(40.0, None, one, 0.5), (40.0, 5.0));
        // Beyond the last bound, nobody knows of those between.
        assert_eq!(within(40.0, three, None, 9.0), (40.0, 30.0));
    }

    #[test]
    fn the_bounds_around_an_slo_are_found_however_they_are_written() {
        let les = ["+Inf", "0.5", "10.0", "2.5", "1.0", "1", "NaN", "x"];
        let around = |slo| Bounds::around(slo, les.into_iter()).unwrap();
        let found = around(2.0);
        assert_eq!(found.all, ["+Inf"]);
        assert_eq!(found.below, Some((1.0, vec!["1.0".to_owned(), "1".to_owned()])));
        assert_eq!(found.above, Some((2.5, vec!["2.5".to_owned()])));
        assert_eq!((around(0.1).below, around(2.5).below.map(|it| it.0)), (None, Some(2.5)));
        assert_eq!(around(99.0).above, None);
        assert_eq!(Bounds::around(2.0, ["1.0"].into_iter()), None);
    }
}
