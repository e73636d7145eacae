/* rules_training.h: training with any rule, also of transcoders, in double precision and over dense rows, from the
 * formulas of sae_abi.h (SAE_OPT_*, SAE_SPARSITY_*). Used by rules_training_cases.h.
 *
 * Parameters are float32 between steps, as in every backend; what differs is explained in reference.h.
 * Over 400 lines: the definition of one step, to be read from top to bottom. */
#ifndef SAE_TEST_RULES_TRAINING_H
#define SAE_TEST_RULES_TRAINING_H

#include "rules_update.h"

namespace reference {

class RuleTraining : public RuleUpdate {
  public:
    RuleTraining(RuleSae &sae, const Options &options) : RuleUpdate(sae, options) {
        const auto count = static_cast<int>(o_[SAE_OPT_PREFIXES]);
        for (int i = 0; i < count; i++) {
            prefixes_.push_back(static_cast<int64_t>(o_[static_cast<size_t>(SAE_OPT_PREFIX_LATENTS + i)]));
            weights_.push_back(o_[static_cast<size_t>(SAE_OPT_PREFIX_WEIGHT + i)]);
        }
        if (count == 0) {
            prefixes_ = {s_.m};
            weights_ = {1};
        }
    }

    /* Forward and backward on a part of a step's batch; everything it adds is weighted by its rows. */
    void accumulate(const std::vector<float> &x, const std::vector<float> &y, int64_t rows) {
        const Forward f = forward(x, rows);
        rows_ += rows;
        for (int64_t row = 0; row < rows; row++) {
            for (int64_t j = 0; j < s_.m; j++) {
                const double z = f.z[at(row, j)];
                if (f.multi[at(row, j)] > 0) {
                    fired_[static_cast<size_t>(j)] = true;
                }
                if (z != 0) {
                    fired_[static_cast<size_t>(j)] = true;
                    active_ += 1;
                    least_ = std::min(least_, z * rank(j));
                }
            }
        }
        const std::vector<double> target(y.begin(), y.end());
        const std::vector<double> through_skip = skipped(x, rows);
        std::vector<std::vector<double>> errors;
        for (const int64_t latents : prefixes_) {
            errors.push_back(sum(error(f.z, latents, target, rows), through_skip));
        }
        const double scale = loss_scale(target, rows);
        const std::vector<AuxLevel> levels = choose_dead(x, rows, errors, target);
        const auto weight = static_cast<double>(rows);
        for (size_t g = 0; g < errors.size(); g++) {
            reconstruction_ += weight * scale * weights_[g] * squares(errors[g]);
        }
        squared_error_ += squares(errors.back());
        variance_ += squares_about_mean(target, rows, s_.d_out);

        std::vector<double> above(target.size());
        std::vector<std::vector<double>> through_aux; // dL/d(z_aux W_dec), by level
        for (const AuxLevel &level : levels) {
            aux_ += weight * level.scale * squares(level.residual);
            through_aux.push_back(times(level.residual, weight * 2 * level.scale));
            above = o_[SAE_OPT_AUX_DETACH] != 0 ? above : sum(above, through_aux.back());
        }
        std::vector<std::vector<double>> outputs(errors.size()); // dL/d(what the latents of a group decode to)
        for (size_t g = errors.size(); g-- > 0;) {
            above = sum(above, times(errors[g], weight * 2 * scale * weights_[g]));
            outputs[g] = above;
        }
        to_b_dec(outputs[0]);
        to_skip(outputs[0], x, rows);
        std::vector<double> multi_output(target.size());
        if (multi_topk() > 0) {
            const std::vector<double> e = error(f.multi, s_.m, target, rows);
            reconstruction_ += weight * scale * multi_topk() * squares(e);
            multi_output = times(e, weight * 2 * scale * multi_topk());
            to_b_dec(multi_output);
        }
        std::vector<double> gate_output(target.size());
        if (gated()) {
            const std::vector<double> gate_error = error(f.gate, s_.m, target, rows);
            aux_ += weight * scale * squares(gate_error);
            gate_output = times(gate_error, weight * 2 * scale);
            if (o_[SAE_OPT_GATE_DETACH] == 0) {
                to_b_dec(gate_output);
            }
        }
        begin_penalty(f, rows);
        for (int64_t row = 0; row < rows; row++) {
            const double slope = row_penalty(f, row);
            for (int64_t j = 0; j < s_.m; j++) {
                const auto g =
                    static_cast<size_t>(std::upper_bound(prefixes_.begin(), prefixes_.end(), j) - prefixes_.begin());
                const double z = f.z[at(row, j)];
                const double dz = dot(outputs[g], row, j);
                decode_gradient(j, z, outputs[g], row);
                decode_gradient(j, f.multi[at(row, j)], multi_output, row);
                const double dz_pre = gated() ? gate(f, x, row, j, dz, gate_output) : penalise(f, row, j, dz, slope);
                if (!gated()) {
                    gradient_[SAE_B_ENC][static_cast<size_t>(j)] += dz_pre;
                }
                encode_gradient(j, dz_pre, x, row);
                for (size_t level = 0; level < levels.size(); level++) {
                    const double of_dead = levels[level].z[at(row, j)];
                    if (of_dead != 0) {
                        const double dz_aux = dot(through_aux[level], row, j);
                        decode_gradient(j, of_dead, through_aux[level], row);
                        gradient_[SAE_B_ENC][static_cast<size_t>(j)] += dz_aux;
                        encode_gradient(j, dz_aux, x, row);
                    }
                }
            }
        }
    }

