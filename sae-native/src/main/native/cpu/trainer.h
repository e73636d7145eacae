/* trainer.h: a training run's state and the stages of a step, each in the file named with it. */
#ifndef SAE_CPU_TRAINER_H
#define SAE_CPU_TRAINER_H

#include "operations.h"

namespace sae::cpu {

/* The SAE_OPT_* by name. */
struct TrainerOptions {
    int64_t k;
    int loss;
    double aux_coefficient;
    int64_t aux_k;
    int aux_norm;
    bool aux_detach;
    bool aux_scale_by_dead;
    int64_t dead_after_batches;
    int64_t dead_after_rows;
    double beta1, beta2, eps;
    double clip_norm;
    int decoder_norm;
    bool project_gradient;
    bool train_b_enc;
    bool freeze_decoder;
    int gradients;

    explicit TrainerOptions(const double *options);
};

/* What one batch leaves for the update: buffers that grow to the largest batch and are reused. */
struct Batch {
    const float *x = nullptr;
    int64_t rows = 0;
    double weight = 1;    /* of its losses and gradients: 1 for a whole step, its row count for a part */
    Block<float> input;   /* [rows, d_in] x - b_dec, or x: what the encoder saw */
    Block<int32_t> index; /* [rows, k] what the encoder chose */
    Block<float> value;   /* [rows, k] */
    Block<float> dz;      /* [rows, k] dL/dz, 0 where the value is 0 */
    Block<float> error;   /* [rows, d_in] x_hat - x, then dL/dx_hat */

    /* dead latents, compacted: latent j of W_enc is row slot_of[j] of these */
    std::vector<int32_t> dead;
    std::vector<int32_t> slot_of; /* [d_sae]; -1: alive */
    bool aux = false;
    Block<float> dead_enc;        /* [n_dead, d_in] */
    Block<float> dead_dec;        /* [n_dead, d_in] */
    std::vector<float> dead_bias; /* [n_dead] */
    Block<float> z_aux;           /* [rows, n_dead], then dL/dz_aux */
    Block<float> residual;        /* [rows, d_in] r, then dL/d(z_aux W_dec) */
    Block<float> dead_enc_grad;   /* [n_dead, d_in] */
    Block<float> dead_dec_grad;   /* [n_dead, d_in] */
    std::vector<float> dead_sum;  /* [n_dead] sum over rows of dL/dz_aux */

    /* the chosen entries with a value > 0, by latent: those of latent j are [start[j], start[j + 1]), in row order */
    std::vector<int64_t> start;
    std::vector<int64_t> next; /* where the next entry of a latent goes while they are sorted */
    Block<int32_t> row_of;
    Block<float> value_of;
    Block<float> dz_of;

    std::vector<double> input_norm; /* [rows] |x - b_dec| */
};

/* Sums over the rows of a batch, or of several parts of one. */
struct Sums {
    double variance = 0; /* |x - mean of x|^2 */
    double error = 0;    /* |x_hat - x|^2 */
    double residual = 0; /* |r|^2 */
    int64_t active = 0;
    double reconstruction = 0; /* the loss's terms, times the weight */
    double aux = 0;
    double gradient_bound = 0;  /* upper bound on the gradient's norm */
    std::vector<float> d_b_dec; /* [d_in] sum of dL/dx_hat */

    void add(const Sums &other);
};

/* The gradient of one latent's parameters. */
struct LatentGradient {
    const float *encoder; /* [d_in] */
    const float *decoder; /* [d_in]; unset when the decoder is frozen */
    float bias;
};

/* What accumulate.cpp adds up between updates, weighted by rows. Empty if the trainer keeps no gradients. */
struct Pending {
    Block<float> encoder; /* [d_sae, d_in] */
    Block<float> decoder; /* [d_sae, d_in] */
    Block<float> bias;    /* [d_sae] */
    Sums sums;
};

struct Trainer {
    Params &params;
    Context &context;
    const TrainerOptions options;
    Block<float> first[4]; /* Adam's moments, by tensor; empty with SAE_GRADIENTS_ONLY */
    Block<float> second[4];
    Block<int64_t> idle_batches; /* [d_sae] */
    Block<int64_t> idle_rows;
    int64_t steps = 0;
    double stats[SAE_STAT_COUNT] = {};

    Trainer(Params &of, const double *option_values);
    int64_t live_bytes() const;
    void step(const float *x, int64_t rows, double lr);

    /* accumulate.cpp; pending: rows of this step's parts so far, in this trainer and those added to it */
    void accumulate(const float *x, int64_t rows, int64_t pending_rows);
    void apply(int64_t pending_rows, double lr);
    void add(int64_t pending_rows, const Trainer &from);
    void copy(const Trainer &from);

  private:
    /* train_step.cpp: everything up to dL/dz, and the entries by latent, for a batch or a part of one. */
    Sums differentiate(const float *x, int64_t rows, int64_t pending_rows, double weight);
    void prepare(const float *x, int64_t rows);
    /* train_step.cpp: counters, statistics and the update, from sums and gradients over `weight`. */
    void finish(const Sums &sums, bool from_pending, int64_t rows, double weight, double lr);

    /* dead.cpp: whether a latent that has not fired for this many batches and rows is dead. */
    bool is_dead(int64_t batches, int64_t rows) const;
    /* dead.cpp: records which latents fired in this part, finds and gathers the dead ones. */
    void find_dead(int64_t pending_rows);
    /* dead.cpp: advances the counters by the whole batch; returns how many latents are dead. */
    int64_t count_idle(int64_t rows);
    /* dead.cpp: z_aux of rows [first, last), and residual = error + z_aux W_dec; returns |residual|^2. */
    double decode_dead(int64_t first, int64_t last, int worker);
    /* dead.cpp: from dL/d(z_aux W_dec) to the gradients of the dead latents; returns a bound on their norm. */
    double backward_dead();

    /* backward.cpp: x_hat, both losses, dL/dx_hat and dL/dz. */
    Sums forward_and_backward();
    double loss_scale(const Sums &sums) const;
    double aux_scale(const Sums &sums);
    void decode_rows(int64_t first, int64_t last, Sums &sums);
    void backward_rows(int64_t first, int64_t last, double error_scale, double residual_scale, Sums &sums);

    /* csc.cpp */
    void group_by_latent();

    /* adam.cpp: from the batch; scratch [2, d_in] */
    LatentGradient batch_gradient(int64_t latent, float *scratch) const;
    LatentGradient pending_gradient(int64_t latent) const;

    /* adam.cpp: the weights' gradients, clipping, projection, Adam and the norms; returns the gradient's norm. All
     * gradients are to be divided by the weight. */
    double update(const Sums &sums, bool from_pending, double weight, double lr);
    struct Sweep;
    void sweep_latents(Sweep &sweep);
    void update_decoder_row(int64_t latent, const float *gradient, const Sweep &sweep);

    Batch batch;
    std::vector<char> fired; /* [d_sae] whether a latent fired in this step's parts so far */
    Pending pending;
};

/* sum over rows and columns of (value - mean of its column)^2; exactly 0 when all rows are equal. */
double squares_about_mean(Context &context, const float *matrix, int64_t rows, int64_t columns);

/* Upper bound on the L2 norm of the longest row. */
double longest_row(Context &context, const float *matrix, int64_t rows, int64_t columns);

} // namespace sae::cpu
#endif
