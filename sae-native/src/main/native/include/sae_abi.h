/*
 * sae_abi.h: THE native boundary of FaithfulSAE (C11). Over 400 lines: one header, most of it comments.
 *
 * One header, two implementations: the CPU backend is inside libsae.so; the CUDA backend is
 * libsae_cuda.so, opened on demand by sae_context_open. Nothing above this header knows which one
 * it talks to.
 *
 * Conventions
 *  - Every function returns a sae_status; on anything but SAE_OK, sae_last_error() has the text
 *    ("expected ..., got ..."), one per thread, valid until that thread's next call.
 *  - A sae_handle names a context, buffer, params, trainer or detached memory; its kind and liveness are checked on
 *    every call (SAE_INVALID_HANDLE). 0 is never a handle. Closing a handle twice is an error.
 *    Closing a context closes all that was made from it but detached memory; closing params closes their trainers.
 *  - Sizes and counts are int64_t. Matrices are row-major and dense. Both weight matrices are
 *    latent-major, [d_sae, d_in] and [d_sae, d_out]: row j is latent j's encoder (decoder) direction.
 *  - Operations on one context are ordered. They may run asynchronously (CUDA): reads through
 *    sae_*_read, sae_trainer_stats and sae_context_synchronize wait for them. A SAE_HOST buffer
 *    that was handed to an operation may be touched again after one of those.
 *  - One thread at a time per context. No C++ exception, exit or printf crosses the boundary.
 *
 * Symbols: d_in width of the activations read, d_out of those written (d_in but for transcoders), d_sae number of
 * latents, k active latents per row.
 */
#ifndef SAE_ABI_H
#define SAE_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The comments beside constants keep their columns. */
/* clang-format off */

#define SAE_ABI_VERSION 10

typedef int64_t sae_handle;
typedef int32_t sae_status;

enum {
    SAE_OK = 0,
    SAE_INVALID_ARGUMENT = 1,
    SAE_INVALID_HANDLE = 2,
    SAE_OUT_OF_MEMORY = 3,
    SAE_NONFINITE = 4,   /* NaN or infinity in the input; the text names the first such row as "row N", from 0 */
    SAE_UNAVAILABLE = 5, /* the backend cannot run here; the text says why */
    SAE_DEVICE_ERROR = 6,
    SAE_INTERNAL = 7
};

/* ---- library ------------------------------------------------------------------------------- */

int32_t sae_abi_version(void);
const char *sae_last_error(void);

/* Whether a backend can be opened here. library: path of a backend library, "" = the built-in CPU
 * backend. On SAE_OK `text` holds a one-line description of the device; otherwise see
 * sae_last_error(). Allocates nothing that outlives the call. */
sae_status sae_probe(const char *library, char *text, int64_t capacity);

/* ---- context ------------------------------------------------------------------------------- */

