/* encode_topk.cu: sae_encode_topk: prepare rows, dense scores by chunks of rows (matmul_nt.cuh), top-k (topk.cuh). */
#include "encode_topk.cuh"

#include <algorithm>

#include "operations.h"

namespace sae::cuda {
namespace {

#ifndef SAE_SCORE_BYTES // tests on the CPU make it small
#define SAE_SCORE_BYTES (64 << 20)
#endif
constexpr int64_t kScoreBytes = SAE_SCORE_BYTES; // dense scores that exist at a time
constexpr int64_t kLeastRows = 64;               // fewer rows would leave tiles of the matrix product empty

} // namespace

cudaError_t launch_prepare_rows(const float *x, const float *b_dec, int64_t rows, int64_t d_in, float *centred,
                                int *bad_row, cudaStream_t stream) {
    return launch(prepare_rows_kernel, rows, stream, x, b_dec, d_in, centred, bad_row);
}

void require_size(int64_t rows, int64_t k) {
    if (rows > kNoBadRow / k) {
        fail(SAE_INVALID_ARGUMENT, "expected rows * k <= " + std::to_string(kNoBadRow) +
                                       ", got rows = " + std::to_string(rows) + ", k = " + std::to_string(k));
    }
}

std::string nonfinite_text(int row, int64_t rows) {
    return "expected finite activations, got NaN or infinity in row " + std::to_string(row) + " of " +
           std::to_string(rows);
}

void clear_bad_row(const Context &context, int *bad_row) {
    check(cudaMemsetAsync(bad_row, kNoBadRow & 0xFF, sizeof(int), context.stream), "clearing a check");
}

int read_bad_row(const Context &context, const int *bad_row) {
    int row = 0;
    check(cudaMemcpyAsync(&row, bad_row, sizeof row, cudaMemcpyDeviceToHost, context.stream), "reading a check");
    context.synchronize();
    return row;
}

Selection::Selection(Carver &carver, int64_t rows_, int64_t d_sae, int64_t k_) : rows(rows_), k(k_) {
    const int64_t fitting = kScoreBytes / (d_sae * static_cast<int64_t>(sizeof(float)));
    chunk = std::min(rows, std::max(fitting, kLeastRows));
    scores = carver.take<float>(chunk * d_sae);
    keys = carver.take<uint64_t>(topk_scratch(chunk, k));
}

const float *prepare_rows(const Params &params, const float *x, int64_t rows, float *centred, int *bad_row) {
    const cudaStream_t stream = params.context->stream;
    const bool subtract = params.subtract_b_dec;
    check(launch_prepare_rows(x, subtract ? params.tensor(SAE_B_DEC) : nullptr, rows, params.d_in,
                              subtract ? centred : nullptr, bad_row, stream),
          "preparing rows");
    return subtract ? centred : x;
}

void select_latents(const Params &params, const Selection &selection, const float *input, const int *among,
                    const int *n_among, int *indices, float *values) {
    const cudaStream_t stream = params.context->stream;
    const int64_t k = selection.k;
    for (int64_t first = 0; first < selection.rows; first += selection.chunk) {
        const int64_t rows = std::min(selection.chunk, selection.rows - first);
        check(launch_matmul_nt(input + first * params.d_in, rows, params.tensor(SAE_W_ENC), params.d_sae, params.d_in,
                               among, n_among, params.tensor(SAE_B_ENC), selection.scores, stream),
              "scoring latents");
        check(launch_topk(selection.scores, rows, params.d_sae, n_among, among, k, selection.keys, indices + first * k,
                          values + first * k, stream),
              "choosing the top k");
    }
}

namespace {

struct EncodeScratch {
    int *bad_row;
    Staged<float> x;
    float *centred;
    Selection selection;
    Staged<int> indices;
    Staged<float> values;

    EncodeScratch(Carver &carver, const Params &params, int64_t rows, int64_t k, const Buffer &x_,
                  const Buffer &indices_, const Buffer &values_)
        : bad_row(carver.take<int>(1)), x(carver, x_, rows * params.d_in),
          centred(carver.take<float>(params.subtract_b_dec ? rows * params.d_in : 0)),
          selection(carver, rows, params.d_sae, k), indices(carver, indices_, rows * k),
          values(carver, values_, rows * k) {}
};

} // namespace

sae_status encode_topk(void *handle, void *x, int64_t rows, int64_t k, void *indices, void *values) {
    return guarded([&] {
        const Params &params = *static_cast<Params *>(handle);
        Context &context = *params.context;
        context.activate();
        require_size(rows, k);
        const auto scratch =
            context.scratch.make<EncodeScratch>(params, rows, k, *static_cast<Buffer *>(x),
                                                *static_cast<Buffer *>(indices), *static_cast<Buffer *>(values));
        clear_bad_row(context, scratch.bad_row);
        const float *input = prepare_rows(params, scratch.x.upload(), rows, scratch.centred, scratch.bad_row);
        const int bad = read_bad_row(context, scratch.bad_row);
        if (bad != kNoBadRow) {
            fail(SAE_NONFINITE, nonfinite_text(bad, rows));
        }
        select_latents(params, scratch.selection, input, nullptr, nullptr, scratch.indices.address,
                       scratch.values.address);
        scratch.indices.download();
        scratch.values.download();
    });
}

} // namespace sae::cuda
