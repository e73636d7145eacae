/* ragged_options.h: the options of a trainer whose rule keeps ragged rows, as its kernels read them (sae_abi.h: SAE_OPT_*). */
#ifndef SAE_CUDA_RAGGED_OPTIONS_H
#define SAE_CUDA_RAGGED_OPTIONS_H

#include "../device/device.h"

namespace sae::cuda {

/* The loss is sum_g weights[g] loss(rows decoded from latents [0, latents[g])). */
struct Prefixes {
    int count;
    int64_t latents[SAE_MOST_PREFIXES]; // ascend to d_sae
    double weights[SAE_MOST_PREFIXES];

    /* The first that a latent takes part in. */
    __device__ inline int of(int64_t latent) const {
        int prefix = 0;
        while (latent >= latents[prefix]) {
            prefix++;
        }
        return prefix;
    }
};

inline Prefixes prefixes_of(const double *options, int64_t d_sae) {
    Prefixes prefixes{1, {d_sae}, {1.0}};
    const auto count = static_cast<int>(options[SAE_OPT_PREFIXES]);
    for (int i = 0; i < count; i++) {
        prefixes.latents[i] = static_cast<int64_t>(options[SAE_OPT_PREFIX_LATENTS + i]);
        prefixes.weights[i] = options[SAE_OPT_PREFIX_WEIGHT + i];
    }
    prefixes.count = count == 0 ? 1 : count;
    return prefixes;
}

/* What SAE_BATCH_TOPK learns for encoding without a batch. */
struct LearnedThreshold {
    double rate;  // 0: none is learned
    double after; // steps before the first that changes it
    bool from_first;
};

inline LearnedThreshold learned_threshold_of(const double *options) {
    const bool learns = static_cast<int32_t>(options[SAE_OPT_RULE]) == SAE_BATCH_TOPK;
    return {learns ? options[SAE_OPT_THRESHOLD_RATE] : 0.0, options[SAE_OPT_THRESHOLD_AFTER],
            options[SAE_OPT_THRESHOLD_FROM_FIRST] != 0.0};
}

struct PenaltyOptions {
    int sparsity; // SAE_SPARSITY_*
    double coefficient;
    double warmup; // steps
    double target_l0;
    double tanh_scale;
    bool weight_by_norm;
    float bandwidth;
    bool ste_to_input;
};

inline PenaltyOptions penalty_options(const double *options) {
    return {
        .sparsity = static_cast<int>(options[SAE_OPT_SPARSITY]),
        .coefficient = options[SAE_OPT_SPARSITY_COEFFICIENT],
        .warmup = options[SAE_OPT_SPARSITY_WARMUP],
        .target_l0 = options[SAE_OPT_TARGET_L0],
        .tanh_scale = options[SAE_OPT_TANH_SCALE],
        .weight_by_norm = options[SAE_OPT_WEIGHT_BY_NORM] != 0.0,
        .bandwidth = static_cast<float>(options[SAE_OPT_BANDWIDTH]),
        .ste_to_input = options[SAE_OPT_STE_TO_INPUT] != 0.0,
    };
}

} // namespace sae::cuda
#endif
