//! Saving and restoring: [`Brama::save`], [`Brama::restore`].

use super::Brama;
use crate::values::error::Error;

impl Brama {
    /// The state of every circuit, as bytes for [`Brama::restore`]: in this process later, in the
    /// next one, or on another machine. A deployment then finds the circuits open that its
    /// predecessor had opened.
    ///
    /// Of each circuit: its name, its state, how long an opening has still to run, its
    /// [trips](crate::Status::trips), its failures in a row, why it opened last, the reason of its
    /// last failure, and its totals. Not saved are settings, metadata, windows, rates, the times of
    /// reports, and names that wait for their registration. A [disabled](crate::Mode::Disabled)
    /// circuit is saved as what it will be when it is enabled. A manager that was shut down has no
    /// circuits any more: save first.
    ///
    /// The circuits are read one after the other, so together they are not one instant. Any thread
    /// may save at any time; no call on a circuit waits for it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use brama::{Brama, ManualClock, State};
    ///
    /// # fn main() -> Result<(), brama::Error> {
    /// let clock = ManualClock::new();
    /// let old = Brama::builder().clock(clock.clone()).background(false).build()?;
    /// old.register("db", None)?.open_circuit("no route", Duration::from_secs(60))?;
    /// let data = old.save();
    ///
    /// clock.advance(Duration::from_secs(20));
    /// let new = Brama::builder().clock(clock.clone()).background(false).build()?;
    /// assert_eq!(new.restore(&data)?, 1);
    /// let db = new.register("db", None)?;
    /// let status = db.status()?;
    /// assert_eq!(status.state, State::Open);
    /// assert_eq!(status.retry_after, Some(Duration::from_secs(40)));
    /// assert_eq!(status.reason.as_deref(), Some("no route"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn save(&self) -> Vec<u8> {
        self.engine().save()
    }

    /// Restores circuits from what [`Brama::save`] returned, and returns how many of them: those
    /// that were restored, and those that wait because no connection of their name is registered.
    /// Each of these is restored by the first registration of its name. All of the data is checked
    /// before anything is changed.
    ///
    /// A restore is a transition by hand. Permits that are out are
    /// [stale](crate::Error::Stale), and subscribers get the events of
    /// [`open_circuit`](Brama::open_circuit), [`close_circuit`](Brama::close_circuit) and
    /// [`half_open_circuit`](Brama::half_open_circuit), with the saved cause and reason.
    ///
    /// - An opening lasts for what was left of it at the save, less the time that has passed since
    ///   by the wall clock. No jitter is added. If nothing is left, its end is due at once. An
    ///   opening without an end has none again.
    /// - In a disabled circuit the restore takes effect when the circuit is enabled, and the events
    ///   say so.
    /// - A half-open circuit has no successes, and no probe is out.
    /// - Windows and rates are empty. Where the settings have a `window`, no failure counts.
    /// - A circuit that is closed and was saved closed has the event `circuit_closed`, too, from
    ///   closed to closed.
    /// - The totals become the saved ones, unless they are higher already. If one save is restored
    ///   into several processes, each has all of these totals: do not add them up.
    /// - A circuit that has changed its state after it was saved, by the wall clock, is left alone
    ///   and not counted. A registration is no change, in whichever state the circuit
    ///   [begins](crate::InitialState); another restore is one.
    ///
    /// A service that starts with damaged data
    /// [logs the error and goes on](crate::docs::processes#deployments).
    ///
    /// Saved circuits that wait take as much memory as in the data. A later restore replaces those
    /// of the same names. Any thread may restore at any time.
    ///
    /// ```
    /// # let brama = brama::Brama::builder().background(false).build()?;
    /// # let db = brama.register("db", None)?;
    /// let data = brama.save();
    /// assert_eq!(brama.restore(&data)?, 1);
    /// assert!(brama.restore(b"no save").is_err());
    /// # Ok::<(), brama::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`]: the data is damaged, cut off, of another version, or no save; it
    /// says what is wrong at which offset, and nothing was changed. [`Error::ShutDown`].
    pub fn restore(&self, data: &[u8]) -> Result<usize, Error> {
        self.engine().restore(data)
    }
}
