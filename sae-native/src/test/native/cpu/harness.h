/* harness.h: helpers for the driver's tests: expectations, and the ABI's objects as C++ classes. */
#ifndef SAE_TEST_HARNESS_H
#define SAE_TEST_HARNESS_H

#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "../reference.h"
#include "sae_abi.h"

namespace test {

inline int failures = 0;
inline std::string where; /* what is being tested */

inline void expect(bool condition, const std::string &what) {
    if (!condition) {
        failures++;
        std::fprintf(stderr, "FAILED [%s] %s\n", where.c_str(), what.c_str());
    }
}

inline void ok(sae_status status) { expect(status == SAE_OK, sae_last_error()); }

inline void refused(sae_status status, sae_status expected, const std::string &text) {
    expect(status == expected,
           "expected status " + std::to_string(expected) + " for " + text + ", got " + std::to_string(status));
    expect(std::strstr(sae_last_error(), text.c_str()) != nullptr, "expected '" + text + "' in: " + sae_last_error());
}

inline void close_to(double got, double expected, double tolerance, const std::string &what) {
    expect(std::abs(got - expected) <= tolerance * (std::abs(expected) + 1e-6),
           what + ": expected " + std::to_string(expected) + ", got " + std::to_string(got));
}

inline sae_status encode_topk(sae_handle params, sae_handle x, int64_t rows, int64_t k, sae_handle indices,
                              sae_handle values) {
    return sae_encode(params, SAE_TOPK, x, rows, k, 0, indices, values, 0, nullptr);
}

inline sae_status decode_topk(sae_handle params, sae_handle indices, sae_handle values, int64_t rows, int64_t k,
                              sae_handle x_hat) {
    return sae_decode(params, 0, indices, values, rows, k, 0, x_hat);
}

inline std::mt19937 random_bits(7);

inline std::vector<float> gaussian(int64_t n, double deviation = 1, double mean = 0) {
    std::normal_distribution<float> draw(static_cast<float>(mean), static_cast<float>(deviation));
    std::vector<float> values(n);
    for (float &value : values) {
        value = draw(random_bits);
    }
    return values;
}

template <typename T>
struct Buffer {
    sae_handle handle = 0;
    T *data = nullptr;

    Buffer(sae_handle context, int64_t n) {
        int64_t address = 0;
        ok(sae_buffer_create(context, n * static_cast<int64_t>(sizeof(T)), SAE_HOST, &handle));
        ok(sae_buffer_address(handle, &address));
        data = reinterpret_cast<T *>(address);
    }
    Buffer(sae_handle context, const std::vector<T> &values) : Buffer(context, static_cast<int64_t>(values.size())) {
        std::copy(values.begin(), values.end(), data);
    }
    ~Buffer() { ok(sae_buffer_close(handle)); }
    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;
};

/* Parameters in the library and in the reference. */
struct Pair {
    reference::Sae expected;
    sae_handle params = 0;

    Pair(sae_handle context, int64_t d, int64_t m, bool subtract, double bias, double centre)
        : expected(d, m, subtract) {
        ok(sae_params_create(context, d, d, m, subtract ? SAE_SUBTRACT_B_DEC : 0, &params));
        const double scale = 1 / std::sqrt(static_cast<double>(d));
        write(SAE_W_ENC, gaussian(m * d, scale));
        write(SAE_B_ENC, gaussian(m, bias));
        write(SAE_W_DEC, gaussian(m * d, scale));
        write(SAE_B_DEC, gaussian(d, centre));
    }
    ~Pair() { ok(sae_params_close(params)); }
    Pair(const Pair &) = delete;
    Pair &operator=(const Pair &) = delete;

    void write(int32_t tensor, const std::vector<float> &values) {
        ok(sae_params_write(params, tensor, 0, values.data(), static_cast<int64_t>(values.size())));
        expected.tensors[tensor] = values;
    }

    std::vector<float> read(int32_t tensor, int64_t n) const {
        std::vector<float> values(n);
        ok(sae_params_read(params, tensor, 0, values.data(), n));
        return values;
    }
};

} // namespace test
#endif
