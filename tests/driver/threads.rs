//! The threads of the library, as the system shows them: which signals they
//! block, their names, and what a manager does if the system refuses it a thread.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::common::events::{all, queue_of};
use crate::common::forks::{check, in_child, same, soon};
use crate::common::{alone, ms};
use brama::{Brama, Error, EventType, State};

/// One field of the status of each thread, with the thread's name.
fn of_threads(field: &str) -> Vec<(String, String)> {
    let tasks = fs::read_dir("/proc/self/task").expect("linux").flatten();
    let statuses = tasks.filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    statuses
        .map(|status| {
            let lines = status.lines().filter_map(|line| line.split_once(':'));
            let lines: BTreeMap<_, _> = lines.map(|(key, text)| (key, text.trim())).collect();
            (lines["Name"].to_owned(), lines[field].to_owned())
        })
        .collect()
}

fn drivers() -> Vec<(String, String)> {
    let mut masks = of_threads("SigBlk");
    masks.retain(|(name, _)| name == "brama-driver");
    masks
}

/// The signals that a thread can block: all except SIGKILL and
/// SIGSTOP, and except the two that the C library keeps for itself.
fn everything() -> u64 {
    let bit = |signal: i32| 1_u64 << (signal - 1);
    let never = bit(libc::SIGKILL) | bit(libc::SIGSTOP) | bit(32) | bit(33);
    !never
}

// ---- signals and names ----

#[test]
fn the_library_s_threads_block_all_signals_and_have_a_name() {
    let _alone = alone();
    // In a child, since it has none of the other tests' threads.
    in_child(|| {
        same("threads", of_threads("Tgid").len(), 1)?;
        let managers: Vec<_> = (0..3)
            .map(|_| Brama::builder().build().expect("valid"))
            .collect();
        soon("all have named themselves", || drivers().len() == 3)?;
        same("threads", of_threads("Tgid").len(), 4)?;
        for (name, mask) in drivers() {
            let mask = u64::from_str_radix(&mask, 16).expect("a mask");
            check(mask & everything() == everything(), || {
                format!("{name}: {mask:x}")
            })?;
        }
        drop(managers);
        Ok(())
    });
}

/// The new thread has its signal mask before its first instruction.
/// Afterwards the starting thread has its old mask again.
#[test]
fn starting_a_thread_leaves_the_starter_s_signals_as_they_were() {
    let _alone = alone();
    let mine = || {
        let mut mask = std::mem::MaybeUninit::<libc::sigset_t>::zeroed();
        // SAFETY: the call only reads this thread's mask, into memory that is large enough.
        unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), mask.as_mut_ptr());
            let mask = mask.assume_init();
            [libc::SIGINT, libc::SIGTERM, libc::SIGUSR2]
                .map(|signal| libc::sigismember(&mask, signal))
        }
    };
    // SAFETY: changes this thread's mask only.
    unsafe {
        let mut set = std::mem::zeroed::<libc::sigset_t>();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGUSR2);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
    }
    let before = mine();
    assert_eq!(before, [0, 0, 1]);
    let brama = Brama::builder().build().expect("valid");
    assert_eq!(mine(), before);
    drop(brama);
}

/// The host handles signals that are sent to the process.
#[test]
fn no_signal_is_handled_on_a_thread_of_the_library() {
    let _alone = alone();
    static ELSEWHERE: AtomicU32 = AtomicU32::new(0);
    static HANDLED: AtomicU32 = AtomicU32::new(0);
    extern "C" fn handler(_: libc::c_int) {
        let mut name = [0_u8; 16];
        // SAFETY: `name` has the 16 bytes that the call
        // writes, and a signal handler may make a system call.
        unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
        if name.starts_with(b"brama") {
            ELSEWHERE.fetch_add(1, Ordering::SeqCst);
        }
        HANDLED.fetch_add(1, Ordering::SeqCst);
    }
    in_child(|| {
        // In a child, where this thread is the only one that the library did not start.
        // This thread blocks the signal, so any thread that does not block it would get it.
        // SAFETY: the handler makes a system call and uses
        // atomics only, so it may interrupt any code.
        unsafe {
            libc::signal(libc::SIGUSR1, handler as *const () as libc::sighandler_t);
            let mut set = std::mem::zeroed::<libc::sigset_t>();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGUSR1);
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        }
        for _ in 0..50 {
            let brama = Brama::builder().build().expect("valid");
            // SAFETY: a signal to this process.
            unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
            drop(brama);
        }
        same("handled elsewhere", ELSEWHERE.load(Ordering::SeqCst), 0)?;
        same("handled too early", HANDLED.load(Ordering::SeqCst), 0)?;
        // SAFETY: changes this thread's mask only. The pending signal is delivered to it now.
        unsafe {
            let mut set = std::mem::zeroed::<libc::sigset_t>();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, libc::SIGUSR1);
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &set, std::ptr::null_mut());
        }
        same("handled here", HANDLED.load(Ordering::SeqCst), 1)
    });
}

// ---- no thread to be had ----

