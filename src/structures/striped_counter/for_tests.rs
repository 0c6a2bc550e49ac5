//! A counter without a record, and reports with a thread index and a store of a test's choosing.

use super::*;

/// The five parts of a counter, side by side, for tests.
pub(crate) struct Counter {
    pub(crate) primary: Cell,
    pub(crate) failures: Failures,
    pub(crate) owner: Owner,
    pub(crate) stripes: Stripes,
    pub(crate) shared: Shared,
}

impl Counter {
    pub(crate) fn new() -> Self {
        Counter {
            primary: Cell::new(),
            failures: Failures::new(),
            owner: Owner::new(),
            stripes: Stripes::new(),
            shared: Shared::new(),
        }
    }

    pub(crate) fn totals(&self) -> Totals<'_> {
        Totals {
            primary: &self.primary,
            failures: &self.failures,
            owner: &self.owner,
            stripes: &self.stripes,
            shared: &self.shared,
        }
    }
}

/// Reports with a thread index and a store of the test's choosing.
impl<'a> Totals<'a> {
    pub(crate) fn success_as(self, index: u16, store: &impl Store, now_ms: u64) {
        self.success_as_turning(index, store, now_ms, |_| {});
    }

    pub(crate) fn success_as_turning(
        self,
        index: u16,
        store: &impl Store,
        now_ms: u64,
        turn: impl FnOnce(&Cell),
    ) {
        self.add_success(self.cell_as(index, store), Tick::from_ms(now_ms), turn);
    }

    pub(crate) fn rejected_as(self, index: u16, store: &impl Store) {
        self.add_rejected(self.cell_as(index, store));
    }

    pub(crate) fn failed_as(self, index: u16, store: &impl Store) {
        self.add_failure(self.own_as(index, store).map(|own| own.failures));
    }

    fn cell_as(self, index: u16, store: &impl Store) -> Option<&'a Cell> {
        Some(self.own_as(index, store)?.cell)
    }

    fn own_as(self, index: u16, store: &impl Store) -> Option<Own<'a>> {
        let own = self.stripes.newest().and_then(|cells| cells.first(index));
        match self.owner.is(index) {
            true => Some(self.primary()),
            false => match own {
                Some(stripe) => Some(stripe.own()),
                None => self.settle_as(index, store).0,
            },
        }
    }
}
