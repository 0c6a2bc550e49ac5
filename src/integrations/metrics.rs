//! Connections as metrics of the [`metrics`] facade.
//!
//! ```
//! # fn main() -> Result<(), brama::Error> {
//! // Install a recorder first: what is reported before is lost.
//! let brama = brama::Brama::builder().build()?;
//! let exporter = brama::integrations::metrics::Exporter::new(&brama)?;
//! // Before each scrape, or every few seconds:
//! exporter.update();
//! # Ok(())
//! # }
//! ```
//!
//! | name | kind | unit | |
//! |---|---|---|---|
//! | `brama_successes_total` | counter | reports | successes |
//! | `brama_failures_total` | counter | reports | failures |
//! | `brama_rejected_total` | counter | calls | calls that were not admitted |
//! | `brama_would_reject_total` | counter | calls | calls that passed in the mode *shadow* and that *normal* would have rejected |
//! | `brama_opened_total` | counter | changes | changes of state to open |
//! | `brama_half_opened_total` | counter | changes | changes of state to half-open |
//! | `brama_closed_total` | counter | changes | changes of state to closed, resets included |
//! | `brama_state` | gauge | – | 1 closed, 2 open, 3 half-open, 0 not registered |
//! | `brama_open_seconds` | histogram | seconds | from an opening until the circuit left that state |
//!
//! Each has the labels `connection` and `scope`; `scope` is empty for a connection
//! without one.
//!
//! # What is exact
//!
//! Successes, failures, rejections and calls that would have been rejected are taken from the
//! connection's own totals, at every change of its state, at its removal, and by
//! [`Exporter::update`]. They cost a call nothing. They begin with the connection's registration,
//! even if the exporter came later. Two gaps remain: a report at the same moment as the removal of
//! its connection, and a connection that was removed before the exporter first heard of it.
//!
//! [`Brama::restore`] raises the totals to the saved ones, and the counters with them. An earlier
//! process has reported those already. So restore before the recorder is first read: then the
//! series go on where that process left them.
//!
//! Changes of state are counted in the mode *shadow*, too, where no call is rejected. In the mode
//! *disabled* `brama_state` is 1.
//!
//! Changes of state are counted as they are delivered, from the exporter's beginning. If the
//! manager's ring ran full, one event may stand for several changes ([`Event::is_coalesced`]). The
//! counters then show fewer changes than there were, and no time is recorded for an opening whose
//! beginning or end was merged. Nor is it for one that began before the exporter, or ended with the
//! connection's removal.
//!
//! # What happens to the series of a connection that is gone
//!
//! The facade has no call to remove a series. When a connection is removed, its totals are reported
//! a last time, its state is set to 0, and the exporter forgets it. The recorder keeps the series.
//! If many names come and go, use a recorder that drops series that are not touched, such as that
//! of `metrics-exporter-prometheus` with an `idle_timeout`. Every [`Exporter::update`] touches all
//! counters and gauges of the connections that are registered, and no others. A name that is
//! registered again goes on with the same series. Counters never go back.

use std::collections::HashMap;
use std::collections::hash_map;
use std::fmt;
use std::sync::{Arc, Weak};

