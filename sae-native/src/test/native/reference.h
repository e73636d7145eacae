/* reference.h: encode, decode and one training step in double precision, written for readability: what the native tests
 * of both backends compare with (cpu/driver.cpp, cuda/backend_check.cpp).
 *
 * Parameters are float32 between steps, as in every backend; moments stay in double. So a backend and this differ by
 * the roundings of one step's sums, and by what Adam makes of them: where a gradient is only rounding error, m /
 * sqrt(v) may be anything up to 1, and a weight may be lr off. Statistics and moments therefore have tight bounds, and
 * weights a loose one for each, or one for the sum of their squares.
 * Over 400 lines: the definition of one step, to be read from top to bottom. */
#ifndef SAE_TEST_REFERENCE_H
#define SAE_TEST_REFERENCE_H

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <random>
#include <vector>

#include "../../main/native/include/sae_abi.h"

namespace reference {

using Options = std::array<double, SAE_OPT_COUNT>;

inline Options default_options(double k) {
    return {k,
            SAE_LOSS_MEAN,
            1.0 / 32,
            512,
            SAE_AUX_MEAN,
            0,
            0,
            5,
            0,
            0.9,
            0.99,
            1e-8,
            1e5,
            SAE_DECODER_NORM_BEFORE_STEP,
            1,
            0,
            0,
            SAE_GRADIENTS_NONE};
}

class Random {
  public:
    explicit Random(uint32_t seed) : engine_(seed) {}
    int integer(int least, int most) { return std::uniform_int_distribution<int>(least, most)(engine_); }
    std::vector<float> normals(int64_t count) {
        std::vector<float> values(static_cast<size_t>(count));
        std::normal_distribution<float> normal;
        for (float &value : values) {
            value = normal(engine_);
        }
        return values;
    }

  private:
    std::mt19937 engine_;
};

struct Sae {
    int64_t d, m;
    bool subtract;
    std::vector<float> tensors[4]; // by SAE_W_ENC ...

