/*
 * train_step.cu: the trainer's functions of the backend table; the steps themselves are in step_fused.cu, step_plain.cu and
 * step_ragged.cu.
 *
 * A step of TopK never waits for the device: the number of dead latents, the finite check, losses, clipping and Adam's step
 * count stay there. After a batch with NaN or infinity nothing is updated and the next trainer_stats reports it. A ragged
 * step waits for its number of entries, and reports NaN then. Where k decreases, the host counts the steps: a refused one counts
 * until trainer_stats reports it.
 */
#include <algorithm>
#include <memory>
#include <vector>

#include "../device/bf16_bits.h"
#include "../operations.h"
#include "step_state.h"
#include "trainer.h"

namespace sae::cuda {

namespace {

/* A tensor whose moments a state is, and which of them. */
struct MomentsOf {
    int32_t tensor;
    bool first;
};
MomentsOf moments_of(int32_t state) {
    if (state >= SAE_STATE_M_THRESHOLD) { // in pairs
        const int32_t at = state - SAE_STATE_M_THRESHOLD;
        return {SAE_THRESHOLD + at / 2, at % 2 == 0};
    }
    return state < SAE_STATE_V_W_ENC ? MomentsOf{state, true} : MomentsOf{state - SAE_STATE_V_W_ENC, false};
}

/* Where a state is on the device. */
struct StateAt {
    unsigned char *address;
    int64_t size; // bytes of an element
    bool narrow;  // stored as bfloat16; the host sees float32
};
StateAt locate(const Trainer &trainer, int32_t state) {
    switch (state) {
    case SAE_STATE_IDLE_BATCHES:
        return {trainer.idle_batches.as<unsigned char>(), sizeof(int64_t), false};
    case SAE_STATE_IDLE_ROWS:
        return {trainer.idle_rows.as<unsigned char>(), sizeof(int64_t), false};
    case SAE_STATE_STEPS:
        return {reinterpret_cast<unsigned char *>(&trainer.status()->steps), sizeof(int64_t), false};
    case SAE_STATE_LEARNED_THRESHOLD:
        return {reinterpret_cast<unsigned char *>(&trainer.status()->learned_threshold), sizeof(double), false};
    case SAE_STATE_AVERAGING:
        return {reinterpret_cast<unsigned char *>(trainer.status()->averaging), sizeof(double), false};
    default: {
        const auto [tensor, first] = moments_of(state);
        return {(first ? trainer.first : trainer.second)[tensor].as<unsigned char>(), trainer.moment_bytes(tensor),
                trainer.narrow_moments(tensor)};
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

sae_status train_step(void *handle, void *x, void *y, int64_t rows, double lr) {
    return guarded([&] {
        Trainer &trainer = *static_cast<Trainer *>(handle);
        trainer.params.context->activate();
        trainer.choose_k();
        const auto step = trainer.ragged ? step_ragged : trainer.fused ? step_fused : step_plain;
        step(trainer, {*static_cast<Buffer *>(x), static_cast<Buffer *>(y), 0, rows}, lr);
        trainer.steps++;
        trainer.last_rows = rows;
    });
}

sae_status train_accumulate(void *handle, void *x, void *y, int64_t first, int64_t rows, int64_t pending) {
    return guarded([&] {
        Trainer &trainer = *static_cast<Trainer *>(handle);
        trainer.params.context->activate();
        trainer.choose_k();
        const StepRows of{*static_cast<Buffer *>(x), static_cast<Buffer *>(y), first, rows};
        (trainer.ragged ? accumulate_ragged : accumulate)(trainer, of, pending);
        trainer.last_rows = 0;
    });
}

sae_status train_apply(void *handle, int64_t pending, double lr) {
    return guarded([&] {
        Trainer &trainer = *static_cast<Trainer *>(handle);
        trainer.params.context->activate();
        apply(trainer, pending, lr);
        trainer.steps++;
    });
}

sae_status trainer_stats(void *handle, double *values) {
    return guarded([&] {
        Trainer &trainer = *static_cast<Trainer *>(handle);
        trainer.params.context->activate();
        StepStatus status = trainer.read_status();
        trainer.steps = status.steps;                                 // without those that were refused
        const int row = std::min(status.refused_row, status.bad_row); // of a step, or of parts waiting for their update
        if (row != kNoBadRow) {
            status.refused_row = kNoBadRow;
            status.bad_row = kNoBadRow;
            trainer.write_status(status);
            fail(SAE_NONFINITE, nonfinite_text(row, trainer.last_rows) + "; the step was skipped");
        }
        std::copy(std::begin(status.stats), std::end(status.stats), values);
        values[SAE_STAT_STEPS] = static_cast<double>(status.steps);
    });
}

sae_status trainer_write(void *handle, int32_t state, int64_t first, const void *source, int64_t count) {
    return guarded([&] {
        Trainer &trainer = *static_cast<Trainer *>(handle);
        trainer.params.context->activate();
        const auto [base, size, is_narrow] = locate(trainer, state);
        std::vector<uint16_t> narrow;
        if (is_narrow) {
            const auto *values = static_cast<const float *>(source);
            narrow.resize(static_cast<size_t>(count));
            std::transform(values, values + count, narrow.begin(), to_bf16);
            source = narrow.data();
        }
        check(cudaMemcpyAsync(base + first * size, source, static_cast<size_t>(count * size), cudaMemcpyHostToDevice,
                              trainer.params.context->stream),
              "writing optimiser state");
        trainer.params.context->synchronize();
        if (state == SAE_STATE_STEPS) {
            trainer.steps = trainer.read_status().steps;
        }
    });
}

sae_status trainer_read(void *handle, int32_t state, int64_t first, void *target, int64_t count) {
    return guarded([&] {
        const Trainer &trainer = *static_cast<Trainer *>(handle);
        trainer.params.context->activate();
        const auto [base, size, is_narrow] = locate(trainer, state);
        std::vector<uint16_t> narrow(static_cast<size_t>(is_narrow ? count : 0));
        void *into = narrow.empty() ? target : narrow.data();
        check(cudaMemcpyAsync(into, base + first * size, static_cast<size_t>(count * size), cudaMemcpyDeviceToHost,
                              trainer.params.context->stream),
              "reading optimiser state");
        trainer.params.context->synchronize();
        std::transform(narrow.begin(), narrow.end(), static_cast<float *>(target), from_bf16);
    });
}

void trainer_close(void *handle) {
    const std::unique_ptr<Trainer> trainer(static_cast<Trainer *>(handle));
    cudaSetDevice(trainer->params.context->device);
    cudaStreamSynchronize(trainer->params.context->stream);
}

} // namespace sae::cuda
