/*
 * cuda_runtime.h, for tests: CUDA's execution model on the CPU, so that the kernels and their host code run, unchanged
 * and compiled as C++, where there is no GPU. It checks logic. It says nothing about speed, and memory is sequentially
 * consistent here, so it cannot show every missing barrier.
 *
 * Blocks run one after the other. The threads of a block are fibers; __syncthreads and the warp functions hand over to the
 * next one. Between two of them they run in a shuffled order (seed: CUDA_ON_CPU_SEED), so that results that hang on the
 * order differ. What a stream is given while it captures is kept, with the arguments of that moment, and runs whenever
 * the graph is launched.
 * Device memory is filled with 0xFF (NaN). With AddressSanitizer it is poisoned outside kernels and copies, so host code
 * that touches it is caught, as are kernels that leave their arrays. A barrier that only some threads reach, a copy in the
 * wrong direction and a launch that does not fit end the program.
 */
#ifndef SAE_CUDA_ON_CPU_H
#define SAE_CUDA_ON_CPU_H

#include <math.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>
#include <vector>

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(threads)
#define __syncthreads() cuda_on_cpu::barrier(__FILE__, __LINE__)

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
    dim3() = default;
    explicit dim3(unsigned size) : x(size) {}
};

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInsufficientDriver = 35
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
enum cudaStreamCaptureMode {
    cudaStreamCaptureModeGlobal,
    cudaStreamCaptureModeThreadLocal,
    cudaStreamCaptureModeRelaxed
};
enum { cudaHostAllocDefault = 0, cudaStreamNonBlocking = 1 };
enum { cudaEventDisableTiming = 2 };
enum cudaMemoryType { cudaMemoryTypeUnregistered, cudaMemoryTypeHost, cudaMemoryTypeDevice, cudaMemoryTypeManaged };
using cudaStream_t = struct cuda_on_cpu_stream *;
using cudaEvent_t = struct cuda_on_cpu_event *;
using cudaGraph_t = struct cuda_on_cpu_graph *;
using cudaGraphExec_t = struct cuda_on_cpu_graph *;

struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

struct cudaPointerAttributes {
    cudaMemoryType type;
    int device;
};

struct cudaDeviceProp {
    char name[256];
    int major;
    int minor;
    size_t totalGlobalMem;
    int multiProcessorCount;
};

struct cudaLaunchConfig_t {
    dim3 gridDim;
    dim3 blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
};

namespace cuda_on_cpu {

extern dim3 thread_index;
extern dim3 block_index;

void barrier(const char *file, int line);
void run_grid(unsigned blocks, unsigned threads, const std::function<void()> &kernel);

/* Does it now, or keeps it for the graph that is being captured. */
void enqueue(std::function<void()> work);

/* The value that a lane of the calling thread's warp passes to the same call. */
uint64_t exchange(uint64_t bits, unsigned from_lane);

template <typename T>
T shuffle(T value, unsigned from_lane) {
    static_assert(sizeof(T) <= sizeof(uint64_t) && std::is_trivially_copyable_v<T>, "a shuffled value");
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    bits = exchange(bits, from_lane);
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

/* While one exists device memory may be touched. */
class DeviceScope {
  public:
    DeviceScope();
    ~DeviceScope();
};

} // namespace cuda_on_cpu

#define threadIdx cuda_on_cpu::thread_index
#define blockIdx cuda_on_cpu::block_index

cudaError_t cudaMalloc(void **address, size_t bytes);
cudaError_t cudaFree(void *address);
cudaError_t cudaHostAlloc(void **address, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void *address);
cudaError_t cudaMemsetAsync(void *address, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaMemcpyAsync(void *target, const void *source, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *attributes, const void *address);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);

inline const char *cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : "error"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int *count) { return *count = 1, cudaSuccess; }
inline cudaError_t cudaDriverGetVersion(int *version) { return *version = 13000, cudaSuccess; }
inline cudaError_t cudaRuntimeGetVersion(int *version) { return *version = 13000, cudaSuccess; }
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned) { return *stream = nullptr, cudaSuccess; }
inline cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
/* Everything is done when its call returns, so an event has nothing to wait for. */
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned) { return *event = nullptr, cudaSuccess; }
inline cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
inline cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
inline cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(Parameters...),
                               Arguments &&...arguments) {
    const auto kept = std::tuple<std::decay_t<Parameters>...>(arguments...);
    const std::function<void()> call = [kernel, kept] { std::apply(kernel, kept); };
    cuda_on_cpu::enqueue([call, blocks = config->gridDim.x, threads = config->blockDim.x] {
        cuda_on_cpu::run_grid(blocks, threads, call);
    });
    return cudaSuccess;
}

template <typename T>
T __shfl_xor_sync(unsigned, T value, int lane_mask) {
    return cuda_on_cpu::shuffle(value, threadIdx.x % 32 ^ static_cast<unsigned>(lane_mask));
}

template <typename T>
T __shfl_sync(unsigned, T value, int lane) {
    return cuda_on_cpu::shuffle(value, static_cast<unsigned>(lane) % 32);
}

template <typename T>
T __ldcs(const T *address) {
    return *address;
}

template <typename T>
void __stcs(T *address, T value) {
    *address = value;
}

inline unsigned atomicAdd(unsigned *address, unsigned value) {
    const unsigned old = *address;
    *address += value;
    return old;
}

inline int atomicMin(int *address, int value) {
    const int old = *address;
    *address = std::min(old, value);
    return old;
}

inline unsigned __float_as_uint(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits;
}

inline float __uint_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