    Sae(int64_t d_in, int64_t d_sae, bool subtract_b_dec) : d(d_in), m(d_sae), subtract(subtract_b_dec) {
        tensors[SAE_W_ENC].resize(static_cast<size_t>(d * m));
        tensors[SAE_B_ENC].resize(static_cast<size_t>(m));
        tensors[SAE_W_DEC].resize(static_cast<size_t>(d * m));
        tensors[SAE_B_DEC].resize(static_cast<size_t>(d));
    }
    double at(int32_t tensor, int64_t i) const { return tensors[tensor][static_cast<size_t>(i)]; }
};

struct Kept {
    int64_t k;
    std::vector<int32_t> indices;
    std::vector<float> values;
};

/* x: a row */
inline double encoder_input(const Sae &sae, const float *x, int64_t i) {
    return x[i] - (sae.subtract ? sae.at(SAE_B_DEC, i) : 0.0);
}

inline double pre_activation(const Sae &sae, const float *x, int64_t latent) {
    double sum = sae.at(SAE_B_ENC, latent);
    for (int64_t i = 0; i < sae.d; i++) {
        sum += encoder_input(sae, x, i) * sae.at(SAE_W_ENC, latent * sae.d + i);
    }
    return sum;
}

/* among: which latents may be chosen; null: all. */
inline Kept encode(const Sae &sae, const std::vector<float> &x, int64_t rows, int64_t k,
                   const std::vector<bool> *among) {
    Kept kept{k, {}, {}};
    for (int64_t row = 0; row < rows; row++) {
        std::vector<float> z(static_cast<size_t>(sae.m));
        std::vector<int32_t> order;
        for (int64_t j = 0; j < sae.m; j++) {
            if (among != nullptr && !(*among)[static_cast<size_t>(j)]) {
                continue;
            }
            const double sum = pre_activation(sae, x.data() + row * sae.d, j);
            z[static_cast<size_t>(j)] = std::max(static_cast<float>(sum), 0.0f);
            order.push_back(static_cast<int32_t>(j));
        }
        std::stable_sort(order.begin(), order.end(),
                         [&](int32_t a, int32_t b) { return z[static_cast<size_t>(a)] > z[static_cast<size_t>(b)]; });
        for (int64_t slot = 0; slot < k; slot++) {
            kept.indices.push_back(order[static_cast<size_t>(slot)]);
            kept.values.push_back(z[static_cast<size_t>(kept.indices.back())]);
        }
    }
    return kept;
}

inline std::vector<double> decode(const Sae &sae, const Kept &kept, int64_t rows) {
    std::vector<double> x_hat;
    for (int64_t row = 0; row < rows; row++) {
        for (int64_t i = 0; i < sae.d; i++) {
            double sum = sae.at(SAE_B_DEC, i);
            for (int64_t slot = row * kept.k; slot < (row + 1) * kept.k; slot++) {
                sum += kept.values[static_cast<size_t>(slot)] *
                       sae.at(SAE_W_DEC, kept.indices[static_cast<size_t>(slot)] * sae.d + i);
            }
            x_hat.push_back(sum);
        }
    }
    return x_hat;
}

inline double squares(const std::vector<double> &values) {
    return std::inner_product(values.begin(), values.end(), values.begin(), 0.0);
}

inline double squares_about_mean(const std::vector<double> &a, int64_t rows, int64_t d) {
    double sum = 0;
    for (int64_t i = 0; i < d; i++) {
        double mean = 0;
        for (int64_t row = 0; row < rows; row++) {
            mean += a[static_cast<size_t>(row * d + i)] / static_cast<double>(rows);
        }
        for (int64_t row = 0; row < rows; row++) {
            sum += std::pow(a[static_cast<size_t>(row * d + i)] - mean, 2);
        }
    }
    return sum;
}

inline double inverse(double denominator) { return denominator == 0 ? 0 : 1 / denominator; }

/* To the nearest bfloat16, ties to even, by the definition: 8 significant bits. */
inline float nearest_bf16(float value) {
    int exponent = 0;
    const float fraction = std::frexp(value, &exponent);
    return std::ldexp(std::nearbyint(std::ldexp(fraction, 8)), exponent - 8);
}

/* A step computes in double. narrow: factors of the gradients' and the dead latents' products are rounded to bfloat16,
 * as with precision=bf16; weights and the encoder's
 * input must already be bfloat16. */
class Training {
  public:
    double stats[SAE_STAT_COUNT] = {};
    std::vector<double> first[4], second[4];
    std::vector<int64_t> idle_batches, idle_rows;

    Training(Sae &sae, const Options &options, bool narrow = false) : s_(sae), o_(options), narrow_(narrow) {
        for (int tensor = 0; tensor < 4; tensor++) {
            first[tensor].resize(s_.tensors[tensor].size());
            second[tensor].resize(s_.tensors[tensor].size());
        }
        idle_batches.resize(static_cast<size_t>(s_.m));
        idle_rows.resize(static_cast<size_t>(s_.m));
        clear();
    }

    void step(const std::vector<float> &x, int64_t rows, double lr) {
        accumulate(x, rows);
        apply(lr);
    }

