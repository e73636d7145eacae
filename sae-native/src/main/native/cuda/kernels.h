/*
 * kernels.h: every launcher, in the order a training step uses them. Formulas, shapes and costs are at the top of the
 * .cuh file named with each. Pointers are device addresses; scratch is the caller's; nothing here allocates or waits.
 * B rows, d = d_in, m = d_sae. Unless a kernel's file says otherwise, ptxas 13.0 reports no spills on sm_80 and sm_90a.
 */
#ifndef SAE_CUDA_KERNELS_H
#define SAE_CUDA_KERNELS_H

#include "device.h"
#include "screen.h"

namespace sae::cuda {

constexpr int64_t kSharedKeys = 1024; // top-k up to this k sorts in shared memory
constexpr int64_t kChunk = 64;        // rows of a column sum added by one thread
#ifndef SAE_SUM_BLOCKS                // tests on the CPU make it small
#define SAE_SUM_BLOCKS 256
#endif
constexpr int64_t kSquareBlocks = SAE_SUM_BLOCKS;  // partial sums of squares of one gradient
constexpr int64_t kStretch = 128;                  // list entries summed separately if of one latent
constexpr int64_t kCollectBlocks = SAE_SUM_BLOCKS; // partial sums of a step's squares
constexpr int kCollected = 6;                      // sums of squares: of e, r, g, z, dz, z_aux

/* A matrix whose rows are gathered by index, many times each. */
struct Gathered {
    const void *rows; // float32, or bfloat16
    int64_t stride;   // elements from one row to the next; a multiple of 4 if the number of columns is
    bool bf16;
};

/* ---- what a step keeps on the device ---- */

struct StepTotals { // of a batch, or of several parts of one; losses times a weight
    double reconstruction;
    double aux;
    double active;
    double squared_error;
    double variance;
};

struct StepStatus {  // of a trainer
    int bad_row;     // first row of this batch, or of a part of it, with NaN or infinity; kNoBadRow: none
    int refused_row; // the same for the last refused batch, until trainer_stats reports it
    int64_t steps;   // SAE_STATE_STEPS
    double stats[SAE_STAT_COUNT];
    StepTotals parts; // sums of this step so far, weighted by rows; unused by the fused step
};

struct StepSums { // of one step
    double lr;
    double squared_error;
    double variance; // of x about its column means, summed over columns
    double squared_residual;
    double residual_variance; // of e about its column means, summed over columns
    double active;
    double error_scale; // dL/dx_hat = error_scale e + aux_scale r
    double aux_scale;
    double clip;
    double step_size;         // lr / (1 - beta1^t)
    double second_correction; // 1 / sqrt(1 - beta2^t)
    double input_squares;     // of the encoder's input
    int needs_norm;           // 1: the bound does not rule out clipping
    uint32_t encoder_seed;    // for this step's stochastic rounding
    uint32_t decoder_seed;
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

/* The kept values of a batch by latent, with their gradients. */
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
struct PrepareRows {
    const float *x;     // [rows, d_in]
    const float *b_dec; // [d_in], null: nothing is subtracted
    int64_t rows;
    int64_t d_in;
    float *centred; // [rows, d_in], null together with b_dec
    int *bad_row;
    uint16_t *rounded; // bf16 [rows, depth]; null: not wanted
    RowBound *bounds;
    int64_t depth;
};
cudaError_t launch_prepare_rows(const PrepareRows &rows, cudaStream_t stream);

/* matmul_nt.cuh: c [m, n] = a [m, inner] b^T; b_rows, n_active and bias may be null */
cudaError_t launch_matmul_nt(const float *a, int64_t m, const float *b, int64_t n, int64_t inner, const int *b_rows,
                             const int *n_active, const float *bias, float *c, cudaStream_t stream);

/* topk.cuh: keys is scratch of topk_scratch(rows, k) elements; n_active and names may be null */
int64_t topk_scratch(int64_t rows, int64_t k);
cudaError_t launch_topk(const float *scores, int64_t rows, int64_t columns, const int *n_active, const int *names,
                        int64_t k, uint64_t *keys, int *indices, float *values, cudaStream_t stream);

/* decode.cuh */
cudaError_t launch_decode(const int *indices, const float *values, int64_t rows, int64_t k, const Gathered &w_dec,
                          const float *b_dec, int64_t d_in, int64_t d_sae, float *x_hat, int *bad_row,
                          cudaStream_t stream);
cudaError_t launch_error(const int *indices, const float *values, int64_t rows, int64_t k, const float *w_dec,
                         const float *b_dec, const float *x, int64_t d_in, float *error, cudaStream_t stream);
cudaError_t launch_residual(const int *indices, const float *values, int64_t rows, int64_t k, const float *w_dec,
                            const float *error, int64_t d_in, float *residual, cudaStream_t stream);

/* dead.cuh: in_block is scratch [divide_up(m, kThreads)]; `idle` is read and `counted` written; they may be the same */
struct Firing {
    const int64_t *offsets; // lists of this batch or part; null: use only the record
    unsigned char *record;  // [m] whether a latent has fired in this step's parts so far; null: a step is one batch
    bool first;             // part of the step: the record's old contents are ignored
};
struct IdleCounters {
    int64_t *batches; // [m]
    int64_t *rows;    // [m]
};
struct DeadRule { // 0: off
    int64_t after_batches;
    int64_t after_rows;
};
struct DeadLatents {
    int *list;    // [m]
    int *rank;    // [m]
    int *counts;  // [1 + parts]; parts more for launch_gate_dead
    int64_t part; // dead latents in a part
    int64_t parts;
};
cudaError_t launch_dead(const DeadRule &rule, const Firing &firing, int64_t rows, int64_t d_sae,
                        const StepStatus *status, const IdleCounters &idle, const IdleCounters &counted, int *in_block,
                        const DeadLatents &out, cudaStream_t stream);
/* the parts' counts again, for a pass that runs only if *only_if */
cudaError_t launch_gate_dead(const int *only_if, const DeadLatents &dead, cudaStream_t stream);

/* ---- losses: losses.cuh ---- */

/* sums [columns] = sum over rows of weights[row] a[row]; partials: scratch of column_scratch(rows, columns) */
int64_t column_scratch(int64_t rows, int64_t columns);
cudaError_t launch_column_sums(const float *a, const float *weights, int64_t rows, int64_t columns, double *partials,
                               double *sums, cudaStream_t stream, const int *only_if = nullptr);
/* total = sum of (a - column mean)^2, or of a^2 when column_sums is null; squares: scratch [rows] */
cudaError_t launch_squares_about(const float *a, const double *column_sums, int64_t rows, int64_t columns,
                                 double *squares, double *total, cudaStream_t stream);
cudaError_t launch_count_active(const float *values, int64_t entries, double *total, cudaStream_t stream);
/* for a part, weighted by its rows */
cudaError_t launch_scales(const LossOptions &options, int64_t rows, int64_t d_in, const int *n_dead, bool first,
                          StepSums *sums, StepStatus *status, cudaStream_t stream);
cudaError_t launch_output_gradient(const StepSums *sums, bool detach, int64_t count, float *error, float *residual,
                                   cudaStream_t stream);

/* ---- backward ---- */

/* csc.cuh */
struct CscScratch {
    uint32_t *keys_in;    // [entries]
    uint32_t *entries_in; // [entries]
    void *sort;           // sort_bytes, from csc_scratch
    int64_t sort_bytes;
};
cudaError_t csc_scratch(int64_t entries, int64_t d_sae, int64_t *bytes);
cudaError_t launch_csc(const int *indices, const float *values, int64_t entries, int64_t d_sae,
                       const CscScratch &scratch, uint32_t *order, uint32_t *sorted, int64_t *offsets,
                       cudaStream_t stream);

/* backward.cuh */
cudaError_t launch_latent_gradient(const int *indices, const float *values, int64_t rows, int64_t k, const float *w_dec,
                                   const float *gradient, int64_t d_in, float *dz, cudaStream_t stream);
cudaError_t launch_weight_gradient(const SparseList &kept, const SparseList &aux, const float *input, int64_t d_in,
                                   int64_t d_sae, bool add, float *dw_enc, float *dw_dec, float *db_enc,
                                   cudaStream_t stream);
template <typename Output> // double or float
cudaError_t launch_decoder_bias_gradient(const Output *outputs, const double *through_encoder, int64_t d_in,
                                         float *db_dec, cudaStream_t stream);

/* accumulate.cuh: into = from, or into += from */
template <typename From> // double or float
cudaError_t launch_put(const From *from, int64_t count, bool add, float *into, cudaStream_t stream);
cudaError_t launch_put_fired(const unsigned char *from, int64_t count, bool add, unsigned char *into,
                             cudaStream_t stream);
cudaError_t launch_put_totals(const StepStatus *from, bool add, StepStatus *into, cudaStream_t stream);

/* ---- update: adam.cuh ---- */

/* partials [kSquareBlocks] */
cudaError_t launch_squares(const float *gradient, int64_t count, double *partials, cudaStream_t stream);
/* partials [count]; count 0: clipping is off. Gradients are weighted by rows; `rows` is their total. */
cudaError_t launch_prepare_update(const double *partials, int64_t count, int64_t rows, const int *n_dead,
                                  const AdamOptions &options, StepSums *sums, StepStatus *status, cudaStream_t stream);
template <typename Moment> // float or Bf16
cudaError_t launch_update(const float *gradient, int64_t count, const AdamOptions &options, const StepSums *sums,
                          const StepStatus *status, float *parameters, Moment *first, Moment *second,
                          cudaStream_t stream);
template <typename Moment>
cudaError_t launch_update_decoder(const float *gradient, int64_t d_in, int64_t d_sae, const AdamOptions &options,
                                  const StepSums *sums, const StepStatus *status, float *w_dec, Moment *first,
                                  Moment *second, cudaStream_t stream);

/* ---- the fused step ---- */

/* batch.cuh: partials: scratch of batch_scratch(rows, d_in); moments [2, d_in]; b_dec and centred null: x is the input */
int64_t batch_scratch(int64_t rows, int64_t d_in);
cudaError_t launch_prepare_batch(const float *x, const float *b_dec, int64_t rows, int64_t d_in, float *centred,
                                 int *bad_row, double *partials, double *moments, cudaStream_t stream);

/* forward.cuh */
struct ForwardInputs {
    int64_t rows, k, d_in, slices; // slices = forward_slices(d_in, k)
    const int *indices;            // [rows, k]
    const float *values;           // [rows, k]
    Gathered w_dec;
    const float *b_dec;
    const float *x;
    const int *n_dead; // null: no auxiliary loss
    const StepSums *sums;
    bool detach;
};
struct ForwardOutputs {
    float *gradient;     // [rows, d_in]
    uint16_t *rounded;   // the same in bf16, in rows of w_dec.stride elements; null: not wanted
    float *aux_gradient; // [rows, d_in]: z_aux W_dec on entry, its gradient on return; null: no auxiliary loss
    float *dz_parts;     // [slices, rows k]
    double *squares;     // [3, slices rows]
};
int64_t forward_slices(int64_t d_in, int64_t k);
cudaError_t launch_forward(const ForwardInputs &in, const ForwardOutputs &out, cudaStream_t stream);

/* lists.cuh */
struct ListInputs {
    int64_t entries, k, d_sae, slices;
    const uint32_t *order;
    const int64_t *offsets;
    const float *values;
    const float *dz_parts;
    const float *aux_values; // [aux_entries]
    int64_t aux_entries;
    const int *n_dead; // null: no auxiliary loss
};
struct LatentLists {
    uint32_t *rows; // [entries], by list position
    float *z;
    float *dz;
    float *by_z; // [entries / kStretch, d_in]
    float *by_dz;
    float *bias; // [entries / kStretch]
};
cudaError_t launch_collect(const ListInputs &in, const double *forward_squares, int64_t forward_blocks,
                           const LatentLists &lists, double *partials, cudaStream_t stream);
cudaError_t launch_stretches(const LatentLists &lists, const uint32_t *sorted, int64_t entries, int64_t d_sae,
                             const Gathered &gradient, const Gathered &input, int64_t d_in, cudaStream_t stream);

/* aux_dense.cuh */
struct DensePart {
    int64_t first;      // rank of the first dead latent of the part
    int64_t most;       // most latents a part can have: the row length of z and dz
    const int *count;   // number of latents in the part
    const int *latents; // their indices
};
cudaError_t launch_scatter(const DensePart &part, const int *indices, const float *values, int64_t rows, int64_t k,
                           const int *rank, float *z, cudaStream_t stream);
cudaError_t launch_scatter(const DensePart &part, const int *indices, const float *values, int64_t rows, int64_t k,
                           const int *rank, uint16_t *z, cudaStream_t stream);
cudaError_t launch_reconstruct_dead(const DensePart &part, const float *z, const float *w_dec, int64_t rows,
                                    int64_t d_in, float *out, cudaStream_t stream);
cudaError_t launch_dense_gradients(const DensePart &part, const float *z, const float *dz, const float *aux_gradient,
                                   const float *input, int64_t rows, int64_t d_in, float *by_z, float *by_dz,
                                   float *bias, cudaStream_t stream);

/* aux_bf16.cuh: the same with bf16 operands; `most` is a multiple of kLatentGroup. Transposed operands are
 * zero-padded. */
struct DeadBf16 {
    int64_t rows, padded_rows; // B; B': the next multiple of kDepthStep
    int64_t d_in, d_sae;
    const int *n_dead;
    Gathered decoder;              // bf16 [d_sae, depth]
    const uint16_t *input;         // [B, depth]
    uint16_t *z;                   // [B, most]
    float *dz;                     // [B, most]
    uint16_t *z_transposed;        // [most, B']
    uint16_t *dz_transposed;       // [most, B']
    double *bias_parts;            // [B' / kDepthStep, most]
    uint16_t *decoder_transposed;  // [d, most]
    uint16_t *gradient;            // [B, depth]: of the auxiliary loss
    uint16_t *gradient_transposed; // [d, B']
    uint16_t *input_transposed;    // [d, B']
};
cudaError_t launch_reconstruct_dead(const Context &context, const DeadBf16 &dead, const DensePart &part, float *out);
cudaError_t launch_transpose_batch(const DeadBf16 &dead, const float *aux_gradient, cudaStream_t stream);
cudaError_t launch_dense_gradients(const Context &context, const DeadBf16 &dead, const DensePart &part, float *by_z,
                                   float *by_dz, float *bias);

/* row_update.cuh */
struct MatrixState {
    float *weights;
    void *first; // float32, or bfloat16 with bf16_moments
    void *second;
};
struct DenseGradients { // for a part of the dead latents
    const float *by_z;  // [most, d_in]
    const float *by_dz;
    const float *bias;
    const int *count; // null: this launch handles the live latents
    const int *latents;
};
struct RowUpdate {
    int64_t d_in, d_sae, group, groups;
    const int64_t *offsets;
    LatentLists lists;
    Gathered gradient, input; // both float32 or both bf16
    DenseGradients dense;
    const int *dead_rank; // null: no auxiliary loss
    MatrixState encoder, decoder, b_enc;
    ShadowView shadow;         // of the new W_enc; none if `rounded` is null
    uint16_t *rounded_decoder; // of the new W_dec, in rows of shadow.depth elements; null: none
    bool train_decoder, train_b_enc, norm_only;
    AdamOptions adam;
    const StepSums *sums;
    const StepStatus *status;
    double *by_group; // [3, groups]
    float *through;   // [groups, d_in]
};
bool row_update_fits(int64_t d_in); // whether a row fits the registers of a block
int64_t row_update_group(int64_t d_sae);
cudaError_t launch_row_update(const RowUpdate &update, bool bf16_moments, int64_t most_rows, cudaStream_t stream);

/* step_sums.cuh */
struct ClipBound {
    double rows;
    bool subtract_b_dec, train_decoder, train_b_enc;
    const double *weight_squares; // [2]: of W_enc and of W_dec
};
/* Sets lr in sums and clears the bad row in status; either may be null. */
cudaError_t launch_begin_step(double lr, StepSums *sums, StepStatus *status, cudaStream_t stream);
/* partials: scratch [2, kSquareBlocks]; weight_squares [2]: of W_enc and W_dec, `count` elements each */
cudaError_t launch_weight_squares(const float *w_enc, const float *w_dec, int64_t count, double *partials,
                                  double *weight_squares, cudaStream_t stream);
cudaError_t launch_batch_scales(const LossOptions &options, const double *moments, int64_t rows, int64_t d_in,
                                const int *n_dead, StepSums *sums, cudaStream_t stream);
cudaError_t launch_decide(const double *collected, const int64_t *active, const int *n_dead, const ClipBound &bound,
                          const AdamOptions &options, StepSums *sums, StepStatus *status, cudaStream_t stream);
cudaError_t launch_clip(const double *by_group, int64_t groups, const float *b_dec_gradient, int64_t d_in,
                        const AdamOptions &options, StepSums *sums, cudaStream_t stream);
cudaError_t launch_finish_step(const double *by_group, int64_t groups, const float *b_dec_gradient, int64_t d_in,
                               const AdamOptions &options, bool train_decoder, double *weight_squares,
                               StepStatus *status, cudaStream_t stream);

} // namespace sae::cuda
#endif
