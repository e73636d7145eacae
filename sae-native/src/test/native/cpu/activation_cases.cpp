#include "activation_cases.h"

#include <algorithm>
#include <numeric>

#include "harness.h"

namespace test {
namespace {

using Dense = std::vector<std::vector<float>>; /* [rows][latents] */

std::vector<float> whole(int64_t n, int least, int most) {
    std::vector<float> values(n);
    for (float &value : values) {
        value = static_cast<float>(least + static_cast<int>(random_bits() % static_cast<unsigned>(most - least + 1)));
    }
    return values;
}

struct Params {
    sae_handle handle = 0;

    Params(sae_handle context, int64_t d_in, int64_t d_out, int64_t m, int32_t flags) {
        ok(sae_params_create(context, d_in, d_out, m, flags, &handle));
    }
    ~Params() { ok(sae_params_close(handle)); }
    Params(const Params &) = delete;
    Params &operator=(const Params &) = delete;

    std::vector<float> put(int32_t tensor, std::vector<float> values) const {
        ok(sae_params_write(handle, tensor, 0, values.data(), static_cast<int64_t>(values.size())));
        return values;
    }
};

/* Rows of k: of z the k largest |value|, then lower index; zeros are values like others. */
void expect_rows(sae_handle context, sae_handle params, int32_t rule, const Buffer<float> &x, int64_t k,
                 const Dense &z) {
    const int64_t rows = static_cast<int64_t>(z.size());
    Buffer<int32_t> indices(context, rows * k);
    Buffer<float> values(context, rows * k);
    ok(sae_encode(params, rule, x.handle, rows, k, 0, indices.handle, values.handle, 0, nullptr));
    for (int64_t row = 0; row < rows; row++) {
        std::vector<int32_t> order(z[row].size());
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(),
                         [&](int32_t a, int32_t b) { return std::abs(z[row][a]) > std::abs(z[row][b]); });
        for (int64_t i = 0; i < k; i++) {
            expect(indices.data[row * k + i] == order[i] && values.data[row * k + i] == z[row][order[i]],
                   "rule " + std::to_string(rule) + ": place " + std::to_string(i) + " of row " + std::to_string(row));
        }
    }
}

/* Ragged rows: what is not 0 in z, first without room, then with no more than it takes. */
void expect_ragged(sae_handle context, sae_handle params, int32_t rule, const Buffer<float> &x, int64_t k,
                   const Dense &z) {
    const int64_t rows = static_cast<int64_t>(z.size());
    std::vector<int32_t> starts = {0};
    std::vector<int32_t> latents;
    std::vector<float> kept;
    for (const std::vector<float> &row : z) {
        for (size_t j = 0; j < row.size(); j++) {
            if (row[j] != 0) {
                latents.push_back(static_cast<int32_t>(j));
                kept.push_back(row[j]);
            }
        }
        starts.push_back(static_cast<int32_t>(latents.size()));
    }
    const int64_t needed = static_cast<int64_t>(latents.size());
    const std::string name = "rule " + std::to_string(rule);
    Buffer<int32_t> offsets(context, rows + 1);
    for (const int64_t room : {needed - 1, needed}) {
        if (room < 1) {
            continue;
        }
        Buffer<int32_t> indices(context, room);
        Buffer<float> values(context, room);
        int64_t entries = -1;
        ok(sae_encode(params, rule, x.handle, rows, k, offsets.handle, indices.handle, values.handle, room, &entries));
        expect(entries == needed, name + ": " + std::to_string(entries) + " entries of " + std::to_string(needed));
        if (room == needed) {
            expect(std::equal(starts.begin(), starts.end(), offsets.data), name + ": offsets");
            expect(std::equal(latents.begin(), latents.end(), indices.data), name + ": indices");
            expect(std::equal(kept.begin(), kept.end(), values.data), name + ": values");
        }
    }
}

Dense batch_of(const Dense &p, int64_t count) {
    struct Entry {
        float value;
        size_t row, latent;
    };
    std::vector<Entry> order;
    for (size_t row = 0; row < p.size(); row++) {
        for (size_t j = 0; j < p[row].size(); j++) {
            order.push_back({p[row][j], row, j});
        }
    }
    std::stable_sort(order.begin(), order.end(), [](const Entry &a, const Entry &b) { return a.value > b.value; });
    Dense z = p;
    for (size_t i = static_cast<size_t>(count); i < order.size(); i++) {
        z[order[i].row][order[i].latent] = 0;
    }
    return z;
}

Dense groups_of(const Dense &p, int64_t size) {
    Dense z = p;
    for (std::vector<float> &row : z) {
        for (auto group = row.begin(); group != row.end(); group += size) {
            const auto best = std::max_element(group, group + size);
            for (auto one = group; one != group + size; ++one) {
                *one = one == best ? *one : 0;
            }
        }
    }
    return z;
}

} // namespace

