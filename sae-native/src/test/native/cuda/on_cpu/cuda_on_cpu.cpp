/* cuda_on_cpu.cpp: fibers for the threads of a block, and a device memory that knows its bounds. See cuda_runtime.h. */
#include "cuda_runtime.h"

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

/* void cuda_on_cpu_switch(void **save, void *load): keeps this stack's pointer in *save and goes on with the stack `load`.
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

namespace cuda_on_cpu {

dim3 thread_index;
dim3 block_index;

namespace {

constexpr size_t kTotalBytes = size_t{1} << 30; // of device memory
constexpr size_t kStackBytes = 64 * 1024;
constexpr size_t kEntryBytes = 1024; // of a stack: the frames below a kernel's

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

struct Fiber {
    void *stack_pointer = nullptr;
    std::unique_ptr<unsigned char[]> stack{new unsigned char[kStackBytes]};
    bool done = true;
    enum { nothing, warp, block } waits_for = nothing;
    const char *file = nullptr; // where it waits
    int line = 0;
    void *fake_stack = nullptr;
};

std::vector<Fiber> fibers;
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

/* As if the fiber had been switched away from just before `enter`. */
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
    fiber.waits_for = Fiber::nothing;
}

void resume(Fiber &fiber, unsigned index) {
    running = &fiber;
    thread_index.x = index;
    start_switch(&scheduler_fake_stack, fiber.stack.get(), kStackBytes);
    cuda_on_cpu_switch(&scheduler, fiber.stack_pointer);
    finish_switch(scheduler_fake_stack, nullptr, nullptr);
}

/* All threads that are not done must wait at the same barrier, and none may have left before. */
void check_barrier(unsigned threads) {
    const Fiber &first = fibers[0];
    for (unsigned i = 1; i < threads; i++) {
        const Fiber &other = fibers[i];
        if (other.done != first.done || (!first.done && (other.line != first.line || other.file != first.file))) {
            die("cuda_on_cpu: thread 0 of block %u is at %s:%d, thread %u at %s:%d", block_index.x,
                first.done ? "its end" : first.file, first.done ? 0 : first.line, i,
                other.done ? "its end" : other.file, other.done ? 0 : other.line);
        }
    }
}

void wait_at(const char *file, int line, decltype(Fiber::waits_for) what) {
    Fiber &self = *running;
    self.file = file;
    self.line = line;
    self.waits_for = what;
    start_switch(&self.fake_stack, scheduler_stack, scheduler_stack_bytes);
    cuda_on_cpu_switch(&self.stack_pointer, scheduler);
    finish_switch(self.fake_stack, &scheduler_stack, &scheduler_stack_bytes);
}

constexpr unsigned kWarp = 32;
uint64_t lanes[2][1024]; // what each thread passes to a warp function, this call's and the last one's
unsigned parity[1024];   // which of the two is this call's

/* Lets go every warp whose threads have all come to a warp function. */
bool release_warps(unsigned threads) {
    bool any = false;
    for (unsigned first = 0; first < threads; first += kWarp) {
        const unsigned end = std::min(first + kWarp, threads);
        unsigned waiting = 0;
        for (unsigned i = first; i < end; i++) {
            waiting += fibers[i].waits_for == Fiber::warp ? 1 : 0;
        }
        if (waiting == 0) {
            continue;
        }
        if (waiting != end - first) {
            die("cuda_on_cpu: %u threads of the warp from thread %u of block %u are at a warp function, the others are "
                "not",
                waiting, first, block_index.x);
        }
        for (unsigned i = first; i < end; i++) {
            fibers[i].waits_for = Fiber::nothing;
        }
        any = true;
    }
    return any;
}

} // namespace

void barrier(const char *file, int line) { wait_at(file, line, Fiber::block); }

uint64_t exchange(uint64_t bits, unsigned from_lane) {
    const unsigned thread = thread_index.x;
    parity[thread] ^= 1;
    uint64_t(&values)[1024] = lanes[parity[thread]];
    values[thread] = bits;
    wait_at(__FILE__, __LINE__, Fiber::warp); // who is here again has been read by all: they passed the call between
    return values[thread / kWarp * kWarp + from_lane];
}

void run_grid(unsigned blocks, unsigned threads, const std::function<void()> &kernel) {
    if (blocks == 0 || threads == 0 || threads > 1024) {
        die("cuda_on_cpu: a launch of %u blocks of %u threads", blocks, threads);
    }
    const DeviceScope scope;
    if (fibers.size() < threads) {
        fibers.resize(threads);
    }
    body = &kernel;
    std::vector<unsigned> order(threads);
    for (unsigned i = 0; i < threads; i++) {
        order[i] = i;
    }
    for (unsigned block = 0; block < blocks; block++) {
        block_index = dim3(block);
        for (unsigned i = 0; i < threads; i++) {
            prepare(fibers[i]);
        }
        do {
            std::shuffle(order.begin(), order.end(), shuffler());
            do {
                for (const unsigned i : order) {
                    if (!fibers[i].done && fibers[i].waits_for == Fiber::nothing) {
                        resume(fibers[i], i);
                    }
                }
            } while (release_warps(threads));
            check_barrier(threads);
            for (unsigned i = 0; i < threads; i++) {
                fibers[i].waits_for = Fiber::nothing;
            }
        } while (!fibers[0].done);
    }
}

} // namespace cuda_on_cpu

/* What a capture kept. */
struct cuda_on_cpu_graph {
    std::vector<std::function<void()>> work;
    unsigned owners = 1; // the graph, and what was instantiated from it
};

namespace cuda_on_cpu {
namespace {

cuda_on_cpu_graph *capturing = nullptr;

void require_no_capture(const char *what) {
    if (capturing != nullptr) {
        die("cuda_on_cpu: %s while a stream captures", what);
    }
}

} // namespace

void enqueue(std::function<void()> work) {
    if (capturing != nullptr) {
        capturing->work.push_back(std::move(work));
    } else {
        work();
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

cudaError_t cudaMalloc(void **address, size_t bytes) {
    require_no_capture("cudaMalloc");
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
        const DeviceScope scope;
        if (on_device(target, bytes) != (kind != cudaMemcpyDeviceToHost) ||
            on_device(source, bytes) != (kind != cudaMemcpyHostToDevice)) {
            die("cuda_on_cpu: a copy of %zu bytes of kind %d with the wrong ends", bytes, static_cast<int>(kind));
        }
        std::memcpy(target, source, bytes);
    });
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t) { return require_no_capture("a wait"), cudaSuccess; }

cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
    require_no_capture("a second capture");
    capturing = new cuda_on_cpu_graph;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t *graph) {
    *graph = std::exchange(capturing, nullptr);
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long) {
    graph->owners++;
    *executable = graph;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t) {
    for (const std::function<void()> &work : executable->work) {
        work();
    }
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
    *total_bytes = kTotalBytes;
    *free_bytes = kTotalBytes - std::min(used, kTotalBytes);
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
    return cudaSuccess;
}