/* options: "key=value" pairs joined by ';'. Unknown keys are refused.
 *   threads=N   CPU: worker threads (default: the processors this process may use)
 *   blas=PATH   CPU: libopenblas.so.0 to take sgemm from (default: a built-in portable kernel)
 *   isa=NAME    CPU: portable | avx2 | avx512, to force a path (default: the best one there is)
 *   screen=NAME CPU: off | portable, whether products in bfloat16 rule out latents; portable is slow, for tests (default:
 *               where the processor multiplies bfloat16 faster; off with isa)
 *   products=NAME CPU: auto | sparse | dense, how a training step with SAE_THRESHOLD_RULE and without gates multiplies its active
 *               latents (default auto: as dense matrices where more than a sixth of all latents are active)
 *   device=N    CUDA: device ordinal (default 0)
 *   moments=T   CUDA: fp32 | bf16, how Adam's moments of the weight matrices are stored (default fp32). bf16 is rounded
 *               stochastically, repeats bit by bit, and takes 8 bytes per parameter instead of 12
 *   step=NAME   CUDA: fused | plain: plain writes every gradient to memory (default fused where it fits)
 *   graph=on    CUDA: on | off | flat: whether a training step is launched as one graph (default on); flat: without
 *               branches, so that what a step turns out not to need is launched as well
 *   stream=N    CUDA: address of a cudaStream_t of that device to work on; it stays the caller's and must outlive the
 *               context (default: a stream of the context's own)
 *   kernels=NAME    CUDA: plain | sm80 | sm90, what computes pre-activations in 16 bits (default: the best the device
 *                   can); with plain nothing uses tensor cores
 *   precision=NAME  CUDA: fp32 | bf16. fp32: what is chosen, and its value, is float32's; products in 16 bits only rule
 *                   out what their error bound allows. bf16: what is multiplied is rounded to bfloat16, sums are float32: encoder and
 *                   activations, so what is chosen, and its value, is that product's; the decoder; and, in a training
 *                   step, the output gradient and the auxiliary loss's products (default: fp32)
 *   encode=NAME     CUDA: dense | chunked | fused, what exists of the pre-activations at a time (default: fused)
 *   nonfinite=WHEN  CUDA: now | later, when sae_encode reports NaN and infinity for rows of k (ragged rows: always now).
 *                   now: before it returns, which waits for the device. later: it returns once its work is queued, and the
 *                   next sae_context_synchronize returns SAE_NONFINITE; what it wrote for that row is unspecified, and what
 *                   it writes to SAE_HOST buffers is there after that call (default: now) */
sae_status sae_context_open(const char *library, const char *options, sae_handle *context);
/* One JSON object: backend, device, isa, threads, blas, memory_bytes, abi_version; CUDA: ordinal, and graph: on | off, with
 * the reason where capturing a step failed and steps are launched kernel by kernel since. */
sae_status sae_context_describe(sae_handle context, char *text, int64_t capacity);
/* Bytes that live handles of this context hold (buffers, parameters, optimiser state). */
sae_status sae_context_live_bytes(sae_handle context, int64_t *bytes);
/* Waits for everything queued. */
sae_status sae_context_synchronize(sae_handle context);
/* Address of the cudaStream_t that operations are queued on; 0 where they are done when their call returns (CPU). */
sae_status sae_context_stream(sae_handle context, int64_t *stream);

enum { /* direction of sae_context_order */
    SAE_ORDER_AFTER = 0, /* operations from now on start after what `stream` has been given so far */
    SAE_ORDER_BEFORE = 1 /* what `stream` is given from now on starts after the operations so far */
};
/* Orders the context and another stream of the same device (address of a cudaStream_t) without a wait of the host.
 * Does nothing on the CPU. */
sae_status sae_context_order(sae_handle context, int64_t stream, int32_t direction);
sae_status sae_context_close(sae_handle context);

/* ---- buffers ------------------------------------------------------------------------------- */

enum {
    SAE_HOST = 0,  /* addressable by the host; pinned where the device is elsewhere */
    SAE_DEVICE = 1 /* the device's own memory; on the CPU backend the same as SAE_HOST */
};

/* 64-byte aligned, zeroed. */
sae_status sae_buffer_create(sae_handle context, int64_t bytes, int32_t place, sae_handle *buffer);
/* Memory of the caller's, 64-byte aligned: not cleared, never freed, not in the live bytes. It must outlive the handle.
 * SAE_DEVICE: memory of the context's device; SAE_HOST: of the host (copies overlap with work only if it is pinned). */
sae_status sae_buffer_wrap(sae_handle context, int64_t address, int64_t bytes, int32_t place, sae_handle *buffer);
/* Host address (SAE_HOST) or device address (SAE_DEVICE); constant for the buffer's life. */
sae_status sae_buffer_address(sae_handle buffer, int64_t *address);
sae_status sae_buffer_write(sae_handle buffer, int64_t offset, const void *source, int64_t bytes);
sae_status sae_buffer_read(sae_handle buffer, int64_t offset, void *target, int64_t bytes);
/* Starts to copy the first `bytes` of a SAE_HOST buffer to the device, in parallel with running operations. Later
 * operations that read no more than those bytes use the copy, any number of times. The host may not touch the buffer until they
 * are done. The copy counts until the next upload (of 0 bytes: none is made) or sae_buffer_write. Where there is nothing
 * to copy (SAE_DEVICE, CPU) nothing happens. */