void test_activations(sae_handle context, int64_t d, int64_t m, int64_t k, int64_t rows, bool gated) {
    const Params sae(context, d, d, m, SAE_SUBTRACT_B_DEC | (gated ? SAE_GATED : SAE_THRESHOLDS));
    const std::vector<float> w_enc = sae.put(SAE_W_ENC, whole(m * d, -2, 2));
    const std::vector<float> b_enc = sae.put(SAE_B_ENC, whole(m, -3, 3));
    const std::vector<float> b_dec = sae.put(SAE_B_DEC, whole(d, -1, 1));
    /* thresholds of some sizes that d products have: negative, equal to values, above most of them */
    const int high = static_cast<int>(6 * std::sqrt(static_cast<double>(d)));
    const std::vector<float> other =
        gated ? sae.put(SAE_B_MAG, whole(m, -4, 4)) : sae.put(SAE_THRESHOLD, whole(m, -2, high));
    const std::vector<float> data = whole(rows * d, -2, 2);
    const Buffer<float> x(context, data);
    Dense pre(rows, std::vector<float>(m));
    Dense positive = pre;
    Dense fired = pre;
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t j = 0; j < m; j++) {
            float product = 0;
            for (int64_t i = 0; i < d; i++) {
                product += (data[row * d + i] - b_dec[i]) * w_enc[j * d + i];
            }
            const float z = product + b_enc[j];
            pre[row][j] = z;
            positive[row][j] = std::max(0.0f, z);
            fired[row][j] = gated ? (z > 0 ? std::max(0.0f, product + other[j]) : 0) : (z > other[j] && z > 0 ? z : 0);
        }
    }
    expect_ragged(context, sae.handle, SAE_THRESHOLD_RULE, x, 0, fired);
    if (!gated) {
        expect_ragged(context, sae.handle, SAE_BATCH_TOPK, x, k, batch_of(positive, k * rows));
        expect_rows(context, sae.handle, SAE_ABS_TOPK, x, k, pre);
        if (m % k == 0) {
            expect_rows(context, sae.handle, SAE_GROUP_MAX, x, k, groups_of(positive, m / k));
        }
    }
}

void test_transcoder(sae_handle context, int64_t d_in, int64_t d_out, int64_t m, int64_t rows) {
    for (const bool skip : {false, true}) {
        const Params sae(context, d_in, d_out, m, skip ? SAE_SKIP : 0);
        const std::vector<float> w_dec = sae.put(SAE_W_DEC, whole(m * d_out, -2, 2));
        const std::vector<float> b_dec = sae.put(SAE_B_DEC, whole(d_out, -3, 3));
        const std::vector<float> w_skip = skip ? sae.put(SAE_W_SKIP, whole(d_out * d_in, -2, 2)) : std::vector<float>();
        const std::vector<float> data = whole(rows * d_in, -2, 2);
        const Buffer<float> x(context, data);
        std::vector<int32_t> starts = {0};
        std::vector<int32_t> latents;
        for (int64_t row = 0; row < rows; row++) {
            for (int64_t i = 0; i < row % 7; i++) {
                latents.push_back(static_cast<int32_t>(random_bits() % m));
            }
            starts.push_back(static_cast<int32_t>(latents.size()));
        }
        latents.push_back(0); /* a buffer has at least one element */
        const std::vector<float> kept = whole(static_cast<int64_t>(latents.size()), -3, 3);
        const Buffer<int32_t> offsets(context, starts);
        const Buffer<int32_t> indices(context, latents);
        const Buffer<float> values(context, kept);
        const Buffer<float> out(context, rows * d_out);
        ok(sae_decode(sae.handle, offsets.handle, indices.handle, values.handle, rows, 0, skip ? x.handle : 0,
                      out.handle));
        for (int64_t row = 0; row < rows; row++) {
            for (int64_t i = 0; i < d_out; i++) {
                float expected = b_dec[i];
                for (int64_t at = starts[row]; at < starts[row + 1]; at++) {
                    expected += kept[at] * w_dec[latents[at] * d_out + i];
                }
                for (int64_t j = 0; skip && j < d_in; j++) {
                    expected += data[row * d_in + j] * w_skip[i * d_in + j];
                }
                expect(out.data[row * d_out + i] == expected, "x_hat of a transcoder");
            }
        }
    }
}

