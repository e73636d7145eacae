/* step_graph.cu: captures, keeps and launches the graphs of steps; see step_graph.h. */
#include "step_graph.h"

#include <algorithm>

namespace sae::cuda {

StepGraphs::~StepGraphs() {
    for (const Entry &entry : entries_) {
        if (entry.graph != nullptr) {
            cudaGraphExecDestroy(entry.graph);
        }
    }
}

void StepGraphs::run(Context &context, const Key &key, const std::function<void()> &enqueue) {
    if (!context.graphs) {
        enqueue();
        return;
    }
    auto entry =
        std::find_if(entries_.begin(), entries_.end(), [&](const Entry &e) { return e.last_used > 0 && e.key == key; });
    if (entry == entries_.end()) {
        enqueue();
        entry = std::min_element(entries_.begin(), entries_.end(),
                                 [](const Entry &a, const Entry &b) { return a.last_used < b.last_used; });
        if (entry->graph != nullptr) {
            cudaGraphExecDestroy(entry->graph); // a running one is freed when it completes
        }
        *entry = {key, nullptr, ++uses_};
        return;
    }
    if (entry->graph == nullptr) {
        try {
            entry->graph = capture(context, enqueue);
        } catch (const std::exception &error) { // if the launches themselves are at fault, they fail again
            context.graphs = false;
            context.graph_failure = error.what();
            enqueue();
            return;
        }
    }
    entry->last_used = ++uses_;
    check(cudaGraphLaunch(entry->graph, context.stream), "launching a step");
}

/* Captures on a separate stream, since the caller's may not support capture; a graph runs on any stream. */
cudaGraphExec_t StepGraphs::capture(Context &context, const std::function<void()> &enqueue) {
    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "creating a stream to capture a step");
    const cudaStream_t own = std::exchange(context.stream, stream);
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    const auto clean_up = [&] {
        context.stream = own;
        if (graph != nullptr) {
            cudaGraphDestroy(graph);
        }
        cudaStreamDestroy(stream);
    };
    try {
        check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing a step");
        try {
            enqueue();
        } catch (...) {
            cudaStreamEndCapture(stream, &graph); // report the first error
            throw;
        }
        check(cudaStreamEndCapture(stream, &graph), "capturing a step");
        check(cudaGraphInstantiate(&executable, graph, 0), "creating the graph of a step");
    } catch (...) {
        clean_up();
        throw;
    }
    clean_up();
    return executable;
}

} // namespace sae::cuda
