/*
 * backend_table.h: what an implementation of sae_abi.h fills in.
 *
 * common/abi.cpp owns handles, checks every argument (kinds, shapes, ranges, nulls) and then calls one of these
 * functions with plain pointers that are known to be right. A backend library exports exactly one symbol,
 *
 *     const sae_backend_table *sae_backend_entry(int32_t abi_version);   // NULL: versions differ
 *
 * and the CPU backend's table is linked into libsae.so. Objects are opaque to abi.cpp; a backend frees them when
 * asked and never on its own. Each function returns a sae_status and, on failure, leaves its text for last_error().
 * No C++ type crosses this table, so both sides may be built by different compilers.
 */
#ifndef SAE_BACKEND_TABLE_H
#define SAE_BACKEND_TABLE_H

#include "sae_abi.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Encoded rows: buffers, as in sae_encode. */
typedef struct sae_latents {
    void *offsets; /* null: k latents a row */
    void *indices;
    void *values;
    int64_t k;    /* where offsets is null */
    int64_t room; /* entries that fit; rows * k at least where offsets is null */
} sae_latents;

typedef struct sae_backend_table {
    int32_t abi_version;
    const char *name; /* "cpu", "cuda" */
    const char *(*last_error)(void);
    sae_status (*probe)(char *text, int64_t capacity);

    sae_status (*context_open)(const char *options, void **context);
    sae_status (*context_describe)(void *context, char *text, int64_t capacity);
    sae_status (*context_synchronize)(void *context);
    int64_t (*context_stream)(void *context);
    sae_status (*context_order)(void *context, int64_t stream, int32_t direction);
    void (*context_close)(void *context);

    sae_status (*buffer_create)(void *context, int64_t bytes, int32_t place, void **buffer);
    sae_status (*buffer_wrap)(void *context, int64_t address, int64_t bytes, int32_t place, void **buffer);
    int64_t (*buffer_address)(void *buffer);
    sae_status (*buffer_write)(void *buffer, int64_t offset, const void *source, int64_t bytes);
    sae_status (*buffer_read)(void *buffer, int64_t offset, void *target, int64_t bytes);
    sae_status (*buffer_upload)(void *buffer, int64_t bytes);
    void (*buffer_close)(void *buffer);
    /* The buffer is closed only on SAE_OK. */
    sae_status (*buffer_detach)(void *buffer, void **memory);
    void (*memory_close)(void *memory);

    /* live_bytes: what the object holds, for sae_context_live_bytes */
    sae_status (*params_create)(void *context, int64_t d_in, int64_t d_out, int64_t d_sae, int32_t flags, void **params,
                                int64_t *live_bytes);
    sae_status (*params_write)(void *params, int32_t tensor, int64_t first, const float *source, int64_t count);
    sae_status (*params_read)(void *params, int32_t tensor, int64_t first, float *target, int64_t count);
    void (*params_close)(void *params);

    /* entries: set where rows are ragged */
    sae_status (*encode)(void *params, int32_t rule, void *x, int64_t rows, const sae_latents *into, int64_t *entries);
    /* x: null without SAE_SKIP */
    sae_status (*decode)(void *params, const sae_latents *latents, int64_t rows, void *x, void *x_hat);
    sae_status (*matmul_nt)(void *context, void *a, int64_t m, void *b, int64_t n, int64_t inner, void *c);
    sae_status (*gather_rows)(void *context, void *from, int64_t from_rows, int64_t columns, void *rows, int64_t first,
                              int64_t count, double factor, void *into);

    /* options[SAE_OPT_*]: complete, defaults filled in, ranges checked */
    sae_status (*trainer_create)(void *params, const double *options, void **trainer, int64_t *live_bytes);
    /* y: null where the target is x */
    sae_status (*train_step)(void *trainer, void *x, void *y, int64_t rows, double lr);
    /* pending: rows of this step accumulated before this call; abi.cpp counts them. 0: start over. */
    sae_status (*train_accumulate)(void *trainer, void *x, void *y, int64_t first, int64_t rows, int64_t pending);
    sae_status (*train_apply)(void *trainer, int64_t pending, double lr);
    sae_status (*trainer_add)(void *into, int64_t into_pending, void *from);
    sae_status (*trainer_copy)(void *into, void *from);
    sae_status (*trainer_stats)(void *trainer, double *values);
    sae_status (*trainer_write)(void *trainer, int32_t state, int64_t first, const void *source, int64_t count);
    sae_status (*trainer_read)(void *trainer, int32_t state, int64_t first, void *target, int64_t count);
    void (*trainer_close)(void *trainer);
} sae_backend_table;

#ifdef __cplusplus
}

/* For programs that call a table themselves: rows of k latents. */
inline sae_status encode_topk(const sae_backend_table *table, void *params, void *x, int64_t rows, int64_t k,
                              void *indices, void *values) {
    const sae_latents into = {nullptr, indices, values, k, rows * k};
    return table->encode(params, SAE_TOPK, x, rows, &into, nullptr);
}

inline sae_status decode_topk(const sae_backend_table *table, void *params, void *indices, void *values, int64_t rows,
                              int64_t k, void *x_hat) {
    const sae_latents latents = {nullptr, indices, values, k, rows * k};
    return table->decode(params, &latents, rows, nullptr, x_hat);
}
#endif
#endif
