/*
 * update.cu: the update, once the gradients of all rows are in memory: idle counters, the learned threshold, the norm and
 * clipping, the optimiser. One kernel per formula; their costs are in the files that define them.
 * Deterministic: every kernel is.
 */
#include "update.h"

#include "../encode/shadow_copies.h"
#include "accumulate.h"
#include "backward.h"
#include "muon.h"
#include "signum.h"
#include "threshold.h"

namespace sae::cuda {
namespace {

class Update {
  public:
    Update(Trainer &trainer, const SumsScratch &scratch, int64_t rows)
        : t_(trainer), p_(trainer.params), s_(scratch), rows_(rows), stream_(trainer.params.context->stream) {}

    void enqueue() {
        check(launch_dead({t_.dead_after_batches, t_.dead_after_rows}, {nullptr, t_.fired.as<unsigned char>(), false},
                          rows_, p_.d_sae, t_.status(), t_.idle(), t_.idle(), s_.in_block, s_.dead, stream_),
              "counting dead latents");
        through_bias();
        if (t_.learned.rate > 0.0) {
            check(launch_learn_threshold(t_.learned, t_.status(), stream_), "learning a threshold");
        }
        const int64_t partials = measure();
        check(launch_prepare_update(s_.squares, partials, rows_, s_.dead.counts, t_.adam, t_.optimizer == SAE_SIGNUM,
                                    s_.sums, t_.status(), stream_),
              "preparing the update");
        for (int32_t tensor = 0; tensor < kTensors; tensor++) {
            if (t_.optimizer == SAE_SIGNUM) {
                signum(tensor);
            } else if (t_.optimizer == SAE_MUON && Trainer::is_matrix(tensor) && t_.trains(tensor)) {
                muon(tensor);
            } else if (t_.trains(tensor)) {
                t_.narrow_moments(tensor) ? step<Bf16>(tensor) : step<float>(tensor);
            }
        }
        if (t_.trains(SAE_THRESHOLD)) {
            check(launch_keep_thresholds(p_.tensor(SAE_THRESHOLD), p_.d_sae, stream_), "keeping thresholds above 0");
        }
    }

  private:
    /* b_dec also gets what flows through the encoder's input, where d_in is d_out. */
    void through_bias() {
        double *through_encoder = p_.subtract_b_dec ? s_.columns : nullptr;
        if (through_encoder != nullptr) {
            check(launch_column_sums(p_.tensor(SAE_W_ENC), t_.product_gradient(), p_.d_sae, p_.d_in, s_.partials,
                                     through_encoder, stream_),
                  "differentiating the encoder's input");
        }
        check(launch_decoder_bias_gradient(t_.gradients[SAE_B_DEC].as<const float>(), through_encoder, p_.d_out,
                                           s_.b_dec_gradient, stream_),
              "differentiating the decoder's bias");
    }

    /* Partial sums of squares, as many as it returns; 0 where nothing is clipped. */
    int64_t measure() {
        int64_t partials = 0;
        for (int32_t tensor = 0; tensor < kTensors && t_.adam.clip_norm > 0.0; tensor++) {
            if (t_.trains(tensor)) {
                double *const into = s_.squares + partials;
                check(tensor == SAE_W_DEC && t_.clip_projected
                          ? launch_projected_squares(gradient(tensor), p_.tensor(tensor), p_.d_out, p_.d_sae, into,
                                                     stream_)
                          : launch_squares(gradient(tensor), p_.elements(tensor), into, stream_),
                      "measuring the gradient");
                partials += kSquareBlocks;
            }
        }
        return partials;
    }

    const float *gradient(int32_t tensor) const {
        return tensor == SAE_B_DEC ? s_.b_dec_gradient : t_.gradients[tensor].as<const float>();
    }

    template <typename Moment>
    void step(int32_t tensor) const {
        auto *first = t_.first[tensor].as<Moment>();
        auto *second = t_.second[tensor].as<Moment>();
        check(tensor == SAE_W_DEC ? launch_update_decoder(gradient(tensor), p_.d_out, p_.d_sae, t_.adam, s_.sums,
                                                          t_.status(), p_.tensor(tensor), first, second, stream_)
                                  : launch_update(gradient(tensor), p_.elements(tensor), t_.adam, s_.sums, t_.status(),
                                                  p_.tensor(tensor), first, second, stream_),
              "updating parameters");
    }

    /* What is not trained has an iterate too. */
    void signum(int32_t tensor) const {
        const DeviceMemory &iterate = t_.first[tensor];
        if (iterate.bytes() == 0) {
            return;
        }
        const bool of_decoder = tensor == SAE_W_DEC;
        const int64_t columns = of_decoder ? p_.d_out : 1;
        const SignumTensor of{t_.trains(tensor) ? gradient(tensor) : nullptr, p_.elements(tensor) / columns, columns,
                              p_.tensor(tensor), iterate.as<float>()};
        check(launch_signum(of, of_decoder, t_.adam, s_.sums, t_.status(), stream_), "updating parameters");
    }

    void muon(int32_t tensor) const {
        const MuonMatrix of{t_.shape_of(tensor), t_.gradients[tensor].as<float>(), t_.first[tensor].as<float>(),
                            p_.tensor(tensor), tensor == SAE_W_DEC};
        Carver carver(t_.muon_memory.as<unsigned char>());
        check(launch_muon(*p_.context, of, t_.adam, s_.sums, t_.status(), t_.muon_scratch(carver)),
              "updating parameters");
    }

    Trainer &t_;
    const Params &p_;
    const SumsScratch &s_;
    const int64_t rows_;
    const cudaStream_t stream_;
};

} // namespace

void enqueue_update(Trainer &trainer, const SumsScratch &scratch, int64_t rows) {
    Update(trainer, scratch, rows).enqueue();
}

void parameters_changed(const Params &params) {
    params.weight_squares_stale = true;
    mark_changed(params);
}

} // namespace sae::cuda