use ::metrics::{
    Label, SharedString, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use crate::Brama;
use crate::Error;
use crate::Subscription;
use crate::circuit::record::{Observed, Record, RecordRef};
use crate::manager::engine::Engine;
use crate::sys::fork_lock::ForkLock;
use crate::sys::per_process::Renew;
use crate::values::event::{Event, EventFilter, EventType};
use crate::values::key::{Key, KeyBuf};
use crate::values::state::State;

const TOTALS: [(&str, &str); 4] = [
    ("brama_successes_total", "Successes reported."),
    ("brama_failures_total", "Failures reported."),
    ("brama_rejected_total", "Calls that were not admitted."),
    (
        "brama_would_reject_total",
        "Calls that passed in the mode shadow and that normal would have rejected.",
    ),
];
const CHANGES: [(&str, &str, State); 3] = [
    (
        "brama_opened_total",
        "Changes of state to open.",
        State::Open,
    ),
    (
        "brama_half_opened_total",
        "Changes of state to half-open.",
        State::HalfOpen,
    ),
    (
        "brama_closed_total",
        "Changes of state to closed.",
        State::Closed,
    ),
];
const STATE: &str = "brama_state";
const OPEN_SECONDS: &str = "brama_open_seconds";

/// Reports the connections of one manager to the recorder of the process.
///
/// Make one exporter for a manager: two would count everything twice. Managers that use the same
/// names add to the same counters.
///
/// Its drop updates a last time, sets the states to 0 and ends it. It does not keep its manager
/// alive. After a shutdown, [`Exporter::update`] or the drop reports the last totals.
///
/// ```
/// # let brama = brama::Brama::builder().background(false).build()?;
/// let exporter = brama::integrations::metrics::Exporter::new(&brama)?;
/// drop(exporter); // It updates a last time, and ends.
/// # Ok::<(), brama::Error>(())
/// ```
#[must_use = "dropping an exporter ends it"]
pub struct Exporter {
    engine: Weak<Engine>,
    ledger: Arc<ForkLock<Ledger>>,
    /// Some until the drop.
    subscription: Option<Subscription>,
}

impl Exporter {
    /// Describes the metrics, and begins with the connections that are registered.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// let exporter = brama::integrations::metrics::Exporter::new(&brama)?;
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::ShutDown`].
    pub fn new(brama: &Brama) -> Result<Exporter, Error> {
        describe();
        let engine = Arc::downgrade(brama.shared_engine());
        let ledger = Arc::new(ForkLock::new(Ledger {
            engine: engine.clone(),
            accounts: HashMap::new(),
        }));
        let wanted = EventFilter::new().types([
            EventType::ConnectionRegistered,
            EventType::StateChange,
            EventType::ConnectionRemoved,
        ]);
        let subscription = brama.subscribe(wanted, {
            let ledger = ledger.clone();
            move |event| ledger.lock().enter(event)
        })?;
        let exporter = Exporter {
            engine,
            ledger,
            subscription: Some(subscription),
        };
        exporter.update();
        Ok(exporter)
    }

    /// Brings the totals and states of all connections up to date.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// let exporter = brama::integrations::metrics::Exporter::new(&brama)?;
    /// exporter.update(); // Before each scrape.
    /// # Ok::<(), brama::Error>(())
    /// ```
    pub fn update(&self) {
        let mut records = Vec::new();
        if let Some(engine) = self.engine.upgrade() {
            engine.for_each(|record| records.push(record.share()));
        }
        let mut ledger = self.ledger.lock();
        for record in records {
            ledger.look_at(record);
        }
        ledger.close_retired();
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // No event is entered from here on.
        self.subscription = None;
        self.update();
        let ledger = self.ledger.lock();
        for account in ledger.accounts.values() {
            gauge!(STATE, account.labels.iter()).set(number(State::Unknown));
        }
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter")
            .field("connections", &self.ledger.lock().accounts.len())
            .finish()
    }
}

fn describe() {
    for (name, what) in TOTALS {
        describe_counter!(name, Unit::Count, what);
    }
    for (name, what, _) in CHANGES {
        describe_counter!(name, Unit::Count, what);
    }
    describe_gauge!(
        STATE,
        "1 closed, 2 open, 3 half-open, 0 not registered any more."
    );
    describe_histogram!(
        OPEN_SECONDS,
        Unit::Seconds,
        "From an opening until the circuit left that state."
    );
}

/// What was reported of each connection.
struct Ledger {
    engine: Weak<Engine>,
    accounts: HashMap<KeyBuf, Account>,
}

impl Renew for Ledger {
    /// The ledger of the child of a fork, if another thread of the parent was writing in it. What
    /// was not reported by then stays unreported.
    fn renew(&self) -> Self {
        let engine = self.engine.clone();
        let mut accounts = HashMap::new();
        if let Some(engine) = engine.upgrade() {
            engine.for_each(|record| {
                let mut account = Account::new(record.share());
                account.told = record.totals_so_far();
                accounts.insert(record.key().to_buf(), account);
            });
        }
        Ledger { engine, accounts }
    }
}

/// What was reported of one connection. It keeps no handle of the facade: a recorder that dropped
/// an idle series would not hear of it any more through an old handle.
struct Account {
    record: Observed,
    labels: Vec<Label>,
    /// In the order of [`TOTALS`].
    told: [u64; 4],
    /// Monotonic ms of the opening that lasts, if it is known.
    opened: Option<u64>,
}

impl Ledger {
    fn enter(&mut self, event: &Event) {
        if event.event_type() == EventType::ConnectionRemoved {
            self.close(event);
            return;
        }
        let engine = self.engine.upgrade();
        if let Some(record) = engine.and_then(|engine| engine.find(event.name().as_key()).ok()) {
            self.look_at(record);
        }
        if event.event_type() == EventType::StateChange {
            self.enter_change(event);
        }
    }

    /// Opens an account if there is none, and brings it up to date.
    fn look_at(&mut self, record: RecordRef) {
        let account = match self.accounts.entry(record.key().to_buf()) {
            hash_map::Entry::Vacant(vacant) => vacant.insert(Account::new(record)),
            hash_map::Entry::Occupied(occupied) => {
                let account = occupied.into_mut();
                if record.id() > account.record.id() {
                    // The name was registered again.
                    account.publish_totals();
                    *account = Account::new(record);
                }
                account
            }
        };
        account.publish(self.engine.upgrade().as_deref());
    }

    fn enter_change(&mut self, event: &Event) {
        let state = event.new_state();
        let account = self.accounts.get_mut(event.name());
        if let Some(account) = account.filter(|account| account.record.id() == event.registration())
        {
            if event.previous_state() == state {
                // Reported before, by an event that stood for it.
                return;
            }
            let known = !event.is_coalesced();
            if let Some(opened) = account.opened.take().filter(|_| known) {
                let lasted = event.facts().time.saturating_sub(opened);
                histogram!(OPEN_SECONDS, account.labels.iter()).record(lasted as f64 / 1_000.0);
            }
            account.opened = (known && state == State::Open).then_some(event.facts().time);
        }
        for (name, _, _) in CHANGES.into_iter().filter(|(_, _, to)| *to == state) {
            counter!(name, labels(event.name().as_key())).increment(1);
        }
    }

    fn close(&mut self, event: &Event) {
        if let hash_map::Entry::Occupied(mut account) = self.accounts.entry(event.name().clone())
            && account.get().record.id() <= event.registration()
        {
            account.get_mut().publish(None);
            account.remove();
        }
    }

    /// Closes the accounts of connections whose removal is reported later, or never.
    fn close_retired(&mut self) {
        self.accounts.retain(|_, account| {
            let stays = !account.record.is_retired();
            if !stays {
                account.publish(None);
            }
            stays
        });
    }
}

impl Account {
    fn new(record: RecordRef) -> Self {
        Account {
            labels: labels(record.key()),
            record: Observed::new(record),
            told: [0; 4],
            opened: None,
        }
    }

    fn publish(&mut self, engine: Option<&Engine>) {
        self.publish_totals();
        for (name, _, _) in CHANGES {
            counter!(name, self.labels.iter()).increment(0);
        }
        let state = |engine: &Engine| Record::state(&self.record, &engine.context);
        let state = engine.map_or(State::Unknown, state);
        gauge!(STATE, self.labels.iter()).set(number(state));
    }

    fn publish_totals(&mut self) {
        let totals = self.record.totals_so_far();
        for (((name, _), told), total) in TOTALS.iter().zip(&mut self.told).zip(totals) {
            // An increment, not `absolute`: a name that is registered again begins
            // at 0, and the series goes on.
            let more = total.saturating_sub(*told);
            *told += more;
            counter!(*name, self.labels.iter()).increment(more);
        }
    }
}

fn labels(key: Key<'_>) -> Vec<Label> {
    let shared = |text: &str| SharedString::from(Arc::<str>::from(text));
    vec![
        Label::new("connection", shared(key.identifier())),
        Label::new("scope", shared(key.scope().unwrap_or_default())),
    ]
}

fn number(state: State) -> f64 {
    f64::from(state as i32)
}