    /* Forward and backward on a part of a step's batch; everything it adds is weighted by its rows. */
    void accumulate(const std::vector<float> &x, int64_t rows) {
        const Kept kept = encode(s_, x, rows, static_cast<int64_t>(o_[SAE_OPT_K]), nullptr);
        for (size_t entry = 0; entry < kept.values.size(); entry++) {
            if (kept.values[entry] > 0) {
                fired_[static_cast<size_t>(kept.indices[entry])] = true;
                active_ += 1;
            }
        }
        rows_ += rows;
        const std::vector<bool> dead = dead_now();
        const auto n_dead = std::count(dead.begin(), dead.end(), true);
        std::vector<double> error = decode(s_, kept, rows); // e = x_hat - x
        const std::vector<double> target(x.begin(), x.end());
        for (size_t i = 0; i < error.size(); i++) {
            error[i] -= target[i];
        }
        const double elements = static_cast<double>(rows * s_.d);
        const double by_variance = inverse(squares_about_mean(target, rows, s_.d));
        const auto loss = static_cast<int>(o_[SAE_OPT_LOSS]);
        const double scale = loss == SAE_LOSS_MEAN       ? 1 / elements
                             : loss == SAE_LOSS_SUM_MEAN ? 1.0 / static_cast<double>(rows)
                                                         : by_variance;
        const int64_t most = o_[SAE_OPT_AUX_COEFFICIENT] > 0 ? static_cast<int64_t>(o_[SAE_OPT_AUX_K]) : 0;
        const int64_t aux_k = std::min<int64_t>(most, n_dead);
        Kept aux{aux_k, {}, {}};
        std::vector<double> residual(error.size());
        double aux_scale = 0;
        if (aux_k > 0) {
            aux = encode(s_, x, rows, aux_k, &dead);
            aux.values = rounded(aux.values, 1.0f);
            residual = decode(s_, aux, rows);
            for (size_t i = 0; i < residual.size(); i++) {
                residual[i] += error[i] - s_.at(SAE_B_DEC, static_cast<int64_t>(i) % s_.d);
            }
            const auto norm = static_cast<int>(o_[SAE_OPT_AUX_NORM]);
            aux_scale = o_[SAE_OPT_AUX_COEFFICIENT] * (norm == SAE_AUX_MEAN       ? 1 / elements
                                                       : norm == SAE_AUX_SUM_MEAN ? 1.0 / static_cast<double>(rows)
                                                       : norm == SAE_AUX_TARGET_VARIANCE
                                                           ? by_variance
                                                           : inverse(squares_about_mean(error, rows, s_.d)));
            if (o_[SAE_OPT_AUX_SCALE_BY_DEAD] != 0) {
                aux_scale *= std::min(1.0, static_cast<double>(n_dead) / o_[SAE_OPT_AUX_K]);
            }
        }
        const auto weight = static_cast<double>(rows);
        reconstruction_ += weight * scale * squares(error);
        aux_ += weight * aux_scale * squares(residual);
        squared_error_ += squares(error);
        variance_ += squares_about_mean(target, rows, s_.d);

        std::vector<double> through_aux(error.size()), output(error.size());
        for (size_t i = 0; i < error.size(); i++) {
            through_aux[i] = weight * 2 * aux_scale * residual[i];
            output[i] = weight * 2 * scale * error[i] + (o_[SAE_OPT_AUX_DETACH] != 0 ? 0 : through_aux[i]);
        }
        for (size_t i = 0; i < output.size(); i++) {
            gradient_[SAE_B_DEC][i % static_cast<size_t>(s_.d)] += output[i];
        }
        through_aux = rounded(through_aux, weight);
        flow_back(kept, x, rows, output, rounded(output, weight), false);
        flow_back(aux, x, rows, through_aux, through_aux, narrow_);
    }

    /* The update from all parts: means over their rows. */
    void apply(double lr) {
        const auto rows = static_cast<double>(rows_);
        for (size_t j = 0; j < fired_.size(); j++) {
            idle_batches[j] = fired_[j] ? 0 : idle_batches[j] + 1;
            idle_rows[j] = fired_[j] ? 0 : idle_rows[j] + rows_;
        }
        stats[SAE_STAT_RECONSTRUCTION] = reconstruction_ / rows;
        stats[SAE_STAT_AUX] = aux_ / rows;
        stats[SAE_STAT_LOSS] = stats[SAE_STAT_RECONSTRUCTION] + stats[SAE_STAT_AUX];
        stats[SAE_STAT_L0] = active_ / rows;
        stats[SAE_STAT_FVU] = squared_error_ * inverse(variance_);
        stats[SAE_STAT_DEAD] = 0;
        for (size_t j = 0; j < fired_.size(); j++) {
            stats[SAE_STAT_DEAD] += is_dead(idle_batches[j], idle_rows[j]) ? 1 : 0;
        }
        for (std::vector<double> &gradient : gradient_) {
            for (double &g : gradient) {
                g /= rows;
            }
        }
        clip();
        project();
        adam(lr);
        if (static_cast<int>(o_[SAE_OPT_DECODER_NORM]) == SAE_DECODER_NORM_AFTER_STEP && trains(SAE_W_DEC)) {
            normalise();
        }
        clear();
    }

