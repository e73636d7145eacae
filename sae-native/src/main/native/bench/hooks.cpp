/*
 * hooks.cpp: sees the backend's launches, copies and waits, which are linked through the functions here (the linker's
 * --wrap; build-cuda.sh). So the times of launches alone and of each kernel need no counterpart in the backend, and no
 * profiler, which not every machine allows. Over the emulated GPU the names are those of its C++ functions.
 */
#include <cxxabi.h>

#include <cstdlib>
#include <map>
#include <memory>

#include "bench.h"

namespace bench::hooks {
namespace {

Mark *armed = nullptr;
cudaStream_t armed_on = nullptr;

constexpr size_t kMostLaunches = 4096; // of one trace; later ones count for the last
bool tracing = false;
cudaStream_t traced_on = nullptr;
std::vector<std::unique_ptr<Mark>> marks;
std::vector<const char *> names; // mangled, the runtime keeps them
bool ended = false;

/* "void sae::cuda::(anonymous namespace)::f_kernel<float, 4>(int)" -> "f_kernel" */
std::string short_name(const char *mangled) {
    int status = 0;
    const std::unique_ptr<char, void (*)(void *)> text(abi::__cxa_demangle(mangled, nullptr, nullptr, &status),
                                                       std::free);
    std::string name = status == 0 ? text.get() : mangled;
    for (size_t at; (at = name.find("(anonymous namespace)::")) != std::string::npos;) {
        name.erase(at, 23);
    }
    name.erase(std::min(name.find_first_of("<("), name.size()));
    name.erase(0, name.find_last_of(" :") + 1); // npos + 1 is 0
    return name;
}

} // namespace

void arm(Mark *mark, cudaStream_t stream) {
    armed = mark;
    armed_on = stream;
}

bool disarm() {
    const bool was = armed != nullptr;
    armed = nullptr;
    return was;
}

void trace(cudaStream_t stream) {
    marks.resize(std::max<size_t>(marks.size(), 256));
    for (auto &mark : marks) {
        if (mark == nullptr) {
            mark = std::make_unique<Mark>();
            mark->create();
        }
    }
    names.clear();
    traced_on = stream;
    ended = false;
    tracing = true;
}

std::vector<Phase> traced(cudaStream_t stream) {
    tracing = false;
    if (!ended) {
        marks[names.size()]->record(stream);
    }
    must(cudaStreamSynchronize(stream), "waiting for a traced run");
    std::map<std::string, Phase> by_kernel;
    for (size_t i = 0; i < names.size(); i++) {
        const std::string name = short_name(names[i]);
        Phase &phase = by_kernel[name];
        phase.kernel = name;
        phase.launches++;
        phase.us += Mark::microseconds(*marks[i], *marks[i + 1]);
    }
    std::vector<Phase> phases;
    for (auto &[name, phase] : by_kernel) {
        phases.push_back(phase);
    }
    return phases;
}

namespace {

void launched(const char *mangled, cudaStream_t stream) {
    if (!tracing || ended || stream != traced_on || names.size() == kMostLaunches) {
        return;
    }
    while (marks.size() < names.size() + 2) {
        marks.push_back(std::make_unique<Mark>());
    }
    marks[names.size()]->record(stream);
    names.push_back(mangled);
}

void returned_to_host(cudaStream_t stream) {
    if (armed != nullptr && stream == armed_on) {
        armed->record(stream);
        armed = nullptr;
    }
    if (tracing && !ended && stream == traced_on) {
        marks[names.size()]->record(stream);
        ended = true;
    }
}

} // namespace
} // namespace bench::hooks

#ifdef SAE_CUDA_ON_CPU_H

extern "C" {
cudaError_t __real__Z15cudaMemcpyAsyncPvPKvm14cudaMemcpyKindP18cuda_on_cpu_stream(void *, const void *, size_t,
                                                                                  cudaMemcpyKind, cudaStream_t);
cudaError_t __wrap__Z15cudaMemcpyAsyncPvPKvm14cudaMemcpyKindP18cuda_on_cpu_stream(void *target, const void *source,
                                                                                  size_t bytes, cudaMemcpyKind kind,
                                                                                  cudaStream_t stream) {
    if (kind == cudaMemcpyDeviceToHost) {
        bench::hooks::returned_to_host(stream);
    }
    return __real__Z15cudaMemcpyAsyncPvPKvm14cudaMemcpyKindP18cuda_on_cpu_stream(target, source, bytes, kind, stream);
}

void __real__ZN11cuda_on_cpu15require_currentEP18cuda_on_cpu_streamPKc(cudaStream_t, const char *);
/* Called before each launch. */
void __wrap__ZN11cuda_on_cpu15require_currentEP18cuda_on_cpu_streamPKc(cudaStream_t stream, const char *what) {
    if (std::string(what) == "a launch") {
        bench::hooks::launched("kernel", stream);
    }
    __real__ZN11cuda_on_cpu15require_currentEP18cuda_on_cpu_streamPKc(stream, what);
}
}

#else

namespace {

const char *name_of(const void *function) {
    const char *name = nullptr;
    if (cudaFuncGetName(&name, function) != cudaSuccess) {
        cudaGetLastError(); // CUB asks for it after its launches
        return "unknown";
    }
    return name;
}

} // namespace

extern "C" {
cudaError_t __real_cudaLaunchKernelExC(const cudaLaunchConfig_t *, const void *, void **);
cudaError_t __wrap_cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *function, void **arguments) {
    if (bench::hooks::tracing) {
        bench::hooks::launched(name_of(function), config->stream);
    }
    return __real_cudaLaunchKernelExC(config, function, arguments);
}

/* What the compiler makes of <<<...>>>. */
cudaError_t __real___cudaLaunchKernel(cudaKernel_t, dim3, dim3, void **, size_t, cudaStream_t);
cudaError_t __wrap___cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **arguments, size_t shared,
                                      cudaStream_t stream) {
    if (bench::hooks::tracing) {
        bench::hooks::launched(name_of(kernel), stream);
    }
    return __real___cudaLaunchKernel(kernel, grid, block, arguments, shared, stream);
}

cudaError_t __real_cudaMemcpyAsync(void *, const void *, size_t, cudaMemcpyKind, cudaStream_t);
cudaError_t __wrap_cudaMemcpyAsync(void *target, const void *source, size_t bytes, cudaMemcpyKind kind,
                                   cudaStream_t stream) {
    if (kind == cudaMemcpyDeviceToHost) {
        bench::hooks::returned_to_host(stream);
    }
    return __real_cudaMemcpyAsync(target, source, bytes, kind, stream);
}

cudaError_t __real_cudaStreamSynchronize(cudaStream_t);
cudaError_t __wrap_cudaStreamSynchronize(cudaStream_t stream) {
    bench::hooks::returned_to_host(stream);
    return __real_cudaStreamSynchronize(stream);
}
}

#endif
