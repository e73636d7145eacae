/* rules_update.h: what a rule's training in double precision accumulates, and the update from it (sae_abi.h:
 * SAE_OPT_*). Used by rules_training.h. */
#ifndef SAE_TEST_RULES_UPDATE_H
#define SAE_TEST_RULES_UPDATE_H

#include "rules_optimizer.h"
#include "rules_reference.h"

namespace reference {

constexpr int kTrainable = SAE_W_SKIP + 1;

/* The options of sae_trainer_create with a rule, as common/trainer_options.cpp has them. */
inline Options rule_options(int32_t rule, double k) {
    Options options = default_options(k);
    options[SAE_OPT_RULE] = rule;
    options[SAE_OPT_THRESHOLD_RATE] = 0.01;
    options[SAE_OPT_TARGET_L0] = 20;
    options[SAE_OPT_TANH_SCALE] = 4;
    options[SAE_OPT_WEIGHT_BY_NORM] = 1;
    options[SAE_OPT_BANDWIDTH] = 0.001;
    return options;
}

class RuleUpdate {
  public:
    double stats[SAE_STAT_COUNT] = {};
    std::vector<double> first[kTrainable], second[kTrainable];
    std::vector<int64_t> idle_batches, idle_rows;
    double learned_threshold = -1;
    std::vector<double> averaging = {0, 0}; // as SAE_STATE_AVERAGING

    RuleUpdate(RuleSae &sae, const Options &options)
        : idle_batches(static_cast<size_t>(sae.m)), idle_rows(static_cast<size_t>(sae.m)), s_(sae), o_(options) {
        for (int tensor = 0; tensor < kTrainable; tensor++) {
            first[tensor].resize(s_.tensors[tensor].size());
            second[tensor].resize(s_.tensors[tensor].size());
        }
        clear();
    }

    bool trains(int tensor) const {
        return tensor == SAE_B_ENC       ? o_[SAE_OPT_TRAIN_B_ENC] != 0
               : tensor == SAE_W_DEC     ? o_[SAE_OPT_FREEZE_DECODER] == 0
               : tensor == SAE_THRESHOLD ? thresholds()
                                         : !s_.tensors[tensor].empty();
    }

    int32_t optimizer() const { return static_cast<int32_t>(o_[SAE_OPT_OPTIMIZER]); }
    /* Whether a trainer has this state. With signum what is not trained has an iterate too. */
    bool has_first(int tensor) const {
        return !s_.tensors[tensor].empty() && (trains(tensor) || (optimizer() == SAE_SIGNUM && tensor <= SAE_B_DEC));
    }
    bool has_second(int tensor) const {
        const bool matrix = tensor == SAE_W_ENC || tensor == SAE_W_DEC || tensor == SAE_W_SKIP;
        return has_first(tensor) && (optimizer() == SAE_ADAM || (optimizer() == SAE_MUON && !matrix));
    }

    /* The update from all parts: means over their rows. */
    void apply(double lr) {
        const auto rows = static_cast<double>(rows_);
        stats[SAE_STAT_DEAD] = 0;
        for (size_t j = 0; j < fired_.size(); j++) {
            idle_batches[j] = fired_[j] ? 0 : idle_batches[j] + 1;
            idle_rows[j] = fired_[j] ? 0 : idle_rows[j] + rows_;
            stats[SAE_STAT_DEAD] += is_dead(idle_batches[j], idle_rows[j]) ? 1 : 0;
        }
        stats[SAE_STAT_RECONSTRUCTION] = reconstruction_ / rows;
        stats[SAE_STAT_AUX] = aux_ / rows;
        stats[SAE_STAT_SPARSITY] = sparsity_ / rows;
        stats[SAE_STAT_LOSS] = stats[SAE_STAT_RECONSTRUCTION] + stats[SAE_STAT_AUX] + stats[SAE_STAT_SPARSITY];
        stats[SAE_STAT_L0] = active_ / rows;
        stats[SAE_STAT_FVU] = squared_error_ * inverse(variance_);
        learn_threshold();
        for (std::vector<double> &gradient : gradient_) {
            gradient = times(gradient, 1 / rows);
        }
        clip();
        if (static_cast<int>(o_[SAE_OPT_DECODER_NORM]) == SAE_DECODER_NORM_BEFORE_STEP && trains(SAE_W_DEC)) {
            normalise();
        }
        if (o_[SAE_OPT_PROJECT_GRADIENT] != 0 && trains(SAE_W_DEC)) {
            gradient_[SAE_W_DEC] = projected();
        }
        descend(lr);
        if (static_cast<int>(o_[SAE_OPT_DECODER_NORM]) == SAE_DECODER_NORM_AFTER_STEP && trains(SAE_W_DEC)) {
            normalise();
        }
        for (float &t : s_.tensors[SAE_THRESHOLD]) {
            t = thresholds() ? std::max(t, 0.0f) : t;
        }
        clear();
    }

    /* Adds what another trainer has accumulated. */
    void add(RuleUpdate &other) {
        for (int tensor = 0; tensor < kTrainable; tensor++) {
            gradient_[tensor] = sum(gradient_[tensor], other.gradient_[tensor]);
        }
        std::transform(fired_.begin(), fired_.end(), other.fired_.begin(), fired_.begin(), std::logical_or<>());
        rows_ += other.rows_;
        reconstruction_ += other.reconstruction_;
        aux_ += other.aux_;
        sparsity_ += other.sparsity_;
        active_ += other.active_;
        squared_error_ += other.squared_error_;
        variance_ += other.variance_;
        least_ = std::min(least_, other.least_);
        other.clear();
    }