    /* Adds what another trainer has accumulated. */
    void add(Training &other) {
        for (int tensor = 0; tensor < 4; tensor++) {
            std::transform(gradient_[tensor].begin(), gradient_[tensor].end(), other.gradient_[tensor].begin(),
                           gradient_[tensor].begin(), std::plus<>());
        }
        std::transform(fired_.begin(), fired_.end(), other.fired_.begin(), fired_.begin(), std::logical_or<>());
        rows_ += other.rows_;
        reconstruction_ += other.reconstruction_;
        aux_ += other.aux_;
        active_ += other.active_;
        squared_error_ += other.squared_error_;
        variance_ += other.variance_;
        other.clear();
    }

  private:
    /* Clears everything accumulated. */
    void clear() {
        for (int tensor = 0; tensor < 4; tensor++) {
            gradient_[tensor].assign(s_.tensors[tensor].size(), 0.0);
        }
        fired_.assign(static_cast<size_t>(s_.m), false);
        rows_ = 0;
        reconstruction_ = aux_ = active_ = squared_error_ = variance_ = 0;
    }

    bool is_dead(int64_t batches, int64_t rows) const {
        const double after_batches = o_[SAE_OPT_DEAD_AFTER_BATCHES], after_rows = o_[SAE_OPT_DEAD_AFTER_ROWS];
        return (after_batches > 0 && static_cast<double>(batches) >= after_batches) ||
               (after_rows > 0 && static_cast<double>(rows) >= after_rows);
    }

    /* The dead latents if the batch ended with the parts so far. */
    std::vector<bool> dead_now() const {
        std::vector<bool> dead(fired_.size());
        for (size_t j = 0; j < fired_.size(); j++) {
            dead[j] = !fired_[j] && is_dead(idle_batches[j] + 1, idle_rows[j] + rows_);
        }
        return dead;
    }

    bool trains(int tensor) const {
        return tensor == SAE_B_ENC   ? o_[SAE_OPT_TRAIN_B_ENC] != 0
               : tensor == SAE_W_DEC ? o_[SAE_OPT_FREEZE_DECODER] == 0
                                     : true;
    }

    /* Rounds a value, if narrow, before it is weighted. */
    template <typename T>
    std::vector<T> rounded(std::vector<T> values, T weight) const {
        for (size_t i = 0; narrow_ && i < values.size(); i++) {
            values[i] = weight * nearest_bf16(static_cast<float>(values[i] / weight));
        }
        return values;
    }

    /* output: the gradient that dz is computed from; factor: the same as used in W_dec's gradient */
    void flow_back(const Kept &kept, const std::vector<float> &x, int64_t rows, const std::vector<double> &output,
                   const std::vector<double> &factor, bool round_dz) {
        for (int64_t entry = 0; entry < rows * kept.k; entry++) {
            const int64_t row = entry / kept.k;
            const int64_t j = kept.indices[static_cast<size_t>(entry)];
            const double z = kept.values[static_cast<size_t>(entry)];
            if (z <= 0) {
                continue;
            }
            double dz = 0;
            for (int64_t i = 0; i < s_.d; i++) {
                const auto at = static_cast<size_t>(row * s_.d + i);
                gradient_[SAE_W_DEC][static_cast<size_t>(j * s_.d + i)] += z * factor[at];
                dz += output[at] * s_.at(SAE_W_DEC, j * s_.d + i);
            }
            gradient_[SAE_B_ENC][static_cast<size_t>(j)] += dz;
            const auto weight = static_cast<double>(rows);
            const double by_dz = round_dz ? weight * nearest_bf16(static_cast<float>(dz / weight)) : dz;
            for (int64_t i = 0; i < s_.d; i++) {
                gradient_[SAE_W_ENC][static_cast<size_t>(j * s_.d + i)] +=
                    by_dz * encoder_input(s_, x.data() + row * s_.d, i);
                if (s_.subtract) {
                    gradient_[SAE_B_DEC][static_cast<size_t>(i)] -= dz * s_.at(SAE_W_ENC, j * s_.d + i);
                }
            }
        }
    }

