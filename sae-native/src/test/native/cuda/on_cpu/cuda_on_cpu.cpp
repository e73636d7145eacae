/* cuda_on_cpu.cpp: fibers for the threads of a block, and bounds-checked device memory. See cuda_runtime.h.
 * Over 400 lines: the scheduler and the memory check each access together. */
#include "cuda_runtime.h"

#include <cuda.h>

#include <cstdarg>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define SAE_ASAN 1
#else
#define SAE_ASAN 0
#endif

#if !defined(__x86_64__)
#error "switching fibers is written for x86-64"
#endif

/* void cuda_on_cpu_switch(void **save, void *load): saves this stack's pointer in *save and continues on the stack
 * `load`.
 * A plain switch: swapcontext makes two system calls, and a block switches hundreds of times. */
asm(R"(
.text
.globl cuda_on_cpu_switch
.hidden cuda_on_cpu_switch
.type cuda_on_cpu_switch, @function
cuda_on_cpu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size cuda_on_cpu_switch, . - cuda_on_cpu_switch
)");
extern "C" void cuda_on_cpu_switch(void **save, void *load);

dim3 gridDim;

namespace cuda_on_cpu {

dim3 thread_index;
dim3 block_index;

namespace {

constexpr size_t kTotalBytes = size_t{1} << 30; // of device memory
constexpr size_t kDryBytes = size_t{80} << 30;  // in a dry run
thread_local int current_device = 0;

/* The only stream of a device; nothing is asynchronous, so more would behave the same. */
cudaStream_t stream_of(int device) { return reinterpret_cast<cudaStream_t>(static_cast<intptr_t>(device) + 1); }

int64_t kernels_run = 0;
bool dry = false;
unsigned dry_branches = 0;

constexpr size_t kStackBytes = 64 * 1024;
constexpr size_t kSharedAlignment = 1024; // of dynamic shared memory
constexpr size_t kEntryBytes = 1024;      // of a stack: the frames below a kernel's

[[noreturn]] void die(const char *format, ...) __attribute__((format(printf, 1, 2)));
void die(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    std::vfprintf(stderr, format, arguments);
    va_end(arguments);
    std::fputc('\n', stderr);
    std::abort();
}

/* ---- device memory ---- */

std::mutex device_mutex; // one kernel or copy at a time in the whole process
std::map<unsigned char *, size_t> allocations;

void protect(unsigned char *address, size_t bytes, bool closed) {
#if SAE_ASAN
    closed ? ASAN_POISON_MEMORY_REGION(address, bytes) : ASAN_UNPOISON_MEMORY_REGION(address, bytes);
#else
    (void)address, (void)bytes, (void)closed;
#endif
}

bool on_device(const void *address, size_t bytes) {
    auto *start = const_cast<unsigned char *>(static_cast<const unsigned char *>(address));
    auto after = allocations.upper_bound(start);
    if (after == allocations.begin()) {
        return false;
    }
    const auto &[base, size] = *std::prev(after);
    return start + bytes <= base + size;
}

/* ---- fibers ---- */

enum class Wait { kNothing, kBlock, kCluster, kCondition };

struct Fiber {
    void *stack_pointer = nullptr;
    std::unique_ptr<unsigned char[]> stack{new unsigned char[kStackBytes]};
    bool done = true;
    Wait wait = Wait::kNothing;
    bool (*ready)(const void *) = nullptr; // of kCondition
    const void *argument = nullptr;
    const char *file = nullptr; // where it waits
    int line = 0;
    uint64_t gathers = 0; // exchanges of its warp so far
    void *fake_stack = nullptr;
};

/* Words exchanged between the lanes of a warp. A lane can be one exchange ahead of another, so two are kept. */
struct Warp {
    uint64_t words[2][kWarp][kWarpWords];
    uint64_t arrived = 0; // in all exchanges
    const char *file[2] = {};
    int line[2] = {};
};

std::vector<Fiber> fibers; // of the running cluster
std::vector<Warp> warps;
std::vector<unsigned char *> shared; // dynamic shared memory of each block of the cluster
unsigned threads_per_block = 0;
unsigned first_block = 0;
void *scheduler = nullptr; // its stack pointer
void *scheduler_fake_stack = nullptr;
const void *scheduler_stack = nullptr;
size_t scheduler_stack_bytes = 0;
Fiber *running = nullptr;
const std::function<void()> *body = nullptr;

std::mt19937 &shuffler() {
    static std::mt19937 engine([] {
        const char *seed = std::getenv("CUDA_ON_CPU_SEED");
        return static_cast<unsigned>(seed == nullptr ? 1 : std::atoi(seed));
    }());
    return engine;
}

void start_switch(void **fake_stack, const void *stack, size_t bytes) {
#if SAE_ASAN
    __sanitizer_start_switch_fiber(fake_stack, stack, bytes);
#else
    (void)fake_stack, (void)stack, (void)bytes;
#endif
}

void finish_switch(void *fake_stack, const void **stack, size_t *bytes) {
#if SAE_ASAN
    __sanitizer_finish_switch_fiber(fake_stack, stack, bytes);
#else
    (void)fake_stack, (void)stack, (void)bytes;
#endif
}

void enter() {
    finish_switch(nullptr, &scheduler_stack, &scheduler_stack_bytes);
    (*body)();
    running->done = true;
    start_switch(nullptr, scheduler_stack, scheduler_stack_bytes);
    cuda_on_cpu_switch(&running->stack_pointer, scheduler);
}

/* Sets up the fiber as if it had been switched out just before `enter`. */
void prepare(Fiber &fiber) {
    unsigned char *top = fiber.stack.get() + kStackBytes;
    protect(top - kEntryBytes, kEntryBytes, false); // left by its last block
    auto **frame = reinterpret_cast<void **>(reinterpret_cast<uintptr_t>(top) / 16 * 16);
    *--frame = nullptr; // where `enter` would return to; it never does
    *--frame = reinterpret_cast<void *>(&enter);
    for (int saved = 0; saved < 6; saved++) {
        *--frame = nullptr;
    }
    fiber.stack_pointer = frame;
    fiber.done = false;
    fiber.wait = Wait::kNothing;
    fiber.gathers = 0;
}

void resume(unsigned index) {
    Fiber &fiber = fibers[index];
    running = &fiber;
    thread_index.x = index % threads_per_block;
    block_index.x = first_block + index / threads_per_block;
    fiber.wait = Wait::kNothing;
    start_switch(&scheduler_fake_stack, fiber.stack.get(), kStackBytes);
    cuda_on_cpu_switch(&scheduler, fiber.stack_pointer);
    finish_switch(scheduler_fake_stack, nullptr, nullptr);
}

void hand_over(Wait wait, const char *file, int line) {
    Fiber &self = *running;
    self.wait = wait;
    self.file = file;
    self.line = line;
    start_switch(&self.fake_stack, scheduler_stack, scheduler_stack_bytes);
    cuda_on_cpu_switch(&self.stack_pointer, scheduler);
    finish_switch(self.fake_stack, &scheduler_stack, &scheduler_stack_bytes);
}

/* Releases fibers [first, last) if all of them wait at the same barrier. None may have ended. */
bool release(unsigned first, unsigned last, Wait wait) {
    unsigned waiting = 0;
    unsigned done = 0;
    for (unsigned i = first; i < last; i++) {
        waiting += !fibers[i].done && fibers[i].wait == wait;
        done += fibers[i].done;
    }
    if (waiting == 0 || waiting + done < last - first) {
        return false;
    }
    const Fiber &one = fibers[first];
    for (unsigned i = first + 1; i < last; i++) {
        const Fiber &other = fibers[i];
        if (other.done != one.done || other.line != one.line || other.file != one.file) {
            die("cuda_on_cpu: thread 0 of block %u is at %s:%d, thread %u at %s:%d", first_block,
                one.done ? "its end" : one.file, one.done ? 0 : one.line, i, other.done ? "its end" : other.file,
                other.done ? 0 : other.line);
        }
    }
    for (unsigned i = first; i < last; i++) {
        fibers[i].wait = Wait::kNothing;
    }
    return true;
}

bool all_done(unsigned count) {
    return std::all_of(fibers.begin(), fibers.begin() + count, [](const Fiber &fiber) { return fiber.done; });
}

void run_cluster(std::vector<unsigned> &order) {
    const auto count = static_cast<unsigned>(order.size());
    warps.assign(count / kWarp + 1, Warp());
    for (unsigned i = 0; i < count; i++) {
        prepare(fibers[i]);
    }
    while (!all_done(count)) {
        bool progress = false;
        std::shuffle(order.begin(), order.end(), shuffler());
        for (const unsigned i : order) {
            const Fiber &fiber = fibers[i];
            if (!fiber.done &&
                (fiber.wait == Wait::kNothing || (fiber.wait == Wait::kCondition && fiber.ready(fiber.argument)))) {
                resume(i);
                progress = true;
            }
        }
        for (unsigned first = 0; first < count; first += threads_per_block) {
            progress |= release(first, first + threads_per_block, Wait::kBlock);
        }
        progress |= release(0, count, Wait::kCluster);
        if (!progress && !all_done(count)) {
            for (unsigned i = 0; i < count; i++) {
                if (!fibers[i].done) {
                    std::fprintf(stderr, "cuda_on_cpu: block %u thread %u waits at %s:%d\n",
                                 first_block + i / threads_per_block, i % threads_per_block, fibers[i].file,
                                 fibers[i].line);
                }
            }
            die("cuda_on_cpu: threads wait for each other");
        }
    }
}

} // namespace

void barrier(const char *file, int line) { hand_over(Wait::kBlock, file, line); }

void cluster_barrier(const char *file, int line) { hand_over(Wait::kCluster, file, line); }

void wait_until(bool (*ready)(const void *), const void *argument, const char *file, int line) {
    if (!ready(argument)) {
        running->ready = ready;
        running->argument = argument;
        hand_over(Wait::kCondition, file, line);
    }
}

const uint64_t (*warp_gather(const uint64_t (&words)[kWarpWords], const char *file, int line))[kWarpWords] {
    const unsigned index = fiber_index();
    Warp &warp = warps[index / kWarp];
    const unsigned slot = running->gathers++ % 2;
    const uint64_t complete = running->gathers * kWarp;
    if (warp.arrived == complete - kWarp) { // the first lane
        warp.file[slot] = file;
        warp.line[slot] = line;
    } else if (warp.file[slot] != file || warp.line[slot] != line) {
        die("cuda_on_cpu: lanes of a warp are at %s:%d and %s:%d", warp.file[slot], warp.line[slot], file, line);
    }
    std::copy(std::begin(words), std::end(words), warp.words[slot][index % kWarp]);
    warp.arrived++;
    const std::pair<const Warp *, uint64_t> wanted(&warp, complete);
    wait_until(
        [](const void *argument) {
            const auto &[of, count] = *static_cast<const std::pair<const Warp *, uint64_t> *>(argument);
            return of->arrived >= count;
        },
        &wanted, file, line);
    return warp.words[slot];
}

unsigned char *dynamic_shared(unsigned rank) { return shared[rank]; }

unsigned cluster_rank() { return block_index.x - first_block; }

unsigned cluster_blocks() { return static_cast<unsigned>(shared.size()); }

unsigned fiber_index() { return static_cast<unsigned>(running - fibers.data()); }

void run_grid(const Launch &launch, const std::function<void()> &kernel) {
    const auto [blocks, threads, shared_bytes, cluster] = launch;
    threads_per_block = threads;
    if (blocks == 0 || threads_per_block == 0 || threads_per_block > 1024 || threads_per_block % kWarp != 0 ||
        blocks % cluster != 0) {
        die("cuda_on_cpu: a launch of %u blocks of %u threads in clusters of %u", blocks, threads_per_block, cluster);
    }
    kernels_run++;
    if (dry) {
        return;
    }
    const DeviceScope scope;
    std::vector<unsigned> order(threads_per_block * cluster);
    if (fibers.size() < order.size()) {
        fibers.resize(order.size());
    }
    for (unsigned i = 0; i < order.size(); i++) {
        order[i] = i;
    }
    body = &kernel;
    gridDim = dim3(blocks);
    for (first_block = 0; first_block < blocks; first_block += cluster) {
        for (unsigned rank = 0; rank < cluster; rank++) {
            void *memory = nullptr;
            if (posix_memalign(&memory, kSharedAlignment, std::max<size_t>(shared_bytes, 1)) != 0) {
                die("cuda_on_cpu: no memory");
            }
            std::memset(memory, 0xFF, shared_bytes);
            shared.push_back(static_cast<unsigned char *>(memory));
        }
        run_cluster(order);
        for (unsigned char *memory : shared) {
            std::free(memory);
        }
        shared.clear();
    }
}

} // namespace cuda_on_cpu

