/*
 * train_step.cu: the trainer: optimiser state, and one step as a sequence of launches.
 *
 * Shapes: B rows, d = d_in, m = d_sae. State: 4 (2 m d + m + d) bytes of gradients, twice that of moments, 16 m of
 * counters. Scratch of a step: about 4 B (4 d + 3 k + 3 aux_k) + 16 B max(k, aux_k) bytes and the scores of one chunk.
 * A step never waits for the device: the number of dead latents, the finite check, losses, clipping and Adam's step
 * count stay there. After a batch with NaN or infinity nothing is updated and the next trainer_stats says so.
 * Deterministic: every kernel below is.
 */
#include <algorithm>
#include <memory>

#include "operations.h"

namespace sae::cuda {
namespace {

constexpr int kTensors = SAE_B_DEC + 1;

LossOptions loss_options(const double *options) {
    return {static_cast<int>(options[SAE_OPT_LOSS]), static_cast<int>(options[SAE_OPT_AUX_NORM]),
            options[SAE_OPT_AUX_COEFFICIENT], options[SAE_OPT_AUX_K], options[SAE_OPT_AUX_SCALE_BY_DEAD] != 0.0};
}

AdamOptions adam_options(const double *options) {
    return {options[SAE_OPT_ADAM_BETA1],
            options[SAE_OPT_ADAM_BETA2],
            options[SAE_OPT_ADAM_EPS],
            options[SAE_OPT_CLIP_NORM],
            static_cast<int>(options[SAE_OPT_DECODER_NORM]),
            options[SAE_OPT_PROJECT_GRADIENT] != 0.0};
}

struct Trainer {
    const Params &params;
    const LossOptions loss;
    const AdamOptions adam;
    const int64_t k;
    const int64_t aux_k; // 0: no auxiliary loss
    const bool aux_detach;
    const int64_t dead_after_batches;
    const int64_t dead_after_rows;
    const bool train_b_enc;
    const bool freeze_decoder;
    int64_t last_rows = 0; // of the last step, for the text about a refused row

    DeviceMemory gradients[kTensors];
    DeviceMemory first[kTensors];
    DeviceMemory second[kTensors];
    DeviceMemory idle_batches; // int64 [m]
    DeviceMemory idle_rows;    // int64 [m]
    DeviceMemory status_memory;

    Trainer(const Params &of, const double *options)
        : params(of), loss(loss_options(options)), adam(adam_options(options)),
          k(static_cast<int64_t>(options[SAE_OPT_K])),
          aux_k(loss.aux_coefficient > 0.0 ? std::min(static_cast<int64_t>(options[SAE_OPT_AUX_K]), of.d_sae) : 0),
          aux_detach(options[SAE_OPT_AUX_DETACH] != 0.0),
          dead_after_batches(static_cast<int64_t>(options[SAE_OPT_DEAD_AFTER_BATCHES])),
          dead_after_rows(static_cast<int64_t>(options[SAE_OPT_DEAD_AFTER_ROWS])),
          train_b_enc(options[SAE_OPT_TRAIN_B_ENC] != 0.0), freeze_decoder(options[SAE_OPT_FREEZE_DECODER] != 0.0) {
        const cudaStream_t stream = params.context->stream;
        for (int32_t tensor = 0; tensor < kTensors; tensor++) {
            const int64_t bytes = params.elements(tensor) * static_cast<int64_t>(sizeof(float));
            gradients[tensor] = zeroed(bytes, stream);
            first[tensor] = zeroed(bytes, stream);
            second[tensor] = zeroed(bytes, stream);
        }
        idle_batches = zeroed(params.d_sae * static_cast<int64_t>(sizeof(int64_t)), stream);
        idle_rows = zeroed(params.d_sae * static_cast<int64_t>(sizeof(int64_t)), stream);
        status_memory = DeviceMemory(sizeof(StepStatus));
        StepStatus fresh{};
        fresh.bad_row = kNoBadRow;
        fresh.refused_row = kNoBadRow;
        write_status(fresh);
    }

    StepStatus *status() const { return status_memory.as<StepStatus>(); }

    StepStatus read_status() const {
        StepStatus copy;
        check(cudaMemcpyAsync(&copy, status(), sizeof copy, cudaMemcpyDeviceToHost, params.context->stream),
              "reading the step's result");
        params.context->synchronize();
        return copy;
    }

    void write_status(const StepStatus &value) const {
        check(cudaMemcpyAsync(status(), &value, sizeof value, cudaMemcpyHostToDevice, params.context->stream),
              "writing the trainer's status");
        params.context->synchronize();
    }

    bool trains(int32_t tensor) const {
        return tensor == SAE_B_ENC ? train_b_enc : tensor == SAE_W_DEC ? !freeze_decoder : true;
    }