sae_status sae_buffer_upload(sae_handle buffer, int64_t bytes);
sae_status sae_buffer_close(sae_handle buffer);
/* Closes the buffer as sae_buffer_close does, but its memory stays where it is, readable and writable, until
 * sae_memory_close; for callers that gave its address away and cannot tell yet who still uses it. The memory counts among
 * no context's live bytes, outlives the context, and takes part in no operation. */
sae_status sae_buffer_detach(sae_handle buffer, sae_handle *memory);
sae_status sae_memory_close(sae_handle memory);

/* ---- parameters of one SAE ----------------------------------------------------------------- */

enum { /* float32 tensors */
    SAE_W_ENC = 0,     /* [d_sae, d_in], the transpose of the field's W_enc */
    SAE_B_ENC = 1,     /* [d_sae]; with SAE_GATED the gate's bias */
    SAE_W_DEC = 2,     /* [d_sae, d_out] */
    SAE_B_DEC = 3,     /* [d_out] */
    SAE_THRESHOLD = 4, /* [d_sae], with SAE_THRESHOLDS */
    SAE_R_MAG = 5,     /* [d_sae], with SAE_GATED */
    SAE_B_MAG = 6,     /* [d_sae], with SAE_GATED */
    SAE_W_SKIP = 7     /* [d_out, d_in], with SAE_SKIP */
};

enum { /* flags of sae_params_create */
    SAE_SUBTRACT_B_DEC = 1, /* z_pre = (x - b_dec) W_enc + b_enc, d_out = d_in; without it z_pre = x W_enc + b_enc */
    SAE_THRESHOLDS = 2,     /* latent j is compared with SAE_THRESHOLD[j]; without it with 0 */
    SAE_GATED = 4,          /* z = ReLU(exp(r_mag) (z_pre - b_enc) + b_mag) */
    SAE_SKIP = 8            /* x W_skip^T is added to what is decoded */
};

/* All tensors start at zero. A backend may lack flags or d_out != d_in: SAE_UNAVAILABLE. */
sae_status sae_params_create(sae_handle context, int64_t d_in, int64_t d_out, int64_t d_sae, int32_t flags,
                             sae_handle *params);
/* Elements [first, first + count) of a tensor, host memory. */
sae_status sae_params_write(sae_handle params, int32_t tensor, int64_t first, const float *source, int64_t count);
sae_status sae_params_read(sae_handle params, int32_t tensor, int64_t first, float *target, int64_t count);
sae_status sae_params_close(sae_handle params);

/* ---- operations ---------------------------------------------------------------------------- */

enum { /* what sae_encode keeps of a row's (a batch's) z_pre; p = ReLU(z_pre) */
    SAE_TOPK = 0,      /* the k largest p */
    SAE_ABS_TOPK = 1,  /* the k largest |z_pre|, with their signs */
    SAE_GROUP_MAX = 2, /* the largest p of each of k groups of d_sae / k consecutive latents; k divides d_sae */
    SAE_BATCH_TOPK = 3, /* ragged: of all rows together the k * rows largest p > 0; of equal ones the first */
    SAE_THRESHOLD_RULE = 4 /* ragged: p where z_pre > threshold and p > 0 (ReLU, JumpReLU); SAE_GATED: z where z_pre > 0
                            * and z > 0. k is ignored */
};

/* z = what the rule keeps, float32 products and sums (not bit-identical between backends).
 *   x        float32 [rows, d_in], finite (else SAE_NONFINITE)
 * The first three rules keep k latents of every row, 1 <= k <= d_sae; `offsets` is 0:
 *   indices  int32   [rows, k]     |value| descending, then lower latent index
 *   values   float32 [rows, k]     a row with fewer than k values that are not 0 is filled up with value 0 at the lowest
 *                                  latent indices not yet taken
 * The others give ragged rows: row r has the entries [offsets[r], offsets[r + 1]):
 *   offsets  int32   [rows + 1]    from 0
 *   indices  int32   [room]        ascending in a row
 *   values   float32 [room]        none is 0
 * entries: how many there are; the call waits for it. If that is more than room, indices and values hold nothing of use:
 * call again with more room. More than 2^31 - 1 are SAE_INVALID_ARGUMENT: encode fewer rows at once. Null is accepted where rows have k latents. */
