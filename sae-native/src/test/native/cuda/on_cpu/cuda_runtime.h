/*
 * cuda_runtime.h, for tests: CUDA's execution model on the CPU, so that the kernels and their host code run without a
 * GPU, unchanged and compiled as C++. It checks logic. It says nothing about speed, and memory is sequentially
 * consistent here, so it cannot reveal every missing barrier.
 *
 * Blocks run one after the other, those of a cluster together. The threads of a block are fibers; at a wait
 * (a barrier, a warp function, a condition on shared memory) a fiber switches to the next one. Between two waits they
 * run in a shuffled order (seed: CUDA_ON_CPU_SEED), so that results that depend on the order differ. Work queued on a
 * stream during capture is kept, with its arguments at that time, and runs whenever the graph is launched; a conditional
 * node runs its body if a kernel of that launch has set its handle. The kernels
 * that run are counted; in a dry run they are only counted, and device memory is addresses without memory.
 * Device and dynamic shared memory are filled with 0xFF (NaN). With AddressSanitizer device memory is poisoned outside
 * kernels and copies, so host code that touches it is caught, as are kernels that leave their arrays. A barrier that
 * only some threads reach, threads that wait for each other, a copy in the wrong direction and a launch that does not
 * fit end the program.
 * There are two devices, sharing one memory: the only check is that streams and events are used with their own device
 * current.
 * Warp functions take the full mask only. All blocks share the static shared memory, so clusters use dynamic memory.
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

#define CUDART_VERSION 13000
#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) alignas(bytes)
#define __syncthreads() cuda_on_cpu::barrier(__FILE__, __LINE__)

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
    dim3() = default;
    explicit dim3(unsigned size) : x(size) {}
};

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorStreamCaptureInvalidated = 901,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInsufficientDriver = 35,
    cudaErrorPeerAccessAlreadyEnabled = 704
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
using cudaGraphNode_t = struct cuda_on_cpu_node *;
using cudaGraphConditionalHandle = unsigned long long;
struct cudaGraphEdgeData;
enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone, cudaStreamCaptureStatusActive };
enum { cudaStreamSetCaptureDependencies = 1 };
enum { cudaGraphCondAssignDefault = 1 };
enum cudaGraphNodeType { cudaGraphNodeTypeConditional = 13 };
enum cudaGraphConditionalNodeType { cudaGraphCondTypeIf };
struct cudaGraphNodeParams {
    cudaGraphNodeType type;
    struct {
        cudaGraphConditionalHandle handle;
        cudaGraphConditionalNodeType type;
        unsigned size;
        cudaGraph_t *phGraph_out;
    } conditional;
};

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
    size_t sharedMemPerBlockOptin;
};

enum cudaLaunchAttributeID { cudaLaunchAttributeClusterDimension = 4 };
struct cudaLaunchAttribute {
    cudaLaunchAttributeID id;
    struct {
        struct {
            unsigned x, y, z;
        } clusterDim;
    } val;
};

struct cudaLaunchConfig_t {
    dim3 gridDim;
    dim3 blockDim;
    size_t dynamicSmemBytes;
    cudaStream_t stream;
    cudaLaunchAttribute *attrs;
    unsigned numAttrs;
};

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize = 8 };
enum cudaDriverEntryPointQueryResult { cudaDriverEntryPointSuccess = 0, cudaDriverEntryPointSymbolNotFound = 1 };
enum { cudaEnableDefault = 0 };

extern dim3 gridDim;

namespace cuda_on_cpu {

extern dim3 thread_index;
extern dim3 block_index;

constexpr unsigned kWarp = 32;
constexpr unsigned kWarpWords = 4; // 64-bit words that a lane can pass to the others at once

void barrier(const char *file, int line);
void cluster_barrier(const char *file, int line);
/* Switches to other fibers until `ready` holds. */
void wait_until(bool (*ready)(const void *), const void *argument, const char *file, int line);
/* Every lane of the warp gives kWarpWords words and gets those of all lanes, [lane][word]; they hold until its next call. */
const uint64_t (*warp_gather(const uint64_t (&words)[kWarpWords], const char *file, int line))[kWarpWords];
unsigned char *dynamic_shared(unsigned rank);
unsigned cluster_rank();
unsigned cluster_blocks();
unsigned fiber_index(); // of the running thread within its cluster
struct Launch {
    unsigned blocks;
    unsigned threads;
    size_t shared_bytes; // dynamic
    unsigned cluster;    // blocks
};
void run_grid(const Launch &launch, const std::function<void()> &kernel);

/* Runs the work now, or records it in the graph being captured. */
void enqueue(std::function<void()> work);
/* Aborts unless the stream belongs to the current device; a null stream belongs to any. */
void require_current(cudaStream_t stream, const char *what);

/* Device memory may be accessed while one exists. */
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
cudaError_t cudaMemcpyPeerAsync(void *target, int target_device, const void *source, int source_device, size_t bytes,
                                cudaStream_t stream);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaDeviceCanAccessPeer(int *possible, int device, int peer);
cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags);
cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **function, unsigned version,
                                             unsigned long long flags, cudaDriverEntryPointQueryResult *result);
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *attributes, const void *address);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int device);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes);
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph);
cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t stream, cudaGraph_t graph, const cudaGraphNode_t *dependencies,
                                          const cudaGraphEdgeData *edges, size_t count, cudaStreamCaptureMode mode);
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus *status, unsigned long long *id,
                                     cudaGraph_t *graph, const cudaGraphNode_t **dependencies,
                                     const cudaGraphEdgeData **edges, size_t *count);
cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t stream, cudaGraphNode_t *dependencies,
                                                const cudaGraphEdgeData *edges, size_t count, unsigned flags);
cudaError_t cudaGraphAddNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *dependencies,
                             const cudaGraphEdgeData *edges, size_t count, cudaGraphNodeParams *params);
cudaError_t cudaGraphConditionalHandleCreate(cudaGraphConditionalHandle *handle, cudaGraph_t graph,
                                             unsigned default_value, unsigned flags);
void cudaGraphSetConditional(cudaGraphConditionalHandle handle, unsigned value); // in kernels
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);

inline const char *cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : "error"; }
inline cudaError_t cudaGetLastError() { return cudaSuccess; }
inline cudaError_t cudaGetDeviceCount(int *count) { return *count = 2, cudaSuccess; }
inline cudaError_t cudaDriverGetVersion(int *version) { return *version = 13000, cudaSuccess; }
inline cudaError_t cudaRuntimeGetVersion(int *version) { return *version = 13000, cudaSuccess; }
inline cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
/* Every call completes before it returns, so an event has nothing to wait for. */
inline cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned) { return *event = nullptr, cudaSuccess; }
inline cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
inline cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }

template <typename Kernel>
cudaError_t cudaFuncSetAttribute(Kernel *, cudaFuncAttribute, int) {
    return cudaSuccess;
}

template <typename... Parameters, typename... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(Parameters...),
                               Arguments &&...arguments) {
    const auto kept = std::tuple<std::decay_t<Parameters>...>(arguments...);
    const std::function<void()> call = [kernel, kept] { std::apply(kernel, kept); };
    cuda_on_cpu::Launch launch{config->gridDim.x, config->blockDim.x, config->dynamicSmemBytes, 1};
    for (unsigned i = 0; i < config->numAttrs; i++) {
        launch.cluster = config->attrs[i].val.clusterDim.x;
    }
    cuda_on_cpu::require_current(config->stream, "a launch");
    cuda_on_cpu::enqueue([call, launch] { cuda_on_cpu::run_grid(launch, call); });
    return cudaSuccess;
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

inline int atomicAdd(int *address, int value) {
    const int old = *address;
    *address += value;
    return old;
}

inline unsigned long long atomicAdd(unsigned long long *address, unsigned long long value) {
    const unsigned long long old = *address;
    *address += value;
    return old;
}

inline unsigned atomicOr(unsigned *address, unsigned value) {
    const unsigned old = *address;
    *address |= value;
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

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline int __ffs(unsigned bits) { return __builtin_ffs(static_cast<int>(bits)); }
inline float __ldg(const float *address) { return *address; }

template <typename T>
T __shfl_sync(unsigned, T value, int lane, const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
    uint64_t words[cuda_on_cpu::kWarpWords] = {};
    static_assert(sizeof value <= sizeof words[0], "one word");
    std::memcpy(words, &value, sizeof value);
    const auto all = cuda_on_cpu::warp_gather(words, file, line);
    std::memcpy(&value, all[static_cast<unsigned>(lane) % cuda_on_cpu::kWarp], sizeof value);
    return value;
}

template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int bits, const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
    return __shfl_sync(mask, value, static_cast<int>(threadIdx.x) ^ bits, file, line);
}

/* As on the device, a lane without a partner keeps its own value. */
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, const char *file = __builtin_FILE(),
                 int line = __builtin_LINE()) {
    const unsigned lane = threadIdx.x % cuda_on_cpu::kWarp;
    return __shfl_sync(mask, value, static_cast<int>(lane >= by ? lane - by : lane), file, line);
}

inline unsigned __ballot_sync(unsigned, bool vote, const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
    const uint64_t words[cuda_on_cpu::kWarpWords] = {vote ? 1u : 0u};
    const auto all = cuda_on_cpu::warp_gather(words, file, line);
    unsigned result = 0;
    for (unsigned lane = 0; lane < cuda_on_cpu::kWarp; lane++) {
        result |= static_cast<unsigned>(all[lane][0]) << lane;
    }
    return result;
}

inline unsigned __reduce_or_sync(unsigned, unsigned value, const char *file = __builtin_FILE(),
                                 int line = __builtin_LINE()) {
    const uint64_t words[cuda_on_cpu::kWarpWords] = {value};
    const auto all = cuda_on_cpu::warp_gather(words, file, line);
    unsigned result = 0;
    for (unsigned lane = 0; lane < cuda_on_cpu::kWarp; lane++) {
        result |= static_cast<unsigned>(all[lane][0]);
    }
    return result;
}

/* Threads of a kernel take turns here: every store is visible at once. */
inline void __threadfence() {}

inline void __syncwarp(const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
    __ballot_sync(0xFFFFFFFFu, false, file, line);
}

#endif
