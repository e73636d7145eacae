/* backend_harness.h: what the cases of backend_check.cpp share: the backend under test, its memory, and comparisons. */
#ifndef SAE_TEST_BACKEND_HARNESS_H
#define SAE_TEST_BACKEND_HARNESS_H

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <string>
#include <vector>

#include "../../../main/native/common/backend_table.h"
#include "rules_reference.h"

namespace {

using namespace reference;

const sae_backend_table *table = nullptr;
int failures = 0;

void expect(bool condition, const std::string &what) {
    if (!condition) {
        failures++;
        std::fprintf(stderr, "FAILED: %s\n", what.c_str());
    }
}

void ok(sae_status status, const char *what) {
    if (status != SAE_OK) {
        std::fprintf(stderr, "FAILED: %s: status %d, %s\n", what, status, table->last_error());
        std::exit(1);
    }
}

/* A group of cases; says how much CPU time it took, of all threads. */
template <typename Check>
void timed(const char *name, const Check &check) {
    const std::clock_t start = std::clock();
    check();
    std::printf("%7.1f s of CPU time: %s\n", static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, name);
    std::fflush(stdout);
}

/* A buffer of the backend with the contents of a vector. */
template <typename T>
struct Memory {
    void *buffer = nullptr;
    size_t count;

    Memory(void *context, const std::vector<T> &values, int32_t place) : count(values.size()) {
        ok(table->buffer_create(context, static_cast<int64_t>(count * sizeof(T)), place, &buffer), "buffer_create");
        ok(table->buffer_write(buffer, 0, values.data(), static_cast<int64_t>(count * sizeof(T))), "buffer_write");
    }
    Memory(const Memory &) = delete;
    Memory &operator=(const Memory &) = delete;
    ~Memory() { table->buffer_close(buffer); }
    std::vector<T> read() const {
        std::vector<T> values(count);
        ok(table->buffer_read(buffer, 0, values.data(), static_cast<int64_t>(count * sizeof(T))), "buffer_read");
        return values;
    }
};

/* |a - b| <= tolerance * the largest |b|: sums in float32 round relative to their largest terms. */
template <typename A, typename B>
void expect_close(const std::vector<A> &a, const std::vector<B> &b, double tolerance, const std::string &what) {
    double largest = 0;
    double worst = 0;
    for (size_t i = 0; i < b.size(); i++) {
        largest = std::max(largest, std::abs(static_cast<double>(b[i])));
        const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
        worst = std::isnan(difference) ? std::numeric_limits<double>::infinity() : std::max(worst, difference);
    }
    expect(a.size() == b.size() && worst <= tolerance * (largest + 1e-30),
           what + ": off by " + std::to_string(worst) + ", largest " + std::to_string(largest));
}

std::vector<float> read_state(void *trainer, int32_t state, size_t count) {
    std::vector<float> values(count);
    ok(table->trainer_read(trainer, state, 0, values.data(), static_cast<int64_t>(count)), "trainer_read");
    return values;
}

/* Parameters of any SAE on the backend. */
struct RuleParams {
    void *handle = nullptr;

    RuleParams(void *context, const RuleSae &sae) {
        int64_t bytes = 0;
        ok(table->params_create(context, sae.d_in, sae.d_out, sae.m, sae.flags, &handle, &bytes), "params_create");
        int64_t least = 0;
        for (int32_t tensor = 0; tensor <= SAE_W_SKIP; tensor++) {
            const std::vector<float> &values = sae.tensors[tensor];
            const auto count = static_cast<int64_t>(values.size());
            if (count > 0) {
                std::vector<float> back(values.size(), -7.0f);
                ok(table->params_write(handle, tensor, 0, values.data(), count), "params_write");
                ok(table->params_read(handle, tensor, 0, back.data(), count), "params_read");
                expect(back == values, "tensor " + std::to_string(tensor) + " reads as written");
                least += 4 * count;
            }
        }
        expect(bytes >= least, "live bytes of params with flags " + std::to_string(sae.flags));
    }
    RuleParams(const RuleParams &) = delete;
    RuleParams &operator=(const RuleParams &) = delete;
    ~RuleParams() { table->params_close(handle); }
};

} // namespace
#endif
