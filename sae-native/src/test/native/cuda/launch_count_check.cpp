/*
 * launch_count_check.cpp: how many kernels a training step runs, over the emulated GPU, which counts them.
 *
 *   launch_count_check LIBRARY     libsae_cuda.so over on_cpu, with the real sizes of lists and parts
 *
 * A small step is run: with the auxiliary loss off, on with nobody dead, on with most latents dead (twice), and with a
 * norm to be measured as well. Steps of the benchmarks' shapes are run dry: what a step launches is decided by the host from the
 * shapes alone, except for the branches of its graph. Fails if a count is not the one expected here; gpu-table.py puts
 * these numbers into docs/gpu.md.
 */
#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "../../../main/native/common/backend_table.h"
#include "../reference.h"

namespace {

enum Kind { kNoAux, kNobodyDead, kDead, kAllDead, kDeadAndNorm, kKinds };

/* kDead: as many as are computed at a time (the only part, or the first). tiers: branches of the dead (dead.h).
 * Kernels of a step: each on its own without the auxiliary loss and with it, then in a graph, by Kind. They are written
 * down so that one more is a decision: at about 2 us each they are a large part of a small SAE's step. Whoever changes
 * what a step launches changes them, and the table in docs/gpu.md (gpu-table.py reads the lines below). */
struct Expected {
    const char *name;
    int64_t rows, d_in, d_sae, k;
    const char *precision;
    int tiers;
    int single[2];
    int graph[kKinds];
};
constexpr Expected kExpected[] = {
    {"small", 40, 40, 600, 4, "fp32", 1, {17, 28}, {15, 15, 22, 22, 28}},
    {"small", 40, 40, 600, 4, "bf16", 1, {17, 35}, {15, 15, 26, 26, 35}},
    {"GPT-2", 4096, 768, 12288, 16, "fp32", 1, {20, 31}, {18, 18, 25, 25, 31}},
    {"GPT-2", 4096, 768, 12288, 16, "bf16", 1, {20, 38}, {18, 18, 29, 29, 38}},
    {"1B", 4096, 2048, 14336, 48, "fp32", 2, {20, 43}, {18, 18, 26, 32, 43}},
    {"1B", 4096, 2048, 14336, 48, "bf16", 2, {20, 55}, {18, 18, 30, 39, 55}},
    {"3B", 4096, 3072, 18432, 64, "fp32", 2, {21, 44}, {19, 19, 27, 33, 44}},
    {"3B", 4096, 3072, 18432, 64, "bf16", 2, {21, 56}, {19, 19, 31, 40, 56}},
    {"8B", 4096, 4096, 16384, 80, "fp32", 2, {20, 43}, {18, 18, 26, 32, 43}},
    {"8B", 4096, 4096, 16384, 80, "bf16", 2, {20, 55}, {18, 18, 30, 39, 55}},
    {"wide", 4096, 4096, 131072, 64, "fp32", 5, {36, 175}, {34, 34, 48, 120, 175}},
    {"wide", 4096, 4096, 131072, 64, "bf16", 5, {36, 287}, {34, 34, 52, 187, 287}},
};
/* A step of GPT-2's shape with nobody dead, in a graph: at about 2 us a kernel, what is left of the target of 420 us. */
constexpr int kMostOfSmall = 20;
constexpr bool small_enough(const Expected &of) {
    return of.d_in != 768 || (of.graph[kNoAux] <= kMostOfSmall && of.graph[kNobodyDead] <= kMostOfSmall);
}
static_assert(std::all_of(std::begin(kExpected), std::end(kExpected), small_enough));
bool is_dry(const Expected &of) { return of.rows > 40; }
constexpr int kSteps = 4;     // of single launches, a new graph, and two more of it
constexpr int kDeadAfter = 3; // batches: the graph starts with nobody dead

const sae_backend_table *table = nullptr;
int64_t (*kernels_run)() = nullptr;
void (*dry_run)(int, unsigned) = nullptr;
int failures = 0;

void ok(sae_status status, const char *what) {
    if (status != SAE_OK) {
        std::fprintf(stderr, "FAILED: %s: status %d, %s\n", what, status, table->last_error());
        std::exit(1);
    }
}

std::vector<double> options_of(const Expected &of, Kind kind) {
    reference::Options options = reference::default_options(static_cast<double>(of.k));
    options[SAE_OPT_AUX_COEFFICIENT] = kind == kNoAux ? 0 : 1.0 / 32;
    options[SAE_OPT_AUX_K] = is_dry(of) ? 512 : 7;
    options[SAE_OPT_DEAD_AFTER_BATCHES] = kind >= kDead ? kDeadAfter : 1000;
    options[SAE_OPT_CLIP_NORM] = kind == kDeadAndNorm ? 1e-9 : 1e5;
    return {options.begin(), options.end()};
}

void write_small(const Expected &of, void *params, void *x) {
    reference::Random random(5);
    const int64_t elements = of.d_in * of.d_sae;
    const std::vector<float> encoder = random.normals(elements), decoder = random.normals(elements);
    ok(table->params_write(params, SAE_W_ENC, 0, encoder.data(), elements), "params_write");
    ok(table->params_write(params, SAE_W_DEC, 0, decoder.data(), elements), "params_write");
    const std::vector<float> rows = random.normals(of.rows * of.d_in);
    ok(table->buffer_write(x, 0, rows.data(), of.rows * of.d_in * 4), "buffer_write");
}

struct Run {
    int kernels;                // of the last of kSteps steps
    std::vector<float> weights; // after it; of a dry run: none
};

Run run(const Expected &of, const std::string &context_options, Kind kind) {
    void *context = nullptr;
    void *params = nullptr;
    void *x = nullptr;
    void *trainer = nullptr;
    int64_t bytes = 0;
    /* In the order of the graph: the dead latents' reconstruction by tiers, the norm, the dead latents' update. */
    const unsigned norm = 1u << of.tiers, all = 2 * norm * norm - 1;
    const unsigned branches = kind == kDead          ? 1 | norm << 1
                              : kind == kAllDead     ? all & ~norm
                              : kind == kDeadAndNorm ? all
                                                     : 0;
    dry_run(is_dry(of), branches);
    ok(table->context_open(context_options.c_str(), &context), "context_open");
    ok(table->params_create(context, of.d_in, of.d_in, of.d_sae, SAE_SUBTRACT_B_DEC, &params, &bytes), "params_create");
    ok(table->buffer_create(context, of.rows * of.d_in * 4, SAE_DEVICE, &x), "buffer_create");
    if (!is_dry(of)) {
        write_small(of, params, x);
    }
    ok(table->trainer_create(params, options_of(of, kind).data(), &trainer, &bytes), "trainer_create");
    int64_t before = 0;
    for (int step = 0; step < kSteps; step++) {
        before = kernels_run();
        ok(table->train_step(trainer, x, nullptr, of.rows, 1e-3), "train_step");
    }
    Run result{static_cast<int>(kernels_run() - before), {}};
    if (!is_dry(of)) {
        result.weights.resize(2 * static_cast<size_t>(of.d_in * of.d_sae));
        const int64_t half = of.d_in * of.d_sae;
        ok(table->params_read(params, SAE_W_ENC, 0, result.weights.data(), half), "params_read");
        ok(table->params_read(params, SAE_W_DEC, 0, result.weights.data() + half, half), "params_read");
        double stats[SAE_STAT_COUNT];
        ok(table->trainer_stats(trainer, stats), "trainer_stats");
        const bool many = stats[SAE_STAT_DEAD] > static_cast<double>(of.d_sae) / 4;
        if (kind >= kDead ? !many : stats[SAE_STAT_DEAD] != 0) {
            failures++;
            std::fprintf(stderr, "FAILED: %s, kind %d: %g latents are dead\n", of.name, kind, stats[SAE_STAT_DEAD]);
        }
    }
    table->trainer_close(trainer);
    table->buffer_close(x);
    table->params_close(params);
    table->context_close(context);
    dry_run(0, 0);
    return result;
}

/* Returns the weights. */
std::vector<float> check(const Expected &of, const std::string &graph, Kind kind, int expected) {
    Run result = run(of, "graph=" + graph + ";precision=" + of.precision, kind);
    std::printf(" %4d", result.kernels);
    if (result.kernels != expected) {
        failures++;
        std::fprintf(stderr, "FAILED: %s, %s, graph=%s, kind %d: expected %d kernels a step, got %d\n", of.name,
                     of.precision, graph.c_str(), kind, expected, result.kernels);
    }
    return std::move(result.weights);
}

} // namespace