    int64_t live_bytes() const {
        int64_t bytes = idle_batches.bytes() + idle_rows.bytes() + status_memory.bytes();
        for (int32_t tensor = 0; tensor < kTensors; tensor++) {
            bytes += gradients[tensor].bytes() + first[tensor].bytes() + second[tensor].bytes();
        }
        return bytes;
    }
};

/* Kept values of a batch, and what hangs on each. */
struct Kept {
    int64_t k;
    int *indices;     // [B, k]
    float *values;    // [B, k]
    float *dz;        // [B, k]
    uint32_t *order;  // [B k]
    int64_t *offsets; // [m + 1]

    Kept(Carver &carver, int64_t rows, int64_t k_, int64_t d_sae)
        : k(k_), indices(carver.take<int>(rows * k)), values(carver.take<float>(rows * k)),
          dz(carver.take<float>(rows * k)), order(carver.take<uint32_t>(rows * k)),
          offsets(carver.take<int64_t>(d_sae + 1)) {}

    SparseList list(const float *gradient) const { return {k, order, offsets, values, dz, gradient}; }
};

struct StepScratch {
    Staged<float> x;
    float *centred;  // [B, d]
    float *error;    // [B, d], then dL/dx_hat
    float *residual; // [B, d], then dL/d(z_aux W_dec); null without the auxiliary loss
    Kept kept;
    Kept aux; // of width 1 and unused without the auxiliary loss
    Selection selection;
    int *fired;       // [m]
    int *dead_list;   // [m]
    int *n_dead;      // [1]
    StepSums *sums;   // [1]
    double *partials; // column sums of up to max(B, m) rows
    double *columns;  // [2, d]
    double *squares;  // [B] of rows; then of gradients
    CscScratch csc;

    StepScratch(Carver &carver, const Trainer &trainer, int64_t rows, int64_t sort_bytes, const Buffer &buffer)
        : x(carver, buffer, rows * trainer.params.d_in),
          centred(carver.take<float>(trainer.params.subtract_b_dec ? rows * trainer.params.d_in : 0)),
          error(carver.take<float>(rows * trainer.params.d_in)),
          residual(trainer.aux_k > 0 ? carver.take<float>(rows * trainer.params.d_in) : nullptr),
          kept(carver, rows, trainer.k, trainer.params.d_sae),
          aux(carver, rows, std::max<int64_t>(trainer.aux_k, 1), trainer.params.d_sae),
          selection(carver, rows, trainer.params.d_sae, std::max(trainer.k, trainer.aux_k)),
          fired(carver.take<int>(trainer.params.d_sae)), dead_list(carver.take<int>(trainer.params.d_sae)),
          n_dead(carver.take<int>(1)), sums(carver.take<StepSums>(1)),
          partials(carver.take<double>(column_scratch(std::max(rows, trainer.params.d_sae), trainer.params.d_in))),
          columns(carver.take<double>(2 * trainer.params.d_in)),
          squares(carver.take<double>(std::max(rows, kTensors * kSquareBlocks))) {
        const int64_t entries = rows * std::max(trainer.k, trainer.aux_k);
        csc.keys_in = carver.take<uint32_t>(entries);
        csc.keys_out = carver.take<uint32_t>(entries);
        csc.entries_in = carver.take<uint32_t>(entries);
        csc.sort = carver.take<unsigned char>(sort_bytes);
        csc.sort_bytes = sort_bytes;
    }
};

/* One step: the phases in order, each a few launches on the context's stream. */
class Step {
  public:
    Step(Trainer &trainer, const StepScratch &scratch, int64_t rows)
        : t_(trainer), p_(trainer.params), s_(scratch), rows_(rows), stream_(trainer.params.context->stream) {}

    void run(double lr) {
        forward();
        losses();
        backward();
        update(lr);
    }

  private:
    void forward() {
        clear_bad_row(*p_.context, &t_.status()->bad_row);
        x_ = s_.x.upload();
        input_ = prepare_rows(p_, x_, rows_, s_.centred, &t_.status()->bad_row);
        Selection selection = s_.selection;
        selection.k = t_.k;
        select_latents(p_, selection, input_, nullptr, nullptr, s_.kept.indices, s_.kept.values);
        check(launch_dead(s_.kept.indices, s_.kept.values, rows_, t_.k, p_.d_sae, t_.dead_after_batches,
                          t_.dead_after_rows, t_.status(), s_.fired, t_.idle_batches.as<int64_t>(),
                          t_.idle_rows.as<int64_t>(), s_.dead_list, s_.n_dead, stream_),
              "counting dead latents");
        check(launch_error(s_.kept.indices, s_.kept.values, rows_, t_.k, p_.tensor(SAE_W_DEC), p_.tensor(SAE_B_DEC), x_,
                           p_.d_in, s_.error, stream_),
              "reconstructing");
        if (t_.aux_k > 0) {
            selection.k = t_.aux_k;
            select_latents(p_, selection, input_, s_.dead_list, s_.n_dead, s_.aux.indices, s_.aux.values);
            check(launch_residual(s_.aux.indices, s_.aux.values, rows_, t_.aux_k, p_.tensor(SAE_W_DEC), s_.error,
                                  p_.d_in, s_.residual, stream_),
                  "reconstructing from dead latents");
        }
    }