/* A captured sequence of work. Each node depends on the one before it. */
struct cuda_on_cpu_graph {
    std::vector<std::function<void()>> work;
    unsigned owners = 1;                // the graph and its instances; of a body: its node
    cuda_on_cpu_graph *outer = nullptr; // of a body while it is captured: the graph being captured before it
    cudaGraphNode_t last = nullptr;     // what the next captured node depends on
    bool joined = true;                 // false: a node was added by hand, and the capture does not depend on it yet
    std::vector<std::unique_ptr<cuda_on_cpu_node>> nodes;
};

/* A conditional node. */
struct cuda_on_cpu_node {
    cudaGraphConditionalHandle handle;
    cuda_on_cpu_graph body;
    cudaGraph_t body_address = &body;
};

namespace cuda_on_cpu {
namespace {

cuda_on_cpu_graph *capturing = nullptr;

struct Conditional {
    cudaGraph_t graph; // that its node must be in
    unsigned by_default, value;
    bool has_node;
};
std::map<cudaGraphConditionalHandle, Conditional> conditionals;

Conditional &conditional_of(cudaGraphConditionalHandle handle) {
    const auto found = conditionals.find(handle);
    if (found == conditionals.end()) {
        die("cuda_on_cpu: a conditional handle that does not exist");
    }
    return found->second;
}

void require_no_capture(const char *what) {
    if (capturing != nullptr) {
        die("cuda_on_cpu: %s while a stream captures", what);
    }
}

void run_graph(const cuda_on_cpu_graph &graph) {
    for (const std::function<void()> &work : graph.work) {
        work();
    }
}

void discard_capture() {
    while (capturing != nullptr) {
        cuda_on_cpu_graph *outer = std::exchange(capturing->outer, nullptr);
        if (outer == nullptr) {
            cudaGraphDestroy(capturing);
        }
        capturing = outer;
    }
}

} // namespace

void enqueue(std::function<void()> work) {
    if (capturing == nullptr) {
        work();
        return;
    }
    if (!capturing->joined) {
        die("cuda_on_cpu: captured work that does not wait for the conditional node before it");
    }
    capturing->work.push_back(std::move(work));
    capturing->last = nullptr; // nodes of kernels have no address here
}

void require_current(cudaStream_t stream, const char *what) {
    if (stream != nullptr && stream != stream_of(current_device)) {
        die("cuda_on_cpu: %s on a stream of a device other than %d, which is current", what, current_device);
    }
}

DeviceScope::DeviceScope() {
    device_mutex.lock();
    for (const auto &[address, bytes] : allocations) {
        protect(address, bytes, false);
    }
}

DeviceScope::~DeviceScope() {
    for (const auto &[address, bytes] : allocations) {
        protect(address, bytes, true);
    }
    device_mutex.unlock();
}

} // namespace cuda_on_cpu

