/*
 * step_graph.h: the launches of a step as a CUDA graph.
 *
 * The first step with a key runs as separate launches, which also loads its kernels; the second is captured, and later
 * ones are one launch of the graph. A key seen only once, such as that of a short last batch, is never captured. What
 * changes from step to step (lr, the step number, the rows) is in device memory, so a graph stays valid while the
 * addresses do: its key is the address and number of the rows, and the address of the scratch. The last kGraphs keys
 * are kept, enough for two alternating buffers and a shorter last batch. Where a capture fails, the context launches kernel
 * by kernel from then on, and context_describe says why.
 */
#ifndef SAE_CUDA_STEP_GRAPH_H
#define SAE_CUDA_STEP_GRAPH_H

#include <array>
#include <functional>

#include "../device/device.h"

namespace sae::cuda {

class StepGraphs {
  public:
    struct Key {
        const void *rows_at = nullptr;
        int64_t rows = 0;
        const void *scratch = nullptr;
        int64_t scratch_bytes = 0;
        bool operator==(const Key &other) const {
            return rows_at == other.rows_at && rows == other.rows && scratch == other.scratch &&
                   scratch_bytes == other.scratch_bytes;
        }
    };

    StepGraphs() = default;
    StepGraphs(const StepGraphs &) = delete;
    StepGraphs &operator=(const StepGraphs &) = delete;
    ~StepGraphs();

    /* Runs the work that `enqueue` puts on the context's stream; with graphs off, just calls it. */
    void run(Context &context, const Key &key, const std::function<void()> &enqueue);

  private:
    struct Entry {
        Key key;
        cudaGraphExec_t graph = nullptr; // null: seen once
        int64_t last_used = 0;           // 0: never
    };
    static constexpr int kGraphs = 4;

    static cudaGraphExec_t capture(Context &context, const std::function<void()> &enqueue);

    std::array<Entry, kGraphs> entries_;
    int64_t uses_ = 0;
};

} // namespace sae::cuda
#endif
