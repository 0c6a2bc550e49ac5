/*
 * brama.hpp: the circuit breaker of brama.h for C++17, header only.
 *
 *     #include <brama.hpp>
 *     #include <iostream>
 *
 *     static int charge() { return 1; }  // the dependency
 *
 *     int main() {
 *         brama::Options options;
 *         options.max_attempts = 3;
 *         auto& gate = brama::default_manager();
 *         brama::Connection payments = gate.register_connection("payment_api", options);
 *         try {
 *             std::cout << payments.call(charge) << '\n';
 *         } catch (const brama::Rejected& rejected) {
 *             std::cout << rejected.what() << '\n';
 *         }
 *     }
 *
 * Build with `c++ -std=c++17 program.cpp $(pkg-config --cflags --libs brama)`. For the static
 * library, write brama-static in place of brama. brama.h says what a private prefix needs. It also
 * describes states, permits, events and settings. This header adds owners, C++ types, lambdas and
 * exceptions.
 *
 * NAMES. A connection is named by its identifier, or by {identifier, scope}:
 * gate.available("payment_api"), gate.available({"payment_api", "billing"}). A string argument
 * is a const char*, a std::string or a std::string_view, which need not end with a NUL. A string
 * that contains a NUL is refused, except in a report. Functions return a std::string, or a
 * std::string_view and say how long it is valid.
 *
 * ERRORS. Each operation that can fail has two forms. x() throws an exception derived from
 * brama::Error. try_x() returns a brama::Result: a value, or a code with a message. It is
 * noexcept unless it runs user-supplied code or says otherwise. A call that fails changes
 * nothing, unless it says so. A message of the C library names the C field: `expiry_ms` for an
 * expiry of zero.
 *
 * A Rejected that acquire() or call() throws names the connection, the cause and the reason. The
 * Result of a try_ form copies no text: of a rejection it has the time to wait only, and so has
 * the Rejected that its value() throws. Directly after the call, on the same thread,
 * brama_last_error_message(), brama_last_error_cause() and brama_last_error_reason() have the
 * rest.
 *
 * GUARDED CALLS. call(fn) acquires a permit, runs fn and reports. A return of fn is a success.
 * An exception that leaves fn is a failure, and it is thrown on. A rejection, of this or another
 * circuit, is ignored: as the exception that leaves fn, or in a brama::Result that fn returns.
 * Any other error in such a Result is a failure. If the thread is cancelled inside fn, the call
 * is cancelled.
 *
 * A cancelled call is ignored. If it lasted at least as long as the setting cancelled_after, it
 * is a failure instead.
 *
 * A guarded call of the same circuit inside fn, on the same thread, rides on the outer call while
 * the circuit is half-open, even in a ramp. It shares the admission of the outer call: it takes
 * no probe's place and is not rejected. It reports nothing, the outer call reports for both. If
 * the outer call is ignored and the inner call failed, the outer call reports a failure. fn must
 * return on the thread that it was called on.
 *
 * A Permit that acquire() returns is reported by its success(), failure(), success_in(),
 * failure_in(), failure_for(), ignore() or cancelled(). A permit that is destroyed unreported is
 * cancelled. If an exception destroys it that was thrown after the permit was acquired, it is a
 * failure instead, with the reason "exception". Guarded calls do not ride on a Permit.
 *
 * TEXT NEVER COSTS A REPORT. A reason, or metadata of a report, that is not UTF-8, contains a NUL
 * or is too long is made valid or cut. The report counts, and its event says so (is_truncated).
 *
 * OWNERSHIP. Brama, Permit, Subscription, Queue and ManualClock can be moved but not copied. A
 * Connection can be copied: the copies are counted references. Connections, subscriptions and
 * queues may outlive their manager. A permit must not outlive the Connection or Brama that gave
 * it. A moved-from object may be assigned to and destroyed. Any other use of it fails with
 * InvalidArgument, or returns false or an empty value (a moved-from Queue is closed).
 *
 * TIME. Lengths of time are brama::Milliseconds. Other std::chrono lengths convert to it if
 * nothing is lost. brama::never is a length that does not end. Times are of system_clock.
 *
 * THREADS. Any thread may call every function of this header. Any number of threads may use a
 * Brama or a Connection at once. Only one thread at a time may use a Permit or a Subscription,
 * move or destroy a ManualClock, and drain a Queue.
 *
 * CALLBACKS run on the manager's thread, or on a thread that polls. An exception that leaves a
 * callback is caught and counted, and passed to the ExceptionHandler if there is one.
 *
 * THE END. A Brama's destructor delivers the events that wait, however long that takes. To bound
 * the time, call shutdown_within() before. The default manager is never destroyed: its thread
 * runs on while static objects are destroyed, and events that still wait are lost. A program
 * whose last events matter, or whose callbacks use static objects, calls
 * brama_shutdown_within(nullptr, ms, nullptr) at the end of main.
 *
 * WITHOUT EXCEPTIONS (-fno-exceptions) the try_ forms work unchanged. The other forms print the
 * message and end the program instead of throwing.
 */

#ifndef BRAMA_HPP
#define BRAMA_HPP

#if __cplusplus < 201703L && !(defined(_MSVC_LANG) && _MSVC_LANG >= 201703L)
#error "brama.hpp needs C++17: compile with -std=c++17 or newer"
#else

#include <brama.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <forward_list>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
#define BRAMA_HPP_TRY try
#define BRAMA_HPP_CATCH(what) catch (what)
#define BRAMA_HPP_THROW(...) throw __VA_ARGS__
#else
#define BRAMA_HPP_TRY if constexpr (true)
#define BRAMA_HPP_CATCH(what) else if constexpr (false)
#define BRAMA_HPP_THROW(...) ::brama::detail::end((__VA_ARGS__).what())
#endif

/* Keeps a function that a healthy call does not need from being inlined into the call. */
#if defined(__GNUC__)
#define BRAMA_HPP_APART __attribute__((noinline))
#else
#define BRAMA_HPP_APART
#endif

namespace brama {

/* -- Numbers, names and times ------------------------------------------------------------ */

/// The type of all lengths of time, given and returned.
using Milliseconds = std::chrono::milliseconds;

/// A point in time: measured with the monotonic clock, shown as wall-clock time.
using Time = std::chrono::time_point<std::chrono::system_clock, Milliseconds>;

/// A length of time that does not end: `open_circuit` until a caller closes it,
/// `inactive_threshold` that removes no connection, a `wait` without a limit.
inline constexpr Milliseconds never = Milliseconds::max();

/// No `window`, `probe_timeout`, `cancelled_after`, `slow_call_duration` or `ramp`: overrules the
/// manager's setting.
inline constexpr Milliseconds none = Milliseconds::max() - Milliseconds(1);

/// No `failure_rate`, `slow_call_rate` or `half_open_failure_rate`: overrules the manager's
/// setting.
inline constexpr double no_rate = BRAMA_NONE_F64;

/// No `rate_calls`: overrules the manager's setting, so that the rates count in time.
inline constexpr std::uint64_t no_calls = BRAMA_NONE;

/// `max_attempts` of a circuit that no count of failures opens. Without a rate no failure opens
/// it while it is closed, except one reported by `failure_for`.
inline constexpr std::uint32_t unlimited = BRAMA_UNLIMITED;

/// In `Filter::scope` and `snapshot`: only connections without a scope.
inline constexpr const char* no_scope = BRAMA_NO_SCOPE;

/// User-supplied strings of a connection, or of a report.
using Metadata = std::map<std::string, std::string, std::less<>>;

/// The state of a circuit.
enum class State : brama_state_t {
    unknown = BRAMA_STATE_UNKNOWN,
    closed = BRAMA_STATE_CLOSED,
    open = BRAMA_STATE_OPEN,
    half_open = BRAMA_STATE_HALF_OPEN,
};

/// Why a circuit opened. Later versions may add values.
enum class Cause : brama_cause_t {
    consecutive = BRAMA_CAUSE_CONSECUTIVE,
    window = BRAMA_CAUSE_WINDOW,
    failure_rate = BRAMA_CAUSE_FAILURE_RATE,
    slow_call_rate = BRAMA_CAUSE_SLOW_CALL_RATE,
    retry_after = BRAMA_CAUSE_RETRY_AFTER,
    probe = BRAMA_CAUSE_PROBE,
    manual = BRAMA_CAUSE_MANUAL,
};

/// What a circuit does: see BRAMA_MODE_ in brama.h. Later versions may add values.
enum class Mode : brama_mode_t {
    normal = BRAMA_MODE_NORMAL,
    disabled = BRAMA_MODE_DISABLED,
    shadow = BRAMA_MODE_SHADOW,
};

/// How the length of an opening changes while the dependency stays down.
enum class ExpiryStrategy : brama_expiry_strategy_t {
    fixed = BRAMA_EXPIRY_FIXED,
    progressive = BRAMA_EXPIRY_PROGRESSIVE,
};

/// Takes a setting back: `options.expiry = brama::inherit`. A connection then follows its manager
/// again, and a manager the default.
struct Inherit {
    constexpr operator std::uint32_t() const noexcept { return BRAMA_INHERIT_U32; }
    constexpr operator std::uint64_t() const noexcept { return BRAMA_INHERIT_U64; }
    constexpr operator double() const noexcept { return BRAMA_INHERIT_F64; }
    constexpr operator ExpiryStrategy() const noexcept {
        return ExpiryStrategy{BRAMA_INHERIT_I32};
    }
    constexpr operator Mode() const noexcept { return Mode{BRAMA_INHERIT_I32}; }
    constexpr operator Milliseconds() const noexcept {
        return Milliseconds::max() - Milliseconds(2);
    }
};
inline constexpr Inherit inherit;

/// A setting that is on or off: `true`, `false` or `inherit`.
class Flag {
public:
    template <class Bool, std::enable_if_t<std::is_same_v<Bool, bool>, int> = 0>
    constexpr Flag(Bool on) noexcept : value_(on ? 1 : 0) {}
    constexpr Flag(Inherit) noexcept : value_(BRAMA_INHERIT_I32) {}
    constexpr explicit operator std::int32_t() const noexcept { return value_; }

private:
    std::int32_t value_;
};

/// The outcome of a call, as a classifier returns it.
enum class Outcome { success, failure, ignored };

/// An outcome and the reason of a failure. A classifier may return it instead of an Outcome.
///
///     [](const Response& r) -> brama::Classified {
///         if (r.status == 503) return {brama::Outcome::failure, "HTTP 503"};
///         return brama::Outcome::success;
///     }
struct Classified {
    Classified(Outcome outcome_of_call, std::string reason_of_failure = {}) noexcept
        : outcome(outcome_of_call), reason(std::move(reason_of_failure)) {}

