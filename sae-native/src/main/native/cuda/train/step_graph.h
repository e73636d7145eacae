/*
 * step_graph.h: the launches of a step as a CUDA graph.
 *
 * The first step with a key runs as separate launches, which also loads its kernels; the second is captured, and later
 * ones are one launch of the graph. A key seen only once, such as that of a short last batch, is never captured. What
 * changes from step to step (lr, the step number, the rows) is in device memory, so a graph stays valid while the
 * addresses do: its key is the addresses and number of the rows, k, which sizes the launches, and the address of the scratch.
 * The last kGraphs keys are kept, enough for two alternating buffers and a shorter last batch. While k decreases, each of
 * its values is captured anew.
 *
 * What a step may turn out not to need, such as the auxiliary loss when nobody is dead, is a branch: a conditional node
 * whose body runs only if a kernel before it says so. In separate launches it always runs, and each of its kernels finds
 * out for itself that there is nothing to do, so results are the same bit for bit. Where a capture with branches fails,
 * the context captures without them from then on; where that fails too, it launches kernel by kernel.
 * context_describe says why.
 */
#ifndef SAE_CUDA_STEP_GRAPH_H
#define SAE_CUDA_STEP_GRAPH_H

#include <array>
#include <functional>

#include "../device/device.h"

namespace sae::cuda {

/* Branches of the step being enqueued on the context's stream. */
class Branches {
  public:
    explicit Branches(Context &context, cudaStream_t body = nullptr) : context_(context), body_(body) {}

    /* For one run() and for a kernel that is launched before it. */
    Condition condition() const;
    /* Calls `enqueue`; what that puts on the context's stream is the branch's. No branches within a branch. */
    void run(const Condition &condition, const std::function<void()> &enqueue) const;

  private:
    Context &context_;
    const cudaStream_t body_; // captures a branch; null: there is no graph
};

class StepGraphs {
  public:
    struct Key {
        const void *rows_at = nullptr;
        const void *target_at = nullptr;
        int64_t rows = 0;
        int64_t k = 0;
        const void *scratch = nullptr;
        int64_t scratch_bytes = 0;
        bool operator==(const Key &other) const = default;
    };
    using Enqueue = std::function<void(const Branches &)>;

    StepGraphs() = default;
    StepGraphs(const StepGraphs &) = delete;
    StepGraphs &operator=(const StepGraphs &) = delete;
    ~StepGraphs();

    /* Runs the work that `enqueue` puts on the context's stream; with graphs off, just calls it. */
    void run(Context &context, const Key &key, const Enqueue &enqueue);

  private:
    struct Entry {
        Key key;
        cudaGraph_t graph = nullptr; // null: seen once
        cudaGraphExec_t executable = nullptr;
        int64_t last_used = 0; // 0: never

        void close();
    };
    static constexpr int kGraphs = 4;

    static void capture(Context &context, const Enqueue &enqueue, Entry &entry);

    std::array<Entry, kGraphs> entries_;
    int64_t uses_ = 0;
};

} // namespace sae::cuda
#endif