using namespace cuda_on_cpu;

/* For launch_count_check.cpp. */
#define SAE_EXPORT extern "C" __attribute__((visibility("default")))
SAE_EXPORT int64_t cuda_on_cpu_kernels_run() { return kernels_run; }
/* branches: bit n says whether the n-th conditional node of a graph runs its body. */
SAE_EXPORT void cuda_on_cpu_dry_run(int on, unsigned branches) {
    dry = on != 0;
    dry_branches = branches;
}

cudaError_t cudaMalloc(void **address, size_t bytes) {
    require_no_capture("cudaMalloc");
    if (dry) {
        static uintptr_t next = uintptr_t{1} << 46; // where nothing is
        *address = reinterpret_cast<void *>(next);
        next += (bytes + 255) / 256 * 256;
        return cudaSuccess;
    }
    void *memory = nullptr;
    if (bytes == 0 || bytes > kTotalBytes || posix_memalign(&memory, 256, bytes) != 0) {
        return cudaErrorMemoryAllocation;
    }
    const std::lock_guard<std::mutex> lock(device_mutex);
    std::memset(memory, 0xFF, bytes);
    allocations[static_cast<unsigned char *>(memory)] = bytes;
    protect(static_cast<unsigned char *>(memory), bytes, true);
    *address = memory;
    return cudaSuccess;
}