    Outcome outcome;
    /// The reason of a failure, up to its first NUL; "" is none. Other outcomes ignore it.
    std::string reason;
};

/// What an event is about.
enum class EventType : brama_event_type_t {
    state_change = BRAMA_EVENT_STATE_CHANGE,
    registration = BRAMA_EVENT_REGISTRATION,
    failure = BRAMA_EVENT_FAILURE,
    success = BRAMA_EVENT_SUCCESS,
    expiry = BRAMA_EVENT_EXPIRY,
    cleanup = BRAMA_EVENT_CLEANUP,
    circuit_opened = BRAMA_EVENT_CIRCUIT_OPENED,
    circuit_closed = BRAMA_EVENT_CIRCUIT_CLOSED,
    circuit_reset = BRAMA_EVENT_CIRCUIT_RESET,
    connection_registered = BRAMA_EVENT_CONNECTION_REGISTERED,
    connection_unregistered = BRAMA_EVENT_CONNECTION_UNREGISTERED,
    circuit_half_opened = BRAMA_EVENT_CIRCUIT_HALF_OPENED,
    connection_removed = BRAMA_EVENT_CONNECTION_REMOVED,
    call_rejected = BRAMA_EVENT_CALL_REJECTED,
    probe = BRAMA_EVENT_PROBE,
    notice = BRAMA_EVENT_NOTICE,
};

/// "closed", "open", "half_open" or "unknown". Valid for ever.
inline std::string_view to_string(State state) noexcept {
    return brama_state_name(static_cast<brama_state_t>(state));
}

/// The name of an event type, such as "state_change". Valid for ever.
inline std::string_view to_string(EventType type) noexcept {
    return brama_event_type_name(static_cast<brama_event_type_t>(type));
}

/// The name of a cause, such as "window"; "unknown" for a value of a later version. Valid for
/// ever.
inline std::string_view to_string(Cause cause) noexcept {
    return brama_cause_name(static_cast<brama_cause_t>(cause));
}

/// "normal", "disabled" or "shadow"; "unknown" for a value of a later version. Valid for ever.
inline std::string_view to_string(Mode mode) noexcept {
    return brama_mode_name(static_cast<brama_mode_t>(mode));
}

/// The version of the library that is loaded. The version of the header is BRAMA_VERSION_STRING.
inline std::string_view version() noexcept { return brama_version(); }

/* -- Errors and results ------------------------------------------------------------------ */

/// A result code: the library's BRAMA_OK and BRAMA_ERR_ values.
enum class Code : brama_result_t {
    ok = BRAMA_OK,
    invalid_argument = BRAMA_ERR_INVALID_ARGUMENT,
    not_found = BRAMA_ERR_NOT_FOUND,
    already_registered = BRAMA_ERR_ALREADY_REGISTERED,
    rejected = BRAMA_ERR_REJECTED,
    stale = BRAMA_ERR_STALE,
    invalid_config = BRAMA_ERR_INVALID_CONFIG,
    shut_down = BRAMA_ERR_SHUT_DOWN,
    panic = BRAMA_ERR_PANIC,
    unsupported = BRAMA_ERR_UNSUPPORTED,
    out_of_memory = BRAMA_ERR_OUT_OF_MEMORY,
    limit = BRAMA_ERR_LIMIT,
};

/// The base class of the exceptions of this header. what() names the argument or setting, its
/// value, and what is allowed.
class Error : public std::runtime_error {
public:
    Error(Code code, const std::string& message) : std::runtime_error(message), code_(code) {}
    Code code() const noexcept { return code_; }

private:
    Code code_;
};

/// The circuit does not admit the call.
class Rejected : public Error {
public:
    Rejected(const std::string& message, std::optional<Milliseconds> retry_after,
             std::optional<Cause> cause = {}, const char* reason = nullptr)
        : Error(Code::rejected, message), retry_after_(retry_after), cause_(cause) {
        if (reason != nullptr) reason_ = std::make_shared<const std::string>(reason);
    }
    /// Why the circuit opened last. None if that is not known, and if a Result threw this later
    /// (or_throw() or value()).
    std::optional<Cause> cause() const noexcept { return cause_; }
    /// The reason of that opening: of the failure that opened the circuit, or given to
    /// open_circuit(). nullptr if there is none. Valid as long as this exception or a copy of it.
    const char* reason() const noexcept { return reason_ ? reason_->c_str() : nullptr; }
    /// How long until another try can be admitted. It is a hint of at most 1 s while all probes
    /// are out, and in a ramp. None if the circuit is held open until it is closed by hand.
    std::optional<Milliseconds> retry_after() const noexcept { return retry_after_; }

private:
    std::optional<Milliseconds> retry_after_;
    std::optional<Cause> cause_;
    std::shared_ptr<const std::string> reason_;
};

namespace detail {

/// An error with no other data than its code and its message.
template <Code CODE> class Coded : public Error {
public:
    explicit Coded(const std::string& message) : Error(CODE, message) {}
};

}  // namespace detail

/// An argument is missing, not UTF-8, contains a NUL, or is out of its range.
class InvalidArgument : public detail::Coded<Code::invalid_argument> { using Coded::Coded; };
/// No connection of this name is registered.
class NotFound : public detail::Coded<Code::not_found> { using Coded::Coded; };
/// A connection of this name is already registered. It was not changed.
class AlreadyRegistered : public detail::Coded<Code::already_registered> { using Coded::Coded; };
/// The report came too late: it was counted in the totals and changed nothing else.
class Stale : public detail::Coded<Code::stale> { using Coded::Coded; };
/// A setting is out of its range.
class InvalidConfig : public detail::Coded<Code::invalid_config> { using Coded::Coded; };
/// The manager was shut down.
class ShutDown : public detail::Coded<Code::shut_down> { using Coded::Coded; };
/// A defect of the library, which the call contained. Other calls still work.
class InternalError : public detail::Coded<Code::panic> { using Coded::Coded; };
/// The operating system does not support, or refused, what this function needs.
class Unsupported : public detail::Coded<Code::unsupported> { using Coded::Coded; };
/// There is not enough memory.
class OutOfMemory : public detail::Coded<Code::out_of_memory> { using Coded::Coded; };
/// A limit of the process or the system is reached, such as that of open files.
class LimitReached : public detail::Coded<Code::limit> { using Coded::Coded; };

namespace detail {

/// None for BRAMA_CAUSE_NONE.
inline std::optional<Cause> cause(brama_cause_t number) noexcept {
    if (number == BRAMA_CAUSE_NONE) return std::nullopt;
    return static_cast<Cause>(number);
}

/// None for BRAMA_NONE and BRAMA_NEVER.
inline std::optional<Milliseconds> span(std::uint64_t ms) noexcept {
    if (ms == BRAMA_NONE || ms == BRAMA_NEVER) return std::nullopt;
    return Milliseconds(static_cast<Milliseconds::rep>(ms));
}

/// None for BRAMA_NONE.
inline std::optional<std::uint64_t> calls(std::uint64_t number) noexcept {
    if (number == BRAMA_NONE) return std::nullopt;
    return number;
}

/// None for BRAMA_NONE_F64: no rate is negative.
inline std::optional<double> rate(double number) noexcept {
    if (number < 0) return std::nullopt;
    return number;
}

inline std::optional<Time> time(std::uint64_t ms) noexcept {
    if (auto since = span(ms)) return Time(*since);
    return std::nullopt;
}

[[noreturn]] inline void end(const char* message) noexcept {
    std::fprintf(stderr, "brama: %s\n", message);
    std::abort();
}

/// The message of a rejection. It is made from the Answer alone, so that a rejection copies no
/// text.
inline std::string rejection(std::uint64_t retry_after_ms) {
    if (retry_after_ms == BRAMA_NEVER)
        return "rejected: the circuit is held open until it is closed by hand";
    if (retry_after_ms == BRAMA_NONE) return brama_strerror(BRAMA_ERR_REJECTED);
    const std::string text =
        "rejected: the circuit is open or recovering, or all probes are out, retry after ";
    if (retry_after_ms < 1000) return text + std::to_string(retry_after_ms) + "ms";
    std::string part = std::to_string(1000 + retry_after_ms % 1000);
    part[0] = '.';
    part.erase(part.find_last_not_of(".0") + 1);
    return text + std::to_string(retry_after_ms / 1000) + part + "s";
}

}  // namespace detail

/// The result of a try_ form without its value: success, or a code with a message. A plain value
/// that owns its message.
class Answer {
public:
    Answer() noexcept = default;
    /// The result of a C call that this thread has just made. Copies its message.
    explicit Answer(brama_result_t code, std::uint64_t retry_after_ms = BRAMA_NONE) noexcept
        : code_(static_cast<Code>(code)), retry_after_ms_(retry_after_ms) {
        if (code != BRAMA_OK && code != BRAMA_ERR_REJECTED) keep(brama_last_error_message());
    }

    /// Whether the operation succeeded.
    explicit operator bool() const noexcept { return code_ == Code::ok; }
    bool has_value() const noexcept { return code_ == Code::ok; }

    /// Code::ok, or the code of the error.
    Code code() const noexcept { return code_; }

    /// The message of the error; "" if there is none. May throw std::bad_alloc.
    std::string message() const {
        if (code_ == Code::ok) return {};
        return code_ == Code::rejected ? detail::rejection(retry_after_ms_) : words();
    }

    /// As Rejected::retry_after(). None also for any other code than Code::rejected.
    std::optional<Milliseconds> retry_after() const noexcept {
        return detail::span(retry_after_ms_);
    }

    /// Throws the error, with its code and its message. Does nothing if there is none.
    void or_throw() const {
        if (code_ != Code::ok) raise();
    }

    /// For this header: an error that this header found, with a message like the library's.
    static Answer own(Code code, const char* name, const char* value,
                      const char* allowed) noexcept {
        char text[192];
        const char* kind = code == Code::invalid_config ? "setting" : "argument";
        std::snprintf(text, sizeof text, "invalid %s `%s` = %s: %s", kind, name, value, allowed);
        Answer answer;
        answer.code_ = code;
        answer.keep(text);
        return answer;
    }
    /// For this header: or_throw() directly after the C call that failed. While the library's
    /// last message is still that of this answer, a rejection can name the connection, whether
    /// its circuit is open or recovering or its probes are out, and why it opened.
    void or_throw_at_once() const {
        if (code_ == Code::rejected)
            BRAMA_HPP_THROW(Rejected(brama_last_error_message(), retry_after(),
                                     detail::cause(brama_last_error_cause()),
                                     brama_last_error_reason()));
        or_throw();
    }
    /// For this header: the message of an error that is no rejection. If there was no memory to
    /// copy the message: what the code means.
    const char* words() const noexcept {
        return text_ ? text_->c_str() : brama_strerror(static_cast<brama_result_t>(code_));
    }

private:
    BRAMA_HPP_APART void keep(const char* message) noexcept {
        BRAMA_HPP_TRY { text_ = std::make_shared<const std::string>(message); }
        BRAMA_HPP_CATCH(...) {}
    }

    [[noreturn]] BRAMA_HPP_APART void raise() const {
        const std::string text = message();
        switch (code_) {
        case Code::rejected: BRAMA_HPP_THROW(Rejected(text, retry_after()));
        case Code::invalid_argument: BRAMA_HPP_THROW(InvalidArgument(text));
        case Code::not_found: BRAMA_HPP_THROW(NotFound(text));
        case Code::already_registered: BRAMA_HPP_THROW(AlreadyRegistered(text));
        case Code::stale: BRAMA_HPP_THROW(Stale(text));
        case Code::invalid_config: BRAMA_HPP_THROW(InvalidConfig(text));
        case Code::shut_down: BRAMA_HPP_THROW(ShutDown(text));
        case Code::panic: BRAMA_HPP_THROW(InternalError(text));
        case Code::unsupported: BRAMA_HPP_THROW(Unsupported(text));
        case Code::out_of_memory: BRAMA_HPP_THROW(OutOfMemory(text));
        case Code::limit: BRAMA_HPP_THROW(LimitReached(text));
        case Code::ok: break;
        }
        BRAMA_HPP_THROW(Error(code_, text));
    }

    Code code_ = Code::ok;
    std::uint64_t retry_after_ms_ = BRAMA_NONE;
    std::shared_ptr<const std::string> text_;
};

/// The result of a try_ form: a value, or an error. A plain value.
template <class T> class Result : public Answer {
public:
    Result(T value) : value_(std::move(value)) {}
    Result(Answer failed) noexcept : Answer(std::move(failed)) {}

    /// The value. Throws the error if there is none.
    T& value() & { or_throw(); return *value_; }
    const T& value() const& { or_throw(); return *value_; }
    T value() && { or_throw(); return std::move(*value_); }

    /// The value. Undefined if there is none.
    T& operator*() & noexcept { return *value_; }
    const T& operator*() const& noexcept { return *value_; }
    T&& operator*() && noexcept { return std::move(*value_); }
    T* operator->() noexcept { return &*value_; }
    const T* operator->() const noexcept { return &*value_; }

private:
    std::optional<T> value_;
};

/// The result of a try_ form that has no value: success, or an error.
template <> class Result<void> : public Answer {
public:
    Result() noexcept = default;
    Result(Answer answer) noexcept : Answer(std::move(answer)) {}

    /// Throws the error if there is one.
    void value() const { or_throw(); }
};

/* -- Strings ----------------------------------------------------------------------------- */

/// A string argument, or none. Converts from const char*, std::string, std::string_view, and
/// std::optional of these. Refers to the caller's characters, which must be valid during the call
/// only.
class Text {
public:
    /// None.
    constexpr Text() noexcept = default;
    constexpr Text(std::nullopt_t) noexcept {}
    constexpr Text(std::nullptr_t) noexcept {}
    /// A string that ends with a NUL; a NULL pointer is none.
    constexpr Text(const char* text) noexcept
        : data_(text), size_(BRAMA_TERMINATED), terminated_(true) {}
    Text(const std::string& text) noexcept
        : data_(text.c_str()), size_(text.size()), terminated_(true) {}
    constexpr Text(std::string_view text) noexcept
        : data_(text.data() != nullptr ? text.data() : ""), size_(text.size()) {}
    template <class T> Text(const std::optional<T>& text) noexcept {
        if (text) *this = Text(*text);
    }

    bool has_value() const noexcept { return data_ != nullptr; }
    /// The first character; NULL for none.
    const char* data() const noexcept { return data_; }
    /// The number of bytes, or BRAMA_TERMINATED.
    std::size_t size() const noexcept { return size_; }
    /// Whether the string ends with a NUL.
    bool is_terminated() const noexcept { return terminated_; }

private:
    const char* data_ = nullptr;
    std::size_t size_ = 0;
    bool terminated_ = false;
};

/// The name of a connection: an identifier and an optional scope.
struct Key {
    Text identifier;
    Text scope;

    /// An identifier, of any type that converts to Text; no scope.
    template <class T, std::enable_if_t<std::is_convertible_v<const T&, Text>, int> = 0>
    Key(const T& name) noexcept : identifier(name) {}
    Key(Text name, Text of_scope) noexcept : identifier(name), scope(of_scope) {}
};

namespace detail {

/// A Text as a C string that ends with a NUL. Copies the characters only if the Text does not end
/// with one. The copy of a valid name needs no allocation.
class Terminated {
public:
    Terminated(const char* name, const Text& text) noexcept {
        const std::size_t size = text.size();
        if (text.data() == nullptr || size == BRAMA_TERMINATED) {
            c_str_ = text.data();
            return;
        }
        if (std::memchr(text.data(), '\0', size) != nullptr) {
            answer_ = Answer::own(Code::invalid_argument, name, "a string with a NUL",
                                  "must be UTF-8 without NUL");
            return;
        }
        if (text.is_terminated()) {
            c_str_ = text.data();
            return;
        }
        char* to = small_;
        if (size >= sizeof small_) {
            large_.reset(new (std::nothrow) char[size + 1]);
            to = large_.get();
        }
        if (to == nullptr) {
            answer_ = Answer::own(Code::out_of_memory, name, "a string",
                                  "there is no memory for a copy");
            return;
        }
        std::memcpy(to, text.data(), size);
        to[size] = '\0';
        c_str_ = to;
    }
    Terminated(const Terminated&) = delete;
    Terminated& operator=(const Terminated&) = delete;

    /// NULL for none.
    const char* c_str() const noexcept { return c_str_; }
    const Answer& answer() const noexcept { return answer_; }

private:
    Answer answer_;
    const char* c_str_ = nullptr;
    std::unique_ptr<char[]> large_;
    char small_[1024 + 1];
};

/// Metadata as an array for C. Valid as long as the map lives and is not changed.
class Pairs {
public:
    explicit Pairs(const Metadata& metadata) noexcept : count_(metadata.size()) {
        if (count_ == 0) return;
        pairs_.reset(new (std::nothrow) brama_pair_t[count_]);
        if (!pairs_) {
            answer_ = Answer::own(Code::out_of_memory, "metadata", "a map",
                                  "there is no memory for a copy");
            return;
        }
        std::size_t next = 0;
        for (const auto& [key, value] : metadata) {
            const Terminated as_key("metadata key", key);
            const Terminated as_value("metadata value", value);
            for (const auto* text : {&as_key, &as_value})
                if (answer_ && !text->answer()) answer_ = text->answer();
            pairs_[next++] = {key.c_str(), value.c_str()};
        }
    }

