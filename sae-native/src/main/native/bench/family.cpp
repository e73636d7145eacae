/*
 * family.cpp: what the activations besides TopK cost, an encode and a step of each, at the sizes of a shape; see bench.h.
 *
 * Weights as subject.cpp has them, so that pre-activations are normal with a deviation s = sqrt(2 d / m). About k latents a
 * row are active: BatchTopK and GroupMax choose them, and the threshold of JumpReLU, or minus the bias of ReLU and of the
 * gates, is the value that k / m of a normal distribution exceed. Steps are those of a new run, without an auxiliary loss of
 * dead latents.
 * Times are a caller's, from the call to the result (a step's: to its statistics), since these operations wait for the
 * device in between: how long the host takes is part of what they cost.
 */
#include <cmath>

#include "bench.h"

namespace bench {
namespace {

constexpr double kLr = 1e-7;

/* What a share p < 0.5 of a normal distribution exceeds, in deviations. */
double exceeded_by(double p) {
    double low = 0;
    double high = 40;
    for (int i = 0; i < 60; i++) {
        const double middle = (low + high) / 2;
        (std::erfc(middle / std::sqrt(2.0)) / 2 > p ? low : high) = middle;
    }
    return low;
}

std::vector<double> family_options(const Shape &shape, const Family &family) {
    std::vector<double> options = step_options(shape, Step::kPlain);
    options[SAE_OPT_K] = family.rule == SAE_THRESHOLD_RULE ? 0 : shape.active();
    options[SAE_OPT_RULE] = family.rule;
    options[SAE_OPT_THRESHOLD_RATE] = 0.01;
    options[SAE_OPT_SPARSITY] = family.sparsity;
    options[SAE_OPT_SPARSITY_COEFFICIENT] = 1e-3;
    options[SAE_OPT_TARGET_L0] = shape.active();
    options[SAE_OPT_TANH_SCALE] = 4;
    options[SAE_OPT_WEIGHT_BY_NORM] = 1;
    options[SAE_OPT_BANDWIDTH] = 1e-3;
    options[SAE_OPT_TRAIN_B_ENC] = 1;
    return options;
}

} // namespace

const std::vector<Family> &families() {
    static const std::vector<Family> all = {{"batchtopk", SAE_BATCH_TOPK, 0, SAE_SPARSITY_NONE},
                                            {"jumprelu", SAE_THRESHOLD_RULE, SAE_THRESHOLDS, SAE_SPARSITY_L0},
                                            {"relu", SAE_THRESHOLD_RULE, 0, SAE_SPARSITY_L1},
                                            {"gated", SAE_THRESHOLD_RULE, SAE_GATED, SAE_SPARSITY_L1},
                                            {"groupmax", SAE_GROUP_MAX, 0, SAE_SPARSITY_NONE}};
    return all;
}

void Subject::set_bars(const Family &family) {
    if (family.rule != SAE_THRESHOLD_RULE) {
        return;
    }
    const double bar = exceeded_by(shape_.active() / shape_.m()) * std::sqrt(2 * shape_.d() / shape_.m());
    const bool thresholds = (family.flags & SAE_THRESHOLDS) != 0;
    const std::vector<float> values(static_cast<size_t>(shape_.d_sae), static_cast<float>(thresholds ? bar : -bar));
    must(table().params_write(params_, thresholds ? SAE_THRESHOLD : SAE_B_ENC, 0, values.data(), shape_.d_sae),
         "params_write");
}

void Subject::family_encode(const std::string &id, const Family &family, const Anchors &anchors) {
    set_bars(family);
    const bool ragged = family.rule != SAE_GROUP_MAX;
    const sae_latents into{ragged ? offsets_ : nullptr, indices_, values_, shape_.k, room()};
    int64_t entries = shape_.rows * shape_.k;
    const Times times =
        timer_.calls([&] { must(table().encode(params_, family.rule, x_, shape_.rows, &into, &entries), "encode"); });
    print_times(id, shape_, times, 4 * shape_.b() * shape_.d() + 4 * shape_.m() * shape_.d(),
                anchors.gemm_tf > 0 ? 2 * shape_.b() * shape_.m() * shape_.d() / anchors.gemm_tf / 1e6 : 0,
                "2 B m d / bf16 product", field("l0", static_cast<double>(entries) / shape_.b()));
}

void Subject::family_step(const std::string &id, const Family &family) {
    set_bars(family);
    void *trainer = nullptr;
    int64_t bytes = 0;
    must(table().trainer_create(params_, family_options(shape_, family).data(), &trainer, &bytes), "trainer_create");
    double stats[SAE_STAT_COUNT];
    const Times times = timer_.calls(
        [&] {
            must(table().train_step(trainer, x_, nullptr, shape_.rows, kLr), "train_step");
            must(table().trainer_stats(trainer, stats), "trainer_stats");
        },
        [&] { next_batch(); }, 3);
    table().trainer_close(trainer);
    print_times(id, shape_, times, 24 * 2 * shape_.m() * shape_.d(), 0, "",
                field("tokens_per_s", 1e6 * shape_.b() / times.median()) + field("l0", stats[SAE_STAT_L0]));
}

} // namespace bench