cudaError_t cudaFree(void *address) {
    require_no_capture("cudaFree");
    if (dry) {
        return cudaSuccess;
    }
    const std::lock_guard<std::mutex> lock(device_mutex);
    const auto found = allocations.find(static_cast<unsigned char *>(address));
    if (found == allocations.end()) {
        die("cuda_on_cpu: cudaFree of %p, which cudaMalloc did not return", address);
    }
    protect(found->first, found->second, false);
    allocations.erase(found);
    std::free(address);
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **address, size_t bytes, unsigned) {
    return posix_memalign(address, 4096, bytes) == 0 ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFreeHost(void *address) { return std::free(address), cudaSuccess; }

cudaError_t cudaMemsetAsync(void *address, int value, size_t bytes, cudaStream_t) {
    enqueue([=] {
        if (dry) {
            return;
        }
        const DeviceScope scope;
        if (!on_device(address, bytes)) {
            die("cuda_on_cpu: a memset of %zu bytes outside device memory", bytes);
        }
        std::memset(address, value, bytes);
    });
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *target, const void *source, size_t bytes, cudaMemcpyKind kind, cudaStream_t) {
    if (bytes == 0) {
        return cudaSuccess;
    }
    enqueue([=] {
        if (dry) {
            return;
        }
        const DeviceScope scope;
        if (on_device(target, bytes) != (kind != cudaMemcpyDeviceToHost) ||
            on_device(source, bytes) != (kind != cudaMemcpyHostToDevice)) {
            die("cuda_on_cpu: a copy of %zu bytes of kind %d with the wrong ends", bytes, static_cast<int>(kind));
        }
        std::memcpy(target, source, bytes);
    });
    return cudaSuccess;
}

cudaError_t cudaMemcpyPeerAsync(void *target, int target_device, const void *source, int source_device, size_t bytes,
                                cudaStream_t stream) {
    const bool devices = target_device >= 0 && target_device < 2 && source_device >= 0 && source_device < 2;
    return devices ? cudaMemcpyAsync(target, source, bytes, cudaMemcpyDeviceToDevice, stream) : cudaErrorInvalidValue;
}

cudaError_t cudaSetDevice(int device) { return current_device = device, cudaSuccess; }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned) {
    return *stream = stream_of(current_device), cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t stream) {
    return require_current(stream, "an event"), cudaSuccess;
}

