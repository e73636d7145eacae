/* ragged.h: rows with as many entries as they need, listed piece by piece by the workers and then put in order. */
#ifndef SAE_CPU_RAGGED_H
#define SAE_CPU_RAGGED_H

#include "operations.h"

namespace sae::cpu {

class RaggedRows {
  public:
    /* A row's entries come in `blocks` pieces, of ascending latents. */
    RaggedRows(Context &context, int64_t rows, int64_t blocks, int64_t room);

    struct Place {
        int32_t *indices;
        float *values;
    };
    /* Where this worker may write `most` entries, and kSlack more that do not count. */
    Place begin(int worker, int64_t most);
    /* How many it has written there: the entries of a row in a block. */
    void end(int worker, int64_t row, int64_t block, int64_t count);
    /* The number of entries. If there is room for them, they are written. */
    int64_t finish(const Latents &into);

    static constexpr int64_t kSlack = 16;

  private:
    struct Piece {
        int64_t start;
        int32_t worker;
        int32_t count;
    };
    struct alignas(64) Used {
        int64_t entries = 0;
    };

    Context &context_;
    const int64_t rows_;
    const int64_t blocks_;
    const int64_t room_;
    std::vector<Piece> pieces_; /* [rows, blocks] */
    std::vector<Used> used_;    /* of the workers' lists */
};

} // namespace sae::cpu
#endif
