/*
 * optimizer.cpp: the step of a piece of a tensor from its gradient: Adam, schedule-free signSGD, or Muon's momentum, whose
 * step follows in muon.cpp (sae_abi.h: SAE_OPT_OPTIMIZER).
 *
 *   w, g, state [n] -> w, state. Bytes per weight, read and written: Adam 24, signum 16, Muon's momentum 20.
 * Sources: torch.optim.Adam; sparsify 1.3.3, sign_sgd.py and muon.py; schedulefree 1.4.1, wrap_schedulefree.py.
 */
#include <cmath>

#include "trainer.h"

namespace sae::cpu {
namespace {

constexpr float kMomentum = 0.95f; /* of signum's averaging, and of Muon */
constexpr double kMuonDecay = 0.1;

float sign(float x) { return x > 0 ? 1.0f : x < 0 ? -1.0f : 0.0f; }

} // namespace

Descent Trainer::descent(double lr) {
    const double t = static_cast<double>(steps + 1);
    Descent step;
    step.adam = {static_cast<float>(1 - options.beta1),
                 static_cast<float>(options.beta2),
                 static_cast<float>(1 - options.beta2),
                 static_cast<float>(lr / (1 - std::pow(options.beta1, t))),
                 static_cast<float>(1 / std::sqrt(1 - std::pow(options.beta2, t))),
                 static_cast<float>(options.eps)};
    step.lr = static_cast<float>(lr);
    step.keep = static_cast<float>(1 - lr * kMuonDecay);
    return step;
}

void Trainer::start_averaging(Descent &step, double lr) {
    if (options.optimizer != SAE_SIGNUM) {
        return;
    }
    step.starts = steps == 0;
    if (step.starts) { /* what is not trained has an iterate too */
        for (int tensor = 0; tensor <= SAE_W_SKIP; tensor++) {
            std::copy_n(params.tensors[tensor].data(), first[tensor].size(), first[tensor].data());
        }
    }
    largest_lr() = std::max(largest_lr(), lr);
    const double weight = largest_lr() * largest_lr();
    averaged() += weight;
    step.share = averaged() > 0 ? static_cast<float>(weight / averaged()) : 0;
}

double Trainer::descend_signum(float *w, float *z, const float *g, float clip, float scale, float along, int64_t n,
                               const Descent &step) const {
    const float back = 1 - 1 / kMomentum;
    double squares = 0;
    for (int64_t i = 0; i < n; i++) {
        const float from = scale * w[i];
        z[i] = step.starts ? from : z[i];
        const float average = from + back * (z[i] - from);
        z[i] -= step.lr * sign(clip * g[i] - along * from);
        const float after = average + step.share * (z[i] - average);
        w[i] = after + (1 - kMomentum) * (z[i] - after);
        squares += static_cast<double>(w[i]) * w[i];
    }
    return squares;
}

double Trainer::descend_muon(float *w, float *m, float *momentum, const float *g, float clip, float scale, float along,
                             int64_t n, const Descent &step) const {
    for (int64_t i = 0; i < n; i++) {
        const float from = scale * w[i];
        const float gradient = clip * g[i] - along * from;
        m[i] += (1 - kMomentum) * (gradient - m[i]);
        momentum[i] = gradient + kMomentum * (m[i] - gradient);
        w[i] = step.keep * from;
    }
    return 0; /* of no use before the step itself */
}

double Trainer::descend(int tensor, int64_t at, const float *g, float clip, float scale, float along, int64_t n,
                        const Descent &step) {
    float *w = params.tensors[tensor].data() + at;
    float *m = first[tensor].data() + at;
    const bool matrix = tensor == SAE_W_ENC || tensor == SAE_W_DEC || tensor == SAE_W_SKIP;
    if (options.optimizer == SAE_SIGNUM) {
        return descend_signum(w, m, g, clip, scale, along, n, step);
    }
    if (options.optimizer == SAE_MUON && matrix) {
        return descend_muon(w, m, muon.momentum[tensor].data() + at, g, clip, scale, along, n, step);
    }
    return context.kernels.adam(w, m, second[tensor].data() + at, g, clip, scale, along, n, step.adam);
}

} // namespace sae::cpu
