//! Events in an event loop.
//!
//! A program that sleeps in epoll (or kqueue) wants no callback on another thread. It wants its
//! own thread to wake, and to take the events when it has time. A [`brama::EventQueue`] has a
//! file descriptor for that. It is readable while events wait, and once the queue is closed.
//!
//! Here a thread calls a dependency that fails for half a second, and the main
//! thread drains the queue from a `mio` loop with a timer of its own.
//!
//! ```text
//! cargo run --example event_loop   # 2 seconds
//! ```

#[cfg(unix)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use std::io::ErrorKind;
    use std::thread;
    use std::time::{Duration, Instant};

    use brama::{Brama, EventFilter, EventType};
    use mio::unix::SourceFd;
    use mio::{Events, Interest, Poll, Token};

    const EVENTS: Token = Token(0);
    const TICK: Duration = Duration::from_millis(500);

    let brama = Brama::builder()
        .max_attempts(3)
        .expiry(Duration::from_millis(300))
        .build()?;
    // A queue that is not drained does not grow: beyond 64 events,
    // repeated events of a type are merged into the latest.
    let wanted = EventFilter::new().types([EventType::StateChange, EventType::ConnectionRemoved]);
    let queue = brama.subscribe_queue(wanted, 64)?;

    let mut poll = Poll::new()?;
    let fd = queue.as_raw_fd()?; // Belongs to the queue, which outlives the loop.
    poll.registry()
        .register(&mut SourceFd(&fd), EVENTS, Interest::READABLE)?;

    let start = Instant::now();
    let application = thread::spawn({
        let brama = brama.clone();
        move || application(&brama, start)
    });

    let mut ready = Events::with_capacity(8);
    let mut next_tick = start + TICK;
    let mut open = true;
    while open {
        let left = next_tick.saturating_duration_since(Instant::now());
        match poll.poll(&mut ready, Some(left)) {
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            other => other?,
        }
        // Checked before the queue is drained, so that no event is left in it at the end.
        open = !queue.is_closed();
        for event in &ready {
            if event.token() == EVENTS {
                // mio reports an edge, so take all events: while one is
                // left, those that come later make no edge.
                while let Some(event) = queue.try_next() {
                    println!(
                        "{:5} ms  {}: {} {} → {}{}",
                        start.elapsed().as_millis(),
                        event.connection(),
                        event.event_type(),
                        event.previous_state(),
                        event.new_state(),
                        event
                            .reason()
                            .map(|why| format!(", {why}"))
                            .unwrap_or_default(),
                    );
                }
            }
        }
        if Instant::now() >= next_tick {
            next_tick += TICK;
            let counts = brama.state_counts();
            println!(
                "{:5} ms  (timer) {} of {} circuits closed",
                start.elapsed().as_millis(),
                counts.closed,
                counts.closed + counts.open + counts.half_open,
            );
        }
    }
    application.join().expect("the application did not panic")?;
    Ok(())
}

/// Calls a dependency every 20 ms. From 0.4 s to 0.9 s it fails.
#[cfg(unix)]
fn application(brama: &brama::Brama, start: std::time::Instant) -> Result<(), brama::Error> {
    use std::{thread, time::Duration};

    let inventory = brama.register("inventory", None)?;
    while start.elapsed() < Duration::from_millis(1_900) {
        // If the call is rejected, a real program would answer from a cache.
        if let Ok(permit) = inventory.acquire() {
            match start.elapsed().as_millis() {
                400..900 => drop(permit.failure("HTTP 503")),
                _ => drop(permit.success()),
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    brama.unregister("inventory")?;
    // Ends the subscriptions: the queue is closed, which the loop sees.
    brama.shutdown();
    Ok(())
}

#[cfg(not(unix))]
fn main() {
    eprintln!("event_loop: this system's queues have no file descriptor");
}
