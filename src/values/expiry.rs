//! How long a circuit stays open.
//!
//! Pure functions on values. The progressive formula is
//! `min(max_expiry, initial_expiry × backoff_factor^n)` with n = trips − 1: exponential backoff,
//! capped. It is computed in floating point. An exponent that overflows becomes infinity, which is
//! above the cap. A product such as 5000 × 1.1 is not a whole number of milliseconds only because
//! 1.1 has no exact form. It is taken for the nearest whole number. All other products are rounded
//! up, so no expiry is shorter than configured.

use std::time::Duration;

use crate::values::settings::{self, ExpiryStrategy, Settings};

/// The longest time in ms for which a dependency can ask to be left alone: a day. Its request comes
/// from outside, and may be absurd.
pub(crate) const LONGEST_WAIT: u64 = 86_400_000;

/// The expiry in ms of the `trips`-th opening since the circuit was healthy,
/// counted from 1, before jitter.
pub(crate) fn expiry_ms(settings: &Settings, trips: u32) -> u64 {
    match settings.expiry_strategy {
        ExpiryStrategy::Fixed => settings.expiry,
        ExpiryStrategy::Progressive => progressive_ms(
            settings.initial_expiry,
            settings.max_expiry,
            settings.backoff_factor,
            trips.saturating_sub(1),
        ),
    }
}

/// The opening in ms that a dependency has asked for; `None` below one millisecond.
pub(crate) fn wait_ms(wait: Duration) -> Option<u64> {
    let ms = settings::given_ms(wait);
    (ms > 0).then_some(ms.min(LONGEST_WAIT))
}

fn progressive_ms(initial: u64, max: u64, factor: f64, n: u32) -> u64 {
    if n == 0 || factor == 1.0 {
        return initial.min(max);
    }
    let exact = initial as f64 * factor.powi(n.cast_signed());
    let nearest = exact.round();
    let whole = if (exact - nearest).abs() <= exact * 1e-12 {
        nearest
    } else {
        exact.ceil()
    };
    // If `whole` is too large for a `u64`, or not a number, the comparison is false.
    if whole < max as f64 {
        whole as u64
    } else {
        max
    }
}

/// `expiry` prolonged by a random part of `jitter × expiry`: uniformly spread over
/// `[expiry, expiry × (1 + jitter))`. It may exceed a maximum expiry, since a fleet that has
/// reached the maximum needs spreading most. `random` is any well-mixed number.
pub(crate) fn with_jitter(expiry: u64, jitter: f64, random: u64) -> u64 {
    if jitter == 0.0 {
        return expiry;
    }
    let unit = (random >> 11) as f64 / (1_u64 << 53) as f64;
    expiry.saturating_add((expiry as f64 * jitter * unit) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progressive(initial: u64, max: u64, factor: f64, trips: u32) -> u64 {
        expiry_ms(
            &Settings {
                expiry_strategy: ExpiryStrategy::Progressive,
                initial_expiry: initial,
                max_expiry: max,
                backoff_factor: factor,
                ..Settings::DEFAULT
            },
            trips,
        )
    }

    #[test]
    fn a_wait_is_rounded_up_and_a_day_at_most() {
        let wait = |nanos: u64| wait_ms(Duration::from_nanos(nanos));
        assert_eq!((wait(0), wait(999_999)), (None, None));
        assert_eq!((wait(1_000_000), wait(1_000_001)), (Some(1), Some(2)));
        assert_eq!(wait_ms(Duration::from_secs(86_400)), Some(LONGEST_WAIT));
        assert_eq!(wait_ms(Duration::MAX), Some(LONGEST_WAIT));
    }

    #[test]
    fn fixed_is_always_the_expiry() {
        for trips in [0, 1, 2, 255, u32::MAX] {
            assert_eq!(expiry_ms(&Settings::DEFAULT, trips), 60_000);
        }
    }

    #[test]
    fn five_seconds_double_until_the_cap() {
        let expiries: Vec<u64> = (1..=7)
            .map(|n| progressive(5_000, 60_000, 2.0, n))
            .collect();
        assert_eq!(
            expiries,
            [5_000, 10_000, 20_000, 40_000, 60_000, 60_000, 60_000]
        );
    }

    #[test]
    fn a_factor_without_an_exact_form_gives_whole_milliseconds() {
        assert_eq!(progressive(5_000, 60_000, 1.1, 2), 5_500);
        assert_eq!(progressive(5_000, 60_000, 1.1, 3), 6_050);
        assert_eq!(progressive(1_000, 60_000, 1.5, 4), 3_375);
        assert_eq!(progressive(1, 60_000, 1.5, 2), 2, "rounded up, never early");
    }

    #[test]
    fn no_exponent_and_no_factor_overflows() {
        for factor in [1.0, 1.000_1, 2.0, 1e10, 1e308, f64::MAX] {
            for initial in [1, 5_000, u64::MAX / 2, u64::MAX] {
                for max in [initial, initial.saturating_mul(10), u64::MAX] {
                    let mut last = 0;
                    for trips in [0, 1, 2, 3, 64, 255, 10_000, u32::MAX >> 1] {
                        let expiry = progressive(initial, max, factor, trips);
                        assert!(expiry >= last, "{factor} {initial} {max} {trips}");
                        assert!((initial..=max).contains(&expiry) || factor > 1.0 && expiry <= max);
                        last = expiry;
                    }
                }
            }
        }
    }

    #[test]
    fn jitter_only_ever_prolongs_and_stays_below_its_bound() {
        for random in [0, 1, u64::MAX / 2, u64::MAX] {
            assert_eq!(with_jitter(1_000, 0.0, random), 1_000);
            let spread = with_jitter(1_000, 0.5, random);
            assert!((1_000..1_500).contains(&spread), "{spread}");
            assert_eq!(with_jitter(u64::MAX, 1.0, random), u64::MAX);
        }
        assert!(with_jitter(1_000, 1.0, u64::MAX) > 1_900);
    }
}
