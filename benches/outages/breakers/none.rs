//! No breaker: every call is admitted.

use super::Circuits;
use crate::scenarios::Micros;

pub struct None;

impl Circuits for None {
    type Ticket = ();

    fn admit(&mut self, _circuit: usize, _now: Micros) -> Option<()> {
        Some(())
    }

    fn report(&mut self, _circuit: usize, _ticket: (), _failed: bool, _now: Micros) {}
}