/* Device 0 pulls from device 1 directly, and device 1 from 0 through the host. */
cudaError_t cudaDeviceCanAccessPeer(int *possible, int device, int peer) {
    return *possible = device == 0 && peer == 1 ? 1 : 0, cudaSuccess;
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned) {
    static bool enabled = false;
    if (current_device != 0 || peer != 1) {
        return cudaErrorInvalidValue;
    }
    return std::exchange(enabled, true) ? cudaErrorPeerAccessAlreadyEnabled : cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) { return require_no_capture("a wait"), cudaSuccess; }

cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
    require_no_capture("a second capture");
    capturing = new cuda_on_cpu_graph;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t *graph) {
    if (std::getenv("CUDA_ON_CPU_FAIL_CAPTURE") != nullptr) { // as if something in the capture was not allowed
        discard_capture();
        *graph = nullptr;
        return cudaErrorStreamCaptureInvalidated;
    }
    if (capturing == nullptr) {
        *graph = nullptr;
        return cudaErrorStreamCaptureInvalidated;
    }
    *graph = capturing;
    capturing = std::exchange(capturing->outer, nullptr);
    return cudaSuccess;
}

/* A second stream captures while the first does; here they are the same, so the inner capture ends first. */
cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t, cudaGraph_t graph, const cudaGraphNode_t *,
                                          const cudaGraphEdgeData *, size_t count, cudaStreamCaptureMode) {
    if (count != 0 || graph->outer != nullptr || !graph->work.empty()) {
        return cudaErrorInvalidValue;
    }
    graph->outer = std::exchange(capturing, graph);
    return cudaSuccess;
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t, cudaStreamCaptureStatus *status, unsigned long long *,
                                     cudaGraph_t *graph, const cudaGraphNode_t **dependencies,
                                     const cudaGraphEdgeData **edges, size_t *count) {
    *status = capturing == nullptr ? cudaStreamCaptureStatusNone : cudaStreamCaptureStatusActive;
    *graph = capturing;
    *dependencies = capturing == nullptr ? nullptr : &capturing->last;
    *edges = nullptr;
    *count = capturing == nullptr || capturing->work.empty() ? 0 : 1;
    return cudaSuccess;
}

cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t, cudaGraphNode_t *dependencies, const cudaGraphEdgeData *,
                                                size_t count, unsigned flags) {
    if (capturing == nullptr || flags != cudaStreamSetCaptureDependencies || count != 1 || capturing->joined ||
        dependencies[0] != capturing->nodes.back().get()) {
        return cudaErrorInvalidValue;
    }
    capturing->joined = true;
    capturing->last = dependencies[0];
    return cudaSuccess;
}

