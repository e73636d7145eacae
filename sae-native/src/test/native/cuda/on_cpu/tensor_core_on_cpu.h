/*
 * tensor_core_on_cpu.h, for tests: the functions of tensor_core.cuh, implemented after the PTX manual.
 *
 * Asynchronous copies and products run as late as the kernel allows, when it waits for them, so that using a result or
 * overwriting an operand too early gives wrong numbers. For the same reason the copy engine runs as early as possible:
 * a tile that is still being read is overwritten at once. Shared memory addresses are checked.
 */
#ifndef SAE_TENSOR_CORE_ON_CPU_H
#define SAE_TENSOR_CORE_ON_CPU_H

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <vector>

#include <cuda.h>

namespace sae::cuda::ptx {

inline void insist(bool condition, const char *what) {
    if (!condition) {
        std::fprintf(stderr, "cuda_on_cpu: %s\n", what);
        std::abort();
    }
}

inline float widened(Narrow format, uint16_t bits) {
    return format == Narrow::kBf16 ? from_bf16(bits) : from_half(bits);
}

/* Groups of deferred work of each thread in the running cluster. */
template <typename Work>
class Deferred {
  public:
    void add(const Work &work) { of_thread().open.push_back(work); }
    void commit() {
        Thread &thread = of_thread();
        thread.groups.push_back(std::move(thread.open));
        thread.open.clear();
    }
    void wait(size_t most) {
        Thread &thread = of_thread();
        while (thread.groups.size() > most) {
            for (const Work &work : thread.groups.front()) {
                work.run();
            }
            thread.groups.pop_front();
        }
    }

