//! All runs: each breaker in each scenario, with both kinds of lengths, with all seeds.
//!
//! The verdicts hold for the number of calls a second with which they were
//! found. So one scenario is also run with fewer and with more calls a second.
//!
//! All processors share the work, and the results do not depend on how they share
//! it. Models draw from generators of their own. The library's ramps draw from a
//! generator of the thread, so all runs of the library are on one thread, in order.

use std::num::NonZero;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::breakers::Row;
use crate::figures::{self, Outcome};
use crate::scenarios::{self, Lengths, Scenario};

/// The seeds are 1 to this.
pub const SEEDS: u64 = 20;

/// The scenario that is run at other volumes, and these, in calls a second.
const AT_VOLUMES: &str = "spikes 20/60/100 %";
pub const VOLUMES: [u64; 2] = [30, 1_000];

/// One cell of the tables.
struct Cell {
    lengths: Lengths,
    scenario: usize,
    row: Row,
    outcome: OnceLock<Outcome>,
}

pub struct Study {
    pub seeds: u64,
    /// The nine scenarios, and then one of them at other volumes.
    all: Vec<Scenario>,
    cells: Vec<Cell>,
}

impl Study {
    pub fn run(seeds: u64) -> Self {
        let mut all = scenarios::all();
        let nine = all.len();
        for volume in VOLUMES {
            let mut again = scenarios::all().into_iter();
            let scenario = again.find(|scenario| scenario.name == AT_VOLUMES);
            all.extend(scenario.map(|scenario| scenario.at(volume)));
        }
        let mut cells = Vec::new();
        for (scenario, lengths) in
            (0..all.len()).flat_map(|number| Lengths::ALL.map(|l| (number, l)))
        {
            if scenario < nine || lengths == Lengths::Published {
                cells.extend(Row::ALL.map(|row| Cell {
                    lengths,
                    scenario,
                    row,
                    outcome: OnceLock::new(),
                }));
            }
        }
        let fill = |cell: &Cell| {
            let scenario = &all[cell.scenario];
            let run = |seed| cell.row.run(scenario, cell.lengths, seed);
            let runs: Vec<_> = (1..=seeds).map(run).collect();
            cell.outcome.get_or_init(|| Outcome::of(&runs));
        };
        let (ours, models): (Vec<&Cell>, Vec<&Cell>) =
            cells.iter().partition(|cell| cell.row.is_ours());
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(cell) = models.get(next.fetch_add(1, Ordering::Relaxed)) {
                fill(cell);
            }
        };
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        thread::scope(|scope| {
            for _ in 1..processors.max(2) {
                scope.spawn(work);
            }
            ours.into_iter().for_each(fill);
            work();
        });
        Study { seeds, all, cells }
    }

    /// The nine scenarios, with their numbers.
    pub fn scenarios(&self) -> impl Iterator<Item = (usize, &Scenario)> {
        let nine = self.all.len() - VOLUMES.len();
        self.all[..nine].iter().enumerate()
    }

    /// The scenario at other volumes, with its number at each.
    pub fn at_volumes(&self) -> impl Iterator<Item = (usize, &Scenario)> {
        let nine = self.all.len() - VOLUMES.len();
        self.all.iter().enumerate().skip(nine)
    }

    /// The number of the scenario of that name.
    pub fn number(&self, name: &str) -> usize {
        let mut all = self.all.iter();
        let number = all.position(|scenario| scenario.name == name);
        number.unwrap_or_else(|| panic!("there is no scenario {name}"))
    }

    pub fn outcome(&self, lengths: Lengths, scenario: usize, row: Row) -> &Outcome {
        let mut cells = self.cells.iter();
        let cell =
            cells.find(|cell| (cell.lengths, cell.scenario, cell.row) == (lengths, scenario, row));
        let outcome = cell.and_then(|cell| cell.outcome.get());
        outcome.expect("every cell that is asked for was run")
    }

    /// A + B of the best guess.
    pub fn best_guess(&self, lengths: Lengths, scenario: usize) -> Option<f64> {
        figures::best_guess(&self.all[scenario], lengths, self.seeds)
    }
}
