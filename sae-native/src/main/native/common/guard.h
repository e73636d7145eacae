/*
 * guard.h: how a failure inside the library becomes a sae_status and a text. Shared by abi.cpp and every backend, each
 * of which gets its own copy (hidden visibility), so that no C++ type crosses backend_table.h.
 */
#ifndef SAE_GUARD_H
#define SAE_GUARD_H

#include <cstdio>
#include <exception>
#include <new>
#include <string>

#include "sae_abi.h"

namespace sae {

struct Failure : std::exception {
    sae_status status;
    std::string text;

    Failure(sae_status why, std::string says) : status(why), text(std::move(says)) {}
    const char *what() const noexcept override { return text.c_str(); }
};

[[noreturn]] inline void fail(sae_status status, std::string text) { throw Failure(status, std::move(text)); }

inline void require(bool condition, const char *expected, const std::string &got) {
    if (!condition) {
        fail(SAE_INVALID_ARGUMENT, std::string("expected ") + expected + ", got " + got);
    }
}

/* This thread's last text. A fixed array: reporting that memory is short must not need memory. */
inline char (&error_text())[1024] {
    static thread_local char text[1024];
    return text;
}

inline const char *last_error() { return error_text(); }

inline sae_status report(sae_status status, const char *text) noexcept {
    std::snprintf(error_text(), sizeof error_text(), "%s", text);
    return status;
}

/* Runs f(); whatever it throws becomes a status. Every function that crosses a C boundary goes through here. */
template <typename F>
sae_status guarded(F &&f) noexcept {
    try {
        f();
        return SAE_OK;
    } catch (const Failure &failure) {
        return report(failure.status, failure.what());
    } catch (const std::bad_alloc &) {
        return report(SAE_OUT_OF_MEMORY, "expected enough memory for this operation, got none from the system");
    } catch (const std::exception &error) {
        return report(SAE_INTERNAL, error.what());
    } catch (...) {
        return report(SAE_INTERNAL, "an exception of unknown type");
    }
}

} // namespace sae
#endif
