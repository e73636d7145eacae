/*
 * operations.h: the CPU backend's objects and its operations. One file per operation; backend.cpp puts them into the
 * table. Arguments are checked above (common/abi.cpp).
 */
#ifndef SAE_CPU_OPERATIONS_H
#define SAE_CPU_OPERATIONS_H

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "blas.h"
#include "guard.h"
#include "kernels.h"
#include "memory.h"
#include "pool.h"
#include "screen.h"
#include "selection.h"

namespace sae::cpu {

/* A worker's entries of ragged rows. */
struct EntryList {
    std::vector<int32_t> indices;
    std::vector<float> values;
};

enum class Products { kAuto, kSparse, kDense }; /* option products: of a step's entries (dense_step.cpp) */

struct Context {
    const Kernels &kernels;
    const ScreenKernels *screen; /* null: this processor gains nothing from one */
    Blas blas;
    Pool pool;
    Products products = Products::kAuto;
    std::vector<Block<float>> scratch; /* one per worker; grows to the largest operation's needs */
    std::vector<EntryList> lists;      /* likewise */
    Block<float> centred;              /* x - b_dec of the batch being encoded */
    Block<uint16_t> rounded;           /* the same, or x, in bfloat16 */

    Context(const Kernels &isa, const ScreenKernels *bf16, const std::string &blas_path, int threads);

    /* c (+)= a b on the calling worker's thread. */
    void multiply(const Gemm &task, int worker);

    /* `rows` selections, empty, for the calling worker; reused from call to call. */
    std::vector<Selection> &selections(int worker, int64_t rows, int64_t k, int64_t latents);

    int64_t parts(int64_t items, int64_t size) const { return (items + size - 1) / size; }

  private:
    std::vector<Block<float>> gemm_scratch;
    std::vector<std::vector<Selection>> kept_selections;
};

std::unique_ptr<Context> open_context(const char *options);
std::string describe(const Context &context); /* JSON */
std::string describe_device();                /* one line, without a context */

/* Runs task(first, last, part, worker) over [0, items) in parts of `size`. The parts do not depend on the number of
 * threads, so neither do sums taken part by part. */
template <typename Task>
void for_ranges(Context &context, int64_t items, int64_t size, Task &&task) {
    context.pool.run(context.parts(items, size), [&](int64_t part, int worker) {
        task(part * size, std::min(items, (part + 1) * size), part, worker);
    });
}

/* W_enc in the screen's format, kept from call to call. */
struct Shadow {
    bool current = false;
    Block<uint16_t> panels; /* screen.h */
    Block<float> error;     /* [latents] upper bound on |w - rounded w| */
    Block<float> length;    /* [latents] upper bound on |rounded w| */
};

struct Params {
    Context &context;
    const int64_t d_in;
    const int64_t d_out;
    const int64_t d_sae;
    const int32_t flags;
    Block<float> tensors[SAE_W_SKIP + 1]; /* by SAE_W_ENC ...; empty without their flag */
    /* Upper bound on the norm of the longest row of W_enc; negative: unknown. */
    double longest_encoder_row = 0;
    Shadow shadow;

    Params(Context &owner, int64_t d_in, int64_t d_out, int64_t d_sae, int32_t flags);

    float *w_enc() const { return tensors[SAE_W_ENC].data(); }
    float *b_enc() const { return tensors[SAE_B_ENC].data(); }
    float *w_dec() const { return tensors[SAE_W_DEC].data(); }
    float *b_dec() const { return tensors[SAE_B_DEC].data(); }
    /* What the encoder subtracts from its input; null if nothing. */
    const float *shift() const { return (flags & SAE_SUBTRACT_B_DEC) != 0 ? b_dec() : nullptr; }
    int64_t live_bytes() const;
    /* Call after W_enc is written. */
    void encoder_changed(double longest_row) {
        longest_encoder_row = longest_row;
        shadow.current = false;
    }
};

/* SAE_NONFINITE with the first row that has a NaN or an infinity. */
void require_finite(Context &context, const float *x, int64_t rows, int64_t d_in);

/* A linear layer whose ReLU'd outputs are the candidates. */
struct Encoder {
    const float *weights; /* [latents, d_in] */
    const float *bias;    /* [latents]; null: zero */
    int64_t d_in;
    int64_t latents;
    Shadow *shadow;              /* null: do not screen */
    const float *rank = nullptr; /* [latents] >= 0: factors of the outputs; null: 1 */