    void clip() {
        stats[SAE_STAT_GRADIENT_NORM] = 0;
        if (o_[SAE_OPT_CLIP_NORM] == 0) {
            return;
        }
        double sum = 0;
        for (int tensor = 0; tensor < 4; tensor++) {
            sum += trains(tensor) ? squares(gradient_[tensor]) : 0;
        }
        const std::vector<float> &w = s_.tensors[SAE_W_DEC];
        for (int64_t j = 0; j < s_.m && trains(SAE_W_DEC) && o_[SAE_OPT_CLIP_PROJECTED] != 0; j++) {
            const double along = row_dot(gradient_[SAE_W_DEC], w, j);
            sum -= along * along * inverse(row_dot({w.begin(), w.end()}, w, j));
        }
        stats[SAE_STAT_GRADIENT_NORM] = std::sqrt(sum);
        const double factor = std::min(1.0, o_[SAE_OPT_CLIP_NORM] / (std::sqrt(sum) + 1e-6));
        for (std::vector<double> &gradient : gradient_) {
            for (double &g : gradient) {
                g *= factor;
            }
        }
    }

    double row_dot(const std::vector<double> &a, const std::vector<float> &b, int64_t j) const {
        return std::inner_product(a.begin() + j * s_.d, a.begin() + (j + 1) * s_.d, b.begin() + j * s_.d, 0.0);
    }

    void normalise() {
        std::vector<float> &w = s_.tensors[SAE_W_DEC];
        for (int64_t j = 0; j < s_.m; j++) {
            const double norm = std::sqrt(row_dot({w.begin(), w.end()}, w, j));
            for (int64_t at = j * s_.d; at < (j + 1) * s_.d && norm > 0; at++) {
                w[static_cast<size_t>(at)] = static_cast<float>(w[static_cast<size_t>(at)] / norm);
            }
        }
    }

    void project() {
        if (!trains(SAE_W_DEC)) {
            return;
        }
        if (static_cast<int>(o_[SAE_OPT_DECODER_NORM]) == SAE_DECODER_NORM_BEFORE_STEP) {
            normalise();
        }
        const std::vector<float> &w = s_.tensors[SAE_W_DEC];
        for (int64_t j = 0; j < s_.m && o_[SAE_OPT_PROJECT_GRADIENT] != 0; j++) {
            const double along = row_dot(gradient_[SAE_W_DEC], w, j) * inverse(row_dot({w.begin(), w.end()}, w, j));
            for (int64_t at = j * s_.d; at < (j + 1) * s_.d; at++) {
                gradient_[SAE_W_DEC][static_cast<size_t>(at)] -= along * w[static_cast<size_t>(at)];
            }
        }
    }

    void adam(double lr) {
        const double t = ++stats[SAE_STAT_STEPS];
        const double beta1 = o_[SAE_OPT_ADAM_BETA1], beta2 = o_[SAE_OPT_ADAM_BETA2];
        for (int tensor = 0; tensor < 4; tensor++) {
            for (size_t i = 0; trains(tensor) && i < gradient_[tensor].size(); i++) {
                const double g = gradient_[tensor][i];
                double &m = first[tensor][i];
                double &v = second[tensor][i];
                m = beta1 * m + (1 - beta1) * g;
                v = beta2 * v + (1 - beta2) * g * g;
                float &w = s_.tensors[tensor][i];
                w = static_cast<float>(w - lr * m / (1 - std::pow(beta1, t)) /
                                               (std::sqrt(v / (1 - std::pow(beta2, t))) + o_[SAE_OPT_ADAM_EPS]));
            }
        }
    }

    Sae &s_;
    const Options o_;
    const bool narrow_;
    /* of the parts so far */
    std::vector<double> gradient_[4];
    std::vector<bool> fired_;
    int64_t rows_ = 0;
    double reconstruction_ = 0, aux_ = 0, active_ = 0, squared_error_ = 0, variance_ = 0;
};

} // namespace reference
#endif
