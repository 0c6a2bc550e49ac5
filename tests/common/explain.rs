//! Whether there is an order that explains what several threads were answered.
//!
//! The contract says what each operation does to a circuit, or to a name, when it is alone.
//! Under concurrency it promises that operations take effect one after the other, each at one
//! moment between its call and its return. So there must be an order of all calls which
//! respects what came before what, and in which every answer is the contract's
//! (*linearizability*; Herlihy and Wing 1990). The search for one tries all of them: rounds are
//! short, and most orders end at the first answer that does not fit. It loses no order, and
//! accepts no answer that no order explains. So it is exact, whatever the interleaving was.

use std::collections::HashSet;
use std::hash::Hash;

use super::storm::Call;

/// All states that some order of the calls leads to, from one of `before`. None: no order
/// explains the answers. `after` says which states a call with this answer can lead to from a
/// state.
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
        // No call can be the next if another one ended before it began.
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
