/* rules_reference.h: every rule of sae_encode, and ragged decoding, in double precision, as sae_abi.h defines them. Used by
 * backend_check.cpp. */
#ifndef SAE_TEST_RULES_REFERENCE_H
#define SAE_TEST_RULES_REFERENCE_H

#include "../reference.h"

namespace reference {

struct RuleSae {
    int64_t d_in, d_out, m;
    int32_t flags;
    std::vector<float> tensors[SAE_W_SKIP + 1];

    RuleSae(int64_t d_in_, int64_t d_out_, int64_t m_, int32_t flags_)
        : d_in(d_in_), d_out(d_out_), m(m_), flags(flags_) {
        for (int32_t tensor = 0; tensor <= SAE_W_SKIP; tensor++) {
            tensors[tensor].resize(static_cast<size_t>(elements(tensor)));
        }
    }
    bool has(int32_t flag) const { return (flags & flag) != 0; }
    int64_t elements(int32_t tensor) const {
        const int64_t gated = has(SAE_GATED) ? m : 0;
        const int64_t sizes[] = {
            m * d_in, m, m * d_out, d_out, has(SAE_THRESHOLDS) ? m : 0, gated, gated, has(SAE_SKIP) ? d_out * d_in : 0};
        return sizes[tensor];
    }
    double at(int32_t tensor, int64_t i) const { return tensors[tensor][static_cast<size_t>(i)]; }
};

/* Rows of latents; offsets are empty where every row has k. */
struct Rows {
    std::vector<int32_t> offsets, indices;
    std::vector<float> values;
};

/* x W_enc of one row without bias. */
inline std::vector<double> products(const RuleSae &sae, const std::vector<float> &x, int64_t row) {
    std::vector<double> of(static_cast<size_t>(sae.m));
    for (int64_t j = 0; j < sae.m; j++) {
        for (int64_t i = 0; i < sae.d_in; i++) {
            const double b_dec = sae.has(SAE_SUBTRACT_B_DEC) ? sae.at(SAE_B_DEC, i) : 0.0;
            of[static_cast<size_t>(j)] +=
                (x[static_cast<size_t>(row * sae.d_in + i)] - b_dec) * sae.at(SAE_W_ENC, j * sae.d_in + i);
        }
    }
    return of;
}

/* A latent's value from its product; before the choice among latents where the rule has one. */
inline float activation(const RuleSae &sae, int32_t rule, double product, int64_t j) {
    const float z = static_cast<float>(product + sae.at(SAE_B_ENC, j));
    if (rule == SAE_ABS_TOPK) {
        return z;
    }
    if (rule == SAE_THRESHOLD_RULE && sae.has(SAE_GATED)) {
        const double gated = product * std::exp(sae.at(SAE_R_MAG, j)) + sae.at(SAE_B_MAG, j);
        return z > 0 ? std::max(0.0f, static_cast<float>(gated)) : 0.0f;
    }
    const double bar = rule == SAE_THRESHOLD_RULE && sae.has(SAE_THRESHOLDS) ? sae.at(SAE_THRESHOLD, j) : 0.0;
    return z > bar ? std::max(0.0f, z) : 0.0f;
}

inline void keep_of_groups(std::vector<float> &z, int64_t size) {
    for (auto group = z.begin(); group != z.end(); group += size) {
        const auto best = std::max_element(group, group + size); // the first of equal ones
        for (auto at = group; at != group + size; ++at) {
            *at = at == best ? *at : 0.0f;
        }
    }
}

/* The k largest by magnitude, then by index. */
inline void append_row_of_k(const std::vector<float> &z, int64_t k, Rows &into) {
    std::vector<int32_t> order(z.size());
    std::iota(order.begin(), order.end(), 0);
    const auto size = [&](int32_t j) { return std::abs(z[static_cast<size_t>(j)]); };
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return size(a) > size(b); });
    for (int64_t slot = 0; slot < k; slot++) {
        into.indices.push_back(order[static_cast<size_t>(slot)]);
        into.values.push_back(z[static_cast<size_t>(into.indices.back())]);
    }
}

inline void keep_of_batch(std::vector<std::vector<float>> &z, size_t count) {
    std::vector<float *> order;
    for (std::vector<float> &row : z) {
        for (float &value : row) {
            order.push_back(&value);
        }
    }
    std::stable_sort(order.begin(), order.end(), [](const float *a, const float *b) { return *a > *b; });
    for (size_t i = count; i < order.size(); i++) {
        *order[i] = 0.0f;
    }
}

inline Rows encode(const RuleSae &sae, int32_t rule, const std::vector<float> &x, int64_t rows, int64_t k) {
    std::vector<std::vector<float>> z;
    for (int64_t row = 0; row < rows; row++) {
        const std::vector<double> of = products(sae, x, row);
        z.emplace_back();
        for (int64_t j = 0; j < sae.m; j++) {
            z.back().push_back(activation(sae, rule, of[static_cast<size_t>(j)], j));
        }
        if (rule == SAE_GROUP_MAX) {
            keep_of_groups(z.back(), sae.m / k);
        }
    }
    if (rule == SAE_BATCH_TOPK) {
        keep_of_batch(z, static_cast<size_t>(k * rows));
    }
    Rows kept;
    for (const std::vector<float> &row : z) {
        if (rule < SAE_BATCH_TOPK) {
            append_row_of_k(row, k, kept);
            continue;
        }
        kept.offsets.push_back(static_cast<int32_t>(kept.indices.size()));
        for (size_t j = 0; j < row.size(); j++) {
            if (row[j] != 0) {
                kept.indices.push_back(static_cast<int32_t>(j));
                kept.values.push_back(row[j]);
            }
        }
    }
    if (rule >= SAE_BATCH_TOPK) {
        kept.offsets.push_back(static_cast<int32_t>(kept.indices.size()));
    }
    return kept;
}

inline std::vector<double> decode(const RuleSae &sae, const Rows &latents, int64_t rows, int64_t k,
                                  const std::vector<float> &x) {
    std::vector<double> x_hat;
    for (int64_t row = 0; row < rows; row++) {
        const auto begin = static_cast<size_t>(latents.offsets.empty() ? row * k : latents.offsets[row]);
        const auto end = static_cast<size_t>(latents.offsets.empty() ? (row + 1) * k : latents.offsets[row + 1]);
        for (int64_t i = 0; i < sae.d_out; i++) {
            double sum = sae.at(SAE_B_DEC, i);
            for (size_t at = begin; at < end; at++) {
                sum += latents.values[at] * sae.at(SAE_W_DEC, latents.indices[at] * sae.d_out + i);
            }
            for (int64_t from = 0; sae.has(SAE_SKIP) && from < sae.d_in; from++) {
                sum += x[static_cast<size_t>(row * sae.d_in + from)] * sae.at(SAE_W_SKIP, i * sae.d_in + from);
            }
            x_hat.push_back(sum);
        }
    }
    return x_hat;
}

} // namespace reference
#endif
