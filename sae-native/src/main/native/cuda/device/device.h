/*
 * device.h: shared by every CUDA file: errors, launches, owned memory, the context and its scratch.
 *
 * Ownership: a Context owns its stream and its scratch; Params and Trainer own their tensors. Launchers
 * (launch_*) never allocate and never wait. Only the functions of the backend table do.
 */
#ifndef SAE_CUDA_DEVICE_H
#define SAE_CUDA_DEVICE_H

#include <cuda.h>
#include <cuda_runtime.h>

#include <climits>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "../../common/backend_table.h"
#include "../../common/guard.h"

namespace sae::cuda {

constexpr int kThreads = 256;         // threads of every block of every kernel here
constexpr int kNoBadRow = 0x7F7F7F7F; // beyond every row; can be set by a byte-wise memset

/* Throws the text of a CUDA error; running out of memory has its own status. */
inline void check(cudaError_t error, const char *what) {
    if (error == cudaSuccess) {
        return;
    }
    cudaGetLastError(); // otherwise the next call would see an error that is not sticky
    sae_status status = error == cudaErrorMemoryAllocation ? SAE_OUT_OF_MEMORY : SAE_DEVICE_ERROR;
    fail(status, std::string(what) + ": " + cudaGetErrorString(error) + " (CUDA error " + std::to_string(error) + ")");
}

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t round_up(int64_t n, int64_t to) { return divide_up(n, to) * to; }

struct Bf16 { // an element of bfloat16 storage
    uint16_t bits;
};

/* A matrix whose rows are gathered by index, many times each. */
struct Gathered {
    const void *rows; // float32, or bfloat16
    int64_t stride;   // elements from one row to the next; a multiple of 4 if the number of columns is
    bool bf16;
};

/* Conditional nodes in graphs: from CUDA 12.4 on, but their calls look different before 13.0. */
#define SAE_GRAPH_BRANCHES (CUDART_VERSION >= 13000)

/* Whether a branch of a graph runs; a kernel decides (condition.cuh). */
struct Condition {
    unsigned long long handle = 0; // cudaGraphConditionalHandle
    bool exists = false;           // false: there is no graph
};

struct Grid { // one-dimensional
    int64_t blocks;
    int threads;
    int shared_bytes; // dynamic
    int cluster;      // blocks; 1: no clusters
};

template <typename... Parameters, typename... Arguments>
cudaError_t launch(const Grid &grid, void (*kernel)(Parameters...), cudaStream_t stream, Arguments &&...arguments) {
    if (grid.blocks == 0) {
        return cudaSuccess;
    }
    if (grid.blocks > INT_MAX) {
        return cudaErrorInvalidConfiguration;
    }
    cudaLaunchAttribute cluster{};
    cluster.id = cudaLaunchAttributeClusterDimension;
    cluster.val.clusterDim.x = static_cast<unsigned>(grid.cluster);
    cluster.val.clusterDim.y = 1;
    cluster.val.clusterDim.z = 1;
    cudaLaunchConfig_t config{};
    config.gridDim = dim3(static_cast<unsigned>(grid.blocks));
    config.blockDim = dim3(static_cast<unsigned>(grid.threads));
    config.dynamicSmemBytes = static_cast<size_t>(grid.shared_bytes);
    config.stream = stream;
    config.attrs = &cluster;
    config.numAttrs = grid.cluster > 1 ? 1 : 0;
    return cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...);
}

/* kThreads threads per block, nothing else. */
template <typename... Parameters, typename... Arguments>
cudaError_t launch(void (*kernel)(Parameters...), int64_t blocks, cudaStream_t stream, Arguments &&...arguments) {
    return launch({blocks, kThreads, 0, 1}, kernel, stream, std::forward<Arguments>(arguments)...);
}

