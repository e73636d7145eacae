/* trainer.h: a training run's state and the stages of a step, each in the file named with it. */
#ifndef SAE_CPU_TRAINER_H
#define SAE_CPU_TRAINER_H

#include <limits>

#include "../common/k_schedule.h"
#include "operations.h"

namespace sae::cpu {

/* The SAE_OPT_* by name. */
struct TrainerOptions {
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
    int rule;
    bool clip_projected;
    double threshold_rate;
    int64_t threshold_after;
    bool threshold_from_first;
    int sparsity;
    double sparsity_coefficient;
    int64_t sparsity_warmup;
    double target_l0;
    double tanh_scale;
    bool weight_by_norm;
    float bandwidth;
    bool ste_to_input;
    bool gate_detach;
    KSchedule k_schedule;
    double multi_topk;
    int optimizer;
    bool rank_by_norm;
    bool aux_by_prefix;
    bool aux_signed;
    std::vector<int64_t> prefixes; /* ends with d_sae */
    std::vector<double> prefix_weights;

    TrainerOptions(const double *options, int64_t d_sae);
    /* Whether the auxiliary loss is over z_pre, not ReLU'd. */
    bool aux_keeps_signs() const { return rule == SAE_ABS_TOPK || aux_signed; }
    /* The last prefix's, which is all latents'. */
    double weight() const { return prefix_weights.back(); }
};

/* What one batch leaves for the update: buffers that grow to the largest batch and are reused. */
struct Batch {
    const float *x = nullptr;
    const float *y = nullptr; /* [rows, d_out] the target: x but for transcoders */
    int64_t rows = 0;
    double weight = 1;       /* of its losses and gradients: 1 for a whole step, its row count for a part */
    Block<float> input;      /* [rows, d_in] x - b_dec, or x: what the encoder saw */
    int64_t k = 0;           /* entries of every row; 0: rows are ragged */
    Block<int32_t> offsets;  /* [rows + 1] where rows begin, if ragged */
    Block<int32_t> index;    /* [entries] what the encoder chose */
    Block<float> value;      /* [entries]; SAE_THRESHOLD_RULE: 0 where only the threshold's gradient needs the entry */
    Block<float> dz;         /* [entries] dL/dz_pre; TopK: 0 where the value is 0 */
    std::vector<float> rank; /* [d_sae] |W_dec[j]|, with SAE_OPT_RANK_BY_NORM */
    Block<float>
        error; /* [prefixes, rows, d_out] (gates and multi_topk.cpp: one more) x_hat - y, then dL/d(what these latents decode to) */
    int64_t active = 0; /* entries > 0, if ragged */

    /* sparsity.cpp, with SAE_THRESHOLD_RULE */
    double penalty = 0;              /* c, with its warm-up, times the weight */
    double step_slope = 0;           /* dL/dL0 of a row, where it is the same for all rows */
    Block<float> dtheta;             /* [entries] dL/dt; gated: dL/dz */
    Block<float> gate;               /* gated: [entries] z_pre > 0 */
    Block<float> dgate;              /* gated: [entries] its gradient; dz is then that of the encoder's product */
    Block<float> gate_of;            /* gated: [entries] by latent */
    Block<float> dnorm;              /* [entries] dL/dn */
    std::vector<float> norms;        /* [d_sae] n; empty: 1 */
    std::vector<double> own_grad[3]; /* [d_sae] of own_tensors() */
    std::vector<double> norm_grad;   /* [d_sae] */

    bool dense = false;           /* dense_step.cpp: this batch's entries are multiplied as dense matrices */
    Block<float> dense_enc_grad;  /* [d_sae, d_in] */
    Block<float> dense_dec_grad;  /* [d_sae, d_out]; empty when the decoder is frozen */
    std::vector<float> dense_sum; /* [d_sae] sum over rows of dL/dz_pre */

    /* dead latents, compacted: latent j of W_enc is row slot_of[j] of these */
    std::vector<int32_t> dead;
    std::vector<int32_t> slot_of; /* [d_sae]; -1: alive */
    bool aux = false;
    Block<float> dead_enc;        /* [n_dead, d_in] */
    Block<float> dead_dec;        /* [n_dead, d_out] */
    std::vector<float> dead_bias; /* [n_dead] */
    Block<float> z_aux;           /* [rows, n_dead], then dL/dz_aux; of use where most of it is not 0 */
    struct Level {                /* the dead latents of a prefix, or all: slots [first, last) */
        int64_t first, last, prefix;
    };
    std::vector<Level> levels;   /* with at least one each */
    Block<float> residual;       /* [levels, rows, d_out] r, then dL/d(z_aux W_dec) */
    Block<float> dead_enc_grad;  /* [n_dead, d_in] */
    Block<float> dead_dec_grad;  /* [n_dead, d_out] */
    std::vector<float> dead_sum; /* [n_dead] sum over rows of dL/dz_aux */

