/*
 * operations.h: the functions of the backend table (backend_table.h), and their shared helpers.
 * abi.cpp has checked every argument before it calls one of these.
 */
#ifndef SAE_CUDA_OPERATIONS_H
#define SAE_CUDA_OPERATIONS_H

#include "device/device.h"

namespace sae::cuda {

/* Refuses more rows than one call can take: row numbers and entries are 32-bit on the device. */
void require_size(int64_t rows, int64_t k);

/* rows 0: the row is in some part of a step, it is not known which. kRowsOfSeveral: of some batch since the last
 * context_synchronize. */
constexpr int64_t kRowsOfSeveral = -1;
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

sae_status params_create(void *context, int64_t d_in, int64_t d_out, int64_t d_sae, int32_t flags, void **params,
                         int64_t *live_bytes);
sae_status params_write(void *params, int32_t tensor, int64_t first, const float *source, int64_t count);
sae_status params_read(void *params, int32_t tensor, int64_t first, float *target, int64_t count);
void params_close(void *params);

sae_status encode_topk(void *params, void *x, int64_t rows, int64_t k, void *indices, void *values);
sae_status encode(void *params, int32_t rule, void *x, int64_t rows, const sae_latents *into, int64_t *entries);
sae_status decode(void *params, const sae_latents *latents, int64_t rows, void *x, void *x_hat);
sae_status matmul_nt(void *context, void *a, int64_t m, void *b, int64_t n, int64_t inner, void *c);
sae_status gather_rows(void *context, void *from, int64_t from_rows, int64_t columns, void *rows, int64_t first,
                       int64_t count, double factor, void *into);

sae_status trainer_create(void *params, const double *options, void **trainer, int64_t *live_bytes);
sae_status train_step(void *trainer, void *x, void *y, int64_t rows, double lr);
sae_status train_accumulate(void *trainer, void *x, void *y, int64_t first, int64_t rows, int64_t pending);
sae_status train_apply(void *trainer, int64_t pending, double lr);
sae_status trainer_add(void *into, int64_t into_pending, void *from);
sae_status trainer_copy(void *into, void *from);
sae_status trainer_stats(void *trainer, double *values);
sae_status trainer_write(void *trainer, int32_t state, int64_t first, const void *source, int64_t count);
sae_status trainer_read(void *trainer, int32_t state, int64_t first, void *target, int64_t count);
void trainer_close(void *trainer);

} // namespace sae::cuda
#endif