void test_activation_refusals(sae_handle context, sae_handle other) {
    constexpr sae_status kBad = SAE_INVALID_ARGUMENT;
    const Params plain(context, 4, 3, 6, 0);
    const Params gated(context, 4, 3, 6, SAE_GATED);
    const Params skip(context, 4, 3, 6, SAE_SKIP);
    sae_handle made = 0;
    float value = 0;
    refused(sae_params_create(context, 4, 3, 6, SAE_SUBTRACT_B_DEC, &made), kBad, "d_out = d_in");
    refused(sae_params_create(context, 4, 4, 6, SAE_GATED | SAE_THRESHOLDS, &made), kBad, "got both");
    refused(sae_params_create(context, 4, 0, 6, 0, &made), kBad, "d_out");
    refused(sae_params_write(gated.handle, SAE_THRESHOLD, 0, &value, 1), kBad, "SAE_THRESHOLDS");
    refused(sae_params_write(plain.handle, SAE_R_MAG, 0, &value, 1), kBad, "SAE_GATED");
    refused(sae_params_read(plain.handle, SAE_B_MAG, 0, &value, 1), kBad, "SAE_GATED");
    refused(sae_params_read(plain.handle, SAE_W_SKIP, 0, &value, 1), kBad, "SAE_SKIP");
    refused(sae_params_read(skip.handle, SAE_W_SKIP, 10, &value, 3), kBad, "12 elements");

    const Buffer<float> x(context, 8);
    const Buffer<int32_t> offsets(context, {0, 2, 1});
    const Buffer<int32_t> indices(context, 3);
    const Buffer<float> values(context, 3);
    const Buffer<int32_t> foreign(other, 3);
    int64_t entries = -1;
    const auto encode = [&](const Params &sae, int32_t rule, int64_t k, const Buffer<int32_t> *starts, sae_handle index,
                            int64_t room) {
        return sae_encode(sae.handle, rule, x.handle, 2, k, starts == nullptr ? 0 : starts->handle, index,
                          values.handle, room, &entries);
    };
    refused(encode(plain, -1, 1, nullptr, indices.handle, 3), kBad, "a rule of");
    refused(encode(plain, 5, 1, nullptr, indices.handle, 3), kBad, "a rule of");
    refused(encode(plain, SAE_BATCH_TOPK, 7, &offsets, indices.handle, 3), kBad, "k in [1");
    refused(encode(plain, SAE_GROUP_MAX, 4, nullptr, indices.handle, 3), kBad, "divides");
    refused(encode(gated, SAE_TOPK, 1, nullptr, indices.handle, 3), kBad, "SAE_GATED");
    refused(encode(plain, SAE_TOPK, 1, &offsets, indices.handle, 3), kBad, "no offsets");
    refused(encode(plain, SAE_THRESHOLD_RULE, 0, nullptr, indices.handle, 3), kBad, "offsets where");
    refused(encode(plain, SAE_THRESHOLD_RULE, 0, &offsets, indices.handle, 0), kBad, "room >= 1");
    refused(encode(plain, SAE_THRESHOLD_RULE, 0, &offsets, indices.handle, 4), kBad, "indices to hold");
    refused(encode(plain, SAE_THRESHOLD_RULE, 0, &offsets, indices.handle, INT64_MAX), kBad, "");
    refused(encode(plain, SAE_THRESHOLD_RULE, 0, &offsets, offsets.handle, 3), kBad, "two buffers");
    refused(encode(plain, SAE_THRESHOLD_RULE, 0, &foreign, indices.handle, 3), kBad, "another");
    refused(sae_encode(plain.handle, SAE_THRESHOLD_RULE, x.handle, 2, 0, offsets.handle, indices.handle, values.handle,
                       3, nullptr),
            kBad, "entries");
    refused(
        sae_encode(plain.handle, SAE_BATCH_TOPK, x.handle, 2, 1, indices.handle, offsets.handle, x.handle, 3, &entries),
        kBad, "two buffers");

    const Buffer<float> out(context, 8);
    const auto decode = [&](const Params &sae, const std::vector<int32_t> &starts, sae_handle input, sae_handle to) {
        std::copy(starts.begin(), starts.end(), offsets.data);
        return sae_decode(sae.handle, offsets.handle, indices.handle, values.handle, 2, 0, input, to);
    };
    ok(decode(plain, {0, 1, 3}, 0, out.handle));
    refused(decode(plain, {0, 2, 1}, 0, out.handle), kBad, "offsets that ascend within [0, 3], got 2 and 1 in row 1");
    refused(decode(plain, {0, 1, 4}, 0, out.handle), kBad, "ascend");
    refused(decode(plain, {-1, 1, 2}, 0, out.handle), kBad, "ascend");
    refused(decode(plain, {INT32_MIN, INT32_MAX, 0}, 0, out.handle), kBad, "ascend");
    refused(decode(plain, {0, 1, 2}, 0, offsets.handle), kBad, "x_hat");
    refused(decode(plain, {0, 1, 2}, x.handle, out.handle), kBad, "no x");
    refused(decode(skip, {0, 1, 2}, 0, out.handle), kBad, "x with SAE_SKIP");
    refused(decode(skip, {0, 1, 2}, x.handle, x.handle), kBad, "x and x_hat");
    refused(decode(skip, {0, 1, 2}, values.handle, out.handle), kBad, "x to hold");
    indices.data[2] = 6;
    ok(decode(plain, {0, 1, 2}, 0, out.handle)); /* beyond the last row */
    refused(decode(plain, {0, 1, 3}, 0, out.handle), kBad, "got 6 in row 1");
}

} // namespace test
