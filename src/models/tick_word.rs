//! The tick word: which thread switches it off, and which one finds that it stood for too long.
//!
//! In a model, a load may return a value from long ago. On a machine it returns the latest one,
//! give or take some nanoseconds, and a success relies on that. So the parties here read the clock
//! by exchanges that change nothing, and successes read the word in the same way
//! ([`TickWord::word_by_exchange`]). These exchanges order nothing else.
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

/// The time in ms at which the word is switched on, and one at which it has stood for too long.
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

    /// A model whose word is on since `BEGIN`.
    fn ticking() -> Arc<Self> {
        let model = Model::new();
        let ticker = model.ticks.begin(|| Tick::from_ms(BEGIN));
        assert!(ticker.is_some());
        model
    }

    fn now(&self) -> Tick {
        Tick::from_ms(self.clock.fetch_add(0, Relaxed))
    }

    /// Lets time pass until `LATE`.
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

    /// An evaluation: it adds up the counts, and then checks whether they are doubtful.
    fn evaluate(&self) {
        let is_hidden = self.is_hidden.fetch_or(0, Relaxed) == 1;
        let is_doubtful = self.ticks.is_doubtful(BEGIN, || self.now());
        assert!(is_doubtful || !is_hidden, "a rate misses a success");
    }

    /// The ticker since `BEGIN`, for the thread that acts as it.
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

/// Runs `then` as the ticker while time passes, a success is reported, and a rate is evaluated.
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
        let _ = ticker.tick(|| model.now());
    });
}

/// Mutation: `going-without-a-second-look`.
#[test]
fn a_ticker_that_goes_hides_no_success_from_a_rate() {
    beside_an_evaluation(|model, ticker| ticker.end(|| model.now()));
}

/// A cell finds that the word has stood for too long, while its ticker goes on.
///
/// Mutation: `a-starved-ticker-that-marks-nothing`.
#[test]
fn a_check_hides_no_success_from_a_rate() {
    explore(|| {
        let model = Model::ticking();
        let ticker = spawn(&model, |model| {
            let _ = model.ticker().tick(|| model.now());
        });
        let reporter = spawn(&model, |model| {
            model.pass();
            model.succeed();
            model.ticks.check(model.now(), || model.now());
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
                let Some(mut ticker) = model.ticks.begin(|| Tick::from_ms(BEGIN)) else {
                    return;
                };
                // ORDERING: Acquire, partner of the Release store below: the second driver sees
                // the end of the first one's use. The tick word itself orders nothing.
                assert_eq!(is_ticking.swap(1, Acquire), 0, "both tick");
                let now = Tick::from_ms(BEGIN + step);
                assert!(ticker.tick(|| now));
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
