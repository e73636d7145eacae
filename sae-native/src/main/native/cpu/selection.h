/* selection.h: the k largest positive values of one row, seen block by block in the order of their indices. */
#ifndef SAE_CPU_SELECTION_H
#define SAE_CPU_SELECTION_H

#include <cstdint>
#include <vector>

#include "kernels.h"

namespace sae::cpu {

class Selection {
  public:
    Selection(const Kernels &isa, int64_t most, int64_t of);

    bool is_for(int64_t most, int64_t of) const { return k == most && latents == of; }
    void reset();
    /* p[i] is the value at index base + i; base grows from call to call. */
    void add(const float *p, int64_t n, int64_t base);
    /* The value is only known to be within scale * margin[i] of p[i]. False: too many could be among the k largest. */
    bool add_screened(const float *p, const float *margin, float scale, int64_t n, int64_t base);
    /* After add_screened: the candidates for the k largest, as indices... */
    const std::vector<int32_t> &contenders();
    /* ... and their true values, from which finish() then chooses. */
    void settle(const float *values);
    /* The number of chosen keys (at most k); they are keys()[0 ...], unordered. */
    int64_t finish();
    /* The same in order: value descending, then lower index. */
    int64_t finish_sorted();
    const uint64_t *keys() const { return candidates.data(); }

  private:
    void raise_least(const float *p, const float *margin, float scale, int64_t n);
    int64_t room() const;
    void drop_below_bound();
    void prune();

    const Kernels *kernels;
    int64_t k;
    int64_t latents;
    std::vector<float> groups; /* empty: too few latents for them to be of use */
    std::vector<uint64_t> candidates;
    std::vector<uint64_t> sorted;
    std::vector<int32_t> remaining;
    int64_t count = 0;
    float bound = 0; /* lower bound on the k-th largest */
    float least = 0; /* later values below this cannot be among the k largest */
};

} // namespace sae::cpu
#endif