    /* outputs[i] *= rank[first + i] */
    void scale(float *outputs, int64_t first, int64_t count) const {
        for (int64_t i = 0; rank != nullptr && i < count; i++) {
            outputs[i] *= rank[first + i];
        }
    }
};

/* The top k of ReLU(input w + bias), input already centred; sae_abi.h has the order and the ties. */
void encode_topk(Context &context, const Encoder &encoder, const float *input, int64_t rows, int64_t k,
                 int32_t *indices, float *values);

Encoder encoder_of(Params &params);

/* The same through the screen. False: the screen cannot decide here, and nothing was written. */
bool encode_screened(Context &context, const Encoder &encoder, const float *input, int64_t rows, int64_t k,
                     int32_t *indices, float *values);

/* Parts of encoding that both paths share: one tile of rows through sgemm and selection; one row's result. */
void encode_tile(Context &context, const Encoder &encoder, const float *input, int64_t rows, int64_t k, int worker,
                 int32_t *indices, float *values);
void write_chosen(Selection &selection, int64_t k, int32_t *indices, float *values);
/* `chosen` <= k keys in order, then 0 at the lowest indices not among them. */
void write_keys(const uint64_t *keys, int64_t chosen, int64_t k, int32_t *indices, float *values);
/* The height of a tile whose rows choose k latents each. */
int64_t tile_rows(const Context &context, int64_t rows, int64_t k);

/* Checks a batch, and subtracts what the encoder subtracts. The result is valid until the next operation. */
const float *encoder_input(Params &params, const float *x, int64_t rows);

/* Encoded rows; offsets null: k latents a row. */
struct Latents {
    int32_t *offsets;
    int32_t *indices;
    float *values;
    int64_t k;
    int64_t room;

    int64_t begin(int64_t row) const { return offsets == nullptr ? row * k : offsets[row]; }
    int64_t end(int64_t row) const { return begin(row + 1); }
};

void encode_topk(Params &params, const float *x, int64_t rows, int64_t k, int32_t *indices, float *values);
void encode_abs(Params &params, const float *x, int64_t rows, int64_t k, int32_t *indices, float *values);
/* The same of what the encoder reads (encoder_input). */
void encode_abs(Context &context, const Encoder &encoder, const float *input, int64_t rows, int64_t k, int32_t *indices,
                float *values);
void encode_groups(Params &params, const float *x, int64_t rows, int64_t k, int32_t *indices, float *values);
/* These return the number of entries; if there is no room for so many, or it exceeds kMostEntries, nothing is written. */
constexpr int64_t kMostEntries = INT32_MAX; /* offsets are int32 */
int64_t encode_batch(Params &params, const float *x, int64_t rows, int64_t k, const Latents &into);
/* The same of what the encoder reads (encoder_input). */
int64_t encode_batch(Context &context, const Encoder &encoder, const float *input, int64_t rows, int64_t k,
                     const Latents &into);
int64_t encode_threshold(Params &params, const float *x, int64_t rows, const Latents &into);
/* x: null without SAE_SKIP */
void decode(Params &params, const Latents &latents, int64_t rows, const float *x, float *x_hat);
void matmul_nt(Context &context, const float *a, int64_t m, const float *b, int64_t n, int64_t inner, float *c);

/* gather_rows.cpp */
void gather_rows(Context &context, const float *from, int64_t from_rows, int64_t columns, const int32_t *rows,
                 int64_t count, double factor, float *into);

} // namespace sae::cpu
#endif