    const brama_pair_t* data() const noexcept { return pairs_.get(); }
    std::size_t count() const noexcept { return count_; }
    const Answer& answer() const noexcept { return answer_; }

private:
    Answer answer_;
    std::unique_ptr<brama_pair_t[]> pairs_;
    std::size_t count_;
};

/// Metadata of a report as an array for C. Valid as long as the map lives and is not changed. It
/// is never refused. A NUL becomes a byte that is not UTF-8, which the library then replaces. A
/// pair for which there is no memory is left out. In both cases the event is truncated.
class ReportPairs {
public:
    explicit ReportPairs(const Metadata& metadata) noexcept : count_(metadata.size()) {
        if (count_ == 0) return;
        pairs_.reset(new (std::nothrow) brama_pair_t[count_]);
        if (!pairs_) return;
        std::size_t next = 0;
        for (const auto& [key, value] : metadata) pairs_[next++] = {shown(key), shown(value)};
    }

    const brama_pair_t* data() const noexcept { return pairs_.get(); }
    std::size_t count() const noexcept { return count_; }

private:
    const char* shown(const std::string& text) noexcept {
        if (text.find('\0') == std::string::npos) return text.c_str();
        BRAMA_HPP_TRY {
            std::string& copy = copies_.emplace_front(text);
            for (char& one : copy)
                if (one == '\0') one = '\xff';
            return copy.c_str();
        }
        BRAMA_HPP_CATCH(...) {}
        return nullptr;
    }

    std::unique_ptr<brama_pair_t[]> pairs_;
    std::size_t count_;
    std::forward_list<std::string> copies_;
};

inline Metadata to_metadata(const brama_pair_t* pairs, std::size_t count) {
    Metadata metadata;
    for (std::size_t i = 0; i < count; ++i) metadata.emplace(pairs[i].key, pairs[i].value);
    return metadata;
}

/// A copy of a C struct in the size that this header knows. Fields beyond the size that `given`
/// states are those of `blank`.
template <class T> T known(const T& given, T blank) noexcept {
    std::memcpy(&blank, &given, given.size < sizeof blank ? given.size : sizeof blank);
    return blank;
}

inline std::optional<std::string_view> view(const char* text) noexcept {
    if (text == nullptr) return std::nullopt;
    return text;
}

inline std::optional<std::string> copy(const char* text) {
    if (text == nullptr) return std::nullopt;
    return std::string(text);
}

}  // namespace detail

/* -- Settings ---------------------------------------------------------------------------- */

/// Settings of one connection. A setting that is not given follows the manager's, even when that
/// changes later. `inherit` takes back a setting that was given. brama.h says what each means and
/// which values are allowed.
struct Options {
    std::optional<std::uint32_t> max_attempts = {};  ///< or `unlimited`
    std::optional<ExpiryStrategy> expiry_strategy = {};
    std::optional<Milliseconds> expiry = {};
    std::optional<Milliseconds> initial_expiry = {};
    std::optional<Milliseconds> max_expiry = {};
    std::optional<double> backoff_factor = {};
    std::optional<double> jitter = {};
    std::optional<Milliseconds> window = {};         ///< or `none`
    std::optional<Milliseconds> probe_timeout = {};  ///< or `none`
    std::optional<std::uint32_t> half_open_max_calls = {};
    std::optional<std::uint32_t> half_open_successes = {};
    std::optional<Milliseconds> cancelled_after = {};  ///< or `none`
    std::optional<Flag> success_clears_window = {};
    std::optional<Mode> mode = {};
    std::optional<double> failure_rate = {};  ///< or `no_rate`
    std::optional<Milliseconds> rate_window = {};
    std::optional<std::uint64_t> rate_calls = {};  ///< or `no_calls`
    std::optional<std::uint64_t> minimum_calls = {};
    std::optional<Milliseconds> slow_call_duration = {};  ///< or `none`
    std::optional<double> slow_call_rate = {};  ///< or `no_rate`
    std::optional<double> half_open_failure_rate = {};  ///< or `no_rate`
    std::optional<Milliseconds> ramp = {};  ///< or `none`
    std::optional<double> ramp_start = {};
    /// How long the circuit is open from its registration on. Zero (default): it begins closed.
    /// `never`: until it is closed or reset by hand. Only a registration uses it: configure()
    /// refuses it, and get_or_register() ignores it if the connection exists.
    std::optional<Milliseconds> initial_state = {};
    std::optional<Metadata> metadata = {};  ///< replaces all earlier metadata
};

class ManualClock;

/// Settings of a manager. A setting that is not given has its default in a new manager, and stays
/// as it is in `configure`.
struct Config {
    std::optional<std::uint32_t> max_attempts = {};  ///< or `unlimited`
    std::optional<ExpiryStrategy> expiry_strategy = {};
    std::optional<Milliseconds> expiry = {};
    std::optional<Milliseconds> initial_expiry = {};
    std::optional<Milliseconds> max_expiry = {};
    std::optional<double> backoff_factor = {};
    std::optional<double> jitter = {};
    std::optional<Milliseconds> window = {};         ///< or `none`
    std::optional<Milliseconds> probe_timeout = {};  ///< or `none`
    std::optional<std::uint32_t> half_open_max_calls = {};
    std::optional<std::uint32_t> half_open_successes = {};
    std::optional<Milliseconds> cancelled_after = {};  ///< or `none`
    std::optional<Flag> success_clears_window = {};
    std::optional<Mode> mode = {};
    std::optional<double> failure_rate = {};  ///< or `no_rate`
    std::optional<Milliseconds> rate_window = {};
    std::optional<std::uint64_t> rate_calls = {};  ///< or `no_calls`
    std::optional<std::uint64_t> minimum_calls = {};
    std::optional<Milliseconds> slow_call_duration = {};  ///< or `none`
    std::optional<double> slow_call_rate = {};  ///< or `no_rate`
    std::optional<double> half_open_failure_rate = {};  ///< or `no_rate`
    std::optional<Milliseconds> ramp = {};  ///< or `none`
    std::optional<double> ramp_start = {};
    std::optional<Milliseconds> cleanup_interval = {};
    std::optional<Milliseconds> inactive_threshold = {};  ///< or `never`
    std::optional<Flag> auto_register = {};
    std::optional<bool> background = {};           ///< only for a new manager
    std::optional<std::uint64_t> event_capacity = {};  ///< only for a new manager
    const ManualClock* clock = nullptr;            ///< only for a new manager
};

/// The settings in effect for a connection.
struct Settings {
    std::uint32_t max_attempts;  ///< `unlimited`: no number of failures opens it
    ExpiryStrategy expiry_strategy;
    Milliseconds expiry;
    Milliseconds initial_expiry;
    Milliseconds max_expiry;
    double backoff_factor;
    double jitter;
    std::optional<Milliseconds> window;         ///< none: failures in a row count
    std::optional<Milliseconds> probe_timeout;  ///< none: the current expiry
    std::uint32_t half_open_max_calls;
    std::uint32_t half_open_successes;
    std::optional<Milliseconds> cancelled_after;  ///< none: a cancelled call is ignored
    bool success_clears_window;
    Mode mode;
    std::optional<double> failure_rate;  ///< none: the share of failures does not count
    Milliseconds rate_window;            ///< without effect while there are `rate_calls`
    std::optional<std::uint64_t> rate_calls;  ///< none: the rates count in time
    std::uint64_t minimum_calls;
    std::optional<Milliseconds> slow_call_duration;  ///< none: no call is slow
    std::optional<double> slow_call_rate;  ///< none: the share of slow calls does not count
    std::optional<double> half_open_failure_rate;  ///< none: one failure opens a half-open circuit
    std::optional<Milliseconds> ramp;  ///< none: closes as soon as its probes have succeeded
    double ramp_start;
};

namespace detail {

/// A length of time for C. If it is negative, `answer` becomes an error that names `name`.
inline std::uint64_t ms(Answer& answer, Code code, const char* name, Milliseconds given) noexcept {
    if (given == never) return BRAMA_NEVER;
    if (given == none) return BRAMA_NONE;
    if (given == Milliseconds(inherit)) return BRAMA_INHERIT_U64;
    if (given >= Milliseconds::zero()) return static_cast<std::uint64_t>(given.count());
    char value[32];
    std::snprintf(value, sizeof value, "%lld ms", static_cast<long long>(given.count()));
    if (answer) answer = Answer::own(code, name, value, "must not be negative");
    return 0;
}

/// Puts the settings that are given into a C struct. Its other fields stay "not given".
struct Filler {
    Answer answer;

    template <class From, class To>
    void put(const char* name, To& to, const std::optional<From>& from) noexcept {
        if (!from) return;
        if constexpr (std::is_same_v<From, Milliseconds>) {
            to = ms(answer, Code::invalid_config, name, *from);
        } else {
            // C would ignore the number that stands for "not given", so it is refused.
            if (static_cast<To>(*from) == to && answer)
                answer = Answer::own(Code::invalid_config, name,
                                     "the number that means \"not given\"", "must be another one");
            to = static_cast<To>(*from);
        }
    }

    template <class From, class To> void put_all(const From& from, To& to) noexcept {
        put("max_attempts", to.max_attempts, from.max_attempts);
        put("expiry_strategy", to.expiry_strategy, from.expiry_strategy);
        put("expiry", to.expiry_ms, from.expiry);
        put("initial_expiry", to.initial_expiry_ms, from.initial_expiry);
        put("max_expiry", to.max_expiry_ms, from.max_expiry);
        put("backoff_factor", to.backoff_factor, from.backoff_factor);
        put("jitter", to.jitter, from.jitter);
        put("window", to.window_ms, from.window);
        put("probe_timeout", to.probe_timeout_ms, from.probe_timeout);
        put("half_open_max_calls", to.half_open_max_calls, from.half_open_max_calls);
        put("half_open_successes", to.half_open_successes, from.half_open_successes);
        put("cancelled_after", to.cancelled_after_ms, from.cancelled_after);
        put("success_clears_window", to.success_clears_window, from.success_clears_window);
        put("mode", to.mode, from.mode);
        put("failure_rate", to.failure_rate, from.failure_rate);
        put("rate_window", to.rate_window_ms, from.rate_window);
        put("rate_calls", to.rate_calls, from.rate_calls);
        put("minimum_calls", to.minimum_calls, from.minimum_calls);
        put("slow_call_duration", to.slow_call_duration_ms, from.slow_call_duration);
        put("slow_call_rate", to.slow_call_rate, from.slow_call_rate);
        put("half_open_failure_rate", to.half_open_failure_rate, from.half_open_failure_rate);
        put("ramp", to.ramp_ms, from.ramp);
        put("ramp_start", to.ramp_start, from.ramp_start);
    }
};

struct NativeOptions : Filler {
    brama_options_t raw;

    explicit NativeOptions(const Options& given) noexcept
        : pairs(given.metadata ? *given.metadata : nothing()) {
        brama_options_init(&raw);
        put_all(given, raw);
        if (given.initial_state)
            raw.initial_state = static_cast<std::int64_t>(
                ms(answer, Code::invalid_config, "initial_state", *given.initial_state));
        if (answer) answer = pairs.answer();
        if (!given.metadata) return;
        static constexpr brama_pair_t empty = {"", ""};
        raw.metadata = pairs.count() == 0 ? &empty : pairs.data();
        raw.metadata_count = pairs.count();
    }

private:
    static const Metadata& nothing() noexcept {
        static const Metadata nothing;
        return nothing;
    }

    Pairs pairs;
};

/// The length of an opening by open_circuit(), for C.
inline std::uint64_t opening(Answer& answer, const std::optional<Milliseconds>& expiry) noexcept {
    if (!expiry) return BRAMA_NOT_GIVEN_U64;
    Answer negative;
    const std::uint64_t length = ms(negative, Code::invalid_argument, "expiry", *expiry);
    answer = negative;
    return length;
}

/// The wait of failure_for(), for C.
inline std::uint64_t waiting(Answer& answer, Milliseconds wait) noexcept {
    return ms(answer, Code::invalid_argument, "wait", wait);
}

/// The duration of success_in() and failure_in(), for C.
inline std::uint64_t lasting(Answer& answer, Milliseconds duration) noexcept {
    return ms(answer, Code::invalid_argument, "duration", duration);
}

struct NativeReport {
    brama_report_t raw;

    NativeReport(const Text& reason, const Metadata& metadata) noexcept : pairs(metadata) {
        brama_report_init(&raw);
        raw.reason = reason.data();
        raw.reason_length = reason.size();
        raw.metadata = pairs.data();
        raw.metadata_count = pairs.count();
    }

private:
    ReportPairs pairs;
};

}  // namespace detail

/* -- Status ------------------------------------------------------------------------------ */

/// The status of one connection at one moment. A plain value.
struct Status {
    std::string identifier;
    std::optional<std::string> scope;
    State state;                  ///< closed while the mode is `Mode::disabled`
    std::uint32_t failure_count;  ///< failures in a row, or inside the window
    /// Reports that count for the rates: within the window, and since the circuit last closed or
    /// was reset. While the circuit is not closed: the reports that counted when it opened. None
    /// if no rate is set, after an opening by hand or by a failed probe, while the mode is
    /// `Mode::disabled`, and if the number is not known.
    std::optional<std::uint64_t> window_calls;
    std::optional<std::uint64_t> window_failures;  ///< the failures among window_calls
    std::optional<std::uint64_t> window_slow;      ///< the slow calls among them, failed or not
    std::uint32_t trips;          ///< openings since the circuit was last healthy, at most 255
    /// Why the circuit opened last, even after it has closed or was reset. None before the first
    /// opening, and while the cause is not known yet.
    std::optional<Cause> cause;
    /// The reason of the last opening, even after the circuit has closed: of the failure that
    /// opened it, or given to open_circuit(). At most its first 256 bytes. None if there was none.
    std::optional<std::string> reason;
    std::optional<std::string> last_failure_reason;  ///< of the last failure that had one
    std::uint64_t total_successes;
    std::uint64_t total_failures;
    std::uint64_t total_rejections;
    std::uint64_t total_ignored;  ///< permits given back by calls that were cancelled or ignored
    std::optional<double> success_rate;  ///< none before the first report
    /// The share of the calls that a ramp lets pass now. In `Mode::shadow` all calls pass, and
    /// this is the share that `Mode::normal` would let pass. None outside of a ramp, and in
    /// `Mode::disabled`.
    std::optional<double> ramp_share;
    /// Behind by a tick of the coarse clock (1 to 10 ms), or by two while calls are frequent.
    std::optional<Time> last_success_time;
    std::optional<Time> last_failure_time;
    std::optional<Time> opened_at;
    std::optional<Time> last_state_change;
    Milliseconds time_in_state;
    /// While open: how long this opening lasts (`never`: until closed by hand). Otherwise: what
    /// the settings say for the present number of trips.
    Milliseconds expiry;
    std::optional<Milliseconds> retry_after;  ///< none if not open, or open until closed by hand
    Settings settings;
    Metadata metadata;
    Mode mode;  ///< in effect
    /// Calls that passed in `Mode::shadow` and that `Mode::normal` would have rejected.
    std::uint64_t would_reject;
    std::uint32_t probes_out;  ///< probes admitted and not reported, whose lease has not ended
    /// The calls that a rate had counted when it opened the circuit last, even after the circuit
    /// has closed. None if no rate opened it, and if the number is not known.
    std::optional<std::uint64_t> opened_calls = {};
    /// The failures that a rule had counted when it opened the circuit last, even after the
    /// circuit has closed: in a row, inside the window, or among opened_calls, as cause says. None
    /// after an opening by hand, by a failed probe or by failure_for(), and if the number is not
    /// known.
    std::optional<std::uint64_t> opened_failures = {};
    /// The slow calls among opened_calls, failed or not.
    std::optional<std::uint64_t> opened_slow = {};

