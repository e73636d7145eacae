/* memory.h: blocks of float, int and the like outside the heap: 64-byte aligned, zeroed. */
#ifndef SAE_CPU_MEMORY_H
#define SAE_CPU_MEMORY_H

#include <cstddef>
#include <cstdint>
#include <utility>

namespace sae::cpu {

/* Blocks of 2 MiB or more use huge pages where available: the sparse parts of a step touch rows all over W_dec,
 * and with 4 KiB pages each of them would miss the TLB. Throws std::bad_alloc. */
void *allocate_zeroed(int64_t bytes);
void release(void *memory, int64_t bytes) noexcept;

template <typename T>
class Block {
  public:
    Block() = default;
    explicit Block(int64_t count) : start(static_cast<T *>(allocate_zeroed(count * sizeof(T)))), length(count) {}
    Block(Block &&other) noexcept
        : start(std::exchange(other.start, nullptr)), length(std::exchange(other.length, 0)) {}
    Block &operator=(Block &&other) noexcept {
        std::swap(start, other.start);
        std::swap(length, other.length);
        return *this;
    }
    ~Block() { release(start, bytes()); }

    T *data() const { return start; }
    T &operator[](int64_t i) const { return start[i]; }
    int64_t size() const { return length; }
    int64_t bytes() const { return length * static_cast<int64_t>(sizeof(T)); }

    /* Room for at least count elements; the contents are lost. */
    void grow(int64_t count) {
        if (count > length) {
            *this = Block(); /* free first, then allocate */
            *this = Block(count);
        }
    }

  private:
    T *start = nullptr;
    int64_t length = 0;
};

} // namespace sae::cpu
#endif