/* Device memory, freed with the object. */
class DeviceMemory {
  public:
    DeviceMemory() = default;
    explicit DeviceMemory(int64_t bytes) : bytes_(bytes) {
        check(cudaMalloc(&address_, static_cast<size_t>(bytes)), "allocating device memory");
    }
    DeviceMemory(const DeviceMemory &) = delete;
    DeviceMemory &operator=(const DeviceMemory &) = delete;
    DeviceMemory(DeviceMemory &&other) noexcept
        : address_(std::exchange(other.address_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    DeviceMemory &operator=(DeviceMemory &&other) noexcept {
        std::swap(address_, other.address_);
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~DeviceMemory() {
        if (address_ != nullptr) {
            cudaFree(address_); // waits for the device by itself
        }
    }
    void clear(cudaStream_t stream) const {
        check(cudaMemsetAsync(address_, 0, static_cast<size_t>(bytes_), stream), "clearing device memory");
    }
    template <typename T>
    T *as() const {
        return static_cast<T *>(address_);
    }
    int64_t bytes() const { return bytes_; }

  private:
    void *address_ = nullptr;
    int64_t bytes_ = 0;
};

/* Refuses an allocation that would not fit, with numbers, before anything is allocated. `returned`: bytes freed
 * first. */
inline void require_memory(int64_t bytes, int64_t returned, const std::string &what, const std::string &remedy) {
    size_t free_bytes = 0;
    size_t total = 0;
    check(cudaMemGetInfo(&free_bytes, &total), "querying free device memory");
    const int64_t there = static_cast<int64_t>(free_bytes) + returned;
    if (bytes > there) {
        fail(SAE_OUT_OF_MEMORY, "expected " + std::to_string(bytes) + " bytes of free device memory for " + what +
                                    ", got " + std::to_string(there) + " of " + std::to_string(total) + "; " + remedy);
    }
}

inline DeviceMemory zeroed(int64_t bytes, cudaStream_t stream) {
    DeviceMemory memory(bytes);
    memory.clear(stream);
    return memory;
}

/* Carves arrays out of one block of memory. Without a block it only adds up their sizes. */
class Carver {
  public:
    Carver() = default;
    explicit Carver(unsigned char *base) : base_(base) {}
    template <typename T>
    T *take(int64_t count) {
        const int64_t start = used_;
        used_ += (count * static_cast<int64_t>(sizeof(T)) + kAlignment - 1) / kAlignment * kAlignment;
        return base_ == nullptr ? nullptr : reinterpret_cast<T *>(base_ + start);
    }
    int64_t used() const { return used_; }

  private:
    static constexpr int64_t kAlignment = 256;
    unsigned char *base_ = nullptr;
    int64_t used_ = 0;
};

/* Scratch of a context. Every operation carves it up again from the start, which is safe because the context's stream
 * orders its operations. Grows, never shrinks. */
class Scratch {
  public:
    /* A Layout is a struct of pointers with a constructor (Carver &, arguments...): constructed once to add up, once to
     * carve. */
    template <typename Layout, typename... Arguments>
    Layout make(Arguments &&...arguments) {
        Carver measure;
        Layout(measure, arguments...);
        if (measure.used() > memory_.bytes()) {
            require_memory(measure.used(), memory_.bytes(), "the scratch of this operation", "fewer rows at a time");
            memory_ = DeviceMemory(); // frees the old one first
            memory_ = DeviceMemory(measure.used());
        }
        Carver carver(memory_.as<unsigned char>());
        return Layout(carver, arguments...);
    }

    const void *base() const { return memory_.as<void>(); }
    int64_t bytes() const { return memory_.bytes(); }

  private:
    DeviceMemory memory_;
};

/* An event, created when it is first recorded. */
class Event {
  public:
    Event() = default;
    Event(const Event &) = delete;
    Event &operator=(const Event &) = delete;
    ~Event() {
        if (event_ != nullptr) {
            cudaEventDestroy(event_); // freed once its waiters have passed
        }
    }
    void record(cudaStream_t stream) {
        if (event_ == nullptr) {
            check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "creating an event");
        }
        check(cudaEventRecord(event_, stream), "recording an event");
    }
    /* Does nothing before the first record. */
    void wait_on(cudaStream_t stream) const {
        if (event_ != nullptr) {
            check(cudaStreamWaitEvent(stream, event_, 0), "ordering two streams");
        }
    }

  private:
    cudaEvent_t event_ = nullptr;
};

/* A context's options for encoding (encode_topk.cu). */
enum class Kernels { kPlain, kSm80, kSm90 };     // for pre-activations in bf16
enum class Precision { kFloat32, kBf16 };        // of the values chosen and returned
enum class Scoring { kDense, kChunked, kFused }; // how much of the pre-activation matrix exists at a time

struct Context {
    int device = 0;
    cudaDeviceProp properties{};
    Kernels kernels = Kernels::kPlain;
    Precision precision = Precision::kFloat32;
    Scoring scoring = Scoring::kFused;
    decltype(&cuTensorMapEncodeTiled) encode_map = nullptr; // of the driver; for kSm90
    cudaStream_t stream = nullptr;
    bool owns_stream = true;
    cudaStream_t copies = nullptr; // uploads run here, in parallel with `stream`; created by the first one
    bool fused_step = true;        // option step
    bool graphs = true;            // option graph; off after a failed capture
    bool branches = true;          // option graph; off after a failed capture
    std::string graph_failure;     // why, for context_describe
    bool bf16_moments = false;     // option moments
    DeviceMemory late_bad_row;     // option nonfinite=later: int32, the first bad row since context_synchronize
    uint64_t asked_peers = 0;      // one bit per device that copies have come from (replicas.cu)
    Scratch scratch;

    void activate() const { check(cudaSetDevice(device), "choosing the device"); }
    void synchronize() const { check(cudaStreamSynchronize(stream), "waiting for the device"); }
};

struct Buffer {
    Context *context = nullptr;
    void *address = nullptr;
    int64_t bytes = 0;
    int32_t place = SAE_DEVICE;
    bool owned = true; // false: the caller's memory

    /* The copy that sae_buffer_upload made of a SAE_HOST buffer. */
    DeviceMemory copy;
    int64_t uploaded = 0;            // bytes of it that are valid
    Event arrived;                   // on the stream of copies
    Event was_read;                  // on the context's stream, after the last operation that read it
    mutable bool read_since = false; // an operation has read it since

    /* Records the last work queued so far that reads the copy: the next upload waits only for that. */
    void mark_read() {
        if (std::exchange(read_since, false)) {
            was_read.record(context->stream);
        }
    }
};

/* W_enc in 16 bits, for the screen; rebuilt before use if parameters have changed. The fused step keeps it current. */
struct Shadow {
    DeviceMemory rounded;
    DeviceMemory bounds;
    mutable bool current = false;
};

/* W_dec in bf16, with the same row length as W_enc's copy; only with precision=bf16. A training step keeps it
 * current. */
struct RoundedDecoder {
    DeviceMemory rows;
    mutable bool current = false;
};

struct Params {
    Context *context = nullptr;
    int64_t d_in = 0;
    int64_t d_out = 0;
    int64_t d_sae = 0;
    int32_t flags = 0; // of sae_params_create
    bool subtract_b_dec = false;
    DeviceMemory tensors[SAE_W_SKIP + 1]; // by SAE_W_ENC ...; empty without their flag
    DeviceMemory weight_squares; // double [2]: sums of squares of W_enc and W_dec, for the bound on the gradient norm
    mutable bool weight_squares_stale = true;
    Shadow shadow; // empty if the context or the shape does not use it
    RoundedDecoder rounded_decoder;

    bool has(int32_t flag) const { return (flags & flag) != 0; }
    /* Null without its flag. */
    float *tensor(int32_t which) const { return tensors[which].as<float>(); }
    /* 0 without its flag. */
    int64_t elements(int32_t which) const {
        switch (which) {
        case SAE_W_ENC:
            return d_sae * d_in;
        case SAE_W_DEC:
            return d_sae * d_out;
        case SAE_B_ENC:
            return d_sae;
        case SAE_B_DEC:
            return d_out;
        case SAE_THRESHOLD:
            return has(SAE_THRESHOLDS) ? d_sae : 0;
        case SAE_W_SKIP:
            return has(SAE_SKIP) ? d_out * d_in : 0;
        default: // SAE_R_MAG, SAE_B_MAG
            return has(SAE_GATED) ? d_sae : 0;
        }
    }
};

/* Where the device reads or writes elements [first, first + n) of a buffer: the buffer itself, or its copy in scratch
 * if it is pinned host memory. `upload` and `download` copy pinned memory; they do nothing for device memory. */
template <typename T>
struct Staged {
    T *address;
    const Buffer &buffer;
    int64_t first;
    int64_t count;

    Staged(Carver &carver, const Buffer &from, int64_t n, int64_t first_ = 0)
        : address(is_uploaded(from, first_ + n) ? from.copy.as<T>() + first_
                  : from.place == SAE_HOST      ? carver.take<T>(n)
                                                : static_cast<T *>(from.address) + first_),
          buffer(from), first(first_), count(n) {}

    const T *upload() const {
        if (is_uploaded(buffer, first + count)) {
            buffer.arrived.wait_on(buffer.context->stream);
            buffer.read_since = true;
        } else {
            copy(address, whole(), cudaMemcpyHostToDevice, "copying an input to the device");
        }
        return address;
    }
    void download() const { copy(whole(), address, cudaMemcpyDeviceToHost, "copying an output to the host"); }

  private:
    T *whole() const { return static_cast<T *>(buffer.address) + first; } // where the elements are in the buffer
    static bool is_uploaded(const Buffer &from, int64_t n) {
        return n * static_cast<int64_t>(sizeof(T)) <= from.uploaded;
    }
    void copy(void *target, const void *source, cudaMemcpyKind kind, const char *what) const {
        if (buffer.place == SAE_HOST) {
            check(cudaMemcpyAsync(target, source, static_cast<size_t>(count) * sizeof(T), kind, buffer.context->stream),
                  what);
        }
    }
};

} // namespace sae::cuda
#endif