int main(int argc, char **argv) {
    void *library = argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : nullptr;
    if (library == nullptr) {
        std::fprintf(stderr, "usage: %s LIBRARY; %s\n", argv[0], argc == 2 ? dlerror() : "one argument");
        return 2;
    }
    using Entry = const sae_backend_table *(*)(int32_t);
    const auto entry = reinterpret_cast<Entry>(dlsym(library, "sae_backend_entry"));
    kernels_run = reinterpret_cast<int64_t (*)()>(dlsym(library, "cuda_on_cpu_kernels_run"));
    dry_run = reinterpret_cast<void (*)(int, unsigned)>(dlsym(library, "cuda_on_cpu_dry_run"));
    if (entry == nullptr || kernels_run == nullptr || dry_run == nullptr) {
        std::fprintf(stderr, "%s is not a library over the emulated GPU\n", argv[1]);
        return 2;
    }
    table = entry(SAE_ABI_VERSION);
    std::printf("kernels a step: single launches, without and with the auxiliary loss; in a graph without it, with "
                "it and nobody dead, with dead latents, with all dead, and with a norm to measure\n");
    for (const Expected &of : kExpected) {
        std::printf("%-6s %s", of.name, of.precision);
        std::vector<float> single[kKinds]; // with the dead alone, backend_check compares them
        single[kNoAux] = check(of, "off", kNoAux, of.single[0]);
        single[kNobodyDead] = check(of, "off", kNobodyDead, of.single[1]);
        single[kDeadAndNorm] = check(of, "off", kDeadAndNorm, of.single[1]);
        if (is_dry(of)) { // a graph without branches
            check(of, "flat", kNobodyDead, of.single[1]);
        }
        for (int kind = 0; kind < kKinds; kind++) {
            const std::vector<float> weights = check(of, "on", static_cast<Kind>(kind), of.graph[kind]);
            if (!single[kind].empty() && single[kind] != weights) {
                failures++;
                std::fprintf(stderr, "FAILED: %s, kind %d: a graph with branches gives other weights\n", of.precision,
                             kind);
            }
        }
        std::printf("\n");
        std::fflush(stdout);
    }
    return failures == 0 ? 0 : 1;
}