/// Makes the system refuse this process any further thread, with EAGAIN.
fn refuse_threads() {
    const CLONE: u32 = libc::SYS_clone as u32;
    const CLONE3: u32 = libc::SYS_clone3 as u32;
    let load = |offset| libc::sock_filter {
        code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16,
        jt: 0,
        jf: 0,
        k: offset,
    };
    let jump_if = |value, jt, jf| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt,
        jf,
        k: value,
    };
    let answer = |k| libc::sock_filter {
        code: (libc::BPF_RET | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let mut program = [
        load(0),
        jump_if(CLONE, 1, 0),
        jump_if(CLONE3, 0, 1),
        answer(libc::SECCOMP_RET_ERRNO | libc::EAGAIN as u32),
        answer(libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: `filter` and `program` outlive the calls, which change this process only.
    let set = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter) == 0
    };
    assert!(set, "the system filters system calls");
    let thread = std::thread::Builder::new().spawn(|| ());
    assert!(thread.is_err(), "there is none to be had");
}

fn is_running(brama: &Brama) -> bool {
    brama.event_counts().background_running
}

#[test]
fn a_manager_says_whether_its_thread_runs() {
    let _alone = alone();
    let brama = Brama::builder().build().expect("valid");
    assert!(is_running(&brama));
    in_child(|| {
        check(!is_running(&brama), || {
            "the child has not used it yet".into()
        })?;
        brama.success("unknown").expect_err("not registered");
        check(is_running(&brama), || "it was used".into())
    });
    brama.shutdown();
    assert!(!is_running(&brama));
    let without = Brama::builder().background(false).build().expect("valid");
    assert!(!is_running(&without));
}

#[test]
fn where_no_thread_can_be_started_callbacks_are_refused_and_the_rest_works() {
    let _alone = alone();
    in_child(|| {
        refuse_threads();
        let brama = Brama::builder().max_attempts(1).expiry(ms(5)).build();
        let brama = brama.expect("valid");
        check(!is_running(&brama), || "there is no thread".into())?;
        let refused = brama.subscribe(all(), |_| ());
        let Err(error) = refused else {
            return Err("a callback that would never run".into());
        };
        same("error", error.clone(), Error::NoThread(libc::EAGAIN))?;
        let text = error.to_string();
        check(text.contains("no background thread"), || text.clone())?;
        let refused = brama.subscribe_batched(all(), 9, |_| ());
        check(refused.is_err(), || "a batch".into())?;

        // A thread that takes from a queue dispatches events first, and so does `poll`.
        let queue = queue_of(&brama, 100);
        let db = brama.register("db", None).expect("a new name");
        same("drained", queue.drain(9).len(), 2)?;
        db.failure("down").expect("registered");
        check(queue.wait(Duration::from_secs(60)), || "a wait".into())?;
        same("delivered", queue.drain(9).len(), 3)?;
        let expiry = queue.next_timeout(Duration::from_secs(60));
        let expiry = expiry.ok_or("no expiry without a thread")?;
        same("expiry", expiry.event_type(), EventType::Expiry)?;
        same("state", db.state(), State::HalfOpen)?;
        queue.drain(9);
        db.success().expect("registered");
        brama.poll();
        check(!is_running(&brama), || "still no thread".into())?;
        brama.shutdown();
        check(queue.is_closed(), || "not closed".into())?;
        same("left", queue.drain(9).len(), 3)
    });
}

/// Without a thread, the child's `poll` and `shutdown` deliver the events.
#[test]
fn a_child_where_no_thread_can_be_started_delivers_and_shuts_down() {
    let _alone = alone();
    let brama = Brama::builder().build().expect("valid");
    let heard = Arc::new(AtomicU32::new(0));
    let hears = heard.clone();
    let _subscription = brama.subscribe(all().connection("own"), move |_| {
        hears.fetch_add(1, Ordering::SeqCst);
    });
    let queue = queue_of(&brama, 100);
    in_child(|| {
        refuse_threads();
        let begin = std::time::Instant::now();
        brama.register("own", None).expect("a new name");
        check(!is_running(&brama), || "there is no thread".into())?;
        brama.poll();
        same("heard by poll", heard.load(Ordering::SeqCst), 2)?;
        brama.success("own").expect("registered");
        brama.shutdown();
        same("heard at the end", heard.load(Ordering::SeqCst), 3)?;
        check(queue.is_closed(), || "the queue is open".into())?;
        same("in the queue", queue.drain(9).len(), 3)?;
        same("later", brama.shutdown_within(ms(0)), 0)?;
        check(begin.elapsed() < Duration::from_secs(30), || "slow".into())
    });
    assert_eq!(heard.load(Ordering::SeqCst), 0, "those are the child's");
}

/// Sets how many processes and threads the user of this process may have.
fn allow_threads(count: libc::rlim_t) {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid for the read and for the write.
    let set = unsafe {
        libc::getrlimit(libc::RLIMIT_NPROC, &mut limit);
        limit.rlim_cur = count.min(limit.rlim_max);
        libc::setrlimit(libc::RLIMIT_NPROC, &limit)
    };
    assert_eq!(set, 0, "a limit within the hard one");
}

#[test]
fn a_refused_thread_is_tried_again_when_there_are_some() {
    let _alone = alone();
    in_child(|| {
        // Root is exempt from the limit.
        // SAFETY: changes this process alone.
        unsafe { libc::setuid(65_534) };
        allow_threads(0);
        let brama = Brama::builder().build().expect("valid");
        check(!is_running(&brama), || "there is no thread".into())?;
        let refused = brama.subscribe(all(), |_| ()).map(|_| ());
        same("refused", refused, Err(Error::NoThread(libc::EAGAIN)))?;
        allow_threads(libc::rlim_t::MAX);
        let (tell, told) = mpsc::channel();
        let mut subscription = None;
        soon("a thread", || {
            let tell = tell.clone();
            let callback = move |_: &brama::Event| {
                let _ = tell.send(());
            };
            subscription = brama.subscribe(all(), callback).ok();
            subscription.is_some()
        })?;
        check(is_running(&brama), || "it runs".into())?;
        brama.register("db", None).expect("a new name");
        let heard = told.recv_timeout(Duration::from_secs(60));
        check(heard.is_ok(), || "not heard".into())
    });
}
