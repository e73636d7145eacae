#include "memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>

namespace sae::cpu {
namespace {

constexpr int64_t kHugePage = int64_t{2} << 20;
constexpr int64_t kAlignment = 64;
constexpr int64_t kMost = INT64_MAX - 2 * kHugePage;

/* Sanitizers watch the heap, not mapped pages. */
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kMapLargeBlocks = false;
#else
constexpr bool kMapLargeBlocks = true;
#endif

bool is_mapped(int64_t bytes) { return kMapLargeBlocks && bytes >= kHugePage; }

int64_t round_up(int64_t bytes, int64_t to) { return (bytes + to - 1) / to * to; }

} // namespace

void *allocate_zeroed(int64_t bytes) {
    if (bytes > kMost) {
        throw std::bad_alloc(); /* rounding up would overflow */
    }
    if (is_mapped(bytes)) {
        /* Map one huge page too much, then trim both ends, so that the block starts on one. */
        const int64_t size = round_up(bytes, kHugePage);
        void *mapped = mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mapped == MAP_FAILED) {
            throw std::bad_alloc();
        }
        char *start = static_cast<char *>(mapped);
        char *aligned = reinterpret_cast<char *>(round_up(reinterpret_cast<int64_t>(start), kHugePage));
        if (aligned > start) {
            munmap(start, aligned - start);
        }
        if (aligned + size < start + size + kHugePage) {
            munmap(aligned + size, start + kHugePage - aligned);
        }
        madvise(aligned, size, MADV_HUGEPAGE); /* a hint: without it everything still works */
        return aligned;
    }
    const int64_t size = round_up(bytes > 0 ? bytes : 1, kAlignment);
    void *memory = std::aligned_alloc(kAlignment, size);
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    std::memset(memory, 0, size);
    return memory;
}

void release(void *memory, int64_t bytes) noexcept {
    if (memory == nullptr) {
        return;
    }
    if (is_mapped(bytes)) {
        munmap(memory, round_up(bytes, kHugePage));
    } else {
        std::free(memory);
    }
}

} // namespace sae::cpu
