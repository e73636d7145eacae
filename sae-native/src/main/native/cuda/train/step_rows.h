/* step_rows.h: the rows of a step, or of a part of one, and their target, in buffers and staged on the device. */
#ifndef SAE_CUDA_STEP_ROWS_H
#define SAE_CUDA_STEP_ROWS_H

#include "step_graph.h"

namespace sae::cuda {

struct StepRows {
    Buffer &x;
    Buffer *y; // null: x is its own target
    int64_t first, count;

    void mark_read() const {
        x.mark_read();
        if (y != nullptr) {
            y->mark_read();
        }
    }
};

struct StagedRows {
    Staged<float> x;
    Staged<float> y; // of no elements without a target
    bool has_target;

    StagedRows(Carver &carver, const Params &params, const StepRows &rows)
        : x(carver, rows.x, rows.count * params.d_in, rows.first * params.d_in),
          y(carver, rows.y == nullptr ? rows.x : *rows.y, rows.y == nullptr ? 0 : rows.count * params.d_out,
            rows.y == nullptr ? 0 : rows.first * params.d_out),
          has_target(rows.y != nullptr) {}

    void upload() const {
        x.upload();
        if (has_target) {
            y.upload();
        }
    }
    const float *target() const { return has_target ? y.address : x.address; }
};

inline StepGraphs::Key step_key(const StagedRows &staged, int64_t rows, int64_t k, const Scratch &scratch) {
    return {staged.x.address, staged.target(), rows, k, scratch.base(), scratch.bytes()};
}

} // namespace sae::cuda
#endif
