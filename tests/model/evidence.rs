//! The evidence for the rates of one circuit: a list of reports, and the definition of the counts.

use crate::effective::Effective;

/// The window of the rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// A time in ms, in ten buckets.
    Time(u64),
    /// A number of reports.
    Calls(usize),
}

/// The number of buckets of a window.
const BUCKETS: u64 = 10;

impl Shape {
    fn bucket(length: u64, at: u64) -> u64 {
        at * BUCKETS / length
    }

    /// The time at which a bucket begins.
    fn start_of(length: u64, bucket: u64) -> u64 {
        (bucket * length).div_ceil(BUCKETS)
    }
}

#[derive(Clone, Copy, Debug)]
struct Report {
    at: u64,
    period: u64,
    failed: bool,
    slow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Counts {
    pub calls: u64,
    pub failures: u64,
    pub slow: u64,
}

impl Counts {
    /// The rate that opens the circuit, if one does.
    fn fire(self, settings: &Effective) -> Option<&'static str> {
        let reaches = |count: u64, rate: Option<f64>| {
            rate.is_some_and(|rate| count as f64 / self.calls as f64 >= rate)
        };
        if self.calls < u64::from(settings.minimum_calls) {
            None
        } else if reaches(self.failures, settings.failure_rate) {
            Some("failure_rate")
        } else if reaches(self.slow, settings.rate_of_slow()) {
            Some("slow_call_rate")
        } else {
            None
        }
    }
}

/// Every report to a circuit that was closed or in a ramp, since the last reset and the last new
/// shape.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    shape: Option<Shape>,
    reports: Vec<Report>,
    /// The counts when a report opened the circuit. Forgotten when the circuit closes, or opens in
    /// another way.
    opening: Option<Counts>,
}

impl Evidence {
    /// Adopts a shape. A new shape begins with no reports. The counts of the opening stay.
    pub fn fit(&mut self, shape: Option<Shape>) {
        if self.shape != shape {
            *self = Evidence {
                shape,
                opening: self.opening,
                reports: Vec::new(),
            };
        }
    }

    pub fn forget(&mut self) {
        self.reports.clear();
    }

    pub fn forget_opening(&mut self) {
        self.opening = None;
    }

    pub fn report(&mut self, at: u64, period: u64, failed: bool, slow: bool) {
        self.reports.push(Report {
            at,
            period,
            failed,
            slow,
        });
    }

    /// The counts in `period`.
    pub fn counts(&self, now: u64, period: u64) -> Option<Counts> {
        let of_period = self.reports.iter().filter(|report| report.period == period);
        let counting: Vec<&Report> = match self.shape? {
            Shape::Time(length) => {
                let bucket = |at: u64| Shape::bucket(length, at);
                let first = (bucket(now) + 1).saturating_sub(BUCKETS);
                of_period
                    .filter(|report| bucket(report.at) >= first)
                    .collect()
            }
            Shape::Calls(calls) => of_period.rev().take(calls).collect(),
        };
        let count = |which: fn(&Report) -> bool| {
            counting.iter().filter(|report| which(report)).count() as u64
        };
        Some(Counts {
            calls: count(|_| true),
            failures: count(|report| report.failed),
            slow: count(|report| report.slow),
        })
    }

    /// The rate that opens the circuit, if one does.
    pub fn fire(&self, now: u64, period: u64, settings: &Effective) -> Option<&'static str> {
        self.counts(now, period)?.fire(settings)
    }

    /// Keeps the counts in `period`, since a report opens the circuit.
    pub fn note_opening(&mut self, now: u64, period: u64) {
        self.opening = self.counts(now, period);
    }

    pub fn at_opening(&self) -> Option<Counts> {
        self.opening
    }

    /// The times at which reports leave the window, and at which the next bucket begins.
    pub fn edges(&self, now: u64) -> Vec<u64> {
        let Some(Shape::Time(length)) = self.shape else {
            return Vec::new();
        };
        let ends = |at: u64| Shape::start_of(length, Shape::bucket(length, at) + BUCKETS);
        let next = Shape::start_of(length, Shape::bucket(length, now) + 1);
        self.reports
            .iter()
            .map(|report| ends(report.at))
            .chain([next])
            .collect()
    }
}
