//! Half-open: when the probes have decided, and which share of the calls a ramp admits.
//!
//! Pure functions of the settings and of what was reported. The word keeps the counts
//! ([`state`](mod@crate::values::state)); here is what they mean.
//!
//! **By a rate** (`half_open_failure_rate`) the probes are a sample of `half_open_max_calls`
//! reports. The sample is decided as soon as the reports that are still to come cannot change the
//! result. Without a rate one failure opens the circuit, and `half_open_successes` close it.
//!
//! **A ramp** protects a dependency that has just recovered from the full load at once: its share
//! grows in proportion to the time. Rejected: a share that grows with the successes. It needs a
//! count that all threads share, and stands still where there are few calls.

use crate::values::settings::Settings;

/// What the reports of probes so far mean for their circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Undecided,
    Open,
    Recovered,
}

impl Settings {
    /// The verdict of so many reports.
    pub(crate) fn verdict(&self, successes: u32, failures: u32) -> Verdict {
        let (opens, recovers) = match self.half_open_failure_rate {
            Some(rate) => {
                let sample = self.half_open_max_calls;
                let least = least_failures(rate, sample);
                // With so many successes the rest of the sample is too few to reach the rate.
                (failures >= least, successes + least > sample)
            }
            None => (failures > 0, successes >= self.half_open_successes),
        };
        match (opens, recovers) {
            (true, _) => Verdict::Open,
            (false, true) => Verdict::Recovered,
            (false, false) => Verdict::Undecided,
        }
    }

    /// Whether a probe keeps its place after its report, since the places are a sample. False if a
    /// new setting has made the sample no larger than what was reported: then calls are admitted
    /// until a report decides.
    pub(crate) fn places_are_a_sample(&self, successes: u32, failures: u32) -> bool {
        self.half_open_failure_rate.is_some() && successes + failures < self.half_open_max_calls
    }

    /// Whether a probe that succeeds slowly counts as failed.
    pub(crate) fn counts_slow_probes(&self) -> bool {
        self.half_open_failure_rate.is_some()
            && self.slow_call_duration.is_some()
            && self.slow_call_rate.is_some()
    }

    /// The share of the calls that a ramp admits, `left` ms before its end.
    pub(crate) fn ramp_share(&self, left: u64) -> f64 {
        match self.ramp {
            Some(ramp) => (1.0 - left as f64 / ramp as f64).clamp(self.ramp_start, 1.0),
            // The setting was taken back while the ramp goes on.
            None => 1.0,
        }
    }
}

/// The least number of failures whose share of the sample reaches the rate.
fn least_failures(rate: f64, sample: u32) -> u32 {
    let reaches = |failures: u32| f64::from(failures) / f64::from(sample) >= rate;
    // The quotient decides, since 3 / 30 is the same number as 0.1. The product is rounded, and
    // only a first guess.
    let near = (rate * f64::from(sample)).round() as u32;
    let least = near.saturating_sub(1).max(1);
    (least..=sample)
        .find(|failures| reaches(*failures))
        .unwrap_or(sample)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_number_of_failures_is_exact() {
        for sample in (1..=300).chain([1_000, 65_535]) {
            for rate in [
                0.000_001,
                0.1,
                0.2,
                0.3,
                1.0 / 3.0,
                0.5,
                0.7,
                0.9,
                0.999,
                1.0,
            ] {
                let reaches = |failures: u32| f64::from(failures) / f64::from(sample) >= rate;
                let least = (1..=sample).find(|failures| reaches(*failures));
                assert_eq!(Some(least_failures(rate, sample)), least, "{rate} {sample}");
            }
        }
    }

    #[test]
    fn a_sample_is_decided_as_soon_as_the_rest_cannot_change_it() {
        for (rate, sample) in [(0.5, 4), (0.1, 30), (1.0, 3), (0.34, 3), (0.5, 1)] {
            let settings = Settings {
                half_open_failure_rate: Some(rate),
                half_open_max_calls: sample,
                ..Settings::DEFAULT
            };
            let opens = |failures: u32| f64::from(failures) / f64::from(sample) >= rate;
            for successes in 0..=sample {
                for failures in 0..=sample - successes {
                    let rest = sample - successes - failures;
                    let expected = match (opens(failures), opens(failures + rest)) {
                        (true, _) => Verdict::Open,
                        (_, false) => Verdict::Recovered,
                        _ => Verdict::Undecided,
                    };
                    let verdict = settings.verdict(successes, failures);
                    assert_eq!(verdict, expected, "{rate} {sample}: {successes} {failures}");
                }
            }
        }
    }

    #[test]
    fn without_a_rate_one_failure_opens_and_the_successes_recover() {
        let settings = Settings {
            half_open_successes: 2,
            ..Settings::DEFAULT
        };
        assert_eq!(settings.verdict(1, 0), Verdict::Undecided);
        assert_eq!(settings.verdict(2, 0), Verdict::Recovered);
        assert_eq!(settings.verdict(1, 1), Verdict::Open);
    }

    #[test]
    fn the_share_of_a_ramp_grows_with_the_time_from_its_start() {
        let settings = Settings {
            ramp: Some(1_000),
            ramp_start: 0.1,
            ..Settings::DEFAULT
        };
        for (left, share) in [(1_001, 0.1), (1_000, 0.1), (900, 0.1), (500, 0.5), (0, 1.0)] {
            assert!((settings.ramp_share(left) - share).abs() < 1e-9, "{left}");
        }
        let taken_back = Settings {
            ramp: None,
            ..settings
        };
        assert_eq!(taken_back.ramp_share(500), 1.0);
    }
}