    struct Aux {             /* dead_sparse.cpp: z_aux where most of it is 0 */
        Block<int32_t> slot; /* [rows, AUX_K] ascending, as many as count says */
        Block<float> value;
        Block<float> dz;
        std::vector<float> rank;    /* [n_dead], with SAE_OPT_RANK_BY_NORM */
        std::vector<int64_t> count; /* [rows] */
        std::vector<int64_t> start; /* the same by slot, in row order, as below */
        Block<int32_t> row_of;
        Block<float> value_of;
        Block<float> dz_of;
        Shadow shadow;
    } chosen_dead;

    /* the chosen entries with a value > 0, by latent: those of latent j are [start[j], start[j + 1]), in row order */
    std::vector<int64_t> start;
    Block<int32_t> row_of;
    Block<float> value_of;
    Block<float> dz_of;

    struct Multi { /* multi_topk.cpp */
        int64_t k = 0;
        Block<int32_t> index; /* [rows, k] what it chose; batch.index has the first of each row */
        Block<float> value;
        std::vector<int64_t> start; /* its entries with a value > 0, by latent, as below */
        Block<int32_t> row_of;
        Block<float> value_of;
    } multi;

    std::vector<double> input_norm; /* [rows] |x - b_dec| */
    Block<float> skip_grad;         /* [d_out, d_in], with SAE_SKIP */

    int64_t begin(int64_t row) const { return k > 0 ? row * k : offsets[row]; }
    int64_t size(int64_t row) const { return k > 0 ? k : offsets[row + 1] - offsets[row]; }
    int64_t entries() const { return begin(rows); }
    /* A row's entries with a value that is not 0; they come first. */
    int64_t positive(int64_t row) const;
    /* By what an entry was chosen. */
    double rank_of(int64_t i) const {
        return rank.empty() ? static_cast<double>(value[i]) : static_cast<double>(value[i]) * rank[index[i]];
    }
};

/* Sums over the rows of a batch, or of several parts of one. */
struct Sums {
    double variance = 0;                     /* |y - mean of y|^2 */
    double error = 0;                        /* |x_hat - y|^2 */
    double prefixes = 0;                     /* the same of prefixes but the last, each times its weight */
    double residual[SAE_MOST_PREFIXES] = {}; /* |r|^2, by level */
    double sparsity = 0;                     /* times the weight */
    double gate = 0;                         /* |what the gate reconstructs - y|^2 */
    int64_t active = 0;
    double reconstruction = 0; /* the loss's terms, times the weight */
    double aux = 0;
    double least = std::numeric_limits<double>::infinity(); /* what a value > 0 was kept for */
    double gradient_bound = 0;                              /* upper bound on the gradient's norm */
    std::vector<float> d_b_dec;                             /* [d_out] sum of dL/dx_hat */

    void add(const Sums &other);
};

/* The gradient of one latent's parameters. */
struct LatentGradient {
    const float *encoder; /* [d_in] */
    const float *decoder; /* [d_out]; unset when the decoder is frozen */
    float bias;
};

/* optimizer.cpp: what a step's updates have in common. */
struct Descent {
    AdamStep adam;
    float lr;
    float share = 0; /* of the new iterate in the average (signum) */
    bool starts = false;
    float keep; /* of a weight before its step (Muon) */
};

/* What accumulate.cpp adds up between updates, weighted by rows. Empty if the trainer keeps no gradients. */
struct Pending {
    Block<float> encoder; /* [d_sae, d_in] */
    Block<float> decoder; /* [d_sae, d_out] */
    Block<float> bias;    /* [d_sae] */
    Block<float> own;     /* [own_tensors(), d_sae] */
    Block<float> skip;    /* [d_out, d_in], with SAE_SKIP */
    Sums sums;
};

struct Trainer {
    Params &params;
    Context &context;
    const TrainerOptions options;
    Block<float> first[SAE_W_SKIP + 1]; /* Adam's moments, by tensor; empty where it is not trained, and with
                                          SAE_GRADIENTS_ONLY */
    Block<float> second[SAE_W_SKIP + 1];
    Block<int64_t> idle_batches; /* [d_sae] */
    Block<int64_t> idle_rows;
    int64_t steps = 0;
    double learned_threshold = -1; /* below 0: none yet */
    double averaging[2] = {};      /* SAE_STATE_AVERAGING */
    double stats[SAE_STAT_COUNT] = {};

