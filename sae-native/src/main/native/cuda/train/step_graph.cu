/* step_graph.cu: captures, keeps and launches the graphs of steps; see step_graph.h. */
#include "step_graph.h"

#include <algorithm>

namespace sae::cuda {
namespace {

/* Creates a stream for a capture, since the caller's may not support it; a graph runs on any stream. */
class CaptureStream {
  public:
    CaptureStream() {
        check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream to capture a step");
    }
    CaptureStream(const CaptureStream &) = delete;
    CaptureStream &operator=(const CaptureStream &) = delete;
    ~CaptureStream() { cudaStreamDestroy(stream_); }
    cudaStream_t get() const { return stream_; }

  private:
    cudaStream_t stream_ = nullptr;
};

/* Calls `enqueue` with `stream` as the context's. The stream captures; the graph is null if that failed. */
template <typename Function>
void capture_on(Context &context, cudaStream_t stream, cudaGraph_t *graph, const Function &enqueue) {
    const cudaStream_t own = std::exchange(context.stream, stream);
    try {
        enqueue();
    } catch (...) {
        context.stream = own;
        cudaStreamEndCapture(stream, graph); // report the first error
        throw;
    }
    context.stream = own;
    check(cudaStreamEndCapture(stream, graph), "capturing a step");
}

#if SAE_GRAPH_BRANCHES
struct Captured { // so far
    cudaGraph_t graph = nullptr;
    const cudaGraphNode_t *last = nullptr; // what the next node depends on
    const cudaGraphEdgeData *edges = nullptr;
    size_t count = 0;

    explicit Captured(cudaStream_t stream) {
        cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
        check(cudaStreamGetCaptureInfo(stream, &status, nullptr, &graph, &last, &edges, &count),
              "branching in a captured step");
    }
};
#endif

} // namespace

Condition Branches::condition() const {
    Condition made;
#if SAE_GRAPH_BRANCHES
    if (body_ != nullptr) {
        check(cudaGraphConditionalHandleCreate(&made.handle, Captured(context_.stream).graph, 0,
                                               cudaGraphCondAssignDefault),
              "branching in a captured step");
        made.exists = true;
    }
#endif
    return made;
}

void Branches::run(const Condition &condition, const std::function<void()> &enqueue) const {
    if (!condition.exists) {
        enqueue();
        return;
    }
#if SAE_GRAPH_BRANCHES
    const Captured before(context_.stream);
    cudaGraphNodeParams branch{};
    branch.type = cudaGraphNodeTypeConditional;
    branch.conditional.handle = condition.handle;
    branch.conditional.type = cudaGraphCondTypeIf;
    branch.conditional.size = 1;
    cudaGraphNode_t node = nullptr;
    check(cudaGraphAddNode(&node, before.graph, before.last, before.edges, before.count, &branch),
          "branching in a captured step");
    check(cudaStreamUpdateCaptureDependencies(context_.stream, &node, nullptr, 1, cudaStreamSetCaptureDependencies),
          "branching in a captured step");
    check(cudaStreamBeginCaptureToGraph(body_, branch.conditional.phGraph_out[0], nullptr, nullptr, 0,
                                        cudaStreamCaptureModeThreadLocal),
          "capturing a branch of a step");
    cudaGraph_t body = nullptr; // the node's
    capture_on(context_, body_, &body, enqueue);
#endif
}

StepGraphs::~StepGraphs() {
    for (Entry &entry : entries_) {
        entry.close();
    }
}

void StepGraphs::Entry::close() {
    if (executable != nullptr) {
        cudaGraphExecDestroy(executable); // a running one is freed when it completes
    }
    if (graph != nullptr) {
        cudaGraphDestroy(graph); // last: its branches belong to it
    }
    executable = nullptr;
    graph = nullptr;
}

void StepGraphs::run(Context &context, const Key &key, const Enqueue &enqueue) {
    const auto launch_each = [&] { enqueue(Branches(context)); };
    if (!context.graphs) {
        launch_each();
        return;
    }
    auto entry =
        std::find_if(entries_.begin(), entries_.end(), [&](const Entry &e) { return e.last_used > 0 && e.key == key; });
    if (entry == entries_.end()) {
        launch_each();
        entry = std::min_element(entries_.begin(), entries_.end(),
                                 [](const Entry &a, const Entry &b) { return a.last_used < b.last_used; });
        entry->close();
        *entry = {key, nullptr, nullptr, ++uses_};
        return;
    }
    while (entry->executable == nullptr) {
        try {
            capture(context, enqueue, *entry);
        } catch (const std::exception &error) { // if the launches themselves are at fault, they fail again
            entry->close();
            context.graph_failure = error.what();
            if (!std::exchange(context.branches, false)) {
                context.graphs = false;
                launch_each();
                return;
            }
        }
    }
    entry->last_used = ++uses_;
    check(cudaGraphLaunch(entry->executable, context.stream), "launching a step");
}

void StepGraphs::capture(Context &context, const Enqueue &enqueue, Entry &entry) {
    const CaptureStream stream;
    const CaptureStream body;
    check(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal), "capturing a step");
    capture_on(context, stream.get(), &entry.graph,
               [&] { enqueue(Branches(context, SAE_GRAPH_BRANCHES && context.branches ? body.get() : nullptr)); });
    check(cudaGraphInstantiate(&entry.executable, entry.graph, 0), "creating the graph of a step");
}

} // namespace sae::cuda