sae_status sae_encode(sae_handle params, int32_t rule, sae_handle x, int64_t rows, int64_t k, sae_handle offsets,
                      sae_handle indices, sae_handle values, int64_t room, int64_t *entries);

/* x_hat = sum_j values_j W_dec[indices_j] + b_dec + x W_skip^T, float32 [rows, d_out]. offsets 0: k latents a row;
 * otherwise rows as sae_encode gives them, k is ignored. x: the rows that were encoded, with SAE_SKIP; 0 without. Indices
 * outside [0, d_sae), and offsets that descend or leave the buffers, are SAE_INVALID_ARGUMENT. */
sae_status sae_decode(sae_handle params, sae_handle offsets, sae_handle indices, sae_handle values, int64_t rows,
                      int64_t k, sae_handle x, sae_handle x_hat);

/* c [m, n] = a [m, inner] x transpose(b [n, inner]), float32. Used for cosine matrices. */
sae_status sae_matmul_nt(sae_handle context, sae_handle a, int64_t m, sae_handle b, int64_t n, int64_t inner,
                         sae_handle c);

/* into [count, columns] = factor x the rows of from [from_rows, columns] with the numbers rows[first .. first + count), int32;
 * float32, the product in double. A row whose number is outside [0, from_rows) becomes NaN. */
sae_status sae_gather_rows(sae_handle context, sae_handle from, int64_t from_rows, int64_t columns, sae_handle rows,
                           int64_t first, int64_t count, double factor, sae_handle into);

/* ---- training ------------------------------------------------------------------------------ */