    Trainer(Params &of, const double *option_values);
    int64_t live_bytes() const;
    /* y: the target; x itself but for transcoders */
    void step(const float *x, const float *y, int64_t rows, double lr);

    /* accumulate.cpp; pending: rows of this step's parts so far, in this trainer and those added to it */
    void accumulate(const float *x, const float *y, int64_t rows, int64_t pending_rows);
    void apply(int64_t pending_rows, double lr);
    void add(int64_t pending_rows, const Trainer &from);
    void copy(const Trainer &from);

  private:
    /* train_step.cpp: everything up to dL/dz, and the entries by latent, for a batch or a part of one. */
    Sums differentiate(const float *x, const float *y, int64_t rows, int64_t pending_rows, double weight);
    void prepare(const float *x, const float *y, int64_t rows);
    /* train_step.cpp: what the encoder chooses, into the batch. */
    void choose(int64_t rows);
    /* rank.cpp: the encoder whose outputs are compared, and values in place of what was. */
    Encoder ranking_encoder();
    void unrank(int64_t entries);
    std::vector<float> decoder_norms() const;
    void learn_threshold(double least);
    bool trains_threshold() const { return options.rule == SAE_THRESHOLD_RULE && (params.flags & SAE_THRESHOLDS) != 0; }
    bool skips() const { return (params.flags & SAE_SKIP) != 0; }
    bool multi() const { return options.multi_topk > 0; }
    bool gated() const { return (params.flags & SAE_GATED) != 0; }
    /* Trained tensors [d_sae] whose gradients are sums of their entries' own. */
    std::vector<int> own_tensors() const {
        return gated()              ? std::vector<int>{SAE_B_ENC, SAE_R_MAG, SAE_B_MAG}
               : trains_threshold() ? std::vector<int>{SAE_THRESHOLD}
                                    : std::vector<int>{};
    }
    float *error_of(int64_t prefix, int64_t row) const {
        return &batch.error[(prefix * batch.rows + row) * params.d_out];
    }
    float *residual_of(int64_t level, int64_t row) const {
        return &batch.residual[(level * batch.rows + row) * params.d_out];
    }
    int64_t last_prefix() const { return static_cast<int64_t>(options.prefixes.size()) - 1; }
    int64_t prefix_of(int64_t latent) const;

    /* sparsity.cpp: latents above their threshold, and those within the bandwidth of it, into the batch. */
    void list_above_thresholds(int64_t rows);
    /* sparsity.cpp: before any row goes backward. */
    void prepare_penalty();
    /* sparsity.cpp: from dL/dz through the decoder to dL/dz_pre of a row's entries, and the thresholds' gradient. */
    void penalise(int64_t row, Sums &sums);
    /* gated.cpp */
    void list_open_gates(int64_t rows);
    void decode_gates(int64_t row, Sums &sums);
    void backward_gates(int64_t row, double error_scale, Sums &sums);
    void sum_gates_by_latent();
    /* multi_topk.cpp; choose_multi also fills the batch. */
    void choose_multi(int64_t rows, int64_t k);
    int64_t positive_of_multi(int64_t row) const;
    void decode_multi(int64_t row, Sums &sums);
    void backward_multi(int64_t row, double error_scale, Sums &sums);
    void group_multi();
    void add_multi_gradient(int64_t latent, float *decoder) const;
    /* dense_step.cpp: the parts of a step with dense products. */
    bool is_dense() const;
    std::vector<int64_t> first_entries(int64_t first, int64_t last) const;
    template <typename Put>
    void for_entries(int64_t first, int64_t last, int64_t latent, int64_t count, std::vector<int64_t> &next,
                     const Put &put) const;
    void decode_densely(int64_t first, int64_t last, int worker, Sums &sums);
    void backward_densely(int64_t first, int64_t last, int worker, double error_scale, double residual_scale,
                          Sums &sums);
    void differentiate_densely();
    void add_to_dense(int64_t latent);
    LatentGradient dense_gradient(int64_t latent) const;
    /* sparsity.cpp: the entries' gradients of thresholds and norms, by latent. */
    void sum_by_latent();
    /* train_step.cpp: counters, statistics and the update, from sums and gradients over `weight`. */
    void finish(const Sums &sums, bool from_pending, int64_t rows, double weight, double lr);