    /* total = the sum of squares of a matrix, about its column means if asked */
    void squares(const float *matrix, bool about_means, double *total) {
        if (about_means) {
            check(launch_column_sums(matrix, nullptr, rows_, p_.d_in, s_.partials, s_.columns, stream_),
                  "summing columns");
        }
        check(launch_squares_about(matrix, about_means ? s_.columns : nullptr, rows_, p_.d_in, s_.squares, total,
                                   stream_),
              "summing squares");
    }

    void losses() {
        squares(s_.error, false, &s_.sums->squared_error);
        squares(x_, true, &s_.sums->variance);
        if (t_.aux_k > 0) {
            squares(s_.residual, false, &s_.sums->squared_residual);
            if (t_.loss.aux_norm == SAE_AUX_RESIDUAL_VARIANCE) {
                squares(s_.error, true, &s_.sums->residual_variance);
            }
        }
        check(launch_count_active(s_.kept.values, rows_ * t_.k, &s_.sums->active, stream_), "counting kept values");
        check(launch_scales(t_.loss, rows_, p_.d_in, s_.n_dead, s_.sums, t_.status(), stream_), "adding up the loss");
        check(launch_output_gradient(s_.sums, t_.aux_detach, rows_ * p_.d_in, s_.error, s_.residual, stream_),
              "differentiating the loss");
    }

    SparseList flow_back(const Kept &kept, const float *gradient) {
        check(launch_latent_gradient(kept.indices, kept.values, rows_, kept.k, p_.tensor(SAE_W_DEC), gradient, p_.d_in,
                                     kept.dz, stream_),
              "differentiating latents");
        check(
            launch_csc(kept.indices, kept.values, rows_ * kept.k, p_.d_sae, s_.csc, kept.order, kept.offsets, stream_),
            "listing kept values by latent");
        return kept.list(gradient);
    }

    float *gradient(int32_t tensor) { return t_.gradients[tensor].as<float>(); }

    void backward() {
        const SparseList kept = flow_back(s_.kept, s_.error);
        const SparseList aux = t_.aux_k > 0 ? flow_back(s_.aux, s_.residual) : SparseList{};
        check(launch_weight_gradient(kept, aux, input_, p_.d_in, p_.d_sae, gradient(SAE_W_ENC), gradient(SAE_W_DEC),
                                     gradient(SAE_B_ENC), stream_),
              "differentiating weights");
        double *outputs = s_.columns;
        double *through_encoder = p_.subtract_b_dec ? s_.columns + p_.d_in : nullptr;
        check(launch_column_sums(s_.error, nullptr, rows_, p_.d_in, s_.partials, outputs, stream_),
              "differentiating the decoder's bias");
        if (through_encoder != nullptr) {
            check(launch_column_sums(p_.tensor(SAE_W_ENC), gradient(SAE_B_ENC), p_.d_sae, p_.d_in, s_.partials,
                                     through_encoder, stream_),
                  "differentiating the encoder's input");
        }
        check(launch_decoder_bias_gradient(outputs, through_encoder, p_.d_in, gradient(SAE_B_DEC), stream_),
              "differentiating the decoder's bias");
    }

    void update(double lr) {
        int64_t partials = 0;
        for (int32_t tensor = 0; tensor < kTensors && t_.adam.clip_norm > 0.0; tensor++) {
            if (t_.trains(tensor)) {
                check(launch_squares(gradient(tensor), p_.elements(tensor), s_.squares + partials, stream_),
                      "measuring the gradient");
                partials += kSquareBlocks;
            }
        }
        check(launch_prepare_update(s_.squares, partials, t_.adam, lr, s_.sums, t_.status(), stream_),
              "preparing the update");
        for (int32_t tensor = 0; tensor < kTensors; tensor++) {
            if (!t_.trains(tensor)) {
                continue;
            }
            float *first = t_.first[tensor].as<float>();
            float *second = t_.second[tensor].as<float>();
            check(tensor == SAE_W_DEC ? launch_update_decoder(gradient(tensor), p_.d_in, p_.d_sae, t_.adam, s_.sums,
                                                              t_.status(), p_.tensor(tensor), first, second, stream_)
                                      : launch_update(gradient(tensor), p_.elements(tensor), t_.adam, s_.sums,
                                                      t_.status(), p_.tensor(tensor), first, second, stream_),
                  "updating parameters");
        }
    }