enum { /* keys of sae_trainer_create; every one has the default shown (the study's trainer) */
    SAE_OPT_K = 0,                  /* required where the rule has a k */
    SAE_OPT_LOSS = 1,               /* SAE_LOSS_MEAN */
    SAE_OPT_AUX_COEFFICIENT = 2,    /* 1/32; 0 turns the auxiliary loss off */
    SAE_OPT_AUX_K = 3,              /* 512 */
    SAE_OPT_AUX_NORM = 4,           /* SAE_AUX_MEAN */
    SAE_OPT_AUX_DETACH = 5,         /* 0: the gradient flows through the residual y - x_hat */
    SAE_OPT_AUX_SCALE_BY_DEAD = 6,  /* 0; 1: multiply the term by min(1, n_dead / aux_k) */
    SAE_OPT_DEAD_AFTER_BATCHES = 7, /* 5; 0: this rule is off */
    SAE_OPT_DEAD_AFTER_ROWS = 8,    /* 0: off; otherwise dead after this many rows without firing */
    SAE_OPT_ADAM_BETA1 = 9,         /* 0.9 */
    SAE_OPT_ADAM_BETA2 = 10,        /* 0.99 */
    SAE_OPT_ADAM_EPS = 11,          /* 1e-8 */
    SAE_OPT_CLIP_NORM = 12,         /* 1e5; 0: no clipping. Global L2 norm over all gradients */
    SAE_OPT_DECODER_NORM = 13,      /* SAE_DECODER_NORM_BEFORE_STEP */
    SAE_OPT_PROJECT_GRADIENT = 14,  /* 1: remove from dW_dec[j] the part parallel to row j */
    SAE_OPT_TRAIN_B_ENC = 15,       /* 0 */
    SAE_OPT_FREEZE_DECODER = 16,    /* 0; 1: W_dec stays as it is */
    SAE_OPT_GRADIENTS = 17,         /* SAE_GRADIENTS_NONE */
    SAE_OPT_RULE = 18,              /* SAE_TOPK: what is kept; any other rule as well */
    SAE_OPT_CLIP_PROJECTED = 19,    /* 0; 1: the norm that is clipped is that of the projected gradient */
    /* SAE_BATCH_TOPK learns a threshold t for encoding without a batch: t += rate (least kept value > 0 - t) */
    SAE_OPT_THRESHOLD_RATE = 20,      /* 0.01; 0: none is learned */
    SAE_OPT_THRESHOLD_AFTER = 21,     /* 0: steps before the first that changes t */
    SAE_OPT_THRESHOLD_FROM_FIRST = 22, /* 0: t starts at 0; 1: at the first least kept value */
    SAE_OPT_SPARSITY = 23,             /* SAE_SPARSITY_NONE; others with SAE_THRESHOLD_RULE */
    SAE_OPT_SPARSITY_COEFFICIENT = 24, /* 0: c */
    SAE_OPT_SPARSITY_WARMUP = 25,      /* 0: steps over which c rises linearly from 0 */
    SAE_OPT_TARGET_L0 = 26,            /* 20: T */
    SAE_OPT_TANH_SCALE = 27,           /* 4: s */
    SAE_OPT_WEIGHT_BY_NORM = 28,       /* 1: n_j = |W_dec[j]|, which gets a gradient; 0: n_j = 1 */
    SAE_OPT_BANDWIDTH = 29,            /* 0.001: h, of the gradient of SAE_THRESHOLD */
    SAE_OPT_STE_TO_INPUT = 30,         /* 0; 1: that gradient, negated, also goes to z_pre */
    /* With SAE_BATCH_TOPK the loss is sum_g weight_g loss(rows decoded from the first latents_g latents) (Matryoshka); the
     * auxiliary loss and SAE_STAT_FVU are of all latents. */
    SAE_OPT_PREFIXES = 31,       /* 0: one, of all latents; otherwise latents ascend to d_sae */
    SAE_OPT_PREFIX_LATENTS = 32, /* 32 ... 39: latents_g */
    SAE_OPT_PREFIX_WEIGHT = 40,  /* 1: 40 ... 47: weight_g */
    SAE_OPT_GATE_DETACH = 48,    /* 0; 1: SAE_GATED's auxiliary loss gives W_dec and b_dec no gradient */
    /* SAE_TOPK and SAE_BATCH_TOPK: the step after n others has round(K0 (1 - p) + K p) for its k, p = min(1, max(0, n - 1) /
     * steps), halves to even; as sparsify counts, the first two steps have K0. */
    SAE_OPT_INITIAL_K = 49,      /* 1: K0 */
    SAE_OPT_K_DECAY_STEPS = 50,  /* 0: steps; 0: k is K from the first step on */
    /* SAE_TOPK: w times the reconstruction loss of what the min(4 k, d_sae) largest p decode to, without x W_skip^T. Only W_dec
     * and b_dec get a gradient of it; all these latents fire. It is in SAE_STAT_RECONSTRUCTION. */
    SAE_OPT_MULTI_TOPK = 51,     /* 0: w */
    SAE_OPT_OPTIMIZER = 52,      /* SAE_ADAM */
    /* SAE_TOPK, SAE_ABS_TOPK, SAE_BATCH_TOPK: 1: p |W_dec[j]| in place of p decides what is kept, of all latents and of dead
     * ones, and is what the threshold is learned from. Values stay p, so gradients are as without it. */
    SAE_OPT_RANK_BY_NORM = 53,   /* 0 */
    /* With prefixes: each one's own dead latents, those that no shorter one has, reconstruct what it leaves of y, with an AUX_K,
     * a norm and AUX_SCALE_BY_DEAD of their own; the terms add up. AUX_DETACH must be 1. */
    SAE_OPT_AUX_BY_PREFIX = 54,  /* 0 */
    SAE_OPT_AUX_SIGNED = 55      /* 0; 1: the auxiliary loss takes z_pre, negative ones too, in place of p */
};
enum { SAE_MOST_PREFIXES = 8, SAE_OPT_COUNT = SAE_OPT_AUX_SIGNED + 1 };