    /* dead.cpp: whether a latent that has not fired for this many batches and rows is dead. */
    bool is_dead(int64_t batches, int64_t rows) const;
    /* dead.cpp: records which latents fired in this part, finds and gathers the dead ones. */
    void find_dead(int64_t pending_rows);
    /* dead.cpp: advances the counters by the whole batch; returns how many latents are dead. */
    int64_t count_idle(int64_t rows);
    /* dead.cpp: z_aux of rows [first, last), and residual = error + z_aux W_dec. */
    void decode_dead(int64_t first, int64_t last, int worker, Sums &sums);
    void keep_largest(float *z, const Batch::Level &level, Selection &selection) const;
    /* dead.cpp: from dL/d(z_aux W_dec) to the gradients of the dead latents; returns a bound on their norm. */
    double backward_dead();
    /* dead_sparse.cpp: whether lists take less time than the dense products of dead.cpp, and the same with lists.
     * choose_dead comes first. */
    bool few_of_dead() const;
    void choose_dead();
    double decode_few_dead(int64_t first, int64_t last);
    double backward_few_dead();
    void group_dead();
    template <typename Body>
    void for_dead_blocks(int64_t first, int64_t last, Body &&body) const;
    /* result[slot] = sum over its entries of coefficient row_of's row of `of` [rows, d] */
    void sum_dead_rows(const float *of, int64_t d, const Block<float> &coefficient, Block<float> &result);

    /* backward.cpp: x_hat, both losses, dL/dx_hat and dL/dz. */
    Sums forward_and_backward();
    double loss_scale(const Sums &sums) const;
    double aux_scale(const Sums &sums, const Batch::Level &level);
    void decode_rows(int64_t first, int64_t last, int worker, Sums &sums);
    /* backward.cpp: from dL/dx_hat to W_skip's gradient. */
    void backward_skip();
    void backward_rows(int64_t first, int64_t last, double error_scale, const std::vector<double> &aux_scales,
                       Sums &sums);

    /* csc.cpp */
    void group_by_latent();

    /* adam.cpp: from the batch; scratch [d_in + d_out] */
    LatentGradient batch_gradient(int64_t latent, float *scratch) const;
    /* To W_dec's gradient: that of its rows' norms, where the sparsity term is weighted by them. */
    void add_norm_gradient(int64_t latent, float *decoder) const;
    LatentGradient pending_gradient(int64_t latent) const;
    /* Of the i-th of own_tensors(). */
    std::vector<float> own_gradient(size_t i, bool from_pending) const;

    /* adam.cpp: the weights' gradients, clipping, projection, Adam and the norms; returns the gradient's norm. All
     * gradients are to be divided by the weight. */
    double update(const Sums &sums, bool from_pending, double weight, double lr);

    /* optimizer.cpp: one step of n elements of a tensor, from `at` on; arguments and result as of Kernels::adam. */
    double descend(int tensor, int64_t at, const float *g, float clip, float scale, float along, int64_t n,
                   const Descent &step);
    double descend_signum(float *w, float *z, const float *g, float clip, float scale, float along, int64_t n,
                          const Descent &step) const;
    double descend_muon(float *w, float *m, float *momentum, const float *g, float clip, float scale, float along,
                        int64_t n, const Descent &step) const;
    Descent descent(double lr);
    /* Once per step, before anything descends. */
    void start_averaging(Descent &step, double lr);
    double &averaged() { return averaging[0]; }
    double &largest_lr() { return averaging[1]; }

    /* muon.cpp */
    void orthogonalise(float *momentum, int64_t rows, int64_t columns);
    double apply_muon(int tensor, int64_t rows, int64_t columns, double lr);
    void finish_muon(double lr, double &longest_encoder_row);
    struct Muon {
        Block<float> momentum[SAE_W_SKIP + 1]; /* of matrices */
        Block<float> gram, scaled, squared;    /* [shorter, shorter] */
        Block<float> moved;                    /* of the largest matrix */
    } muon;

    struct Sweep;
    void sweep_latents(Sweep &sweep);
    /* Of a row of W_dec's gradient; of its projection where that is what is clipped. */
    double decoder_squares(int64_t latent, const float *gradient) const;
    void update_decoder_row(int64_t latent, const float *gradient, const Sweep &sweep);

    Batch batch;
    std::vector<char> fired; /* [d_sae] whether a latent fired in this step's parts so far */
    Pending pending;
};

/* Refuses a batch with more entries than offsets can count. */
void require_countable(int64_t entries, const char *what);

/* sum over rows and columns of (value - mean of its column)^2; exactly 0 when all rows are equal. */
double squares_about_mean(Context &context, const float *matrix, int64_t rows, int64_t columns);

/* Upper bound on the L2 norm of the longest row. */
double longest_row(Context &context, const float *matrix, int64_t rows, int64_t columns);

} // namespace sae::cpu
#endif