    /// A copy of a C status. Reads no further than its size, since an older library has fewer
    /// fields.
    static Status from(const brama_status_t& given) {
        const brama_status_t raw = detail::known(given, BRAMA_STATUS_INIT);
        brama_settings_t set = BRAMA_SETTINGS_INIT;
        if (raw.settings != nullptr) set = detail::known(*raw.settings, set);
        const auto length = [](std::uint64_t ms) { return detail::span(ms).value_or(never); };
        Settings settings{set.max_attempts,
                          static_cast<ExpiryStrategy>(set.expiry_strategy),
                          length(set.expiry_ms),
                          length(set.initial_expiry_ms),
                          length(set.max_expiry_ms),
                          set.backoff_factor,
                          set.jitter,
                          detail::span(set.window_ms),
                          detail::span(set.probe_timeout_ms),
                          set.half_open_max_calls,
                          set.half_open_successes,
                          detail::span(set.cancelled_after_ms),
                          set.success_clears_window != 0,
                          static_cast<Mode>(set.mode),
                          detail::rate(set.failure_rate),
                          length(set.rate_window_ms),
                          detail::calls(set.rate_calls),
                          set.minimum_calls,
                          detail::span(set.slow_call_duration_ms),
                          detail::rate(set.slow_call_rate),
                          detail::rate(set.half_open_failure_rate),
                          detail::span(set.ramp_ms),
                          set.ramp_start};
        return Status{
            raw.identifier,
            detail::copy(raw.scope),
            static_cast<State>(raw.state),
            raw.failure_count,
            detail::calls(raw.window_calls),
            detail::calls(raw.window_failures),
            detail::calls(raw.window_slow),
            raw.trips,
            detail::cause(raw.cause),
            detail::copy(raw.reason),
            detail::copy(raw.last_failure_reason),
            raw.total_successes,
            raw.total_failures,
            raw.total_rejections,
            raw.total_ignored,
            raw.success_rate < 0 ? std::nullopt : std::optional<double>(raw.success_rate),
            detail::rate(raw.ramp_share),
            detail::time(raw.last_success_time_ms),
            detail::time(raw.last_failure_time_ms),
            detail::time(raw.opened_at_ms),
            detail::time(raw.last_state_change_ms),
            length(raw.time_in_state_ms),
            length(raw.expiry_ms),
            detail::span(raw.retry_after_ms),
            settings,
            detail::to_metadata(raw.metadata, raw.metadata_count),
            static_cast<Mode>(raw.mode),
            raw.would_reject,
            raw.probes_out,
            detail::calls(raw.opened_calls),
            detail::calls(raw.opened_failures),
            detail::calls(raw.opened_slow)};
    }
};

/// How many connections of a manager are in each state.
struct StateCounts {
    std::uint64_t closed = 0;
    std::uint64_t open = 0;
    std::uint64_t half_open = 0;
};

/// How many events of a manager were published, delivered, dropped and merged.
struct EventCounts {
    std::uint64_t published = 0;  ///< events that a subscriber wanted when they happened
    std::uint64_t delivered = 0;  ///< deliveries: one for each subscriber that got an event
    std::uint64_t dropped = 0;  ///< events without room that may be dropped, or left by a shutdown
    /// Events merged into a later one, or left out because the connection came and went.
    std::uint64_t coalesced = 0;
    /// Whether the background thread runs in this process. While it does not, events are
    /// delivered by poll() and by draining a queue.
    bool background_running = false;
};

/* -- Events ------------------------------------------------------------------------------ */

class EventView;

/// An event that owns its strings: a plain value. EventView describes the fields.
struct Event {
    EventType type;
    std::string connection;
    std::optional<std::string> scope;
    State previous_state;
    State new_state;
    std::optional<std::string> reason;
    std::uint32_t failure_count;
    std::uint64_t sequence;
    std::uint64_t registration;
    Time timestamp;
    std::optional<Milliseconds> expiry;
    bool coalesced;
    Metadata metadata;
    bool truncated = false;
    std::optional<Cause> cause = {};
    std::optional<std::uint64_t> window_calls = {};
    std::optional<std::uint64_t> window_failures = {};
    std::optional<std::uint64_t> window_slow = {};
    Mode mode = Mode::normal;
    bool deferred = false;
};

/// An event as it is delivered. It and all that it returns are valid until the callback or the
/// visitor that got it returns. copy() returns an Event that can be kept.
class EventView {
public:
    explicit EventView(const brama_event_t& raw) noexcept : raw_(&raw) {}

    EventType type() const noexcept { return static_cast<EventType>(raw_->event_type); }
    std::string_view connection() const noexcept { return raw_->connection; }
    std::optional<std::string_view> scope() const noexcept { return detail::view(raw_->scope); }
    /// State::unknown for a registration.
    State previous_state() const noexcept { return static_cast<State>(raw_->previous_state); }
    /// State::unknown for a removal.
    State new_state() const noexcept { return static_cast<State>(raw_->new_state); }
    /// The reason that the reporter gave, or the text of a notice.
    std::optional<std::string_view> reason() const noexcept { return detail::view(raw_->reason); }
    /// Why the circuit is open, if it is open after the event. None if the cause is not known yet.
    std::optional<Cause> cause() const noexcept { return detail::cause(raw_->cause); }
    /// Failures in a row, or inside the window, when the event happened.
    std::uint32_t failure_count() const noexcept { return raw_->failure_count; }
    /// The reports that counted for the rates when the circuit opened, as in Status. None if no
    /// rate was set, for an opening by hand or by a failed probe, for an event that is no opening,
    /// and if is_coalesced().
    std::optional<std::uint64_t> window_calls() const noexcept {
        return detail::calls(raw_->window_calls);
    }
    /// The failures among window_calls.
    std::optional<std::uint64_t> window_failures() const noexcept {
        return detail::calls(raw_->window_failures);
    }
    /// The slow calls among window_calls, failed or not.
    std::optional<std::uint64_t> window_slow() const noexcept {
        return detail::calls(raw_->window_slow);
    }
    /// Orders the events of one connection: the event with the larger number has the later state.
    std::uint64_t sequence() const noexcept { return raw_->sequence; }
    /// The number of the registration: larger when the name is registered again.
    std::uint64_t registration() const noexcept { return raw_->registration; }
    Time timestamp() const noexcept { return detail::time(raw_->timestamp_ms).value_or(Time()); }
    /// How long the opening lasts, if the circuit is open after the event. In the three events of
    /// an expiry (expiry, state_change, circuit_half_opened) and in those of the removal of an
    /// open circuit: how long the opening that has ended was to last. None in other events, for an
    /// opening until it is closed by hand, and if the length is not known.
    std::optional<Milliseconds> expiry() const noexcept { return detail::span(raw_->expiry_ms); }
    /// Whether several events of this type and connection, for which there was no room, were
    /// merged into this one.
    bool is_coalesced() const noexcept { return (raw_->flags & BRAMA_EVENT_COALESCED) != 0; }
    /// Whether the reason or the metadata was cut, made valid text, or left out.
    bool is_truncated() const noexcept { return (raw_->flags & BRAMA_EVENT_TRUNCATED) != 0; }
    /// The mode in effect when the event happened. While it is `Mode::disabled`, state() returns
    /// State::closed, and events have the states that are in effect when the circuit is enabled
    /// again.
    Mode mode() const noexcept { return static_cast<Mode>(raw_->mode); }
    /// Whether the mode was `Mode::shadow`: the circuit rejected nothing. A call_rejected then
    /// means a call that passed and that `Mode::normal` would have rejected.
    bool is_shadow() const noexcept { return (raw_->flags & BRAMA_EVENT_SHADOW) != 0; }
    /// Whether a caller changed the circuit by hand while it was disabled. The change takes effect
    /// when the circuit is enabled again. The reason says so, too.
    bool is_deferred() const noexcept { return (raw_->flags & BRAMA_EVENT_DEFERRED) != 0; }
    /// The metadata of the report under this key.
    std::optional<std::string_view> metadata(std::string_view key) const noexcept {
        for (std::size_t i = 0; i < raw_->metadata_count; ++i)
            if (raw_->metadata[i].key == key) return raw_->metadata[i].value;
        return std::nullopt;
    }
    /// A copy of all metadata of the report.
    Metadata metadata() const { return detail::to_metadata(raw_->metadata, raw_->metadata_count); }

    /// A copy that can be kept.
    Event copy() const {
        return Event{type(),
                     std::string(connection()),
                     detail::copy(raw_->scope),
                     previous_state(),
                     new_state(),
                     detail::copy(raw_->reason),
                     failure_count(),
                     sequence(),
                     registration(),
                     timestamp(),
                     expiry(),
                     is_coalesced(),
                     metadata(),
                     is_truncated(),
                     cause(),
                     window_calls(),
                     window_failures(),
                     window_slow(),
                     mode(),
                     is_deferred()};
    }
    /// The C event.
    const brama_event_t& native() const noexcept { return *raw_; }

private:
    const brama_event_t* raw_;
};

/// Several events, in order. Valid until the callback that got them returns.
class EventBatch {
public:
    EventBatch(const brama_event_t* events, std::size_t step, std::size_t size) noexcept
        : events_(reinterpret_cast<const char*>(events)), step_(step), size_(size) {}

    /// The iterator of range-based loops.
    class Iterator {
    public:
        Iterator(const EventBatch& batch, std::size_t at) noexcept : batch_(&batch), at_(at) {}
        EventView operator*() const noexcept { return (*batch_)[at_]; }
        Iterator& operator++() noexcept { ++at_; return *this; }
        bool operator!=(const Iterator& other) const noexcept { return at_ != other.at_; }

    private:
        const EventBatch* batch_;
        std::size_t at_;
    };

    std::size_t size() const noexcept { return size_; }
    EventView operator[](std::size_t i) const noexcept {
        return EventView(*reinterpret_cast<const brama_event_t*>(events_ + i * step_));
    }
    Iterator begin() const noexcept { return {*this, 0}; }
    Iterator end() const noexcept { return {*this, size_}; }

private:
    const char* events_;
    std::size_t step_;
    std::size_t size_;
};

/// A set of event types. The empty set stands for all types.
class EventTypes {
public:
    EventTypes() noexcept = default;
    EventTypes(EventType type) noexcept : EventTypes({type}) {}
    EventTypes(std::initializer_list<EventType> types) noexcept {
        for (EventType type : types) bits_ |= BRAMA_EVENT_BIT(static_cast<unsigned>(type));
    }
    /// The bit mask for brama_filter_t.event_types.
    std::uint32_t bits() const noexcept { return bits_; }

private:
    std::uint32_t bits_ = 0;
};

/// Which events a subscriber wants. A part that is not given lets every event pass.
struct Filter {
    EventTypes types = {};
    std::optional<std::string> connection = {};  ///< this identifier, in any scope
    std::optional<std::string> scope = {};       ///< or `no_scope`
    /// Whether an event is wanted. Runs where callbacks run. If it throws, the event is not
    /// wanted, and the exception is counted.
    std::function<bool(const EventView&)> predicate = {};
};

/// A function that gets the exceptions that leave a callback. Runs where the callback ran. An
/// exception that leaves the handler is discarded.
using ExceptionHandler = std::function<void(std::exception_ptr)>;

namespace detail {

/// The exception handler and the count of exceptions, which a subscription and its callbacks
/// share.
struct Watch {
    explicit Watch(ExceptionHandler on_exception) : handler(std::move(on_exception)) {}
    ExceptionHandler handler;
    std::atomic<std::uint64_t> exceptions{0};

    /// Runs user-supplied code that C calls. No exception leaves it: `otherwise` is returned
    /// instead.
    template <class T, class F> T contain(T otherwise, F&& code) noexcept {
        BRAMA_HPP_TRY { return code(); }
        BRAMA_HPP_CATCH(...) {
            exceptions.fetch_add(1, std::memory_order_relaxed);
            BRAMA_HPP_TRY {
                if (handler) handler(std::current_exception());
            }
            BRAMA_HPP_CATCH(...) {}
        }
        return otherwise;
    }
};

/// A user-supplied function, owned by the C library until it calls destroy().
template <class F> struct Owned {
    F function;
    std::shared_ptr<Watch> watch;

    static void one(const brama_event_t* event, void* data) {
        auto* self = static_cast<Owned*>(data);
        self->watch->contain(true, [&] { self->function(EventView(*event)); return true; });
    }
    static void several(const brama_event_t* events, std::size_t step, std::size_t count,
                        void* data) {
        auto* self = static_cast<Owned*>(data);
        self->watch->contain(true, [&] {
            self->function(EventBatch(events, step, count));
            return true;
        });
    }
    static bool wanted(const brama_event_t* event, void* data) {
        auto* self = static_cast<Owned*>(data);
        return self->watch->contain(false, [&] { return self->function(EventView(*event)); });
    }
    static void destroy(void* data) { delete static_cast<Owned*>(data); }
};

using OwnedPredicate = Owned<std::function<bool(const EventView&)>>;

/// A Filter as a C filter. Valid as long as the Filter is.
class NativeFilter {
public:
    NativeFilter(const Filter& given, const std::shared_ptr<Watch>& watch)
        : connection_("filter.connection", given.connection), scope_("filter.scope", given.scope) {
        brama_filter_init(&raw_);
        raw_.event_types = given.types.bits();
        raw_.connection = connection_.c_str();
        raw_.scope = scope_.c_str();
        if (given.predicate && watch) predicate_.reset(new OwnedPredicate{given.predicate, watch});
    }

