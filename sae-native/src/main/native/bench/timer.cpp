/* timer.cpp: how a time is taken; see bench.h. */
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "../common/text.h"
#include "bench.h"

extern "C" const sae_backend_table *sae_backend_entry(int32_t abi_version);

namespace bench {
namespace {

constexpr int kMostRuns = 50;
constexpr int kTraces = 3;
#ifdef SAE_CUDA_ON_CPU_H
constexpr int64_t kFlushBytes = 1 << 16;
constexpr int kLeastRuns = 2;
constexpr double kSeconds = 0;
#else
constexpr int64_t kFlushBytes = int64_t{256} << 20;
constexpr int kLeastRuns = 5;
constexpr double kSeconds = 2;
#endif
/* More than the host needs to queue a step as a graph; as up to 500 launches with a mark before each. */
constexpr double kAhead = 500, kAheadOfTrace = 4000; // microseconds

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/* Sorted times of as many runs as fit. */
Times repeat(const std::function<double(int)> &run) {
    Times times;
    const double begin = now();
    while (times.us.size() < kMostRuns && (times.us.size() < kLeastRuns || now() - begin < kSeconds)) {
        times.us.push_back(run(static_cast<int>(times.us.size())));
    }
    std::sort(times.us.begin(), times.us.end());
    return times;
}

void call(const Work &work) {
    if (work) {
        work();
    }
}

} // namespace

const sae_backend_table &table() {
    static const sae_backend_table *const entry = sae_backend_entry(SAE_ABI_VERSION);
    return *entry; // linked from the same sources, so the version is right
}

namespace {

/* A row that fails has been tried: it is not tried again by the next run, which measures the others. */
[[noreturn]] void fail(const std::string &text) {
    std::fprintf(stderr, "gpu_bench: %s\n", text.c_str());
    if (!row_in_progress().empty()) {
        std::printf("{\"id\":\"%s\",\"failed\":%s}\n", row_in_progress().c_str(), sae::json_string(text).c_str());
    }
    std::fflush(stdout);
    std::_Exit(1); // the device may be in no state to be cleaned up
}

} // namespace

std::string &row_in_progress() {
    static std::string id;
    return id;
}

void must(cudaError_t error, const char *what) {
    if (error != cudaSuccess) {
        fail(std::string(what) + ": " + cudaGetErrorString(error));
    }
}

void must(sae_status status, const char *what) {
    if (status != SAE_OK) {
        fail(std::string(what) + ": status " + std::to_string(status) + ", " + table().last_error());
    }
}

#ifdef SAE_CUDA_ON_CPU_H
Mark::~Mark() = default;
void Mark::create() {}
void Mark::record(cudaStream_t) { at_ = std::chrono::steady_clock::now(); }
double Mark::microseconds(const Mark &from, const Mark &to) {
    return std::chrono::duration<double, std::micro>(to.at_ - from.at_).count();
}
#else
Mark::~Mark() {
    if (event_ != nullptr) {
        cudaEventDestroy(event_);
    }
}
void Mark::create() {
    if (event_ == nullptr) {
        must(cudaEventCreate(&event_), "creating an event");
    }
}
void Mark::record(cudaStream_t stream) {
    create();
    must(cudaEventRecord(event_, stream), "recording an event");
}
double Mark::microseconds(const Mark &from, const Mark &to) {
    float milliseconds = 0;
    must(cudaEventElapsedTime(&milliseconds, from.event_, to.event_), "reading events");
    return 1e3 * milliseconds;
}
#endif

Timer::Timer(cudaStream_t stream) : stream_(stream), flushed_(kFlushBytes) {}

void Timer::finish() const { must(cudaStreamSynchronize(stream_), "waiting for the device"); }

void Timer::flush(int value) const {
    must(cudaMemsetAsync(flushed_.as<void>(), value & 0xFF, static_cast<size_t>(kFlushBytes), stream_), "flushing L2");
}

Times Timer::launches(const Work &work, const Work &prepare, int warm_up) const {
    for (int i = 0; i < warm_up; i++) { // allocations, graphs, clocks
        call(prepare);
        work();
    }
    Mark before, after;
    return repeat([&](int run) {
        call(prepare);
        flush(run);
        wait_on_device(kAhead, stream_);
        before.record(stream_);
        hooks::arm(&after, stream_);
        work();
        if (hooks::disarm()) {
            after.record(stream_);
        }
        finish();
        return Mark::microseconds(before, after);
    });
}

Times Timer::calls(const Work &work, const Work &prepare, int warm_up) const {
    for (int i = 0; i < warm_up; i++) {
        call(prepare);
        work();
    }
    return repeat([&](int run) {
        call(prepare);
        flush(run);
        finish();
        const double begin = now();
        work();
        return 1e6 * (now() - begin);
    });
}

double Timer::pace(const Work &work, int count) const {
    finish();
    const double begin = now();
    for (int i = 0; i < count; i++) {
        work();
    }
    finish();
    return 1e6 * (now() - begin) / count;
}

std::vector<Phase> Timer::phases(const Work &work, const Work &prepare) const {
    std::vector<std::pair<double, std::vector<Phase>>> runs;
    for (int run = 0; run < kTraces + 1; run++) {
        call(prepare);
        flush(run);
        wait_on_device(kAheadOfTrace, stream_);
        hooks::trace(stream_);
        work();
        std::vector<Phase> traced = hooks::traced(stream_);
        double sum = 0;
        for (const Phase &phase : traced) {
            sum += phase.us;
        }
        if (run > 0) { // the first warms up
            runs.emplace_back(sum, std::move(traced));
        }
    }
    std::sort(runs.begin(), runs.end(), [](const auto &a, const auto &b) { return a.first < b.first; });
    std::vector<Phase> &median = runs[kTraces / 2].second;
    std::sort(median.begin(), median.end(), [](const Phase &a, const Phase &b) { return a.us > b.us; });
    return median;
}

} // namespace bench
