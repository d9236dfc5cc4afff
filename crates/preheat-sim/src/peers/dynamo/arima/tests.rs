//! What the model is known to be: statsmodels' figures, and series that it made itself.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::polynomial::Coefficients;
use super::*;

const MONTHS: [f64; 12] =
    [112.0, 118.0, 132.0, 129.0, 121.0, 135.0, 148.0, 148.0, 136.0, 119.0, 104.0, 118.0];

fn model(intercept: f64, ar: &[f64], d: usize, ma: &[f64], variance: f64) -> StateSpace {
    let (ar, ma) = (Coefficients::new(ar), Coefficients::new(ma));
    StateSpace { intercept, ar, d, ma, variance }
}

/// `SARIMAX(MONTHS, order, trend).filter(parameters)` of statsmodels 0.15: `llf`, `forecast(1)`.
#[test]
fn likelihoods_and_forecasts_are_statsmodels() {
    let cases = [
        (model(1.5, &[0.4], 1, &[0.3], 150.0), -42.303_136_128_842_14, 131.245_593_871_186_03),
        (model(20.0, &[0.9, -0.1], 0, &[0.5], 90.0), -45.812_594_870_564_155, 125.515_443_540_284),
        (model(0.0, &[], 2, &[-0.6], 200.0), -40.628_840_123_073_07, 117.161_997_349_729_87),
        (model(0.0, &[0.95], 0, &[], 120.0), -54.214_247_638_970_846, 112.1),
    ];
    for (model, log_likelihood, next) in cases {
        let found = model.filter(&MONTHS).unwrap();
        assert!((found.log_likelihood - log_likelihood).abs() < 1e-6, "{model:?} {found:?}");
        assert!((found.next - next).abs() < 1e-6, "{model:?} {found:?}");
    }
}

/// `y = c + φ y₋₁ + ε + θ ε₋₁`, with ε of variance one, and what is to be expected next.
fn series(c: f64, phi: f64, theta: f64, count: usize) -> (Vec<f64>, f64) {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    // Irwin and Hall: twelve uniform numbers less six have variance one.
    let mut normal = || (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
    let (mut y, mut shock) = (c / (1.0 - phi), 0.0);
    let mut values = Vec::new();
    for _ in 0..count {
        let new = normal();
        y = c + phi * y + new + theta * shock;
        shock = new;
        values.push(y);
    }
    (values, c + phi * y + theta * shock)
}

#[test]
fn parameters_of_a_known_process_are_found_again() {
    for (c, phi, theta) in
        [(30.0, 0.7, 0.0), (150.0, -0.5, 0.0), (20.0, 0.8, 0.5), (9.0, 0.1, -0.7)]
    {
        let (values, _) = series(c, phi, theta, 1000);
        let order = Order { p: 1, d: 0, q: usize::from(theta != 0.0), has_intercept: true };
        let (found, _) = Arima::fit(&values, order).unwrap();
        let ma = found.model.ma.first().copied().unwrap_or(0.0);
        // Three standard errors of φ: 3 √(1 ÷ 1000) < 0.1.
        assert!((found.model.ar[0] - phi).abs() < 0.1, "{phi}: {found:?}");
        assert!((ma - theta).abs() < 0.1, "{theta}: {found:?}");
        assert!((found.model.variance - 1.0).abs() < 0.15, "{found:?}");
    }
}

#[test]
fn a_search_forecasts_what_a_known_process_is_expected_to_do() {
    for (c, phi, theta) in [(30.0, 0.7, 0.0), (20.0, 0.8, 0.5), (50.0, 0.0, 0.6)] {
        let (values, expected) = series(c, phi, theta, 200);
        let next = Arima::search(&values).unwrap().next(&values).unwrap();
        // A fifth of a standard deviation of what can't be known.
        assert!((next - expected).abs() < 0.2, "{phi} {theta}: {next} for {expected}");
    }
}

#[test]
fn a_straight_line_is_differenced_once_and_goes_on() {
    let line: Vec<f64> = (0..30).map(|n| 100.0 + 5.0 * f64::from(n)).collect();
    let found = Arima::search(&line).unwrap();
    assert_eq!(found.order(), Order { p: 0, d: 1, q: 0, has_intercept: true });
    let next = found.next(&line).unwrap();
    assert!((next - 250.0).abs() < 1e-4, "{next}");
}

#[test]
fn sums_of_noise_are_differenced_and_noise_is_not() {
    let (noise, _) = series(0.0, 0.0, 0.0, 200);
    let sums: Vec<f64> = noise.iter().scan(0.0, |sum, x| Some(add(sum, *x))).collect();
    let sums_of_sums: Vec<f64> = sums.iter().scan(0.0, |sum, x| Some(add(sum, *x))).collect();
    assert_eq!([&noise, &sums, &sums_of_sums].map(|series| differences(series)), [0, 1, 2]);
    assert_eq!(differences(&[5.0; 10]), 0);
}

fn add(sum: &mut f64, value: f64) -> f64 {
    *sum += value;
    *sum
}

#[test]
fn the_kpss_statistic_by_hand() {
    // Sums 1, 3, 0, 4, 0: 26 ÷ 25. One lag: 9.2 − 2 × ½ × 6.4 = 2.8.
    assert!((kpss(&[1.0, 2.0, -3.0, 4.0, -4.0]) - 1.04 / 2.8).abs() < 1e-12);
}

#[test]
fn an_update_keeps_the_orders_and_follows_the_series() {
    let (values, _) = series(30.0, 0.7, 0.0, 200);
    let mut found =
        Arima::fit(&values[..20], Order { p: 1, d: 0, q: 0, has_intercept: true }).unwrap().0;
    let order = found.order();
    for count in 21..=200 {
        found.update(&values[..count]);
    }
    assert_eq!(found.order(), order);
    assert!((found.model.ar[0] - 0.7).abs() < 0.15, "{found:?}");
}