cudaError_t cudaGraphConditionalHandleCreate(cudaGraphConditionalHandle *handle, cudaGraph_t graph,
                                             unsigned default_value, unsigned flags) {
    if (graph == nullptr || flags != cudaGraphCondAssignDefault) {
        return cudaErrorInvalidValue;
    }
    *handle = 0x1000 + conditionals.size();
    conditionals[*handle] = {graph, default_value, default_value, false};
    graph->work.insert(graph->work.begin(), [at = *handle] { // at the start of every launch
        conditional_of(at).value = conditional_of(at).by_default;
    });
    return cudaSuccess;
}

void cudaGraphSetConditional(cudaGraphConditionalHandle handle, unsigned value) {
    conditional_of(handle).value = value;
}

cudaError_t cudaGraphAddNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *dependencies,
                             const cudaGraphEdgeData *, size_t count, cudaGraphNodeParams *params) {
    Conditional &condition = conditional_of(params->conditional.handle);
    const bool after_all = graph->work.empty() ? count == 0 : count == 1 && dependencies == &graph->last;
    if (params->type != cudaGraphNodeTypeConditional || params->conditional.type != cudaGraphCondTypeIf ||
        params->conditional.size != 1 || condition.graph != graph || condition.has_node || !after_all) {
        return cudaErrorInvalidValue;
    }
    condition.has_node = true;
    graph->nodes.push_back(std::make_unique<cuda_on_cpu_node>());
    *node = graph->nodes.back().get();
    (*node)->handle = params->conditional.handle;
    params->conditional.phGraph_out = &(*node)->body_address;
    const size_t number = graph->nodes.size() - 1;
    graph->work.push_back([at = *node, number] {
        if (dry ? (dry_branches >> number & 1) != 0 : conditional_of(at->handle).value != 0) {
            run_graph(at->body);
        }
    });
    graph->joined = false;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long) {
    graph->owners++;
    *executable = graph;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t) {
    run_graph(*executable);
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    if (--graph->owners == 0) {
        delete graph;
    }
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) { return cudaGraphDestroy(executable); }

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes) {
    const std::lock_guard<std::mutex> lock(device_mutex);
    size_t used = 0;
    for (const auto &[address, bytes] : allocations) {
        used += bytes;
    }
    *total_bytes = dry ? kDryBytes : kTotalBytes;
    *free_bytes = *total_bytes - std::min(used, *total_bytes);
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *attributes, const void *address) {
    const std::lock_guard<std::mutex> lock(device_mutex);
    *attributes = {on_device(address, 1) ? cudaMemoryTypeDevice : cudaMemoryTypeUnregistered, 0};
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *properties, int) {
    *properties = {};
    std::strcpy(properties->name, "CUDA kernels emulated on the CPU (test only)");
    properties->major = 9;
    properties->totalGlobalMem = kTotalBytes;
    properties->multiProcessorCount = 3;
    properties->sharedMemPerBlockOptin = 232448;
    return cudaSuccess;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult *result) {
    const bool known = std::strcmp(symbol, "cuTensorMapEncodeTiled") == 0;
    *function = known ? reinterpret_cast<void *>(&cuTensorMapEncodeTiled) : nullptr;
    *result = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
}

/* Supports only two dimensions and the 128-byte swizzle; refuses what the real function refuses. */
CUresult cuTensorMapEncodeTiled(CUtensorMap *map, CUtensorMapDataType type, cuuint32_t rank, void *address,
                                const cuuint64_t *dimensions, const cuuint64_t *strides, const cuuint32_t *box,
                                const cuuint32_t *element_strides, CUtensorMapInterleave interleave,
                                CUtensorMapSwizzle swizzle, CUtensorMapL2promotion, CUtensorMapFloatOOBfill fill) {
    const bool valid = type == CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 && rank == 2 &&
                       reinterpret_cast<uintptr_t>(address) % 16 == 0 && strides[0] % 16 == 0 && dimensions[0] > 0 &&
                       dimensions[1] > 0 && dimensions[0] <= UINT32_MAX && dimensions[1] <= UINT32_MAX &&
                       box[0] * 2 == 128 && box[1] <= 256 && element_strides[0] == 1 && element_strides[1] == 1 &&
                       interleave == CU_TENSOR_MAP_INTERLEAVE_NONE && swizzle == CU_TENSOR_MAP_SWIZZLE_128B &&
                       fill == CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;
    if (!valid) {
        return CUDA_ERROR_INVALID_VALUE;
    }
    *map = {static_cast<const unsigned char *>(address), {dimensions[0], dimensions[1]}, strides[0], {box[0], box[1]}};
    return CUDA_SUCCESS;
}