  protected:
    bool gated() const { return s_.has(SAE_GATED); }
    int32_t rule() const { return static_cast<int32_t>(o_[SAE_OPT_RULE]); }
    bool thresholds() const { return rule() == SAE_THRESHOLD_RULE && s_.has(SAE_THRESHOLDS); }
    int sparsity() const { return static_cast<int>(o_[SAE_OPT_SPARSITY]); }

    static std::vector<double> times(std::vector<double> values, double factor) {
        for (double &value : values) {
            value *= factor;
        }
        return values;
    }
    static std::vector<double> sum(std::vector<double> a, const std::vector<double> &b) {
        std::transform(a.begin(), a.end(), b.begin(), a.begin(), std::plus<>());
        return a;
    }

    void clear() {
        for (int tensor = 0; tensor < kTrainable; tensor++) {
            gradient_[tensor].assign(s_.tensors[tensor].size(), 0.0);
        }
        fired_.assign(static_cast<size_t>(s_.m), false);
        rows_ = 0;
        reconstruction_ = aux_ = sparsity_ = active_ = squared_error_ = variance_ = 0;
        least_ = std::numeric_limits<double>::infinity();
    }

    bool is_dead(int64_t batches, int64_t rows) const {
        const double after_batches = o_[SAE_OPT_DEAD_AFTER_BATCHES], after_rows = o_[SAE_OPT_DEAD_AFTER_ROWS];
        return (after_batches > 0 && static_cast<double>(batches) >= after_batches) ||
               (after_rows > 0 && static_cast<double>(rows) >= after_rows);
    }

    RuleSae &s_;
    const Options o_;
    /* of the parts so far */
    std::vector<double> gradient_[kTrainable];
    std::vector<bool> fired_;
    int64_t rows_ = 0;
    double reconstruction_ = 0, aux_ = 0, sparsity_ = 0, active_ = 0, squared_error_ = 0, variance_ = 0, least_ = 0;

  private:
    /* ---- the update ---- */

    void learn_threshold() {
        const double rate = o_[SAE_OPT_THRESHOLD_RATE];
        if (rule() != SAE_BATCH_TOPK || rate == 0 || stats[SAE_STAT_STEPS] < o_[SAE_OPT_THRESHOLD_AFTER] ||
            !std::isfinite(least_)) {
            return;
        }
        if (learned_threshold < 0) {
            learned_threshold = o_[SAE_OPT_THRESHOLD_FROM_FIRST] != 0 ? least_ : 0;
        }
        learned_threshold += rate * (least_ - learned_threshold);
    }

    void clip() {
        stats[SAE_STAT_GRADIENT_NORM] = 0;
        if (o_[SAE_OPT_CLIP_NORM] == 0) {
            return;
        }
        double sum = 0;
        for (int tensor = 0; tensor < kTrainable; tensor++) {
            const bool by_projection =
                tensor == SAE_W_DEC && o_[SAE_OPT_CLIP_PROJECTED] != 0 && o_[SAE_OPT_PROJECT_GRADIENT] != 0;
            sum += trains(tensor) ? squares(by_projection ? projected() : gradient_[tensor]) : 0;
        }
        stats[SAE_STAT_GRADIENT_NORM] = std::sqrt(sum);
        for (std::vector<double> &gradient : gradient_) {
            gradient = times(gradient, std::min(1.0, o_[SAE_OPT_CLIP_NORM] / (std::sqrt(sum) + 1e-6)));
        }
    }

    void normalise() {
        std::vector<float> &w = s_.tensors[SAE_W_DEC];
        for (auto row = w.begin(); row != w.end(); row += s_.d_out) {
            const double norm = std::sqrt(std::inner_product(row, row + s_.d_out, row, 0.0));
            std::transform(row, row + s_.d_out, row,
                           [&](float value) { return norm > 0 ? static_cast<float>(value / norm) : value; });
        }
    }

    std::vector<double> projected() const {
        std::vector<double> g = gradient_[SAE_W_DEC];
        const std::vector<float> &w = s_.tensors[SAE_W_DEC];
        for (size_t row = 0; row < w.size(); row += static_cast<size_t>(s_.d_out)) {
            const auto from = static_cast<std::ptrdiff_t>(row);
            const double along =
                std::inner_product(w.begin() + from, w.begin() + from + s_.d_out, g.begin() + from, 0.0) *
                inverse(std::inner_product(w.begin() + from, w.begin() + from + s_.d_out, w.begin() + from, 0.0));
            for (size_t i = row; i < row + static_cast<size_t>(s_.d_out); i++) {
                g[i] -= along * w[i];
            }
        }
        return g;
    }

    void descend(double lr) {
        const double t = ++stats[SAE_STAT_STEPS];
        const double share = optimizer() == SAE_SIGNUM ? next_share(lr, averaging) : 0;
        for (int tensor = 0; tensor < kTrainable; tensor++) {
            std::vector<float> &w = s_.tensors[tensor];
            if (optimizer() == SAE_SIGNUM && t == 1) {
                first[tensor].assign(w.begin(), w.end());
            }
            if (!trains(tensor) || w.empty()) {
                continue;
            }
            if (optimizer() == SAE_SIGNUM) {
                signum_step(lr, share, gradient_[tensor], w, first[tensor]);
            } else if (optimizer() == SAE_MUON && !has_second(tensor)) {
                muon_step(lr, gradient_[tensor], w, first[tensor],
                          static_cast<size_t>(tensor == SAE_W_DEC ? s_.d_out : s_.d_in));
            } else {
                adam_step(o_, lr, t, gradient_[tensor], w, first[tensor], second[tensor]);
            }
        }
    }
};

} // namespace reference
#endif