  private:
    struct Forward { // dense, [rows, m]
        std::vector<double> z_pre, z, gate;
        std::vector<double> multi; // what the second loss decodes; 0 without it
    };

    size_t at(int64_t row, int64_t j) const { return static_cast<size_t>(row * s_.m + j); }

    Forward forward(const std::vector<float> &x, int64_t rows) const {
        Forward f;
        std::vector<std::vector<float>> kept;
        for (int64_t row = 0; row < rows; row++) {
            const std::vector<double> of = products(s_, x, row);
            kept.emplace_back();
            for (int64_t j = 0; j < s_.m; j++) {
                const double product = of[static_cast<size_t>(j)];
                const double z_pre = static_cast<float>(product + s_.at(SAE_B_ENC, j));
                f.z_pre.push_back(z_pre);
                f.gate.push_back(gated() && z_pre > 0 ? z_pre : 0.0);
                kept.back().push_back(activation(s_, rule(), product, j));
            }
        }
        if (rule() == SAE_BATCH_TOPK) {
            std::vector<std::vector<float>> compared = kept;
            std::for_each(compared.begin(), compared.end(), [&](std::vector<float> &row) { row = ranked(row); });
            keep_of_batch(compared, static_cast<size_t>(k() * rows));
            for (size_t row = 0; row < kept.size(); row++) {
                keep_where(compared[row], kept[row]);
            }
        }
        for (std::vector<float> &row : kept) {
            const std::vector<float> more = largest(row, multi_topk() > 0 ? std::min(4 * k(), s_.m) : 0);
            f.multi.insert(f.multi.end(), more.begin(), more.end());
            if (rule() == SAE_GROUP_MAX) {
                keep_of_groups(row, s_.m / k());
            }
            if (rule() == SAE_TOPK || rule() == SAE_ABS_TOPK) {
                keep_where(largest(ranked(row), k()), row);
            }
            f.z.insert(f.z.end(), row.begin(), row.end());
        }
        return f;
    }

    /* Of this step. */
    int64_t k() const {
        const double before = std::max(0.0, stats[SAE_STAT_STEPS] - 1);
        const double decay = o_[SAE_OPT_K_DECAY_STEPS];
        const double p = decay == 0 ? 1 : std::min(1.0, before / decay);
        return std::llrint(o_[SAE_OPT_INITIAL_K] * (1 - p) + o_[SAE_OPT_K] * p);
    }
    double multi_topk() const { return o_[SAE_OPT_MULTI_TOPK]; }
    bool keeps_signs_of_dead() const { return rule() == SAE_ABS_TOPK || o_[SAE_OPT_AUX_SIGNED] != 0; }

    /* What a latent's value is multiplied by before it is compared with others. */
    double rank(int64_t j) const { return o_[SAE_OPT_RANK_BY_NORM] != 0 ? decoder_norm(j) : 1; }
    std::vector<float> ranked(std::vector<float> row) const {
        for (size_t j = 0; j < row.size(); j++) {
            row[j] *= static_cast<float>(rank(static_cast<int64_t>(j)));
        }
        return row;
    }

    /* Makes a row 0 where another is. */
    static void keep_where(const std::vector<float> &chosen, std::vector<float> &row) {
        std::transform(chosen.begin(), chosen.end(), row.begin(), row.begin(),
                       [](float choice, float value) { return choice != 0 ? value : 0.0f; });
    }