    Answer answer() const noexcept {
        return connection_.answer() ? scope_.answer() : connection_.answer();
    }

    /// The C filter. The C call that gets it takes over the predicate.
    const brama_filter_t* handed_over() noexcept {
        if (predicate_) {
            raw_.predicate = OwnedPredicate::wanted;
            raw_.predicate_destroy = OwnedPredicate::destroy;
            raw_.predicate_data = predicate_.release();
        }
        return &raw_;
    }

private:
    brama_filter_t raw_;
    Terminated connection_;
    Terminated scope_;
    std::unique_ptr<OwnedPredicate> predicate_;
};

/// Deleter of an object that C made; FREE is the C function that frees it.
template <class T, void (*FREE)(T*)> struct Release {
    void operator()(T* raw) const noexcept { FREE(raw); }
};
template <class T, void (*FREE)(T*)> using Handle = std::unique_ptr<T, Release<T, FREE>>;

}  // namespace detail

/* -- Time that a test decides ------------------------------------------------------------ */

/// A clock that stands still until it is advanced, for `Config::clock`. It may be destroyed before
/// the managers that use it: they keep the time that it showed. Any thread may advance and read
/// it.
class ManualClock {
public:
    /// Makes a clock that shows this time. Errors: InvalidArgument for a time before 1970, and for
    /// `never`, `none` and `inherit` as a time since 1970.
    explicit ManualClock(Time start = Time(Milliseconds(0)))
        : ManualClock(try_make(start).value()) {}
    static Result<ManualClock> try_make(Time start = Time(Milliseconds(0))) noexcept {
        Answer answer;
        const std::uint64_t ms =
            detail::ms(answer, Code::invalid_argument, "start", start.time_since_epoch());
        if (!answer) return answer;
        brama_clock_t* raw = brama_clock_new(ms);
        if (raw == nullptr) return Answer(brama_last_error_code());
        return ManualClock(raw);
    }

    /// Moves the clock forward. Errors: InvalidArgument for a negative length.
    void advance(Milliseconds by) { try_advance(by).value(); }
    Result<void> try_advance(Milliseconds by) noexcept {
        Answer answer;
        const std::uint64_t ms = detail::ms(answer, Code::invalid_argument, "by", by);
        return answer ? Answer(brama_clock_advance(raw_.get(), ms)) : answer;
    }

    /// The time that the clock shows.
    Time now() const noexcept {
        return detail::time(brama_clock_unix_ms(raw_.get())).value_or(Time());
    }

    /// The C clock, still owned by this object.
    brama_clock_t* native() const noexcept { return raw_.get(); }

private:
    explicit ManualClock(brama_clock_t* raw) noexcept : raw_(raw) {}

    detail::Handle<brama_clock_t, brama_clock_free> raw_;
};

/* -- Guarded calls ----------------------------------------------------------------------- */

/// An admission, to be reported once. A Permit that is destroyed unreported counts as
/// cancelled(). If an exception destroys it that was thrown after the permit was acquired, it
/// counts as a failure instead, with the reason "exception". It must not outlive the Brama that
/// gave it, or the Connection that gave it and the copies of that. Any thread may use it, one at a
/// time.
class Permit {
public:
    explicit Permit(const brama_permit_t& raw) noexcept : raw_(raw) {}
    Permit(Permit&& other) noexcept : raw_(other.release()), unwinding_(other.unwinding_) {}
    Permit& operator=(Permit&& other) noexcept {
        if (this != &other) {
            drop();
            raw_ = other.release();
            unwinding_ = other.unwinding_;
        }
        return *this;
    }
    ~Permit() { drop(); }

    /// Whether the permit is still to be reported.
    explicit operator bool() const noexcept { return raw_.opaque[0] != 0; }

    /// Whether the call is a probe: the circuit is half-open, and the call tests the dependency. A
    /// client may then shorten its time-out. False for a call in a ramp.
    bool is_probe() const noexcept { return brama_permit_is_probe_at(&raw_); }

    /// Whether a half-open circuit gave the permit, to a probe or to a call in a ramp.
    bool is_half_open() const noexcept { return brama_permit_is_half_open_at(&raw_); }

    /// Reports that the call succeeded. Errors: Stale, NotFound, ShutDown; InvalidArgument if this
    /// object is empty: it was reported, released or moved from before.
    void success() { try_success().value(); }
    void success(const Metadata& metadata) { try_success(metadata).value(); }
    Result<void> try_success() noexcept {
        const brama_permit_t permit = release();
        return answer(permit, brama_permit_success(permit));
    }
    Result<void> try_success(const Metadata& metadata) noexcept {
        const detail::NativeReport report({}, metadata);
        const brama_permit_t permit = release();
        return answer(permit, brama_permit_success_with(permit, &report.raw));
    }

    /// Reports that the call failed, for this reason. Errors as success().
    void failure(Text reason = {}) { try_failure(reason).value(); }
    void failure(Text reason, const Metadata& metadata) { try_failure(reason, metadata).value(); }
    Result<void> try_failure(Text reason = {}) noexcept {
        const brama_permit_t permit = release();
        return answer(permit, brama_permit_failure_n(&permit, reason.data(), reason.size()));
    }
    Result<void> try_failure(Text reason, const Metadata& metadata) noexcept {
        const detail::NativeReport report(reason, metadata);
        const brama_permit_t permit = release();
        return answer(permit, brama_permit_failure_with(permit, &report.raw));
    }

    /// Reports that the call failed, and how long the dependency wants to be left alone: see
    /// Connection::failure_for(). Errors as success(). After InvalidArgument for the wait, the
    /// permit is still to be reported.
    void failure_for(Text reason, Milliseconds wait, const Metadata& metadata = {}) {
        try_failure_for(reason, wait, metadata).value();
    }
    Result<void> try_failure_for(Text reason, Milliseconds wait,
                                 const Metadata& metadata = {}) noexcept {
        const detail::NativeReport report(reason, metadata);
        Answer said;
        const auto length = detail::waiting(said, wait);
        if (said) said = answer(raw_, brama_permit_failure_for_at(&raw_, &report.raw, length));
        if (said.code() != Code::invalid_argument) release();
        return said;
    }

    /// success() and failure() with a duration that the reporter has measured. It replaces the one
    /// that the permit has measured. Errors as success(). After InvalidArgument for the duration
    /// (see Connection::success_in()), the permit is still to be reported.
    void success_in(Milliseconds duration, const Metadata& metadata = {}) {
        try_success_in(duration, metadata).value();
    }
    Result<void> try_success_in(Milliseconds duration, const Metadata& metadata = {}) noexcept {
        const detail::NativeReport report({}, metadata);
        Answer said;
        const auto length = detail::lasting(said, duration);
        if (said) said = answer(raw_, brama_permit_success_in_at(&raw_, &report.raw, length));
        if (said.code() != Code::invalid_argument) release();
        return said;
    }
    void failure_in(Milliseconds duration, Text reason = {}, const Metadata& metadata = {}) {
        try_failure_in(duration, reason, metadata).value();
    }
    Result<void> try_failure_in(Milliseconds duration, Text reason = {},
                                const Metadata& metadata = {}) noexcept {
        const detail::NativeReport report(reason, metadata);
        Answer said;
        const auto length = detail::lasting(said, duration);
        if (said) said = answer(raw_, brama_permit_failure_in_at(&raw_, &report.raw, length));
        if (said.code() != Code::invalid_argument) release();
        return said;
    }

    /// Gives the permit back, as neither success nor failure: what happened says nothing about the
    /// dependency. Errors as success().
    void ignore() { try_ignore().value(); }
    Result<void> try_ignore() noexcept {
        const brama_permit_t permit = release();
        return answer(permit, brama_permit_ignore(permit));
    }

    /// Reports that the caller has given the call up. This is ignored, or a failure if the call
    /// has lasted at least as long as the setting `cancelled_after`. Errors as success().
    void cancelled() { try_cancelled().value(); }
    Result<void> try_cancelled() noexcept {
        const brama_permit_t permit = release();
        return answer(permit, brama_permit_cancelled(permit));
    }

    /// Returns the C permit, which the caller then reports with brama_permit_success() and the
    /// like. Leaves an empty Permit.
    brama_permit_t release() noexcept { return std::exchange(raw_, brama_permit_t{}); }

private:
    /// The answer to a report on this permit.
    static Answer answer(const brama_permit_t& permit, brama_result_t result) noexcept {
        if (result == BRAMA_ERR_INVALID_ARGUMENT && permit.opaque[0] == 0)
            return Answer::own(Code::invalid_argument, "permit", "an empty Permit",
                               "already reported, released or moved");
        return Answer(result);
    }

    void drop() noexcept {
        if (!*this) return;
        if (std::uncaught_exceptions() > unwinding_)
            brama_permit_failure(release(), "exception");
        else
            brama_permit_cancelled(release());
    }

    brama_permit_t raw_;
    /// How many exceptions were uncaught when the permit was acquired: they are not the call's.
    int unwinding_ = std::uncaught_exceptions();
};

namespace detail {

/// A guarded call while its function runs: one that a half-open circuit has admitted, or one that
/// rides on such a call.
struct Frame {
    /// The permit of the admitted call, which a rider copies from the call that it rides on. Only
    /// compared.
    brama_permit_t permit;
    Frame* outer;
    bool a_rider_failed;
};

/// The list of this thread's frames, the innermost call first. Calls of closed circuits are not
/// listed.
inline thread_local Frame* innermost = nullptr;

/// How a guarded call was admitted: with a permit, or riding on another call (`mount`).
struct Entry {
    brama_permit_t permit;
    Frame* mount = nullptr;
    bool may_be_half_open = false;
};

/// Lets a call ride on the innermost call of this thread that covers it. Returns false if there
/// is none. A call that rides is listed, too, so a call inside of it finds it first: only one call
/// at a time rides on another.
inline bool mount(Entry& entry, const brama_connection_t* connection) noexcept {
    for (Frame* frame = innermost; frame != nullptr; frame = frame->outer) {
        if (!brama_permit_covers_at(&frame->permit, connection)) continue;
        entry.mount = frame;
        return true;
    }
    return false;
}

/// A guarded call from its admission to its report.
class Guarded {
public:
    explicit Guarded(Entry& entry) noexcept : entry_(entry) {
        if (entry.mount != nullptr)
            list(entry.mount->permit);
        else if (entry.may_be_half_open && brama_permit_is_half_open_at(&entry.permit))
            list(entry.permit);
    }
    Guarded(const Guarded&) = delete;
    Guarded& operator=(const Guarded&) = delete;
    /// Reports a success if nothing was reported. guarded() returns the function's result without
    /// a copy or a move, so without a classifier no code runs after the function but this.
    ~Guarded() {
        if (!is_over_) conclude(Outcome::success);
    }

    void conclude(Outcome outcome, const char* reason = nullptr) noexcept {
        end(outcome, reason, brama_permit_ignore_at);
    }
    /// Reports that the caller's thread is cancelled.
    void cancelled() noexcept { end(Outcome::ignored, nullptr, brama_permit_cancelled_at); }

private:
    void end(Outcome outcome, const char* reason,
             brama_result_t (*ignore)(const brama_permit_t*)) noexcept {
        is_over_ = true;
        if (is_listed_) outcome = unlist(outcome);
        if (entry_.mount != nullptr) {
            if (outcome == Outcome::failure) entry_.mount->a_rider_failed = true;
            return;
        }
        switch (outcome) {
        case Outcome::success: brama_permit_success_at(&entry_.permit); return;
        case Outcome::failure: brama_permit_failure_at(&entry_.permit, reason); return;
        case Outcome::ignored: break;
        }
        // A classifier that returned no value of Outcome, too: a probe must not keep its place.
        ignore(&entry_.permit);
    }
    BRAMA_HPP_APART void list(const brama_permit_t& permit) noexcept {
        frame_ = {permit, innermost, false};
        innermost = &frame_;
        is_listed_ = true;
    }
    /// Takes the frame out of the list. Returns what the call reports, given its own outcome.
    Outcome unlist(Outcome outcome) noexcept {
        for (Frame** at = &innermost; *at != nullptr; at = &(*at)->outer) {
            if (*at != &frame_) continue;
            *at = frame_.outer;
            break;
        }
        return outcome == Outcome::ignored && frame_.a_rider_failed ? Outcome::failure : outcome;
    }