/* Every ratio below, and SAE_STAT_FVU, is 0 when its denominator is 0 (a batch of one row has no variance). */
enum { /* SAE_OPT_LOSS; e = x_hat - y, y the target (x but for transcoders), B rows */
    SAE_LOSS_MEAN = 0,     /* mean over all B*d_out elements of e^2 */
    SAE_LOSS_SUM_MEAN = 1, /* sum over d_out, mean over B */
    SAE_LOSS_FVU = 2       /* sum e^2 / sum (y - batch mean of y)^2 */
};

enum { /* SAE_OPT_AUX_NORM; r = z_aux W_dec - (y - x_hat) (b_dec is not added) */
    SAE_AUX_MEAN = 0,             /* mean over all elements of r^2 */
    SAE_AUX_SUM_MEAN = 1,         /* sum over d_out, mean over B */
    SAE_AUX_TARGET_VARIANCE = 2,  /* sum r^2 / sum (y - batch mean of y)^2 */
    SAE_AUX_RESIDUAL_VARIANCE = 3 /* sum r^2 / sum (u - batch mean of u)^2, u = y - x_hat, denominator detached */
};

enum { /* SAE_OPT_SPARSITY: what is added to the loss; L0 is a row's number of z > 0, means are over rows */
    SAE_SPARSITY_NONE = 0,
    SAE_SPARSITY_L1 = 1,             /* c mean sum_j z_j n_j */
    SAE_SPARSITY_L0 = 2,             /* c mean L0 */
    SAE_SPARSITY_TANH = 3,           /* c mean sum_j tanh(s z_j n_j) */
    SAE_SPARSITY_L0_OF_ROWS = 4,     /* c mean 2 (L0 - T)^2 / T */
    SAE_SPARSITY_L0_OF_BATCH = 5     /* c (mean L0 / T - 1)^2; here the step's gradient is taken at z, not at z_pre */
};
/* The gradient of t = SAE_THRESHOLD[j], with 1_h = 1 where |z_pre - t| < h / 2 (a rectangle of width h):
 *   dz_j / dt = -(t / h) 1_h;  dL0 / dt = -(1 / h) 1_h, and with SAE_SPARSITY_L0_OF_BATCH 1_h = 1 where |z - t| < h / 2.
 * After the step, thresholds below 0 become 0.
 *
 * With SAE_GATED, z has no gradient through the gate's step. SAE_SPARSITY_L1, the only term it has, is of g = ReLU(z_pre)
 * in place of z, and the auxiliary loss is the reconstruction loss of g W_dec + b_dec (SAE_STAT_AUX); SAE_OPT_AUX_COEFFICIENT
 * must be 0. r_mag and b_mag are trained. */

enum { /* SAE_OPT_OPTIMIZER; g is the gradient, clipped and projected */
    SAE_ADAM = 0,
    /* signSGD with schedule-free averaging (Defazio et al. 2024), as sparsify wraps it, b = 0.95. Parameters are y = z + b (x - z)
     * between an iterate z, which SAE_STATE_M_* hold, and its average x:
     *   x = y + (1 - 1/b) (z - y);  z -= lr sign(g);  x += c (z - x);  y = z + b (x - z)
     * with c = l^2 / (sum of l^2 over the steps), l the largest lr so far. z starts at the parameters of the first step. x is what
     * training gives, and what is to be saved. There are no second moments. */
    SAE_SIGNUM = 1,
    /* Muon (Jordan et al. 2024), as in sparsify, b = 0.95, for matrices: W *= 1 - 0.1 lr;  m += (1 - b) (g - m);
     *   W -= 0.2 lr sqrt(longer side) N(g + b (m - g)), N five Newton-Schulz steps (there in
     * bfloat16, here in float32)
     * Matrices have no second moments. Vectors are trained by Adam. */
    SAE_MUON = 2
};

enum { /* SAE_OPT_DECODER_NORM: when rows of W_dec are scaled to unit L2 norm */
    SAE_DECODER_NORM_NONE = 0,
    SAE_DECODER_NORM_BEFORE_STEP = 1, /* after backward and before Adam; the projection uses the unit rows */
    SAE_DECODER_NORM_AFTER_STEP = 2   /* after Adam; the projection uses the rows as they are, over their norm */
};

