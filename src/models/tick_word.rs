//! The tick word: who switches it off, and who finds that it stood for too long.
//!
//! A model's memory lets a load find a value of long ago. In a machine it finds the last one, some
//! nanoseconds aside, and that is what a success relies on. So the parties here ask for the time by
//! exchanges that change nothing, and successes for the word ([`TickWord::word_by_exchange`]).
//! Neither orders anything else.
//!
//! No party runs in a model's main thread, which loom explores incompletely.

use loom::sync::Arc;
use loom::thread;

use crate::sys::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use crate::sys::clock::{LONGEST_LAG, Tick};
use crate::sys::tick_word::{TickWord, Ticker};

/// When the word is switched on, in ms, and when it has stood for too long.
const BEGIN: u64 = 1_000;
const LATE: u64 = BEGIN + 3 * LONGEST_LAG;

struct Model {
    ticks: TickWord,
    clock: AtomicU64,
    /// 1: a success at `LATE` was taken for one at `BEGIN`.
    is_hidden: AtomicU64,
}

impl Model {
    fn new() -> Arc<Self> {
        let model = Model {
            ticks: TickWord::new(),
            clock: AtomicU64::new(BEGIN),
            is_hidden: AtomicU64::new(0),
        };
        model.ticks.want_ticker(model.now());
        Arc::new(model)
    }

    /// The word is on since `BEGIN`.
    fn ticking() -> Arc<Self> {
        let model = Model::new();
        let ticker = model.ticks.begin(Tick::from_ms(BEGIN));
        assert!(ticker.is_some());
        model
    }

    fn now(&self) -> Tick {
        Tick::from_ms(self.clock.fetch_add(0, Relaxed))
    }

    /// Time passes.
    fn pass(&self) {
        self.clock.fetch_max(LATE, Relaxed);
    }

    /// A success of a cell whose last one was at `BEGIN`.
    fn succeed(&self) {
        let is_late = self.now() > Tick::from_ms(BEGIN);
        let is_known = Tick::from_ms(BEGIN).to_word() >= self.ticks.word_by_exchange();
        if is_late && is_known {
            self.is_hidden.fetch_or(1, Relaxed);
        }
    }

    /// An evaluation, which adds up what was counted, and then asks.
    fn evaluate(&self) {
        let is_hidden = self.is_hidden.fetch_or(0, Relaxed) == 1;
        let is_doubtful = self.ticks.is_doubtful(BEGIN, || self.now());
        assert!(is_doubtful || !is_hidden, "a rate misses a success");
    }

    /// For the thread that is the ticker since `BEGIN`.
    fn ticker(&self) -> Ticker<'_> {
        self.ticks.ticker_since(Tick::from_ms(BEGIN))
    }
}

fn explore(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn spawn(model: &Arc<Model>, party: impl FnOnce(&Model) + 'static) -> thread::JoinHandle<()> {
    let model = model.clone();
    thread::spawn(move || party(&model))
}

/// A ticker does this while time passes, a success comes, and a rate is evaluated.
fn beside_an_evaluation(then: fn(&Model, Ticker<'_>)) {
    explore(move || {
        let model = Model::ticking();
        let ticker = spawn(&model, move |model| then(model, model.ticker()));
        let reporter = spawn(&model, |model| {
            model.pass();
            model.succeed();
        });
        let evaluation = spawn(&model, Model::evaluate);
        for party in [ticker, reporter, evaluation] {
            party.join().unwrap();
        }
        model.evaluate();
    });
}

/// Mutations: `ticking-over-a-tick-that-stood-too-long`, `a-mark-after-the-exchange`,
/// `a-mark-published-without-order`, `a-mark-read-without-order`.
#[test]
fn a_ticker_that_is_stopped_hides_no_success_from_a_rate() {
    beside_an_evaluation(|model, mut ticker| {
        let _ = ticker.tick(model.now());
    });
}

/// Mutation: `going-without-a-second-look`.
#[test]
fn a_ticker_that_goes_hides_no_success_from_a_rate() {
    beside_an_evaluation(|model, ticker| ticker.end(|| model.now()));
}

/// A cell finds that the word has stood for too long, at the same time as its ticker goes on.
///
/// Mutation: `a-starved-ticker-that-marks-nothing`.
#[test]
fn a_check_hides_no_success_from_a_rate() {
    explore(|| {
        let model = Model::ticking();
        let ticker = spawn(&model, |model| {
            let _ = model.ticker().tick(model.now());
        });
        let reporter = spawn(&model, |model| {
            model.pass();
            model.succeed();
            model.ticks.check(model.now());
        });
        let evaluation = spawn(&model, Model::evaluate);
        for party in [ticker, reporter, evaluation] {
            party.join().unwrap();
        }
        model.evaluate();
    });
}

/// Mutation: `beginning-to-tick-by-a-store`.
#[test]
fn of_two_drivers_one_ticks() {
    explore(|| {
        let model = Model::new();
        let is_ticking = Arc::new(AtomicU64::new(0));
        let drivers = [1, 2].map(|step| {
            let is_ticking = is_ticking.clone();
            spawn(&model, move |model| {
                let Some(mut ticker) = model.ticks.begin(Tick::from_ms(BEGIN)) else {
                    return;
                };
                // ORDERING: each after the one before it; the word orders nothing.
                assert_eq!(is_ticking.swap(1, Acquire), 0, "both tick");
                let now = Tick::from_ms(BEGIN + step);
                assert!(ticker.tick(now));
                is_ticking.store(0, Release);
                ticker.end(|| now);
            })
        });
        for driver in drivers {
            driver.join().unwrap();
        }
        assert!(!model.ticks.is_on(), "it is off again");
    });
}