    Entry& entry_;
    bool is_over_ = false;
    bool is_listed_ = false;
    Frame frame_;
};

/// Stands for no classifier: a Result counts as what it holds, any other value is a success.
struct ByItself {};
inline constexpr ByItself by_itself;

template <class R, class Classify>
void conclude(Guarded& call, const R& result, Classify&& classify) {
    if constexpr (std::is_same_v<std::decay_t<Classify>, ByItself>) {
        const Answer& answer = result;
        if (answer)
            call.conclude(Outcome::success);
        else if (answer.code() == Code::rejected)
            call.conclude(Outcome::ignored);
        else
            call.conclude(Outcome::failure, answer.words());
    } else {
        using Said = std::decay_t<std::invoke_result_t<Classify, const R&>>;
        static_assert(
            std::is_convertible_v<Said, Outcome> || std::is_convertible_v<Said, Classified>,
            "a classifier answers a brama::Outcome, or a brama::Classified with a reason");
        if constexpr (std::is_convertible_v<Said, Outcome>) {
            call.conclude(std::invoke(std::forward<Classify>(classify), result));
        } else {
            const Classified said = std::invoke(std::forward<Classify>(classify), result);
            call.conclude(said.outcome, said.reason.empty() ? nullptr : said.reason.c_str());
        }
    }
}

/// Whether an exception wraps a rejection by std::throw_with_nested, at any depth.
inline bool wraps_rejection(const std::exception& exception) noexcept {
#if defined(__cpp_rtti) && (defined(__cpp_exceptions) || defined(_CPPUNWIND))
    const auto* nested = dynamic_cast<const std::nested_exception*>(&exception);
    if (nested == nullptr || nested->nested_ptr() == nullptr) return false;
    try {
        nested->rethrow_nested();
    } catch (const Rejected&) {
        return true;
    } catch (const std::exception& inner) {
        return wraps_rejection(inner);
    } catch (...) {
    }
#else
    static_cast<void>(exception);
#endif
    return false;
}

/// Runs a call and reports its outcome. If the call returns, `classify` decides the outcome.
template <class F, class Classify>
std::invoke_result_t<F> guarded(Entry& entry, F&& fn, Classify&& classify) {
    using R = std::invoke_result_t<F>;
    constexpr bool asks = !std::is_same_v<std::decay_t<Classify>, ByItself> ||
                          std::is_base_of_v<Answer, std::decay_t<R> >;
    Guarded call(entry);
    BRAMA_HPP_TRY {
        if constexpr (asks) {
            static_assert(!std::is_void_v<R>, "there is nothing to classify: fn returns void");
            R result = std::invoke(std::forward<F>(fn));
            conclude(call, std::as_const(result), std::forward<Classify>(classify));
            if constexpr (std::is_reference_v<R>)
                return static_cast<R>(result);
            else
                return result;
        } else {
            return std::invoke(std::forward<F>(fn));
        }
    }
#if defined(__cpp_exceptions) || defined(_CPPUNWIND)
    catch (const Rejected&) {
        call.conclude(Outcome::ignored);
        throw;
    } catch (const std::exception& exception) {
        call.conclude(wraps_rejection(exception) ? Outcome::ignored : Outcome::failure,
                      exception.what());
        throw;
    } catch (...) {
        // An unwinding without a C++ exception is the cancellation of the thread.
        if (std::current_exception() != nullptr)
            call.conclude(Outcome::failure, "exception");
        else
            call.cancelled();
        throw;
    }
#endif
}

/// guarded() for a try_ form: wraps the result.
template <class F, class Classify>
Result<std::invoke_result_t<F>> try_guarded(Entry& entry, F&& fn, Classify&& classify) {
    using R = std::invoke_result_t<F>;
    static_assert(!std::is_reference_v<R>, "a Result holds a value: let fn return one");
    if constexpr (std::is_void_v<R>) {
        guarded(entry, std::forward<F>(fn), std::forward<Classify>(classify));
        return {};
    } else {
        return Result<R>(guarded(entry, std::forward<F>(fn), std::forward<Classify>(classify)));
    }
}

/// The error of a call that is not admitted.
inline Answer refused(brama_result_t result, std::uint64_t retry_after_ms) noexcept {
    return Answer(result, result == BRAMA_ERR_REJECTED ? retry_after_ms : BRAMA_NONE);
}

/// The permit of a C call that this thread has just made. Throws if there is none.
inline Permit now(Result<Permit> permit) {
    permit.or_throw_at_once();
    return *std::move(permit);
}

inline Result<Permit> admitted(brama_result_t result, const brama_permit_t& permit,
                               std::uint64_t retry_after_ms) noexcept {
    if (result == BRAMA_OK) return Permit(permit);
    return refused(result, retry_after_ms);
}

}  // namespace detail

/* -- Connections by handle --------------------------------------------------------------- */

/// A handle of a connection: its name is looked up once. Keep one for a hot path. A copy is
/// another reference to the same handle. When the connection is gone, functions fail with
/// NotFound, and with ShutDown when its manager is. Any number of threads may use it at once.
class Connection {
public:
    /// Takes over a reference to a C handle.
    explicit Connection(brama_connection_t* raw) noexcept
        : raw_(raw), pass_word_(brama_connection_pass_word(raw)) {}
    Connection(const Connection& other) noexcept
        : raw_(brama_connection_retain(other.raw_.get())), pass_word_(other.pass_word_) {}
    Connection(Connection&& other) noexcept
        : raw_(std::move(other.raw_)), pass_word_(std::exchange(other.pass_word_, nullptr)) {}
    Connection& operator=(Connection other) noexcept {
        raw_.swap(other.raw_);
        std::swap(pass_word_, other.pass_word_);
        return *this;
    }
    ~Connection() = default;

    /// The name of the connection. Valid as long as a handle of it is held.
    std::string_view identifier() const noexcept {
        return detail::view(brama_connection_identifier(native())).value_or("");
    }
    std::optional<std::string_view> scope() const noexcept {
        return detail::view(brama_connection_scope(native()));
    }

    /// Whether a call would be admitted now: the circuit is closed or half-open. Takes no permit.
    /// Costs one load while the circuit is closed.
    bool available() const noexcept {
        return passes_freely() || brama_connection_available(native());
    }

    /// The state as of now. State::unknown if the connection is gone.
    State state() const noexcept { return static_cast<State>(brama_connection_state(native())); }

    /// The status of the connection: counts, times, settings and metadata. Errors: NotFound,
    /// ShutDown.
    Status status() const { return try_status().value(); }
    /// May throw std::bad_alloc.
    Result<Status> try_status() const {
        brama_status_t status;
        brama_status_init(&status);
        const Answer answer(brama_connection_status(native(), &status));
        if (!answer) return answer;
        return Status::from(status);
    }

    /// Asks for admission. Errors: Rejected, NotFound, ShutDown. The permit must not outlive this
    /// handle and its copies.
    [[nodiscard]] Permit acquire() const& { return detail::now(try_acquire()); }
    [[nodiscard]] Result<Permit> try_acquire() const& noexcept { return admission(); }
    /// Deleted: a temporary handle would be destroyed before the permit is reported.
    Permit acquire() const&& = delete;
    Result<Permit> try_acquire() const&& = delete;

    /// Runs fn if the circuit admits the call, reports the outcome, and returns what fn returns.
    /// If fn returns, that is a success, unless it returns a Result without a value. If fn throws,
    /// that is a failure whose reason is the exception's what(), and the exception is thrown on. A
    /// rejection is ignored, whether fn throws or returns it. Errors as acquire().
    template <class F> std::invoke_result_t<F> call(F&& fn) const {
        return call_with(detail::by_itself, std::forward<F>(fn));
    }
    /// call() with a classifier: a function that gets the result of fn and returns an Outcome, or
    /// a Classified with the reason of a failure.
    template <class Classify, class F>
    std::invoke_result_t<F> call_with(Classify&& classify, F&& fn) const {
        detail::Entry entry;
        enter(entry).or_throw_at_once();
        return detail::guarded(entry, std::forward<F>(fn), std::forward<Classify>(classify));
    }
    /// call() that returns a Result, which has no value if the call is not admitted. An exception
    /// of fn is thrown all the same.
    template <class F> Result<std::invoke_result_t<F>> try_call(F&& fn) const {
        return try_call_with(detail::by_itself, std::forward<F>(fn));
    }
    template <class Classify, class F>
    Result<std::invoke_result_t<F> > try_call_with(Classify&& classify, F&& fn) const {
        detail::Entry entry;
        const Answer answer = enter(entry);
        if (!answer) return answer;
        return detail::try_guarded(entry, std::forward<F>(fn), std::forward<Classify>(classify));
    }

    /// Reports a success without a permit: ask available(), call, report. Errors: NotFound,
    /// ShutDown.
    void success() const { try_success().value(); }
    void success(const Metadata& metadata) const { try_success(metadata).value(); }
    Result<void> try_success() const noexcept {
        return Answer(brama_connection_success(native()));
    }
    Result<void> try_success(const Metadata& metadata) const noexcept {
        const detail::NativeReport report({}, metadata);
        return Answer(brama_connection_success_with(native(), &report.raw));
    }

    /// Reports a failure without a permit. Errors: NotFound, ShutDown.
    void failure(Text reason = {}) const { try_failure(reason).value(); }
    void failure(Text reason, const Metadata& metadata) const {
        try_failure(reason, metadata).value();
    }
    Result<void> try_failure(Text reason = {}) const noexcept {
        return Answer(brama_connection_failure_n(native(), reason.data(), reason.size()));
    }
    Result<void> try_failure(Text reason, const Metadata& metadata) const noexcept {
        const detail::NativeReport report(reason, metadata);
        return Answer(brama_connection_failure_with(native(), &report.raw));
    }

    /// Reports a failure, and how long the dependency wants to be left alone, as HTTP says with
    /// Retry-After. A closed or half-open circuit opens at once for the wait, prolonged by the
    /// jitter, whatever its rules say. A wait longer than 24 h, before jitter, is cut to 24 h. A
    /// wait of zero makes it an ordinary failure. If the circuit is already open, the wait has no
    /// effect: the failure is in the totals, is the last failure, and has its event, but
    /// failure_count is not raised. Errors: NotFound, ShutDown; InvalidArgument, and nothing is
    /// reported, for a wait that is negative, `never`, `none` or `inherit`.
    void failure_for(Text reason, Milliseconds wait, const Metadata& metadata = {}) const {
        try_failure_for(reason, wait, metadata).value();
    }
    Result<void> try_failure_for(Text reason, Milliseconds wait,
                                 const Metadata& metadata = {}) const noexcept {
        const detail::NativeReport report(reason, metadata);
        Answer answer;
        const auto length = detail::waiting(answer, wait);
        return answer ? Answer(brama_connection_failure_for(native(), &report.raw, length))
                      : answer;
    }

    /// success() and failure() with the duration of the call, as the reporter has measured it. The
    /// call is slow if it lasted at least `slow_call_duration`. Errors: NotFound, ShutDown;
    /// InvalidArgument, and nothing is reported, for a duration that is negative, `never`, `none`
    /// or `inherit`.
    void success_in(Milliseconds duration, const Metadata& metadata = {}) const {
        try_success_in(duration, metadata).value();
    }
    Result<void> try_success_in(Milliseconds duration,
                                const Metadata& metadata = {}) const noexcept {
        const detail::NativeReport report({}, metadata);
        Answer answer;
        const auto length = detail::lasting(answer, duration);
        return answer ? Answer(brama_connection_success_in(native(), &report.raw, length))
                      : answer;
    }
    void failure_in(Milliseconds duration, Text reason = {}, const Metadata& metadata = {}) const {
        try_failure_in(duration, reason, metadata).value();
    }
    Result<void> try_failure_in(Milliseconds duration, Text reason = {},
                                const Metadata& metadata = {}) const noexcept {
        const detail::NativeReport report(reason, metadata);
        Answer answer;
        const auto length = detail::lasting(answer, duration);
        return answer ? Answer(brama_connection_failure_in(native(), &report.raw, length))
                      : answer;
    }

    /// Opens the circuit, or moves the deadline of an open circuit. `expiry` is how long it stays
    /// open this time, `never` until it is closed by hand. If it is not given, the settings
    /// decide. Errors: NotFound, ShutDown, InvalidArgument.
    void open_circuit(Text reason = {}, std::optional<Milliseconds> expiry = {},
                      const Metadata& metadata = {}) const {
        try_open_circuit(reason, expiry, metadata).value();
    }
    Result<void> try_open_circuit(Text reason = {}, std::optional<Milliseconds> expiry = {},
                                  const Metadata& metadata = {}) const noexcept {
        const detail::NativeReport report(reason, metadata);
        Answer answer;
        const auto length = detail::opening(answer, expiry);
        return answer ? Answer(brama_connection_open_circuit_with(native(), &report.raw, length))
                      : answer;
    }

    /// Closes the circuit. Its count of failures stays: one more may open it again. Errors:
    /// NotFound, ShutDown.
    void close_circuit() const { try_close_circuit().value(); }
    Result<void> try_close_circuit() const noexcept {
        return Answer(brama_connection_close_circuit(native()));
    }
    /// Makes the circuit half-open, so that it admits probes. Does nothing if it is half-open
    /// already. Errors: NotFound, ShutDown.
    void half_open_circuit() const { try_half_open_circuit().value(); }
    Result<void> try_half_open_circuit() const noexcept {
        return Answer(brama_connection_half_open_circuit(native()));
    }
    /// Closes the circuit and forgets its failure count, its window and its openings. The totals
    /// stay, and the times and the cause of the last opening. Errors: NotFound, ShutDown.
    void reset_circuit() const { try_reset_circuit().value(); }
    Result<void> try_reset_circuit() const noexcept {
        return Answer(brama_connection_reset_circuit(native()));
    }

    /// Changes the settings that are given, all of them or, on an error, none. Errors:
    /// InvalidConfig, InvalidArgument, NotFound, ShutDown.
    void configure(const Options& options) const { try_configure(options).value(); }
    Result<void> try_configure(const Options& options) const noexcept {
        const detail::NativeOptions given(options);
        return given.answer ? Answer(brama_connection_configure(native(), &given.raw))
                            : given.answer;
    }

    /// The C handle, still owned by this object.
    brama_connection_t* native() const noexcept { return raw_.get(); }

private:
    Result<Permit> admission() const noexcept {
        brama_permit_t permit;
        std::uint64_t retry_after_ms;
        const brama_result_t result = brama_connection_acquire(native(), &permit, &retry_after_ms);
        return detail::admitted(result, permit, retry_after_ms);
    }

    /// Admits a guarded call, with a permit or riding on another call.
    Answer enter(detail::Entry& entry) const noexcept {
        if (detail::innermost != nullptr && detail::mount(entry, native())) return {};
        std::uint64_t retry_after_ms;
        const brama_result_t result =
            brama_connection_acquire(native(), &entry.permit, &retry_after_ms);
        // A circuit that is closed now has no probes: either the call is no probe, or its
        // half-open state is over.
        if (result == BRAMA_OK) {
            entry.may_be_half_open = !passes_freely();
            return {};
        }
        return detail::refused(result, retry_after_ms);
    }

    /// Whether the pass word, read with one load, says that the circuit is closed. False if it
    /// does not say so, or cannot be read here.
    bool passes_freely() const noexcept {
#if defined(__GNUC__)
        return pass_word_ != nullptr &&
               __atomic_load_n(pass_word_, __ATOMIC_ACQUIRE) < BRAMA_PASS_LIMIT;
#else
        return false;
#endif
    }

