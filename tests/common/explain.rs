//! A linearizability check: is there an order of calls that explains the answers of several
//! threads?
//!
//! The contract says what each operation does to a circuit, or to a name, when it runs alone. Under
//! concurrency it promises that operations take effect one after the other, each at one moment
//! between its call and its return. So there must be an order of all calls in which a call that
//! ended before another began comes first, and in which every answer is the contract's
//! (*linearizability*; Herlihy and Wing 1990). The search tries all orders. Rounds are short, and
//! most orders end at the first answer that does not fit. The search loses no order, and accepts no
//! answer that no order explains. So it is exact, whatever the interleaving was.

use std::collections::HashSet;
use std::hash::Hash;

use super::storm::Call;

/// All states that some order of the calls leads to, from a state in `before`. The set is empty if
/// no order explains the answers. `after` returns the states that a call with its answer can lead
/// to from a state.
pub fn explain<S: Clone + Eq + Hash, O, A>(
    before: &HashSet<S>,
    threads: &[Vec<Call<O, A>>],
    after: impl Fn(&S, &Call<O, A>) -> Vec<S>,
) -> HashSet<S> {
    let mut ends = HashSet::new();
    let start = vec![0_usize; threads.len()];
    let mut seen: HashSet<_> = before.iter().map(|s| (start.clone(), s.clone())).collect();
    let mut open: Vec<_> = seen.iter().cloned().collect();
    while let Some((taken, state)) = open.pop() {
        let next = || threads.iter().zip(&taken).map(|(calls, n)| calls.get(*n));
        // A call cannot be the next if another one ended before it began.
        let Some(first_end) = next().flatten().map(|call| call.ended).min() else {
            ends.insert(state);
            continue;
        };
        for (thread, call) in next().enumerate() {
            let Some(call) = call.filter(|call| call.began < first_end) else {
                continue;
            };
            for state in after(&state, call) {
                let mut taken = taken.clone();
                taken[thread] += 1;
                let step = (taken, state);
                if !seen.contains(&step) {
                    seen.insert(step.clone());
                    open.push(step);
                }
            }
        }
    }
    ends
}