    /* A row with all but its k largest 0. */
    static std::vector<float> largest(const std::vector<float> &row, int64_t k) {
        Rows chosen;
        append_row_of_k(row, k, chosen);
        std::vector<float> only(row.size());
        for (size_t i = 0; i < chosen.indices.size(); i++) {
            only[static_cast<size_t>(chosen.indices[i])] = chosen.values[i];
        }
        return only;
    }

    /* x W_skip^T, [rows, d_out] */
    std::vector<double> skipped(const std::vector<float> &x, int64_t rows) const {
        std::vector<double> of(static_cast<size_t>(rows * s_.d_out));
        for (size_t at = 0; s_.has(SAE_SKIP) && at < of.size(); at++) {
            const int64_t row = static_cast<int64_t>(at) / s_.d_out, i = static_cast<int64_t>(at) % s_.d_out;
            for (int64_t from = 0; from < s_.d_in; from++) {
                of[at] += x[static_cast<size_t>(row * s_.d_in + from)] * s_.at(SAE_W_SKIP, i * s_.d_in + from);
            }
        }
        return of;
    }

    void to_skip(const std::vector<double> &output, const std::vector<float> &x, int64_t rows) {
        for (int64_t at = 0; s_.has(SAE_SKIP) && at < rows * s_.d_out; at++) {
            for (int64_t from = 0; from < s_.d_in; from++) {
                gradient_[SAE_W_SKIP][static_cast<size_t>(at % s_.d_out * s_.d_in + from)] +=
                    output[static_cast<size_t>(at)] * x[static_cast<size_t>(at / s_.d_out * s_.d_in + from)];
            }
        }
    }

    /* What the first latents decode to, without b_dec and x where they are not wanted. */
    std::vector<double> error(const std::vector<double> &z, int64_t latents, const std::vector<double> &target,
                              int64_t rows) const {
        std::vector<double> e;
        for (int64_t row = 0; row < rows; row++) {
            for (int64_t i = 0; i < s_.d_out; i++) {
                double sum = s_.at(SAE_B_DEC, i) - target[static_cast<size_t>(row * s_.d_out + i)];
                for (int64_t j = 0; j < latents; j++) {
                    sum += z[at(row, j)] * s_.at(SAE_W_DEC, j * s_.d_out + i);
                }
                e.push_back(sum);
            }
        }
        return e;
    }

    double loss_scale(const std::vector<double> &target, int64_t rows) const {
        switch (static_cast<int>(o_[SAE_OPT_LOSS])) {
        case SAE_LOSS_MEAN:
            return 1 / static_cast<double>(rows * s_.d_out);
        case SAE_LOSS_SUM_MEAN:
            return 1 / static_cast<double>(rows);
        default:
            return inverse(squares_about_mean(target, rows, s_.d_out));
        }
    }

    struct AuxLevel {                    // of the auxiliary loss
        std::vector<double> z, residual; // [rows, m], [rows, d_out]
        double scale;
    };

    /* One level over all latents, or one for each prefix; those that have dead latents. */
    std::vector<AuxLevel> choose_dead(const std::vector<float> &x, int64_t rows,
                                      const std::vector<std::vector<double>> &errors,
                                      const std::vector<double> &target) const {
        std::vector<AuxLevel> levels;
        const bool by_prefix = o_[SAE_OPT_AUX_BY_PREFIX] != 0;
        int64_t first = 0;
        for (size_t g = by_prefix ? 0 : prefixes_.size() - 1; g < prefixes_.size(); g++) {
            std::vector<int64_t> dead;
            for (int64_t j = first; j < prefixes_[g]; j++) {
                const auto of = static_cast<size_t>(j);
                if (!fired_[of] && is_dead(idle_batches[of] + 1, idle_rows[of] + rows_)) {
                    dead.push_back(j);
                }
            }
            first = prefixes_[g];
            if (!dead.empty() && o_[SAE_OPT_AUX_COEFFICIENT] != 0) {
                levels.push_back(aux_level(x, rows, dead, errors[g], target));
            }
        }
        return levels;
    }