    detail::Handle<brama_connection_t, brama_connection_release> raw_;
    const std::uint32_t* pass_word_;
};

/* -- Subscriptions ----------------------------------------------------------------------- */

/// A subscription with a callback. It lasts until this object is destroyed. The destructor and
/// unsubscribe() wait for a callback that is running. When they have returned, the callback will
/// not run again and has been destroyed.
///
/// Called inside a callback, a predicate or the destructor of one, of any manager, they wait for
/// nothing and return at once. The promise then holds when the callback that is running has
/// returned. The same applies after a Brama::shutdown_within() that has run out of time.
class Subscription {
public:
    /// An empty object, which holds no subscription.
    Subscription() noexcept = default;

    /// Ends the subscription now. Further calls do nothing.
    void unsubscribe() noexcept { raw_.reset(); }
    /// Lets the subscription last as long as the manager.
    void detach() noexcept { brama_subscription_detach(raw_.release()); }
    /// Whether this object holds a subscription that it neither ended nor detached.
    explicit operator bool() const noexcept { return raw_ != nullptr; }
    /// How many exceptions left the callback or the filter's predicate.
    std::uint64_t exceptions() const noexcept {
        return watch_ ? watch_->exceptions.load(std::memory_order_relaxed) : 0;
    }

private:
    friend class Brama;
    Subscription(brama_subscription_t* raw, std::shared_ptr<detail::Watch> watch) noexcept
        : watch_(std::move(watch)), raw_(raw) {}

    std::shared_ptr<detail::Watch> watch_;
    detail::Handle<brama_subscription_t, brama_unsubscribe> raw_;
};

/// A subscription whose events wait until they are drained, by one thread at a time. The
/// destructor ends the subscription. No other thread may use the queue then: call close() before,
/// and join the threads that wait.
class Queue {
public:
    /// Takes up to `most` events out of the queue, appends copies to `events`, and returns how
    /// many. Returns at once even if there is none, and leaves the vector as it was. Throws
    /// std::bad_alloc if there is no memory. If the vector cannot grow, the events that do not fit
    /// stay in the queue.
    std::size_t drain(std::vector<Event>& events,
                      std::size_t most = static_cast<std::size_t>(-1)) {
        const auto room = [&] {
            if (events.size() == events.capacity() && brama_queue_wait(raw_.get(), 0))
                events.reserve(events.empty() ? 8 : 2 * events.size());
            return events.capacity() - events.size();
        };
        return drain_by(room, most,
                        [&](const EventView& event) { events.push_back(event.copy()); });
    }
    /// drain() into a new vector. If it throws, the events that it has taken are lost.
    std::vector<Event> drain(std::size_t most = static_cast<std::size_t>(-1)) {
        std::vector<Event> events;
        drain(events, most);
        return events;
    }
    /// Takes up to `most` events, calls visit(EventView) for each without a copy, and returns how
    /// many. If `visit` throws, the events after that one stay in the queue.
    template <class F>
    std::size_t drain_each(F&& visit, std::size_t most = static_cast<std::size_t>(-1)) {
        return drain_by(one, most, visit);
    }
    /// Takes the next event; none if no event waits. May throw std::bad_alloc.
    std::optional<Event> pop() {
        std::optional<Event> next;
        drain_by(one, 1, [&](const EventView& event) { next = event.copy(); });
        return next;
    }

    /// Waits until an event can be drained, at most for `timeout`, and returns whether one can.
    /// Returns false at once if the queue is closed and empty. Any number of threads may wait.
    bool wait(Milliseconds timeout = never) noexcept {
        Answer ignored;
        return brama_queue_wait(raw_.get(),
                                detail::ms(ignored, Code::invalid_argument, "timeout", timeout));
    }

    /// A file descriptor that is readable while events wait, and once the queue is closed. The
    /// queue owns it: do not read from it or close it. Without a background thread an event makes
    /// it readable only in Brama::poll(), or when another queue of the manager is drained or
    /// waited for: call poll() from a timer. Errors: LimitReached if too many files are
    /// open, OutOfMemory, Unsupported.
    int fd() const { return try_fd().value(); }
    Result<int> try_fd() const noexcept {
        int fd = -1;
        const Answer answer(brama_queue_fd(raw_.get(), &fd));
        if (!answer) return answer;
        return fd;
    }

    /// Ends the subscription and wakes the threads that wait. Events in the queue can still be
    /// drained.
    void close() noexcept { brama_queue_close(raw_.get()); }
    /// Whether no more events will come. Events may still be in the queue. To get all of them, ask
    /// this before the last drain.
    bool is_closed() const noexcept { return brama_queue_is_closed(raw_.get()); }
    /// How many exceptions left the filter's predicate.
    std::uint64_t exceptions() const noexcept {
        return watch_ ? watch_->exceptions.load(std::memory_order_relaxed) : 0;
    }
    /// The C queue, still owned by this object.
    brama_queue_t* native() const noexcept { return raw_.get(); }

private:
    friend class Brama;
    Queue(brama_queue_t* raw, std::shared_ptr<detail::Watch> watch) noexcept
        : watch_(std::move(watch)), raw_(raw) {}

    static std::size_t one() noexcept { return 1; }

    /// Takes up to `most` events, at a time as many as room() returns. Stops if that is 0.
    template <class Room, class F> std::size_t drain_by(Room&& room, std::size_t most, F&& visit) {
        brama_event_t events[64];
        std::size_t total = 0;
        while (total < most) {
            std::size_t count = 0, step = room();
            if (step == 0) break;
            for (const std::size_t limit : {std::size_t{64}, most - total})
                if (step > limit) step = limit;
            brama_queue_drain(raw_.get(), events, sizeof(brama_event_t), step, &count);
            for (std::size_t i = 0; i < count; ++i) visit(EventView(events[i]));
            total += count;
            if (count < step) break;
        }
        return total;
    }

    std::shared_ptr<detail::Watch> watch_;
    detail::Handle<brama_queue_t, brama_queue_free> raw_;
};

/* -- Managers ---------------------------------------------------------------------------- */

/// A manager: registers connections, decides which calls may pass, and keeps the counts. Its
/// destructor shuts it down, see shutdown(). Any number of threads may use it at once.
///
/// A function that takes a Key does by name what the function of Connection does. It also fails
/// with InvalidArgument for a name that is not valid, with ShutDown after shutdown(), and with
/// NotFound for a name that is not registered, except where it registers the name.
class Brama {
public:
    /// Makes a manager. Errors: InvalidConfig, which names the setting; OutOfMemory if there is no
    /// memory for event_capacity.
    explicit Brama(const Config& config = {}) : Brama(try_make(config).value()) {}
    static Result<Brama> try_make(const Config& config = {}) noexcept {
        const NativeConfig given(config);
        if (!given.answer) return given.answer;
        brama_t* raw = brama_new(&given.raw);
        if (raw == nullptr) return Answer(brama_last_error_code());
        return Brama(raw);
    }
    /// Takes over a C manager.
    explicit Brama(brama_t* raw) noexcept : raw_(raw) {}

    /// Registers a connection, closed. Errors: AlreadyRegistered, InvalidConfig.
    Connection register_connection(Key key, const Options& options = {}) const {
        return try_register(key, options).value();
    }
    Result<Connection> try_register(Key key, const Options& options = {}) const noexcept {
        return make(brama_register, key, options);
    }
    /// Registers a connection, or returns a handle of the existing one, which is not changed. If
    /// `options` differ from its settings, there is an event of type notice, once for each
    /// connection. Errors: InvalidConfig.
    Connection get_or_register(Key key, const Options& options = {}) const {
        return try_get_or_register(key, options).value();
    }
    Result<Connection> try_get_or_register(Key key, const Options& options = {}) const noexcept {
        return make(brama_get_or_register, key, options);
    }
    /// A handle of a registered connection.
    Connection connection(Key key) const { return try_connection(key).value(); }
    Result<Connection> try_connection(Key key) const noexcept {
        brama_connection_t* raw = nullptr;
        const Answer answer =
            by_name(key, [&](auto... name) { return brama_connection_get(name..., &raw); });
        if (!answer) return answer;
        return Connection(raw);
    }
    /// Removes a connection. Its handles fail with NotFound from then on.
    void unregister(Key key) const { try_unregister(key).value(); }
    Result<void> try_unregister(Key key) const noexcept { return by_name(key, brama_unregister); }

    /// Connection::available() by name. False for a name that is not registered.
    bool available(Key key) const noexcept {
        bool answer = false;
        by_name(key, [&](auto... name) { answer = brama_available(name...); return BRAMA_OK; });
        return answer;
    }
    /// Connection::state() by name. State::unknown for a name that is not registered.
    State state(Key key) const noexcept {
        brama_state_t answer = BRAMA_STATE_UNKNOWN;
        by_name(key, [&](auto... name) { answer = brama_state(name...); return BRAMA_OK; });
        return static_cast<State>(answer);
    }
    /// Connection::status() by name.
    Status status(Key key) const { return try_status(key).value(); }
    /// May throw std::bad_alloc.
    Result<Status> try_status(Key key) const {
        brama_status_t status;
        brama_status_init(&status);
        const Answer answer =
            by_name(key, [&](auto... name) { return brama_status(name..., &status); });
        if (!answer) return answer;
        return Status::from(status);
    }

    /// Connection::acquire() by name. The permit must not outlive this manager.
    [[nodiscard]] Permit acquire(Key key) const& { return detail::now(try_acquire(key)); }
    [[nodiscard]] Result<Permit> try_acquire(Key key) const& noexcept {
        brama_permit_t permit = {};
        const Answer answer = admission(key, permit);
        if (!answer) return answer;
        return Permit(permit);
    }
    /// Deleted: a temporary manager would be destroyed before the permit is reported.
    Permit acquire(Key key) const&& = delete;
    Result<Permit> try_acquire(Key key) const&& = delete;

    /// Connection::call() and its variants by name.
    template <class F> std::invoke_result_t<F> call(Key key, F&& fn) const {
        return call_with(key, detail::by_itself, std::forward<F>(fn));
    }
    template <class Classify, class F>
    std::invoke_result_t<F> call_with(Key key, Classify&& classify, F&& fn) const {
        detail::Entry entry;
        enter(key, entry).or_throw_at_once();
        return detail::guarded(entry, std::forward<F>(fn), std::forward<Classify>(classify));
    }
    template <class F> Result<std::invoke_result_t<F>> try_call(Key key, F&& fn) const {
        return try_call_with(key, detail::by_itself, std::forward<F>(fn));
    }
    template <class Classify, class F>
    Result<std::invoke_result_t<F>> try_call_with(Key key, Classify&& classify, F&& fn) const {
        detail::Entry entry;
        const Answer answer = enter(key, entry);
        if (!answer) return answer;
        return detail::try_guarded(entry, std::forward<F>(fn), std::forward<Classify>(classify));
    }

    /// Connection::success() and Connection::failure() by name.
    void success(Key key) const { try_success(key).value(); }
    void success(Key key, const Metadata& metadata) const { try_success(key, metadata).value(); }
    Result<void> try_success(Key key) const noexcept { return by_name(key, brama_success); }
    Result<void> try_success(Key key, const Metadata& metadata) const noexcept {
        const detail::NativeReport report({}, metadata);
        return by_name(key,
                       [&](auto... name) { return brama_success_with(name..., &report.raw); });
    }
    void failure(Key key, Text reason = {}) const { try_failure(key, reason).value(); }
    void failure(Key key, Text reason, const Metadata& metadata) const {
        try_failure(key, reason, metadata).value();
    }
    Result<void> try_failure(Key key, Text reason = {}) const noexcept {
        return by_name(key, [&](brama_t* manager, const char* identifier, const char* scope) {
            return brama_failure_n(manager, identifier, BRAMA_TERMINATED, scope, BRAMA_TERMINATED,
                                   reason.data(), reason.size());
        });
    }
    Result<void> try_failure(Key key, Text reason, const Metadata& metadata) const noexcept {
        const detail::NativeReport report(reason, metadata);
        return by_name(key,
                       [&](auto... name) { return brama_failure_with(name..., &report.raw); });
    }
    /// Connection::failure_for() by name.
    void failure_for(Key key, Text reason, Milliseconds wait,
                     const Metadata& metadata = {}) const {
        try_failure_for(key, reason, wait, metadata).value();
    }
    Result<void> try_failure_for(Key key, Text reason, Milliseconds wait,
                                 const Metadata& metadata = {}) const noexcept {
        const detail::NativeReport report(reason, metadata);
        Answer answer;
        const auto length = detail::waiting(answer, wait);
        if (!answer) return answer;
        return by_name(
            key, [&](auto... name) { return brama_failure_for(name..., &report.raw, length); });
    }
    /// Connection::success_in() and Connection::failure_in() by name.
    void success_in(Key key, Milliseconds duration, const Metadata& metadata = {}) const {
        try_success_in(key, duration, metadata).value();
    }
    Result<void> try_success_in(Key key, Milliseconds duration,
                                const Metadata& metadata = {}) const noexcept {
        const detail::NativeReport report({}, metadata);
        Answer answer;
        const auto length = detail::lasting(answer, duration);
        if (!answer) return answer;
        return by_name(
            key, [&](auto... name) { return brama_success_in(name..., &report.raw, length); });
    }
    void failure_in(Key key, Milliseconds duration, Text reason = {},
                    const Metadata& metadata = {}) const {
        try_failure_in(key, duration, reason, metadata).value();
    }
    Result<void> try_failure_in(Key key, Milliseconds duration, Text reason = {},
                                const Metadata& metadata = {}) const noexcept {
        const detail::NativeReport report(reason, metadata);
        Answer answer;
        const auto length = detail::lasting(answer, duration);
        if (!answer) return answer;
        return by_name(
            key, [&](auto... name) { return brama_failure_in(name..., &report.raw, length); });
    }

