/*
 * operations.h: the functions of the backend table (backend_table.h), one .cu file per group, and their shared helpers.
 * abi.cpp has checked every argument before it calls one of these.
 */
#ifndef SAE_CUDA_OPERATIONS_H
#define SAE_CUDA_OPERATIONS_H

#include "kernels.h"
#include "screen.h"

namespace sae::cuda {

/* Scratch of an encode: the pre-activations that exist at a time, and the lists taken from them. */
struct Selection {
    int64_t rows;
    int64_t k;           // of the current choice
    int64_t chunk;       // rows whose pre-activations are all stored at a time
    int64_t listed_rows; // rows with a list at a time; 0: no lists
    int64_t capacity;    // of a list
    int64_t scored;      // elements of `scores`
    float *scores;
    uint64_t *keys;
    RowsView rounded; // null without a shadow
    uint64_t *list;
    int *count;
    float *threshold;
    int *overflowed;
    int *n_overflowed;

    /* k: of the choice among all latents; widest: the largest k of any choice */
    Selection(Carver &carver, const Params &params, int64_t rows, int64_t k, int64_t widest);
};

/* among and n_among: the list of latents to choose from and its length, on the device; null: all. */
void select_latents(const Params &params, const Selection &selection, const float *input, const int *among,
                    const int *n_among, int *indices, float *values);

/* Rows the encoder reads: x itself, or x - b_dec in `centred`; and the screen's view of them, in `selection`.
 * Lowers bad_row to the first row that is not finite. */
const float *prepare_rows(const Params &params, const Selection &selection, const float *x, int64_t rows,
                          float *centred, int *bad_row);

/* The same for rows that are already prepared, by whatever means. */
void round_rows(const Params &params, const Selection &selection, const float *input, int64_t rows, int *bad_row);

/* Bytes of the shadow: 0 if the context or the shape does not use one. */
int64_t shadow_bytes(const Params &params);
/* Bytes of W_dec in bf16: 0 without precision=bf16. */
int64_t rounded_decoder_bytes(const Params &params);
/* Allocates both. */
void make_shadow(Params &params);
ShadowView shadow_view(const Params &params);
/* Rebuilds the shadow if the parameters have changed. select_latents does so too; call this before capturing a
 * graph. */
void refresh_shadow(const Params &params);
/* W_dec for the sparse products, up to date. */
Gathered gathered_decoder(const Params &params);
/* Marks the parameters as changed by something other than the fused step, which keeps the copies current. */
void mark_changed(const Params &params);

/* Refuses more rows than one call can take: row numbers and entries are 32-bit on the device. */
void require_size(int64_t rows, int64_t k);

/* rows 0: the row is in some part of a step, it is not known which */
std::string nonfinite_text(int row, int64_t rows);

/* The first bad row, an int on the device. read_bad_row waits for everything before it. */
void clear_bad_row(const Context &context, int *bad_row);
int read_bad_row(const Context &context, const int *bad_row);

sae_status probe(char *text, int64_t capacity);
sae_status context_open(const char *options, void **context);
sae_status context_describe(void *context, char *text, int64_t capacity);
sae_status context_synchronize(void *context);
int64_t context_stream(void *context);
sae_status context_order(void *context, int64_t stream, int32_t direction);
void context_close(void *context);

sae_status buffer_create(void *context, int64_t bytes, int32_t place, void **buffer);
sae_status buffer_wrap(void *context, int64_t address, int64_t bytes, int32_t place, void **buffer);
int64_t buffer_address(void *buffer);
sae_status buffer_write(void *buffer, int64_t offset, const void *source, int64_t bytes);
sae_status buffer_read(void *buffer, int64_t offset, void *target, int64_t bytes);
sae_status buffer_upload(void *buffer, int64_t bytes);
void buffer_close(void *buffer);
sae_status buffer_detach(void *buffer, void **memory);
void memory_close(void *memory);

sae_status params_create(void *context, int64_t d_in, int64_t d_sae, int32_t flags, void **params, int64_t *live_bytes);
sae_status params_write(void *params, int32_t tensor, int64_t first, const float *source, int64_t count);
sae_status params_read(void *params, int32_t tensor, int64_t first, float *target, int64_t count);
void params_close(void *params);

sae_status encode_topk(void *params, void *x, int64_t rows, int64_t k, void *indices, void *values);
sae_status decode(void *params, void *indices, void *values, int64_t rows, int64_t k, void *x_hat);
sae_status matmul_nt(void *context, void *a, int64_t m, void *b, int64_t n, int64_t inner, void *c);
sae_status gather_rows(void *context, void *from, int64_t from_rows, int64_t columns, void *rows, int64_t first,
                       int64_t count, double factor, void *into);

sae_status trainer_create(void *params, const double *options, void **trainer, int64_t *live_bytes);
sae_status train_step(void *trainer, void *x, int64_t rows, double lr);
sae_status train_accumulate(void *trainer, void *x, int64_t first, int64_t rows, int64_t pending);
sae_status train_apply(void *trainer, int64_t pending, double lr);
sae_status trainer_add(void *into, int64_t into_pending, void *from);
sae_status trainer_copy(void *into, void *from);
sae_status trainer_stats(void *trainer, double *values);
sae_status trainer_write(void *trainer, int32_t state, int64_t first, const void *source, int64_t count);
sae_status trainer_read(void *trainer, int32_t state, int64_t first, void *target, int64_t count);
void trainer_close(void *trainer);

} // namespace sae::cuda
#endif
