//! The probes of a half-open circuit of the reference model: their places, and what they decide.

use crate::effective::Effective;

#[derive(Clone, Debug)]
enum Place {
    Free,
    /// Taken by a probe that is out, or late.
    Lease {
        id: u64,
        ends: u64,
    },
    /// Used up by a report of a sample.
    Spent,
}

/// What the reports so far decide.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    Undecided,
    Open,
    Recovered,
}

#[derive(Clone, Debug, Default)]
pub struct Probing {
    places: Vec<Place>,
    successes: u32,
    failures: u32,
}

impl Probing {
    /// The ends of the leases that have not ended.
    pub fn ends(&self, now: u64) -> impl Iterator<Item = u64> {
        self.places.iter().filter_map(move |place| match place {
            Place::Lease { ends, .. } if *ends > now => Some(*ends),
            _ => None,
        })
    }

    /// Takes a place until `ends`. Returns the time after which to ask again if no place is free.
    pub fn take(
        &mut self,
        settings: &Effective,
        now: u64,
        ends: u64,
        id: u64,
    ) -> Result<(), Option<u64>> {
        let reports = self.successes + self.failures;
        let most = settings.half_open_max_calls;
        // A sample with as many reports as places, because it was made smaller, limits nothing.
        let is_sample = settings.half_open_failure_rate.is_some() && reports < most;
        let is_taken = |place: &Place| match place {
            Place::Free => false,
            Place::Lease { ends, .. } => *ends > now,
            Place::Spent => is_sample,
        };
        if self.places.iter().filter(|place| is_taken(place)).count() >= most as usize {
            return Err(self.ends(now).map(|ends| ends - now).min());
        }
        let lease = Place::Lease { id, ends };
        match self.places.iter_mut().find(|place| !is_taken(place)) {
            Some(place) => *place = lease,
            None => self.places.push(lease),
        }
        Ok(())
    }

    /// The place of a probe that reports, if no other probe has taken it.
    fn place_of(&mut self, probe: u64) -> Option<&mut Place> {
        self.places
            .iter_mut()
            .find(|place| matches!(place, Place::Lease { id, .. } if *id == probe))
    }

    /// Frees the place of a probe whose report does not count.
    pub fn free(&mut self, probe: Option<u64>) {
        if let Some(place) = probe.and_then(|probe| self.place_of(probe)) {
            *place = Place::Free;
        }
    }

    /// Counts a report, of a probe or without a permit.
    pub fn report(&mut self, settings: &Effective, probe: Option<u64>, failed: bool) -> Verdict {
        match failed {
            true => self.failures += 1,
            false => self.successes += 1,
        }
        if let Some(place) = probe.and_then(|probe| self.place_of(probe)) {
            *place = match settings.half_open_failure_rate {
                Some(_) => Place::Spent,
                None => Place::Free,
            };
        }
        self.verdict(settings)
    }

    fn verdict(&self, settings: &Effective) -> Verdict {
        let Some(rate) = settings.half_open_failure_rate else {
            return match (self.failures, self.successes) {
                (0, successes) if successes >= settings.half_open_successes => Verdict::Recovered,
                (0, _) => Verdict::Undecided,
                _ => Verdict::Open,
            };
        };
        let sample = f64::from(settings.half_open_max_calls);
        // As if all probes that have not reported yet failed.
        let at_most = sample - f64::from(self.successes);
        if f64::from(self.failures) / sample >= rate {
            Verdict::Open
        } else if at_most / sample < rate {
            Verdict::Recovered
        } else {
            Verdict::Undecided
        }
    }
}
