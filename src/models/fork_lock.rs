//! Mutual exclusion of the lock that a fork cannot leave held.
//!
//! | mutation | caught by |
//! |---|---|
//! | `locking-relaxed`, `unlocking-relaxed` | `one_thread_at_a_time_and_none_is_forgotten` |
//! | `unlocking-by-a-store`, `waiting-without-a-mark`, `waking-without-the-mutex` | `one_thread_at_a_time_and_none_is_forgotten` (a thread sleeps for ever) |

use loom::sync::Arc;
use loom::thread;

use crate::sys::fork_lock::ForkLock;
use crate::sys::per_process::Renew;

struct Count(u32);

impl Renew for Count {
    fn renew(&self) -> Self {
        unreachable!("models do not fork")
    }
}

#[test]
fn one_thread_at_a_time_and_none_is_forgotten() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let lock = Arc::new(ForkLock::new(Count(0)));
        let holders: Vec<_> = (0..2)
            .map(|_| {
                let lock = lock.clone();
                thread::spawn(move || lock.lock().0 += 1)
            })
            .collect();
        let other = thread::spawn({
            let lock = lock.clone();
            move || lock.try_lock().map(|mut count| count.0 += 1).is_some()
        });
        for holder in holders {
            holder.join().unwrap();
        }
        let also = other.join().unwrap();
        assert_eq!(lock.lock().0, 2 + u32::from(also));
    });
}