  private:
    struct Thread {
        std::vector<Work> open;
        std::deque<std::vector<Work>> groups;
    };
    Thread &of_thread() {
        const unsigned index = cuda_on_cpu::fiber_index();
        if (index >= threads_.size()) {
            threads_.resize(index + 1);
        }
        return threads_[index];
    }
    std::deque<Thread> threads_;
};

inline void keep_order() {}
inline void forget(uint32_t &) {}

/* ---- sm_80 ---- */

struct Copy {
    void *target;
    const void *source; // null: zeros
    size_t bytes;
    void run() const {
        if (source == nullptr) {
            std::memset(target, 0, bytes);
        } else {
            std::memcpy(target, source, bytes);
        }
    }
};
inline Deferred<Copy> copies;

inline void copy_16(void *shared, const void *global) {
    insist(reinterpret_cast<uintptr_t>(shared) % 16 == 0 && reinterpret_cast<uintptr_t>(global) % 16 == 0,
           "a copy of 16 bytes that is not aligned");
    copies.add({shared, global, 16});
}
inline void copy_4(void *shared, const void *global, bool wanted) {
    insist(reinterpret_cast<uintptr_t>(shared) % 4 == 0 && reinterpret_cast<uintptr_t>(global) % 4 == 0,
           "a copy of 4 bytes that is not aligned");
    copies.add({shared, wanted ? global : nullptr, 4});
}
template <size_t bytes>
inline void copy_streamed(void *shared, const void *global) {
    static_assert(bytes == 8 || bytes == 16, "what cp.async takes");
    insist(reinterpret_cast<uintptr_t>(shared) % bytes == 0 && reinterpret_cast<uintptr_t>(global) % bytes == 0,
           "a copy that is not aligned to its size");
    copies.add({shared, global, bytes});
}
inline void commit_copies() { copies.commit(); }
template <int groups>
inline void wait_copies() {
    copies.wait(groups);
}

inline void load_fragments(const void *row, unsigned (&matrices)[4], const char *file = __builtin_FILE(),
                           int line = __builtin_LINE()) {
    uint64_t words[cuda_on_cpu::kWarpWords] = {};
    std::memcpy(words, row, 16);
    const auto all = cuda_on_cpu::warp_gather(words, file, line);
    const unsigned lane = threadIdx.x % cuda_on_cpu::kWarp;
    for (unsigned matrix = 0; matrix < 4; matrix++) {
        const uint64_t *source = all[matrix * 8 + lane / 4];
        matrices[matrix] = static_cast<unsigned>(source[lane % 4 / 2] >> (lane % 2 * 32));
    }
}

template <Narrow kFormat>
inline void multiply_m16n8k16(float *d, const unsigned (&a)[4], unsigned b0, unsigned b1,
                              const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
    const unsigned given[6] = {a[0], a[1], a[2], a[3], b0, b1};
    uint64_t words[cuda_on_cpu::kWarpWords] = {};
    std::memcpy(words, given, sizeof given);
    const auto all = cuda_on_cpu::warp_gather(words, file, line);
    const unsigned lane = threadIdx.x % cuda_on_cpu::kWarp;
    /* register `which` of the lane that holds element (line, k) of an operand of 8 lines and 8 k */
    const auto element = [&](unsigned which, unsigned row, unsigned k) {
        const auto pair = static_cast<unsigned>(all[row * 4 + k / 2][which / 2] >> (which % 2 * 32));
        return from_narrow<kFormat>(static_cast<uint16_t>(pair >> (k % 2 * 16)));
    };
    for (unsigned value = 0; value < 4; value++) {
        const unsigned column = lane % 4 * 2 + value % 2;
        for (unsigned k = 0; k < 16; k++) {
            d[value] += element(value / 2 + k / 8 * 2, lane / 4, k % 8) * element(4 + k / 8, column, k % 8);
        }
    }
}

inline unsigned round_pair(float low, float high) {
    const auto round = [](float value) {
        const uint32_t bits = __float_as_uint(value);
        const bool nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
        return nan ? 0x7FFFu : (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
    };
    return round(low) | round(high) << 16;
}

/* ---- sm_90: barriers and clusters ---- */

struct Barrier {
    uint16_t arrivals;
    int16_t pending;
    int32_t bytes : 31; // still expected; negative if they arrived before being expected
    uint32_t phase : 1;

    void advance() {
        insist(pending >= 0, "more arrivals at a barrier than it was made for");
        if (pending == 0 && bytes == 0) {
            phase ^= 1;
            pending = static_cast<int16_t>(arrivals);
        }
    }
};
static_assert(sizeof(Barrier) == sizeof(uint64_t), "a barrier is 64 bits");

inline Barrier *as_barrier(uint64_t *barrier) { return reinterpret_cast<Barrier *>(barrier); }

/* The same address in another block of the cluster. */
template <typename T>
T *in_block(T *address, unsigned rank) {
    insist(rank < cuda_on_cpu::cluster_blocks(), "a block outside the cluster");
    auto *place = reinterpret_cast<unsigned char *>(address);
    const ptrdiff_t offset = place - cuda_on_cpu::dynamic_shared(cuda_on_cpu::cluster_rank());
    return reinterpret_cast<T *>(cuda_on_cpu::dynamic_shared(rank) + offset);
}

inline void init_barrier(uint64_t *barrier, unsigned arrivals) {
    *as_barrier(barrier) = {static_cast<uint16_t>(arrivals), static_cast<int16_t>(arrivals), 0, 0};
}
inline void publish_barriers() {}
inline void arrive_and_expect(uint64_t *barrier, unsigned bytes) {
    Barrier &of = *as_barrier(barrier);
    of.bytes += static_cast<int>(bytes);
    of.pending--;
    of.advance();
}
inline void arrive_at(uint64_t *barrier, unsigned rank) {
    Barrier &of = *as_barrier(in_block(barrier, rank));
    of.pending--;
    of.advance();
}
inline void wait_barrier(uint64_t *barrier, unsigned parity, const char *file = __builtin_FILE(),
                         int line = __builtin_LINE()) {
    const std::pair<const Barrier *, unsigned> wanted(as_barrier(barrier), parity);
    cuda_on_cpu::wait_until(
        [](const void *argument) {
            const auto &[of, ending] = *static_cast<const std::pair<const Barrier *, unsigned> *>(argument);
            return of->phase != ending;
        },
        &wanted, file, line);
}
inline unsigned cluster_rank() { return cuda_on_cpu::cluster_rank(); }
inline void synchronize_cluster(const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
    cuda_on_cpu::cluster_barrier(file, line);
}
template <int registers>
inline void take_registers() {
    static_assert(registers % 8 == 0 && registers >= 24 && registers <= 256, "what setmaxnreg takes");
}
template <int registers>
inline void give_registers() {
    static_assert(registers % 8 == 0 && registers >= 24 && registers <= 256, "what setmaxnreg takes");
}

/* ---- sm_90: tiles in, products out ---- */

inline void prefetch_map(const CUtensorMap *) {}

/* The address of byte `at` of a tile: the swizzle works on the offset within shared memory, which starts at a multiple
 * of 1024. */
inline unsigned char *swizzled(unsigned char *shared, size_t at) { return shared + (at ^ (at >> 7 & 7) << 4); }

inline void load_tile_to(uint16_t blocks, void *shared, const CUtensorMap *map, int column, int row,
                         uint64_t *barrier) {
    for (unsigned rank = 0; rank < cuda_on_cpu::cluster_blocks(); rank++) {
        if ((blocks >> rank & 1) == 0) {
            continue;
        }
        unsigned char *base = cuda_on_cpu::dynamic_shared(rank);
        const auto offset = static_cast<size_t>(
            static_cast<unsigned char *>(in_block(static_cast<unsigned char *>(shared), rank)) - base);
        insist(offset % 1024 == 0, "a tile that does not start at a multiple of 1024 bytes");
        for (unsigned i = 0; i < map->box[1]; i++) {
            for (unsigned j = 0; j < map->box[0]; j++) {
                const int64_t from_row = row + static_cast<int64_t>(i);
                const int64_t from_column = column + static_cast<int64_t>(j);
                uint16_t value = 0;
                if (from_row >= 0 && from_column >= 0 && from_row < static_cast<int64_t>(map->dimensions[1]) &&
                    from_column < static_cast<int64_t>(map->dimensions[0])) {
                    std::memcpy(&value, map->address + static_cast<uint64_t>(from_row) * map->stride + from_column * 2,
                                2);
                }
                std::memcpy(swizzled(base, offset + i * 128 + j * 2), &value, 2);
            }
        }
        Barrier &of = *as_barrier(in_block(barrier, rank));
        of.bytes -= static_cast<int>(map->box[0] * map->box[1] * 2);
        of.advance();
    }
}

inline void load_tile(void *shared, const CUtensorMap *map, int column, int row, uint64_t *barrier) {
    load_tile_to(static_cast<uint16_t>(1u << cuda_on_cpu::cluster_rank()), shared, map, column, row, barrier);
}

constexpr uint64_t kDescriptorStep = 2;
inline uint64_t tile_descriptor(const void *tile) {
    const auto at = static_cast<const unsigned char *>(tile) - cuda_on_cpu::dynamic_shared(cuda_on_cpu::cluster_rank());
    return static_cast<uint64_t>(at) >> 4 | uint64_t{1} << 16 | uint64_t{64} << 32 | uint64_t{1} << 62;
}

struct Product {
    Narrow format;
    float *d;
    uint64_t a, b;
    bool add;
    unsigned char *shared;
    unsigned thread; // of its warpgroup

    /* Element (row, k) of an operand: 8 rows are 1024 bytes, and k moves the start of the descriptor. */
    float element(uint64_t descriptor, unsigned row, unsigned k) const {
        const uint64_t start = (descriptor & 0x3FFF) << 4;
        const uint64_t rows_8 = (descriptor >> 32 & 0x3FFF) << 4;
        uint16_t bits;
        std::memcpy(&bits, swizzled(shared, start + row / 8 * rows_8 + row % 8 * 128 + k * 2), 2);
        return widened(format, bits);
    }
    void run() const {
        insist(a >> 62 == 1 && b >> 62 == 1, "an operand without the 128-byte swizzle");
        float rows[2][16];
        const unsigned row = thread / 32 * 16 + thread % 32 / 4;
        for (unsigned k = 0; k < 16; k++) {
            rows[0][k] = element(a, row, k);
            rows[1][k] = element(a, row + 8, k);
        }
        for (unsigned value = 0; value < kWgmmaValues; value++) {
            const unsigned column = value / 4 * 8 + thread % 4 * 2 + value % 2;
            float sum = add ? d[value] : 0.0f;
            for (unsigned k = 0; k < 16; k++) {
                sum += rows[value / 2 % 2][k] * element(b, column, k);
            }
            d[value] = sum;
        }
    }
};
inline Deferred<Product> products;

inline void begin_products() {}
inline void commit_products() { products.commit(); }
/* As on the device, no lane continues before the products of all lanes are done. */
template <int groups>
inline void wait_products(const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
    products.wait(groups);
    __syncwarp(file, line);
}
template <Narrow kFormat>
inline void multiply_m64n256k16(float (&d)[kWgmmaValues], uint64_t a, uint64_t b, bool add) {
    products.add({kFormat, d, a, b, add, cuda_on_cpu::dynamic_shared(cuda_on_cpu::cluster_rank()), threadIdx.x % 128});
}

inline void take_results(float (&)[kWgmmaValues]) {}

} // namespace sae::cuda::ptx
#endif
