//! The mode of a circuit, which says what its decisions do, and the state that it begins in.

use std::fmt;
use std::time::Duration;

use crate::values::error::Error;
use crate::values::settings;
use crate::values::state::State;

/// What a circuit does. Set for a connection or for a manager, and changed at run time.
///
/// ```
/// # let brama = brama::Brama::builder().background(false).build()?;
/// let options = brama::ConnectionOptions::new().mode(brama::Mode::Shadow);
/// let db = brama.register("db", options)?;
/// db.open_circuit("upgrade", None)?;
/// db.acquire()?.success()?; // It passes, and is counted:
/// assert_eq!(db.status()?.would_reject, 1);
/// # Ok::<(), brama::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Mode {
    /// It opens, and rejects calls.
    #[default]
    Normal = 0,
    /// It does nothing: every call passes, and the state is closed. Reports change the totals only,
    /// and are never stale. Nothing opens, closes or expires. Control by hand takes effect when the
    /// circuit leaves this mode, and its event says so. Leaving this mode resets the circuit, with
    /// two exceptions: an opening by hand stays, and so does a half-open state that was set by hand
    /// in this mode.
    Disabled = 1,
    /// It opens and closes as in [`Mode::Normal`], and rejects nothing. A call that it would reject
    /// passes, and counts in the totals only. [`Status::would_reject`](crate::Status::would_reject)
    /// counts such calls.
    Shadow = 2,
}

impl Mode {
    /// Its name: `"normal"`, `"disabled"` or `"shadow"`.
    ///
    /// ```
    /// assert_eq!(brama::Mode::Shadow.as_str(), "shadow");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Normal => "normal",
            Mode::Disabled => "disabled",
            Mode::Shadow => "shadow",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl State {
    /// The state that callers are shown. In the mode *disabled* it is closed, never open or
    /// half-open.
    pub(crate) fn in_mode(self, mode: Mode) -> State {
        match (self, mode) {
            (State::Open | State::HalfOpen, Mode::Disabled) => State::Closed,
            (state, _) => state,
        }
    }
}

/// The state in which a circuit begins. It can be given only at registration, and no call comes
/// before it. The circuit has no [trips](crate::Status::trips) then, and the
/// [cause](crate::Status::cause) of an opening is [`Cause::Manual`](crate::Cause::Manual).
///
/// ```
/// # let brama = brama::Brama::builder().background(false).build()?;
/// let for_a_minute = brama::InitialState::Open(std::time::Duration::from_secs(60));
/// let options = brama::ConnectionOptions::new().initial_state(for_a_minute);
/// assert!(!brama.register("db", options)?.available());
/// # Ok::<(), brama::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum InitialState {
    /// Calls pass.
    #[default]
    Closed,
    /// Open for so long, at least 1 ms; then probes are admitted.
    Open(Duration),
    /// Open until it is closed or reset by hand.
    HeldOpen,
}

impl InitialState {
    /// The name of the setting.
    pub(crate) const NAME: &'static str = "initial_state";

    /// How long it is open, in ms: `u64::MAX` without an end, `None` if it is closed. An error if
    /// it is less than 1 ms.
    pub(crate) fn open_ms(self) -> Result<Option<u64>, Error> {
        match self {
            InitialState::Closed => Ok(None),
            InitialState::HeldOpen => Ok(Some(u64::MAX)),
            InitialState::Open(length) => match settings::given_ms(length) {
                0 => Err(Error::config(
                    InitialState::NAME,
                    "open for less than 1 ms",
                    "must be open for at least 1 ms",
                )),
                ms => Ok(Some(ms)),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_of_less_than_a_millisecond_is_no_initial_state() {
        let open = |length| InitialState::Open(length).open_ms();
        assert_eq!(open(Duration::from_micros(1_001)).ok(), Some(Some(2)));
        let refused = open(Duration::from_micros(999)).expect_err("too short");
        assert!(refused.to_string().contains("initial_state"), "{refused}");
        assert_eq!(InitialState::default().open_ms().ok(), Some(None));
        assert_eq!(InitialState::HeldOpen.open_ms().ok(), Some(Some(u64::MAX)));
    }
}
