#include "trainer_options.h"

#include <cmath>
#include <limits>

#include "guard.h"

namespace sae {
namespace {

struct Option {
    const char *name;
    double initial;
    double least;
    double most;
    bool integer;
};

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kMissing = -1; /* below every `least`: K has no default */

/* By SAE_OPT_*. beta = 1 would never decay: the bound is the largest double below 1. */
constexpr Option kOptions[SAE_OPT_PREFIX_LATENTS] = {
    {"K", kMissing, 1, 2147483647, true},
    {"LOSS", SAE_LOSS_MEAN, 0, SAE_LOSS_FVU, true},
    {"AUX_COEFFICIENT", 1.0 / 32, 0, kInfinity, false},
    {"AUX_K", 512, 1, 2147483647, true},
    {"AUX_NORM", SAE_AUX_MEAN, 0, SAE_AUX_RESIDUAL_VARIANCE, true},
    {"AUX_DETACH", 0, 0, 1, true},
    {"AUX_SCALE_BY_DEAD", 0, 0, 1, true},
    {"DEAD_AFTER_BATCHES", 5, 0, 9007199254740992.0, true},
    {"DEAD_AFTER_ROWS", 0, 0, 9007199254740992.0, true},
    {"ADAM_BETA1", 0.9, 0, 0.99999999999999989, false},
    {"ADAM_BETA2", 0.99, 0, 0.99999999999999989, false},
    {"ADAM_EPS", 1e-8, 0, kInfinity, false},
    {"CLIP_NORM", 1e5, 0, kInfinity, false},
    {"DECODER_NORM", SAE_DECODER_NORM_BEFORE_STEP, 0, SAE_DECODER_NORM_AFTER_STEP, true},
    {"PROJECT_GRADIENT", 1, 0, 1, true},
    {"TRAIN_B_ENC", 0, 0, 1, true},
    {"FREEZE_DECODER", 0, 0, 1, true},
    {"GRADIENTS", SAE_GRADIENTS_NONE, 0, SAE_GRADIENTS_ONLY, true},
    {"RULE", SAE_TOPK, 0, SAE_THRESHOLD_RULE, true},
    {"CLIP_PROJECTED", 0, 0, 1, true},
    {"THRESHOLD_RATE", 0.01, 0, 1, false},
    {"THRESHOLD_AFTER", 0, 0, 9007199254740992.0, true},
    {"THRESHOLD_FROM_FIRST", 0, 0, 1, true},
    {"SPARSITY", SAE_SPARSITY_NONE, 0, SAE_SPARSITY_L0_OF_BATCH, true},
    {"SPARSITY_COEFFICIENT", 0, 0, kInfinity, false},
    {"SPARSITY_WARMUP", 0, 0, 9007199254740992.0, true},
    {"TARGET_L0", 20, 1e-30, kInfinity, false},
    {"TANH_SCALE", 4, 0, kInfinity, false},
    {"WEIGHT_BY_NORM", 1, 0, 1, true},
    {"BANDWIDTH", 0.001, 1e-30, kInfinity, false},
    {"STE_TO_INPUT", 0, 0, 1, true},
    {"PREFIXES", 0, 0, SAE_MOST_PREFIXES, true},
};
constexpr Option kPrefixLatents = {"PREFIX_LATENTS", 0, 0, 2147483647, true};
constexpr Option kPrefixWeight = {"PREFIX_WEIGHT", 1, 0, kInfinity, false};

/* From SAE_OPT_GATE_DETACH on. */
constexpr Option kMoreOptions[static_cast<int>(SAE_OPT_COUNT) - static_cast<int>(SAE_OPT_GATE_DETACH)] = {
    {"GATE_DETACH", 0, 0, 1, true},
    {"INITIAL_K", 1, 1, 2147483647, true},
    {"K_DECAY_STEPS", 0, 0, 9007199254740992.0, true},
    {"MULTI_TOPK", 0, 0, kInfinity, false},
    {"OPTIMIZER", SAE_ADAM, 0, SAE_MUON, true},
    {"RANK_BY_NORM", 0, 0, 1, true},
    {"AUX_BY_PREFIX", 0, 0, 1, true},
    {"AUX_SIGNED", 0, 0, 1, true},
};

const Option &option_of(int key) {
    if (key < SAE_OPT_PREFIX_LATENTS) {
        return kOptions[key];
    }
    if (key >= SAE_OPT_GATE_DETACH) {
        return kMoreOptions[key - SAE_OPT_GATE_DETACH];
    }
    return key < SAE_OPT_PREFIX_WEIGHT ? kPrefixLatents : kPrefixWeight;
}

std::string number(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.9g", value);
    return text;
}

void check(const Option &option, double value) {
    const bool inside = std::isfinite(value) && value >= option.least && value <= option.most;
    const bool whole = !option.integer || value == std::floor(value);
    const std::string expected = std::string("option ") + option.name + " to be " +
                                 (option.integer ? "an integer in [" : "a number in [") + number(option.least) + ", " +
                                 number(option.most) + "]";
    require(inside && whole, expected.c_str(), value == kMissing ? "none" : number(value));
}

void check_prefixes(const std::array<double, kTrainerOptions> &options, int64_t d_sae) {
    const auto count = static_cast<int>(options[SAE_OPT_PREFIXES]);
    double before = 0;
    for (int i = 0; i < count; i++) {
        const double latents = options[SAE_OPT_PREFIX_LATENTS + i];
        const double most = static_cast<double>(d_sae);
        require(latents > before && (i + 1 < count ? latents < most : latents == most),
                ("PREFIX_LATENTS that ascend to d_sae = " + number(most)).c_str(), number(latents));
        before = latents;
    }
}

} // namespace

std::array<double, kTrainerOptions> trainer_options(const int32_t *keys, const double *values, int64_t count,
                                                    int64_t d_sae) {
    require(count >= 0, "a count of options >= 0", std::to_string(count));
    require(count == 0 || (keys != nullptr && values != nullptr), "keys and values", "null");
    std::array<double, kTrainerOptions> options;
    for (int key = 0; key < kTrainerOptions; key++) {
        options[key] = option_of(key).initial;
    }
    for (int64_t i = 0; i < count; i++) {
        require(keys[i] >= 0 && keys[i] < kTrainerOptions, "a key of SAE_OPT_*", std::to_string(keys[i]));
        options[keys[i]] = values[i];
    }
    const bool has_k = static_cast<int32_t>(options[SAE_OPT_RULE]) != SAE_THRESHOLD_RULE;
    for (int key = has_k ? 0 : SAE_OPT_K + 1; key < kTrainerOptions; key++) {
        check(option_of(key), options[key]);
    }
    check_prefixes(options, d_sae);
    if (!has_k) {
        options[SAE_OPT_K] = 0;
        return options;
    }
    require(options[SAE_OPT_K] <= static_cast<double>(d_sae), ("K <= d_sae = " + std::to_string(d_sae)).c_str(),
            number(options[SAE_OPT_K]));
    require(options[SAE_OPT_INITIAL_K] <= static_cast<double>(d_sae),
            ("INITIAL_K <= d_sae = " + std::to_string(d_sae)).c_str(), number(options[SAE_OPT_INITIAL_K]));
    return options;
}

} // namespace sae