    /// Connection::open_circuit(), close_circuit(), half_open_circuit() and reset_circuit() by
    /// name.
    void open_circuit(Key key, Text reason = {}, std::optional<Milliseconds> expiry = {},
                      const Metadata& metadata = {}) const {
        try_open_circuit(key, reason, expiry, metadata).value();
    }
    Result<void> try_open_circuit(Key key, Text reason = {},
                                  std::optional<Milliseconds> expiry = {},
                                  const Metadata& metadata = {}) const noexcept {
        const detail::NativeReport report(reason, metadata);
        Answer answer;
        const auto length = detail::opening(answer, expiry);
        if (!answer) return answer;
        return by_name(key, [&](auto... name) {
            return brama_open_circuit_with(name..., &report.raw, length);
        });
    }
    void close_circuit(Key key) const { try_close_circuit(key).value(); }
    Result<void> try_close_circuit(Key key) const noexcept {
        return by_name(key, brama_close_circuit);
    }
    void half_open_circuit(Key key) const { try_half_open_circuit(key).value(); }
    Result<void> try_half_open_circuit(Key key) const noexcept {
        return by_name(key, brama_half_open_circuit);
    }
    void reset_circuit(Key key) const { try_reset_circuit(key).value(); }
    Result<void> try_reset_circuit(Key key) const noexcept {
        return by_name(key, brama_reset_circuit);
    }
    /// Resets every circuit: see Connection::reset_circuit().
    void reset_all() const { try_reset_all().value(); }
    Result<void> try_reset_all() const noexcept {
        return raw_ ? Answer(brama_reset_all(native())) : gone();
    }

    /// Changes the manager's settings that are given, all of them or, on an error, none. Errors:
    /// InvalidConfig, also for a setting that only a new manager takes.
    void configure(const Config& config) const { try_configure(config).value(); }
    Result<void> try_configure(const Config& config) const noexcept {
        const NativeConfig given(config);
        if (!raw_) return gone();
        return given.answer ? Answer(brama_configure(native(), &given.raw)) : given.answer;
    }
    /// Connection::configure() by name.
    void configure_connection(Key key, const Options& options) const {
        try_configure_connection(key, options).value();
    }
    Result<void> try_configure_connection(Key key, const Options& options) const noexcept {
        const detail::NativeOptions given(options);
        if (!given.answer) return given.answer;
        return by_name(
            key, [&](auto... name) { return brama_configure_connection(name..., &given.raw); });
    }

    /// The status of every connection, ordered by scope and identifier. With a scope: of its
    /// connections only; with `no_scope`: of those without a scope only. Each status is consistent
    /// with itself, but they are not all of one instant. Errors: InvalidArgument.
    std::vector<Status> snapshot(Text scope = {}) const { return try_snapshot(scope).value(); }
    /// May throw std::bad_alloc.
    Result<std::vector<Status>> try_snapshot(Text scope = {}) const {
        const detail::Terminated of("scope", scope);
        if (!of.answer() || !raw_) return of.answer() ? gone() : of.answer();
        Collector collector;
        const Answer answer(brama_for_each(native(), of.c_str(), Collector::add, &collector));
        if (collector.problem) std::rethrow_exception(collector.problem);
        if (!answer) return answer;
        return std::move(collector.found);
    }
    /// How many connections are in each state.
    StateCounts state_counts() const noexcept {
        brama_state_counts_t counts;
        brama_state_counts_init(&counts);
        if (raw_) brama_state_counts(native(), &counts);
        return {counts.closed, counts.open, counts.half_open};
    }

    /// The state of every circuit, as bytes for restore(): later in this process, in another
    /// process, or on another machine. Not saved are settings, metadata, windows, rates, the times
    /// of reports, and restored circuits that wait for their registration. See brama_save().
    /// Errors: OutOfMemory.
    std::string save() const { return try_save().value(); }
    /// May throw std::bad_alloc.
    Result<std::string> try_save() const {
        if (!raw_) return gone();
        std::uint8_t* bytes = nullptr;
        std::size_t length = 0;
        const Answer answer(brama_save(native(), &bytes, &length));
        const std::unique_ptr<std::uint8_t, void (*)(std::uint8_t*)> owned(bytes, brama_data_free);
        if (!answer) return answer;
        return std::string(reinterpret_cast<const char*>(bytes), length);
    }
    /// Restores circuits from the bytes that save() returned. Returns how many: those restored,
    /// and those that wait for the registration of their name. A restored circuit changes its
    /// state as by hand: permits acquired before are stale. A circuit that has changed its state
    /// since it was saved is left as it is, and not counted. All of the data is checked first, and
    /// none of it is referred to afterwards. See brama_restore(). Errors: InvalidArgument, which
    /// says what is wrong with the data; ShutDown.
    std::size_t restore(std::string_view data) const { return try_restore(data).value(); }
    Result<std::size_t> try_restore(std::string_view data) const noexcept {
        if (!raw_) return gone();
        std::size_t count = 0;
        const auto* bytes = reinterpret_cast<const std::uint8_t*>(data.data());
        const Answer answer(brama_restore(native(), bytes, data.size(), &count));
        if (!answer) return answer;
        return count;
    }

    /// The counts of events, and whether the background thread runs. The counts are exact while no
    /// event is on its way, such as after poll().
    EventCounts event_counts() const noexcept {
        brama_event_counts_t counts;
        brama_event_counts_init(&counts);
        if (raw_) brama_event_counts(native(), &counts);
        return {counts.published, counts.delivered, counts.dropped, counts.coalesced,
                counts.background_running != 0};
    }

    /// Calls callback(const EventView&) for every event that the filter lets pass, until the
    /// subscription ends. An exception that leaves the callback is counted and passed to
    /// on_exception. Errors: InvalidArgument, ShutDown; Unsupported if the callback could never
    /// run, because the system starts no background thread; any exception of copying the
    /// functions.
    template <class F>
    [[nodiscard]] Subscription subscribe(const Filter& filter, F&& callback,
                                         ExceptionHandler on_exception = {}) const {
        return try_subscribe(filter, std::forward<F>(callback), std::move(on_exception)).value();
    }
    /// May throw std::bad_alloc, and any exception of copying the functions.
    template <class F>
    [[nodiscard]] Result<Subscription> try_subscribe(const Filter& filter, F&& callback,
                                                     ExceptionHandler on_exception = {}) const {
        using Owned = detail::Owned<std::decay_t<F>>;
        return begin<Owned>(
            filter, std::forward<F>(callback), std::move(on_exception),
            [this](const brama_filter_t* wanted, Owned* owned, brama_subscription_t** out) {
                return brama_subscribe(native(), wanted, Owned::one, owned, Owned::destroy, out);
            });
    }
    /// subscribe() that calls callback(const EventBatch&) for up to `most` events at a time.
    /// Errors: also InvalidConfig if `most` is not 1 to 16777216.
    template <class F>
    [[nodiscard]] Subscription subscribe_batched(const Filter& filter, std::size_t most,
                                                 F&& callback,
                                                 ExceptionHandler on_exception = {}) const {
        return try_subscribe_batched(filter, most, std::forward<F>(callback),
                                     std::move(on_exception))
            .value();
    }
    template <class F>
    [[nodiscard]] Result<Subscription> try_subscribe_batched(
        const Filter& filter, std::size_t most, F&& callback,
        ExceptionHandler on_exception = {}) const {
        using Owned = detail::Owned<std::decay_t<F>>;
        return begin<Owned>(
            filter, std::forward<F>(callback), std::move(on_exception),
            [this, most](const brama_filter_t* wanted, Owned* owned, brama_subscription_t** out) {
                return brama_subscribe_batched(native(), wanted, most, Owned::several, owned,
                                               Owned::destroy, out);
            });
    }
    /// Makes a queue of every event that the filter lets pass. Up to `capacity` events wait in it
    /// in order; brama.h (EVENTS) says what happens when it is full. Errors: InvalidConfig if
    /// capacity is not 1 to 16777216, InvalidArgument, ShutDown.
    [[nodiscard]] Queue subscribe_queue(const Filter& filter, std::size_t capacity) const {
        return try_subscribe_queue(filter, capacity).value();
    }
    /// May throw std::bad_alloc, and any exception of copying the filter's predicate.
    [[nodiscard]] Result<Queue> try_subscribe_queue(const Filter& filter,
                                                    std::size_t capacity) const {
        if (!raw_) return gone();
        auto watch = std::make_shared<detail::Watch>(nullptr);
        detail::NativeFilter wanted(filter, watch);
        if (!wanted.answer()) return wanted.answer();
        brama_queue_t* raw = nullptr;
        const Answer answer(brama_queue_new(native(), wanted.handed_over(), capacity, &raw));
        if (!answer) return answer;
        return Queue(raw, std::move(watch));
    }
    /// Ends every subscription and queue that matches a pattern: its filter has each part that the
    /// pattern gives, and wants no event type beyond the pattern's. The pattern's predicate is
    /// ignored. Waits for callbacks as Subscription::unsubscribe() does. Errors: InvalidArgument.
    void unsubscribe_matching(const Filter& pattern = {}) const {
        try_unsubscribe_matching(pattern).value();
    }
    Result<void> try_unsubscribe_matching(const Filter& pattern = {}) const noexcept {
        if (!raw_) return gone();
        detail::NativeFilter native_pattern(pattern, nullptr);
        if (!native_pattern.answer()) return native_pattern.answer();
        return Answer(brama_unsubscribe_matching(native(), native_pattern.handed_over()));
    }

    /// Does what is due: expiries, cleanup, delivery of events. Needed without a background
    /// thread, harmless with one. Runs callbacks on the calling thread.
    void poll() const noexcept {
        if (raw_) brama_poll(native());
    }
    /// Shuts the manager down: removes all connections, delivers the events that wait, ends all
    /// subscriptions, and joins the background thread. Waits as long as the callbacks take, except
    /// inside a callback of any manager. Further calls do nothing.
    void shutdown() const noexcept {
        if (raw_) brama_shutdown(native());
    }
    /// shutdown() within this time. Returns how many events were not delivered. A callback that
    /// runs when the time is over is left alone, and no later call waits for it: the objects that
    /// it uses must outlive it.
    std::uint64_t shutdown_within(Milliseconds time) const noexcept {
        std::uint64_t left = 0;
        const auto ms = time.count() < 0 ? 0 : static_cast<std::uint64_t>(time.count());
        if (raw_) brama_shutdown_within(native(), ms, &left);
        return left;
    }
    /// The C manager, still owned by this object. NULL after a move, which C functions take for
    /// the default manager.
    brama_t* native() const noexcept { return raw_.get(); }

private:
    struct NativeConfig : detail::Filler {
        brama_config_t raw;

        explicit NativeConfig(const Config& given) noexcept {
            brama_config_init(&raw);
            put_all(given, raw);
            put("cleanup_interval", raw.cleanup_interval_ms, given.cleanup_interval);
            put("inactive_threshold", raw.inactive_threshold_ms, given.inactive_threshold);
            put("auto_register", raw.auto_register, given.auto_register);
            put("background", raw.background, given.background);
            put("event_capacity", raw.event_capacity, given.event_capacity);
            if (given.clock != nullptr) raw.clock = given.clock->native();
        }
    };

    struct Collector {
        std::vector<Status> found;
        std::exception_ptr problem;

        static bool add(const brama_status_t* status, void* data) noexcept {
            auto* self = static_cast<Collector*>(data);
            BRAMA_HPP_TRY {
                self->found.push_back(Status::from(*status));
                return true;
            }
            BRAMA_HPP_CATCH(...) { self->problem = std::current_exception(); }
            return false;
        }
    };

    static Answer gone() noexcept {
        return Answer::own(Code::invalid_argument, "Brama", "a moved-from object",
                           "must be a manager");
    }

    /// Calls a C function with the manager and the name.
    template <class F> Answer by_name(const Key& key, F&& function) const noexcept {
        const detail::Terminated identifier("identifier", key.identifier);
        const detail::Terminated scope("scope", key.scope);
        if (!identifier.answer()) return identifier.answer();
        if (!scope.answer()) return scope.answer();
        if (!raw_) return gone();
        return Answer(function(native(), identifier.c_str(), scope.c_str()));
    }

    Answer admission(const Key& key, brama_permit_t& permit) const noexcept {
        std::uint64_t retry_after_ms = BRAMA_NONE;
        const Answer answer = by_name(
            key, [&](auto... name) { return brama_acquire(name..., &permit, &retry_after_ms); });
        return answer.code() == Code::rejected
                   ? detail::refused(BRAMA_ERR_REJECTED, retry_after_ms)
                   : answer;
    }

    /// Admits a guarded call, with a permit or riding on another call.
    Answer enter(const Key& key, detail::Entry& entry) const noexcept {
        if (detail::innermost != nullptr) {
            const auto named = try_connection(key);
            if (named && detail::mount(entry, named->native())) return {};
        }
        entry.may_be_half_open = true;
        return admission(key, entry.permit);
    }

    template <class F>
    Result<Connection> make(F* function, const Key& key, const Options& options) const noexcept {
        const detail::NativeOptions given(options);
        if (!given.answer) return given.answer;
        brama_connection_t* raw = nullptr;
        const Answer answer =
            by_name(key, [&](auto... name) { return function(name..., &given.raw, &raw); });
        if (!answer) return answer;
        return Connection(raw);
    }

    template <class Owned, class F, class Begin>
    Result<Subscription> begin(const Filter& filter, F&& callback, ExceptionHandler on_exception,
                               Begin&& subscribe) const {
        if (!raw_) return gone();
        auto watch = std::make_shared<detail::Watch>(std::move(on_exception));
        detail::NativeFilter wanted(filter, watch);
        if (!wanted.answer()) return wanted.answer();
        // C frees the callback and the predicate, even if it returns an error.
        auto* owned = new Owned{std::forward<F>(callback), watch};
        brama_subscription_t* raw = nullptr;
        const Answer answer(subscribe(wanted.handed_over(), owned, &raw));
        if (!answer) return answer;
        return Subscription(raw, std::move(watch));
    }

    detail::Handle<brama_t, brama_free> raw_;
};

/// The process-wide manager. It is made with the default settings on first use, and never
/// destroyed.
inline Brama& default_manager() {
    static Brama& manager = *new Brama(brama_default());
    return manager;
}

}  // namespace brama

#undef BRAMA_HPP_APART
#undef BRAMA_HPP_TRY
#undef BRAMA_HPP_CATCH
#undef BRAMA_HPP_THROW

#endif  // C++17
#endif  // BRAMA_HPP
