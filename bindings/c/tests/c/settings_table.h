/*
 * Every setting of a circuit, as src/values/settings/table.rs has it:
 * SETTING(its name outside of C, its field in C, its kind, its default).
 * `BRAMA_BLESS=1 cargo test -p brama-capi --test header` rewrites this.
 */
SETTING(max_attempts, max_attempts, attempts, 5)
SETTING(expiry_strategy, expiry_strategy, strategy, BRAMA_EXPIRY_FIXED)
SETTING(expiry, expiry_ms, time, 60000)
SETTING(initial_expiry, initial_expiry_ms, time, 60000)
SETTING(max_expiry, max_expiry_ms, time, 600000)
SETTING(backoff_factor, backoff_factor, factor, 2.0)
SETTING(jitter, jitter, part, 0.0)
SETTING(window, window_ms, optional_time, BRAMA_NONE)
SETTING(probe_timeout, probe_timeout_ms, optional_time, BRAMA_NONE)
SETTING(half_open_max_calls, half_open_max_calls, calls, 1)
SETTING(half_open_successes, half_open_successes, calls, 1)
SETTING(cancelled_after, cancelled_after_ms, optional_time, BRAMA_NONE)
SETTING(success_clears_window, success_clears_window, flag, true)
SETTING(mode, mode, mode, BRAMA_MODE_NORMAL)
SETTING(failure_rate, failure_rate, optional_rate, BRAMA_NONE_F64)
SETTING(rate_window, rate_window_ms, bounded_time, 10000)
SETTING(rate_calls, rate_calls, optional_calls, BRAMA_NONE)
SETTING(minimum_calls, minimum_calls, count, 20)
SETTING(slow_call_duration, slow_call_duration_ms, optional_time, BRAMA_NONE)
SETTING(slow_call_rate, slow_call_rate, optional_rate, BRAMA_NONE_F64)
SETTING(half_open_failure_rate, half_open_failure_rate, optional_rate, BRAMA_NONE_F64)
SETTING(ramp, ramp_ms, optional_time, BRAMA_NONE)
SETTING(ramp_start, ramp_start, share, 0.1)
