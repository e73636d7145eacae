/* context.cpp: chooses the instruction set, BLAS and threads from the options of sae_context_open. */
#include "operations.h"

#include <sched.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <thread>

#include "screens.h"
#include "text.h"

namespace sae::cpu {
namespace {

constexpr int kMostThreads = 1024;

bool runs_here(const Kernels &kernels) {
#if defined(__x86_64__)
    if (&kernels == &avx512::kernels) {
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && runs_here(avx2::kernels);
    }
    if (&kernels == &avx2::kernels) {
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    }
#endif
    return true;
}

const Kernels &best_kernels() {
    for (const Kernels *kernels : {&avx512::kernels, &avx2::kernels}) {
        if (runs_here(*kernels)) {
            return *kernels;
        }
    }
    return portable::kernels;
}

const Kernels &kernels_named(const std::string &name) {
    for (const Kernels *kernels : {&avx512::kernels, &avx2::kernels, &portable::kernels}) {
        if (name == kernels->isa) {
            if (!runs_here(*kernels)) {
                fail(SAE_UNAVAILABLE, "expected a processor with " + name + ", got one without");
            }
            return *kernels;
        }
    }
    fail(SAE_INVALID_ARGUMENT, "expected option isa to be portable, avx2 or avx512, got " + name);
}

Products products_named(const std::string &name) {
    if (name == "auto") {
        return Products::kAuto;
    }
    require(name == "sparse" || name == "dense", "option products to be auto, sparse or dense", name);
    return name == "sparse" ? Products::kSparse : Products::kDense;
}

int usable_processors() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        return std::max(1, CPU_COUNT(&set));
    }
    return std::max(1u, std::thread::hardware_concurrency());
}

} // namespace

Context::Context(const Kernels &isa, const ScreenKernels *bf16, const std::string &blas_path, int threads)
    : kernels(isa), screen(bf16), blas(blas_path), pool(threads), scratch(threads), lists(threads),
      gemm_scratch(threads), kept_selections(threads) {}

void Context::multiply(const Gemm &task, int worker) {
    if (blas.present()) {
        blas.multiply(task);
    } else {
        gemm_scratch[worker].grow(kernels.gemm_scratch);
        kernels.gemm(task, gemm_scratch[worker].data());
    }
}

std::vector<Selection> &Context::selections(int worker, int64_t rows, int64_t k, int64_t latents) {
    std::vector<Selection> &kept = kept_selections[worker];
    if (!kept.empty() && !kept.front().is_for(k, latents)) {
        kept.clear();
    }
    const size_t count = static_cast<size_t>(rows);
    if (kept.size() < count) {
        kept.resize(count, Selection(kernels, k, latents));
    }
    for (size_t row = 0; row < count; row++) {
        kept[row].reset();
    }
    return kept;
}

std::unique_ptr<Context> open_context(const char *options) {
    const Kernels *kernels = &best_kernels();
    std::optional<const ScreenKernels *> screen;
    std::string blas;
    Products products = Products::kAuto;
    int threads = usable_processors();
    for (const auto &[key, value] : parse_options(options)) {
        if (key == "threads") {
            threads = static_cast<int>(parse_integer(key, value, 1, kMostThreads));
        } else if (key == "blas") {
            blas = value;
        } else if (key == "isa") {
            kernels = &kernels_named(value);
            screen = screen.value_or(nullptr);
        } else if (key == "screen") {
            screen = screen_named(value);
        } else if (key == "products") {
            products = products_named(value);
        } else {
            fail(SAE_INVALID_ARGUMENT, "expected an option of threads, blas, isa, screen, products, got " + key);
        }
    }
    auto context = std::make_unique<Context>(*kernels, screen ? *screen : best_screen(), blas, threads);
    context->products = products;
    return context;
}

std::string processor_name() {
    std::ifstream info("/proc/cpuinfo");
    const std::string key = "model name";
    for (std::string line; std::getline(info, line);) {
        const size_t colon = line.find(':');
        if (line.compare(0, key.size(), key) == 0 && colon != std::string::npos && colon + 2 < line.size()) {
            return line.substr(colon + 2);
        }
    }
    return "unknown processor";
}

std::string describe_screen(const ScreenKernels *screen) {
    if (screen != nullptr) {
        return screen->name;
    }
    return amx_refused() ? "off (the kernel refused AMX)" : "off";
}

std::string describe(const Context &context) {
    const int64_t memory = sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    return "{\"backend\":\"cpu\",\"device\":" + json_string(processor_name()) + ",\"isa\":\"" + context.kernels.isa +
           "\",\"screen\":\"" + describe_screen(context.screen) +
           "\",\"threads\":" + std::to_string(context.pool.threads()) +
           ",\"blas\":" + json_string(context.blas.present() ? context.blas.description() : "built-in") +
           ",\"memory_bytes\":" + std::to_string(memory) + ",\"abi_version\":" + std::to_string(SAE_ABI_VERSION) + "}";
}

std::string describe_device() {
    return processor_name() + ", " + best_kernels().isa + ", " + std::to_string(usable_processors()) + " threads";
}

} // namespace sae::cpu