enum { /* SAE_OPT_GRADIENTS: what sae_train_accumulate adds to */
    SAE_GRADIENTS_NONE = 0, /* nothing is kept between calls: steps alone */
    SAE_GRADIENTS_KEPT = 1, /* gradients are kept, 4 bytes per parameter: steps, and batches in parts */
    SAE_GRADIENTS_ONLY = 2  /* gradients and no moments: parts for another trainer's update (sae_trainer_add) */
};

/* keys[i] is one of SAE_OPT_*, values[i] its value. Closing the params closes the trainer. A backend may lack rules and
 * options: SAE_UNAVAILABLE. Params have no flags but SAE_SUBTRACT_B_DEC, SAE_SKIP (not with SAE_GATED), and SAE_THRESHOLDS or SAE_GATED
 * with SAE_THRESHOLD_RULE, where they are trained, or SAE_THRESHOLDS with SAE_BATCH_TOPK, where they stay as they are. */
sae_status sae_trainer_create(sae_handle params, const int32_t *keys, const double *values, int64_t count,
                              sae_handle *trainer);

/* One step on x float32 [rows, d_in] towards y float32 [rows, d_out] (transcoders); y 0: towards x, d_out is d_in. A
 * backend may lack targets: SAE_UNAVAILABLE. SAE_SKIP: W_skip, which multiplies x as it is, is trained as well.
 * Forward; a latent fires where its kept value is not 0; counters; dead set
 * (a latent is dead when this batch included it has not fired for DEAD_AFTER_BATCHES batches or DEAD_AFTER_ROWS
 * rows); loss + aux loss over the min(AUX_K, n_dead) largest ReLU'd pre-activations of dead latents in each row (with
 * SAE_ABS_TOPK the largest |z_pre|, with their signs);
 * backward (kept values of 0 get no gradient); clip; normalise and project as configured; the optimiser's step (SAE_ADAM:
 * torch.optim.Adam, bias-corrected, no weight decay) with this lr; normalise after the step if so configured. Same input, same
 * threads: bit-identical result. On SAE_NONFINITE the parameters are as before the call (a CUDA backend may report
 * it from the next sae_trainer_stats; it then skipped the update). */
sae_status sae_train_step(sae_handle trainer, sae_handle x, sae_handle y, int64_t rows, double lr);

/* One step whose batch comes in parts: sae_train_accumulate for each, on one trainer or on several whose sums are added
 * up, then sae_train_apply. Parameters must stay as they are in between.
 *
 * accumulate: forward and backward, as in sae_train_step, on rows [first, first + rows) of x and y, which are a part of
 * themselves: losses are over their rows, ratios over their variance, NaN is reported by the row's number among them.
 * Nothing changes but what is pending: gradients, losses and what has fired. A latent is dead in a part when it has not
 * fired in this step up to this part included, and would be dead if the batch ended here.
 *
 * apply: with the gradient sum_p rows_p dL_p / sum_p rows_p continues as sae_train_step does: counters (one batch, of
 * all rows), clip, normalise, project, Adam. With SAE_LOSS_MEAN or SAE_LOSS_SUM_MEAN and no auxiliary loss that gradient is
 * the whole batch's, up to rounding. Statistics are of all parts: losses are means weighted by rows, SAE_STAT_DEAD is
 * after the last part, SAE_STAT_FVU is sum e^2 / sum (y - mean of y in its part)^2.
 *
 * accumulate and apply need SAE_GRADIENTS_KEPT; accumulate alone is content with SAE_GRADIENTS_ONLY. Nothing pending is
 * an error of apply, something pending one of sae_train_step. Whatever fails after its arguments were accepted drops all
 * that is pending, and SAE_NONFINITE leaves parameters, moments and counters as they were before the first part (a CUDA
 * backend may report it from the next sae_trainer_stats; apply then updated nothing). */
sae_status sae_train_accumulate(sae_handle trainer, sae_handle x, sae_handle y, int64_t first, int64_t rows);
sae_status sae_train_apply(sae_handle trainer, double lr);