    AuxLevel aux_level(const std::vector<float> &x, int64_t rows, const std::vector<int64_t> &dead,
                       const std::vector<double> &e, const std::vector<double> &target) const {
        std::vector<double> z_aux(static_cast<size_t>(rows * s_.m));
        const size_t k = std::min(dead.size(), static_cast<size_t>(o_[SAE_OPT_AUX_K]));
        for (int64_t row = 0; row < rows; row++) {
            const std::vector<double> of = products(s_, x, row);
            std::vector<std::pair<float, int64_t>> order; // descending, then by latent
            for (const int64_t j : dead) {
                const double product = of[static_cast<size_t>(j)];
                const auto z = static_cast<float>(product + s_.at(SAE_B_ENC, j));
                const float kept = keeps_signs_of_dead() ? z : std::max(z, 0.0f);
                order.emplace_back(-static_cast<float>(rank(j)) * (rule() == SAE_ABS_TOPK ? std::abs(z) : kept), j);
                z_aux[at(row, j)] = kept;
            }
            std::sort(order.begin(), order.end());
            const bool chosen_by_value = k < order.size() && !keeps_signs_of_dead(); // 0 is then no reason
            for (size_t i = 0; i < order.size(); i++) {
                if (i >= k || (chosen_by_value && order[i].first == 0)) {
                    z_aux[at(row, order[i].second)] = 0;
                }
            }
        }
        std::vector<double> residual = error(z_aux, s_.m, std::vector<double>(target.size()), rows);
        for (size_t i = 0; i < residual.size(); i++) {
            residual[i] += e[i] - s_.at(SAE_B_DEC, static_cast<int64_t>(i) % s_.d_out);
        }
        const auto norm = static_cast<int>(o_[SAE_OPT_AUX_NORM]);
        double scale = o_[SAE_OPT_AUX_COEFFICIENT] * (norm == SAE_AUX_MEAN ? 1 / static_cast<double>(rows * s_.d_out)
                                                      : norm == SAE_AUX_SUM_MEAN ? 1 / static_cast<double>(rows)
                                                      : norm == SAE_AUX_TARGET_VARIANCE
                                                          ? inverse(squares_about_mean(target, rows, s_.d_out))
                                                          : inverse(squares_about_mean(e, rows, s_.d_out)));
        if (o_[SAE_OPT_AUX_SCALE_BY_DEAD] != 0) {
            scale *= std::min(1.0, static_cast<double>(dead.size()) / o_[SAE_OPT_AUX_K]);
        }
        return {z_aux, residual, scale};
    }

    void to_b_dec(const std::vector<double> &output) {
        for (size_t i = 0; i < output.size(); i++) {
            gradient_[SAE_B_DEC][i % static_cast<size_t>(s_.d_out)] += output[i];
        }
    }

    double dot(const std::vector<double> &output, int64_t row, int64_t j) const {
        double sum = 0;
        for (int64_t i = 0; i < s_.d_out; i++) {
            sum += output[static_cast<size_t>(row * s_.d_out + i)] * s_.at(SAE_W_DEC, j * s_.d_out + i);
        }
        return sum;
    }

    void decode_gradient(int64_t j, double z, const std::vector<double> &output, int64_t row) {
        for (int64_t i = 0; i < s_.d_out; i++) {
            gradient_[SAE_W_DEC][static_cast<size_t>(j * s_.d_out + i)] +=
                z * output[static_cast<size_t>(row * s_.d_out + i)];
        }
    }

    void encode_gradient(int64_t j, double dz_pre, const std::vector<float> &x, int64_t row) {
        for (int64_t i = 0; i < s_.d_in; i++) {
            const bool subtract = s_.has(SAE_SUBTRACT_B_DEC);
            const double input = x[static_cast<size_t>(row * s_.d_in + i)] - (subtract ? s_.at(SAE_B_DEC, i) : 0.0);
            gradient_[SAE_W_ENC][static_cast<size_t>(j * s_.d_in + i)] += dz_pre * input;
            if (subtract) { /* otherwise d_out may be less than d_in */
                gradient_[SAE_B_DEC][static_cast<size_t>(i)] -= dz_pre * s_.at(SAE_W_ENC, j * s_.d_in + i);
            }
        }
    }

    /* ---- the sparsity term ---- */

    double norm(int64_t j) const { return o_[SAE_OPT_WEIGHT_BY_NORM] != 0 ? decoder_norm(j) : 1; }

    double decoder_norm(int64_t j) const {
        double sum = 0;
        for (int64_t i = 0; i < s_.d_out; i++) {
            sum += std::pow(s_.at(SAE_W_DEC, j * s_.d_out + i), 2);
        }
        return std::sqrt(sum);
    }

    /* dL/d|W_dec[j]| to the row. */
    void norm_gradient(int64_t j, double dn) {
        const double n = norm(j);
        for (int64_t i = 0; o_[SAE_OPT_WEIGHT_BY_NORM] != 0 && n > 0 && i < s_.d_out; i++) {
            gradient_[SAE_W_DEC][static_cast<size_t>(j * s_.d_out + i)] += dn * s_.at(SAE_W_DEC, j * s_.d_out + i) / n;
        }
    }