    Trainer &t_;
    const Params &p_;
    const StepScratch &s_;
    const int64_t rows_;
    const cudaStream_t stream_;
    const float *x_ = nullptr;
    const float *input_ = nullptr; // what the encoder sees: x or x - b_dec
};

/* Where a state lives on the device, and the bytes of one element. */
std::pair<unsigned char *, int64_t> locate(const Trainer &trainer, int32_t state) {
    switch (state) {
    case SAE_STATE_IDLE_BATCHES:
        return {trainer.idle_batches.as<unsigned char>(), sizeof(int64_t)};
    case SAE_STATE_IDLE_ROWS:
        return {trainer.idle_rows.as<unsigned char>(), sizeof(int64_t)};
    case SAE_STATE_STEPS:
        return {reinterpret_cast<unsigned char *>(&trainer.status()->steps), sizeof(int64_t)};
    default: {
        const bool is_first = state < SAE_STATE_V_W_ENC;
        const DeviceMemory &memory = is_first ? trainer.first[state] : trainer.second[state - SAE_STATE_V_W_ENC];
        return {memory.as<unsigned char>(), sizeof(float)};
    }
    }
}

} // namespace

sae_status trainer_create(void *handle, const double *options, void **trainer, int64_t *live_bytes) {
    return guarded([&] {
        const Params &params = *static_cast<Params *>(handle);
        params.context->activate();
        auto made = std::make_unique<Trainer>(params, options);
        *live_bytes = made->live_bytes();
        *trainer = made.release();
    });
}

sae_status train_step(void *handle, void *x, int64_t rows, double lr) {
    return guarded([&] {
        Trainer &trainer = *static_cast<Trainer *>(handle);
        Context &context = *trainer.params.context;
        context.activate();
        int64_t sort_bytes = 0; // enough for either list
        for (const int64_t k : {trainer.k, std::max<int64_t>(trainer.aux_k, 1)}) {
            require_size(rows, k);
            int64_t bytes = 0;
            check(csc_scratch(rows * k, trainer.params.d_sae, &bytes), "planning the sort");
            sort_bytes = std::max(sort_bytes, bytes);
        }
        const auto scratch = context.scratch.make<StepScratch>(trainer, rows, sort_bytes, *static_cast<Buffer *>(x));
        Step(trainer, scratch, rows).run(lr);
        trainer.last_rows = rows;
    });
}

sae_status trainer_stats(void *handle, double *values) {
    return guarded([&] {
        const Trainer &trainer = *static_cast<Trainer *>(handle);
        trainer.params.context->activate();
        StepStatus status = trainer.read_status();
        if (status.refused_row != kNoBadRow) {
            const int row = std::exchange(status.refused_row, kNoBadRow);
            trainer.write_status(status);
            fail(SAE_NONFINITE, nonfinite_text(row, trainer.last_rows) + "; the step was not taken");
        }
        std::copy(std::begin(status.stats), std::end(status.stats), values);
        values[SAE_STAT_STEPS] = static_cast<double>(status.steps);
    });
}

sae_status trainer_write(void *handle, int32_t state, int64_t first, const void *source, int64_t count) {
    return guarded([&] {
        const Trainer &trainer = *static_cast<Trainer *>(handle);
        trainer.params.context->activate();
        const auto [base, size] = locate(trainer, state);
        check(cudaMemcpyAsync(base + first * size, source, static_cast<size_t>(count * size), cudaMemcpyHostToDevice,
                              trainer.params.context->stream),
              "writing optimiser state");
        trainer.params.context->synchronize();
    });
}

sae_status trainer_read(void *handle, int32_t state, int64_t first, void *target, int64_t count) {
    return guarded([&] {
        const Trainer &trainer = *static_cast<Trainer *>(handle);
        trainer.params.context->activate();
        const auto [base, size] = locate(trainer, state);
        check(cudaMemcpyAsync(target, base + first * size, static_cast<size_t>(count * size), cudaMemcpyDeviceToHost,
                              trainer.params.context->stream),
              "reading optimiser state");
        trainer.params.context->synchronize();
    });
}

void trainer_close(void *handle) {
    const std::unique_ptr<Trainer> trainer(static_cast<Trainer *>(handle));
    cudaSetDevice(trainer->params.context->device);
    cudaStreamSynchronize(trainer->params.context->stream);
}

} // namespace sae::cuda