/* Several trainers of one SAE: two of the same shape and the same options but SAE_OPT_GRADIENTS, of one backend library,
 * on any contexts and devices; no thread may use either context meanwhile. Sums are ordered as the calls are.
 * add: what is pending in `from` becomes pending in `into`, as if `into` had accumulated it; `from` has nothing pending
 * afterwards. copy: parameters, idle counters and the number of steps of `into` become those of `from`; nothing may be
 * pending in `into`. */
sae_status sae_trainer_add(sae_handle into, sae_handle from);
sae_status sae_trainer_copy(sae_handle into, sae_handle from);

enum { /* what sae_trainer_stats writes, of the last step */
    SAE_STAT_STEPS = 0,         /* Adam steps done so far */
    SAE_STAT_LOSS = 1,          /* total */
    SAE_STAT_RECONSTRUCTION = 2,
    SAE_STAT_AUX = 3,           /* with its coefficient */
    SAE_STAT_L0 = 4,            /* mean over rows of the number of kept values that are not 0 */
    SAE_STAT_DEAD = 5,          /* dead latents, this batch counted */
    SAE_STAT_FVU = 6,
    SAE_STAT_GRADIENT_NORM = 7, /* before clipping; 0 when clipping is off */
    SAE_STAT_LISTED = 8,        /* CUDA: entries of the lists that the encoder chose from, mean over rows; 0: it kept none */
    SAE_STAT_OVERFLOWED = 9,    /* CUDA: rows whose list overflowed and that were computed again from all latents */
    SAE_STAT_SPARSITY = 10,     /* SAE_OPT_SPARSITY's term, with its coefficient */
    SAE_STAT_COUNT = 11
};
/* values: SAE_STAT_COUNT doubles. Waits for the step. */
sae_status sae_trainer_stats(sae_handle trainer, double *values);

enum { /* optimiser state, for checkpoints */
    SAE_STATE_M_W_ENC = 0, /* float32, first moments, shapes as the tensors */
    SAE_STATE_M_B_ENC = 1,
    SAE_STATE_M_W_DEC = 2,
    SAE_STATE_M_B_DEC = 3,
    SAE_STATE_V_W_ENC = 4, /* float32, second moments */
    SAE_STATE_V_B_ENC = 5,
    SAE_STATE_V_W_DEC = 6,
    SAE_STATE_V_B_DEC = 7,
    SAE_STATE_IDLE_BATCHES = 8, /* int64 [d_sae]: batches since the latent last fired */
    SAE_STATE_IDLE_ROWS = 9,    /* int64 [d_sae]: rows since the batch in which it last fired */
    SAE_STATE_STEPS = 10,       /* int64 [1] */
    SAE_STATE_LEARNED_THRESHOLD = 11, /* double [1], with SAE_BATCH_TOPK; below 0: none yet */
    SAE_STATE_M_THRESHOLD = 12,       /* float32 [d_sae], with SAE_THRESHOLD_RULE and SAE_THRESHOLDS */
    SAE_STATE_V_THRESHOLD = 13,
    SAE_STATE_M_R_MAG = 14, /* float32 [d_sae], with SAE_GATED */
    SAE_STATE_V_R_MAG = 15,
    SAE_STATE_M_B_MAG = 16,
    SAE_STATE_V_B_MAG = 17,
    SAE_STATE_M_W_SKIP = 18, /* float32 [d_out, d_in], with SAE_SKIP */
    SAE_STATE_V_W_SKIP = 19,
    SAE_STATE_AVERAGING = 20 /* double [2], with SAE_SIGNUM: sum of l^2, and l */
};
/* A trainer of SAE_GRADIENTS_ONLY has no moments to write or read. What is pending is no state: save between steps. */
sae_status sae_trainer_write(sae_handle trainer, int32_t state, int64_t first, const void *source, int64_t count);
sae_status sae_trainer_read(sae_handle trainer, int32_t state, int64_t first, void *target, int64_t count);
sae_status sae_trainer_close(sae_handle trainer);

#ifdef __cplusplus
}
#endif
#endif
