//! The requests: parts by formula and recorded ones, laid over each other.

use std::time::Duration;

use preheat_engine::EngineConfig;
use preheat_traffic::{
    EmbeddedTrace, GAP_CV_MAX, LengthDistribution, LengthLaw, LengthMix, LogNormalTokens,
    MixChange, RATE_SCALE_MAX, RateShape, Shaping, SyntheticPart, TokenLaw, Trace, TrafficError,
    embedded, read_file, superpose,
};
use serde_saphyr::{Location, Spanned};

use crate::error::{ScenarioError, Source, out_of_range};
use crate::limits::Limits;
use crate::values::{DurationText, Set, at, at_least_one, duration_or, number, one_of};
use crate::wire::{LengthsWire, PartWire, TokensWire, TraceWire};

/// A longer part is no scenario: two weeks at a second each are a million bins.
const LASTS_MAX: Duration = Duration::from_secs(14 * 86_400);
/// Requests per second: a thousand replicas' worth, and ten million requests in seventeen minutes.
const RATE: std::ops::RangeInclusive<f64> = 0.0..=10_000.0;
/// Mean tokens: the longest contexts there are.
const TOKENS_MEAN: std::ops::RangeInclusive<f64> = 1.0..=10_000_000.0;
/// Where log-normal tokens are cut, as a multiple of their 99th percentile.
const TOKENS_MAX_PER_P99: f64 = 4.0;

/// What all parts are drawn with.
#[derive(Clone, Copy)]
pub(crate) struct Drawing<'a> {
    pub(crate) lengths: Option<&'a Spanned<LengthsWire>>,
    pub(crate) engine: &'a EngineConfig,
    pub(crate) seed: u64,
    pub(crate) limits: &'a Limits,
}

pub(crate) fn resolve(
    parts: &Spanned<Vec<Spanned<PartWire>>>,
    drawing: Drawing<'_>,
    source: &Source<'_>,
) -> Result<Trace, ScenarioError> {
    let here = Some(parts.referenced);
    let mut traces = Vec::new();
    let mut requests = 0;
    for (number, part) in (0..).zip(&parts.value) {
        let Drawing { lengths, engine, seed, limits } = drawing;
        let from = duration_or(&part.value.from, Duration::ZERO);
        limits.check_moment("traffic.from", from, at(&part.value.from), source)?;
        let reader = Reader { part, lengths, engine, seed, number, limits, source };
        let trace = reader.trace()?;
        requests += trace.requests.len();
        limits.check_requests(requests as f64, here, source)?;
        traces.push((from, trace));
    }
    let trace = superpose(traces).map_err(|error| source.error(here, chain(&error)))?;
    source.require(!trace.requests.is_empty(), here, || {
        "`traffic` has no request; give it a part with a rate above 0".to_owned()
    })?;
    Ok(trace)
}

/// One part, and what it is read with.
struct Reader<'a> {
    part: &'a Spanned<PartWire>,
    lengths: Option<&'a Spanned<LengthsWire>>,
    engine: &'a EngineConfig,
    seed: u64,
    number: u32,
    limits: &'a Limits,
    source: &'a Source<'a>,
}