    void begin_penalty(const Forward &f, int64_t rows) {
        const double warmup = o_[SAE_OPT_SPARSITY_WARMUP];
        c_ = o_[SAE_OPT_SPARSITY_COEFFICIENT] * (warmup == 0 ? 1 : std::min(1.0, stats[SAE_STAT_STEPS] / warmup));
        mean_l0_ = static_cast<double>(std::count_if(f.z.begin(), f.z.end(), [](double z) { return z > 0; })) /
                   static_cast<double>(rows);
    }

    /* Adds a row's term of L0; its derivative by that row's L0. */
    double row_penalty(const Forward &f, int64_t row) {
        const double l0 = static_cast<double>(
            std::count_if(f.z.begin() + row * s_.m, f.z.begin() + (row + 1) * s_.m, [](double z) { return z > 0; }));
        const double target = o_[SAE_OPT_TARGET_L0];
        switch (sparsity()) {
        case SAE_SPARSITY_L0:
            sparsity_ += c_ * l0;
            return c_;
        case SAE_SPARSITY_L0_OF_ROWS:
            sparsity_ += c_ * 2 * std::pow(l0 - target, 2) / target;
            return c_ * 4 * (l0 - target) / target;
        case SAE_SPARSITY_L0_OF_BATCH:
            sparsity_ += c_ * std::pow(mean_l0_ / target - 1, 2);
            return c_ * 2 * (mean_l0_ / target - 1) / target;
        default:
            return 0;
        }
    }

    /* From dL/dz through the decoder to dL/dz_pre. */
    double penalise(const Forward &f, int64_t row, int64_t j, double dz, double slope) {
        const double z = f.z[at(row, j)], z_pre = f.z_pre[at(row, j)];
        const double n = norm(j), s = o_[SAE_OPT_TANH_SCALE];
        if (sparsity() == SAE_SPARSITY_L1 && z > 0) {
            sparsity_ += c_ * z * n;
            dz += c_ * n;
            norm_gradient(j, c_ * z);
        } else if (sparsity() == SAE_SPARSITY_TANH) {
            const double t = std::tanh(s * z * n);
            sparsity_ += c_ * t;
            dz += c_ * s * (1 - t * t) * n;
            norm_gradient(j, c_ * s * (1 - t * t) * z);
        }
        double dz_pre = z != 0 ? dz : 0;
        if (thresholds()) {
            const double t = s_.at(SAE_THRESHOLD, j), h = o_[SAE_OPT_BANDWIDTH];
            const bool of_batch = sparsity() == SAE_SPARSITY_L0_OF_BATCH;
            const bool near = std::abs(z_pre - t) < h / 2;
            const double by_value = near ? -t / h * dz : 0;
            const double by_step = (of_batch ? std::abs(z - t) < h / 2 : near) ? -slope / h : 0;
            gradient_[SAE_THRESHOLD][static_cast<size_t>(j)] += by_value + by_step;
            if (o_[SAE_OPT_STE_TO_INPUT] != 0) { // what is not at z_pre has no gradient there
                dz_pre -= by_value + (of_batch && z == 0 ? 0 : by_step);
            }
        }
        return dz_pre;
    }

    /* The same of a gated latent, with its own tensors. */
    double gate(const Forward &f, const std::vector<float> &x, int64_t row, int64_t j, double dz,
                const std::vector<double> &gate_output) {
        const double g = f.gate[at(row, j)];
        if (g == 0) {
            return 0;
        }
        double dgate = dot(gate_output, row, j);
        if (sparsity() == SAE_SPARSITY_L1) {
            sparsity_ += c_ * g * norm(j);
            dgate += c_ * norm(j);
            norm_gradient(j, c_ * g);
        }
        if (o_[SAE_OPT_GATE_DETACH] == 0) {
            decode_gradient(j, g, gate_output, row);
        }
        const double gain = std::exp(s_.at(SAE_R_MAG, j));
        const double of_z = f.z[at(row, j)] > 0 ? dz : 0;
        const double product = products(s_, x, row)[static_cast<size_t>(j)];
        gradient_[SAE_B_ENC][static_cast<size_t>(j)] += dgate;
        gradient_[SAE_B_MAG][static_cast<size_t>(j)] += of_z;
        gradient_[SAE_R_MAG][static_cast<size_t>(j)] += gain * product * of_z;
        return dgate + gain * of_z;
    }

    std::vector<int64_t> prefixes_;
    std::vector<double> weights_;
    double c_ = 0, mean_l0_ = 0; // of the current part
};

} // namespace reference
#endif
