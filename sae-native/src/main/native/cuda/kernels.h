/*
 * kernels.h: every launcher, in the order a training step uses them. Formulas, shapes and costs are at the top of the
 * .cuh file named with each. Pointers are device addresses; scratch is the caller's; nothing here allocates or waits.
 * B rows, d = d_in, m = d_sae. ptxas 13.0 reports no spills and no stack frame for any kernel on sm_80 and sm_90a.
 */
#ifndef SAE_CUDA_KERNELS_H
#define SAE_CUDA_KERNELS_H

#include "device.h"

namespace sae::cuda {

constexpr int64_t kSharedKeys = 1024;  // top-k up to this k sorts in shared memory
constexpr int64_t kChunk = 64;         // rows of a column sum added by one thread
constexpr int64_t kSquareBlocks = 256; // partial sums of squares of one gradient

/* ---- what a step keeps on the device ---- */

struct StepStatus {  // of a trainer
    int bad_row;     // first row of this batch with NaN or infinity; kNoBadRow: none
    int refused_row; // the same of the last batch that was refused, until trainer_stats reports it
    int64_t steps;   // SAE_STATE_STEPS
    double stats[SAE_STAT_COUNT];
};

struct StepSums { // of one step
    double squared_error;
    double variance; // of x about its column means, summed
    double squared_residual;
    double residual_variance; // of e about its column means, summed
    double active;
    double error_scale; // dL/dx_hat = error_scale e + aux_scale r
    double aux_scale;
    double clip;
    double step_size;         // lr / (1 - beta1^t)
    double second_correction; // 1 / sqrt(1 - beta2^t)
};

struct LossOptions {
    int loss;     // SAE_LOSS_*
    int aux_norm; // SAE_AUX_*
    double aux_coefficient;
    double aux_k;
    bool aux_scale_by_dead;
};

struct AdamOptions {
    double beta1;
    double beta2;
    double eps;
    double clip_norm;
    int decoder_norm; // SAE_DECODER_NORM_*
    bool project_gradient;
};

/* The kept values of a batch by latent, with what flows into each. */
struct SparseList {
    int64_t k = 0;                    // entry e belongs to row e / k
    const uint32_t *order = nullptr;  // [B k]
    const int64_t *offsets = nullptr; // [m + 1]; null: an empty list
    const float *values = nullptr;    // [B, k]
    const float *dz = nullptr;        // [B, k]
    const float *gradient = nullptr;  // [B, d]
};

/* ---- forward ---- */

/* encode_topk.cuh */
cudaError_t launch_prepare_rows(const float *x, const float *b_dec, int64_t rows, int64_t d_in, float *centred,
                                int *bad_row, cudaStream_t stream);

/* matmul_nt.cuh: c [m, n] = a [m, inner] b^T; b_rows, n_active and bias may be null */
cudaError_t launch_matmul_nt(const float *a, int64_t m, const float *b, int64_t n, int64_t inner, const int *b_rows,
                             const int *n_active, const float *bias, float *c, cudaStream_t stream);

/* topk.cuh: keys is scratch of topk_scratch(rows, k) elements; n_active and names may be null */
int64_t topk_scratch(int64_t rows, int64_t k);
cudaError_t launch_topk(const float *scores, int64_t rows, int64_t columns, const int *n_active, const int *names,
                        int64_t k, uint64_t *keys, int *indices, float *values, cudaStream_t stream);

/* decode.cuh */
cudaError_t launch_decode(const int *indices, const float *values, int64_t rows, int64_t k, const float *w_dec,
                          const float *b_dec, int64_t d_in, int64_t d_sae, float *x_hat, int *bad_row,
                          cudaStream_t stream);
cudaError_t launch_error(const int *indices, const float *values, int64_t rows, int64_t k, const float *w_dec,
                         const float *b_dec, const float *x, int64_t d_in, float *error, cudaStream_t stream);
cudaError_t launch_residual(const int *indices, const float *values, int64_t rows, int64_t k, const float *w_dec,
                            const float *error, int64_t d_in, float *residual, cudaStream_t stream);

/* dead.cuh: fired is scratch [m] */
cudaError_t launch_dead(const int *indices, const float *values, int64_t rows, int64_t k, int64_t d_sae,
                        int64_t after_batches, int64_t after_rows, const StepStatus *status, int *fired,
                        int64_t *idle_batches, int64_t *idle_rows, int *dead_list, int *n_dead, cudaStream_t stream);

/* ---- losses: losses.cuh ---- */

/* sums [columns] = sum over rows of weights[row] a[row]; partials: scratch of column_scratch(rows, columns) */
int64_t column_scratch(int64_t rows, int64_t columns);
cudaError_t launch_column_sums(const float *a, const float *weights, int64_t rows, int64_t columns, double *partials,
                               double *sums, cudaStream_t stream);
/* total = sum of (a - column mean)^2, or of a^2 when column_sums is null; squares: scratch [rows] */
cudaError_t launch_squares_about(const float *a, const double *column_sums, int64_t rows, int64_t columns,
                                 double *squares, double *total, cudaStream_t stream);
cudaError_t launch_count_active(const float *values, int64_t entries, double *total, cudaStream_t stream);
cudaError_t launch_scales(const LossOptions &options, int64_t rows, int64_t d_in, const int *n_dead, StepSums *sums,
                          StepStatus *status, cudaStream_t stream);
cudaError_t launch_output_gradient(const StepSums *sums, bool detach, int64_t count, float *error, float *residual,
                                   cudaStream_t stream);

/* ---- backward ---- */

/* csc.cuh */
struct CscScratch {
    uint32_t *keys_in;    // [entries]
    uint32_t *keys_out;   // [entries]
    uint32_t *entries_in; // [entries]
    void *sort;           // sort_bytes, what csc_scratch says
    int64_t sort_bytes;
};
cudaError_t csc_scratch(int64_t entries, int64_t d_sae, int64_t *bytes);
cudaError_t launch_csc(const int *indices, const float *values, int64_t entries, int64_t d_sae,
                       const CscScratch &scratch, uint32_t *order, int64_t *offsets, cudaStream_t stream);

/* backward.cuh */
cudaError_t launch_latent_gradient(const int *indices, const float *values, int64_t rows, int64_t k, const float *w_dec,
                                   const float *gradient, int64_t d_in, float *dz, cudaStream_t stream);
cudaError_t launch_weight_gradient(const SparseList &kept, const SparseList &aux, const float *input, int64_t d_in,
                                   int64_t d_sae, float *dw_enc, float *dw_dec, float *db_enc, cudaStream_t stream);
cudaError_t launch_decoder_bias_gradient(const double *outputs, const double *through_encoder, int64_t d_in,
                                         float *db_dec, cudaStream_t stream);

/* ---- update: adam.cuh ---- */

/* partials [kSquareBlocks] */
cudaError_t launch_squares(const float *gradient, int64_t count, double *partials, cudaStream_t stream);
/* partials [count]; count 0: clipping is off */
cudaError_t launch_prepare_update(const double *partials, int64_t count, const AdamOptions &options, double lr,
                                  StepSums *sums, StepStatus *status, cudaStream_t stream);
cudaError_t launch_update(const float *gradient, int64_t count, const AdamOptions &options, const StepSums *sums,
                          const StepStatus *status, float *parameters, float *first, float *second,
                          cudaStream_t stream);
cudaError_t launch_update_decoder(const float *gradient, int64_t d_in, int64_t d_sae, const AdamOptions &options,
                                  const StepSums *sums, const StepStatus *status, float *w_dec, float *first,
                                  float *second, cudaStream_t stream);

} // namespace sae::cuda
#endif