impl Reader<'_> {
    fn trace(&self) -> Result<Trace, ScenarioError> {
        let wire = &self.part.value;
        let given = [
            ("constant", at(&wire.constant)),
            ("ramp", at(&wire.ramp)),
            ("sinusoid", at(&wire.sinusoid)),
            ("onOff", at(&wire.on_off)),
            ("burst", at(&wire.burst)),
            ("trace", at(&wire.trace)),
        ];
        one_of("a part of `traffic`", &given, self.part.referenced, self.source)?;
        if let Some(trace) = &wire.trace {
            return self.recorded(trace);
        }
        let lasts = self.lasts()?;
        let gap_cv = match &wire.gap_cv {
            Some(cv) => number("gapCv", cv, 0.0..=GAP_CV_MAX, self.source)?,
            None => 1.0,
        };
        let lengths = wire.lengths.as_ref().or(self.lengths).ok_or_else(|| {
            let message = "a part of `traffic` has no `lengths`, and the scenario has none either";
            self.source.error(Some(self.part.referenced), message)
        })?;
        let lengths = self.mix(lengths)?;
        let part = SyntheticPart { lasts, shape: self.shape(lasts)?, gap_cv, lengths };
        let here = Some(self.part.referenced);
        self.limits.check_requests(part.requests_expected(), here, self.source)?;
        let trace = part.trace(self.seed, self.number);
        trace.map_err(|error| self.source.error(Some(self.part.referenced), chain(&error)))
    }

    fn lasts(&self) -> Result<Duration, ScenarioError> {
        let Some(lasts) = &self.part.value.lasts else {
            let message = "a part of `traffic` must have `lasts`, unless it is a `trace`";
            return Err(self.source.error(Some(self.part.referenced), message));
        };
        let inside = !lasts.value.0.is_zero() && lasts.value.0 <= LASTS_MAX;
        self.source.require(inside, Some(lasts.referenced), || {
            out_of_range("lasts", format!("{:?}", lasts.value.0), "above 0s and at most 14d")
        })?;
        self.limits.check_moment("lasts", lasts.value.0, Some(lasts.referenced), self.source)?;
        Ok(lasts.value.0)
    }

    fn rate(&self, key: &str, value: &Spanned<f64>) -> Result<f64, ScenarioError> {
        number(key, value, RATE, self.source)
    }

    fn positive(
        &self,
        key: &str,
        value: &Spanned<DurationText>,
    ) -> Result<Duration, ScenarioError> {
        self.source.require(!value.value.0.is_zero(), Some(value.referenced), || {
            out_of_range(key, "0s", "above 0s")
        })?;
        Ok(value.value.0)
    }

    fn shape(&self, lasts: Duration) -> Result<RateShape, ScenarioError> {
        let wire = &self.part.value;
        if let Some(Spanned { value: ramp, .. }) = &wire.ramp {
            let to = self.rate("ramp.rateEnd", &ramp.rate_end)?;
            return Ok(RateShape::Ramp { from: self.rate("ramp.rate", &ramp.rate)?, to });
        }
        if let Some(Spanned { value: wave, .. }) = &wire.sinusoid {
            let low = self.rate("sinusoid.low", &wave.low)?;
            let high = self.rate("sinusoid.high", &wave.high)?;
            self.source.require(low <= high, Some(wave.low.referenced), || {
                out_of_range("sinusoid.low", low, &format!("at most high, which is {high}"))
            })?;
            let period = self.positive("sinusoid.period", &wave.period)?;
            let peak_at = duration_or(&wave.peak_at, period / 2);
            return Ok(RateShape::Sinusoid { low, high, period, peak_at });
        }
        if let Some(Spanned { value: on_off, .. }) = &wire.on_off {
            let off = on_off.rate_off.as_ref();
            return Ok(RateShape::OnOff {
                rate: self.rate("onOff.rate", &on_off.rate)?,
                rate_off: off.map_or(Ok(0.0), |rate| self.rate("onOff.rateOff", rate))?,
                on: self.positive("onOff.on", &on_off.on)?,
                off: self.positive("onOff.off", &on_off.off)?,
            });
        }
        if let Some(Spanned { value: burst, referenced, .. }) = &wire.burst {
            let rise = duration_or(&burst.rise, Duration::ZERO);
            let fall = duration_or(&burst.fall, Duration::ZERO);
            self.source.require(rise.saturating_add(fall) <= lasts, Some(*referenced), || {
                let value = format!("{rise:?} + {fall:?}");
                out_of_range("burst.rise + burst.fall", value, &format!("at most {lasts:?}"))
            })?;
            return Ok(RateShape::Burst {
                rate: self.rate("burst.rate", &burst.rate)?,
                rise,
                fall,
            });
        }
        let Some(constant) = &wire.constant else {
            return Ok(RateShape::Constant { rate: 0.0 });
        };
        Ok(RateShape::Constant { rate: self.rate("constant.rate", &constant.value.rate)? })
    }

    /// A recorded trace, whose file is looked for beside the scenario's.
    fn recorded(&self, wire: &Spanned<TraceWire>) -> Result<Trace, ScenarioError> {
        let part = &self.part.value;
        let pointless = [
            ("lasts", at(&part.lasts)),
            ("gapCv", at(&part.gap_cv)),
            ("lengths", at(&part.lengths)),
        ];
        for (key, place) in pointless {
            self.source.require(place.is_none(), place, || {
                format!("`{key}` has no meaning for a `trace`, which brings its own requests")
            })?;
        }
        let TraceWire { name, file, rate_scale, from, until } = &wire.value;
        let given = [("name", at(name)), ("file", at(file))];
        one_of("`trace`", &given, wire.referenced, self.source)?;
        let scale = rate_scale.as_ref().map_or(1.0, |scale| scale.value);
        self.source.require(scale > 0.0 && scale <= RATE_SCALE_MAX, at(rate_scale), || {
            let allowed = format!("above 0 and at most {RATE_SCALE_MAX}");
            out_of_range("trace.rateScale", scale, &allowed)
        })?;
        self.limits.check_trace(&wire.value, wire.referenced, self.source)?;
        let shaping = Shaping {
            from: duration_or(from, Duration::ZERO),
            until: until.as_ref().map(|until| until.value.0),
            rate_scale: scale,
            seed: self.seed,
            ..Shaping::default()
        };
        let shaped = match (name, file) {
            (Some(name), _) => {
                embedded(embedded_trace("trace.name", name, self.source)?, self.seed)
                    .shaped(&shaping)
            }
            (None, Some(file)) => {
                let folder = self.source.file.parent().unwrap_or(self.source.file);
                read_file(&folder.join(&file.value), None)
                    .and_then(|recording| recording.into_trace(&shaping))
            }
            (None, None) => Ok(Trace::default()),
        };
        let here = Some(wire.referenced);
        shaped.map_err(|error| self.source.error(here, format!("`trace`: {}", chain(&error))))
    }

    fn mix(&self, wire: &Spanned<LengthsWire>) -> Result<LengthMix, ScenarioError> {
        let LengthsWire { input, output, like, becomes } = &wire.value;
        let before = self.lengths("lengths", input, output, like, wire.referenced)?;
        let Some(becomes) = becomes else { return Ok(LengthMix::constant(before)) };
        let (new, here) = (&becomes.value, becomes.referenced);
        let after = self.lengths("lengths.becomes", &new.input, &new.output, &new.like, here)?;
        let over = duration_or(&new.over, Duration::ZERO);
        let change = MixChange { from: new.from.value.0, over, after };
        Ok(LengthMix { before, change: Some(change) })
    }

    fn lengths(
        &self,
        key: &str,
        input: &Set<TokensWire>,
        output: &Set<TokensWire>,
        like: &Set<String>,
        whole: Location,
    ) -> Result<LengthLaw, ScenarioError> {
        let law = match (input, output, like) {
            (Some(input), Some(output), None) => LengthLaw::Each {
                input: self.tokens(&format!("{key}.input"), input)?,
                output: self.tokens(&format!("{key}.output"), output)?,
            },
            (None, None, Some(like)) => {
                let of = embedded_trace(&format!("{key}.like"), like, self.source)?;
                LengthLaw::Joint(LengthDistribution::embedded(of))
            }
            (_, _, _) => {
                let message = format!("`{key}` must have `input` and `output`, or `like`");
                return Err(self.source.error(Some(whole), message));
            }
        };
        let (most, fits) = (law.total_max(), u64::from(self.engine.max_model_len));
        self.source.require(most <= fits, Some(whole), || {
            format!(
                "`{key}` has requests of up to {most} tokens; the engine takes at most {fits}: \
                 lower `max`"
            )
        })?;
        Ok(law)
    }

    fn tokens(&self, key: &str, wire: &Spanned<TokensWire>) -> Result<TokenLaw, ScenarioError> {
        let TokensWire { fixed, mean, p99, max } = &wire.value;
        let (mean, p99) = match (fixed, mean, p99, max) {
            (Some(fixed), None, None, None) => {
                let tokens = at_least_one(&format!("{key}.fixed"), fixed, self.source)?;
                return Ok(TokenLaw::Fixed(tokens));
            }
            (None, Some(mean), Some(p99), _) => (mean, p99),
            (_, _, _, _) => {
                let message = format!("`{key}` must have `fixed`, or `mean` and `p99`");
                return Err(self.source.error(Some(wire.referenced), message));
            }
        };
        let mean = number(&format!("{key}.mean"), mean, TOKENS_MEAN, self.source)?;
        let largest = match max {
            Some(max) => at_least_one(&format!("{key}.max"), max, self.source)?,
            None => (p99.value * TOKENS_MAX_PER_P99) as u32,
        };
        let law = LogNormalTokens::new(mean, p99.value, largest).ok_or_else(|| {
            let most = LogNormalTokens::P99_PER_MEAN_MAX;
            let allowed = format!("above mean, which is {mean}, by a factor of at most {most}");
            let message = out_of_range(&format!("{key}.p99"), p99.value, &allowed);
            self.source.error(Some(p99.referenced), message)
        })?;
        Ok(TokenLaw::LogNormal(law))
    }
}

fn embedded_trace(
    key: &str,
    name: &Spanned<String>,
    source: &Source<'_>,
) -> Result<EmbeddedTrace, ScenarioError> {
    EmbeddedTrace::from_name(&name.value).ok_or_else(|| {
        let known = EmbeddedTrace::ALL.map(EmbeddedTrace::name).join(", ");
        let message = out_of_range(key, &name.value, &format!("one of {known}"));
        source.error(Some(name.referenced), message)
    })
}

/// An error and what caused it, in one line.
fn chain(error: &TrafficError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
