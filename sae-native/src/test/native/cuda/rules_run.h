/* rules_run.h: a few steps of any rule, or of a transcoder, on one backend, against double precision (rules_training.h); and
 * the options that cases of rules_training_cases.h share. Part of backend_check.cpp. */
#ifndef SAE_TEST_RULES_RUN_H
#define SAE_TEST_RULES_RUN_H

#include <memory>

#include "backend_harness.h"
#include "rules_training.h"

namespace {

struct RuleTrained {
    RuleParams params;
    void *trainer = nullptr;
    const int64_t m;

    RuleTrained(void *context, const RuleSae &sae, const Options &options) : params(context, sae), m(sae.m) {
        int64_t bytes = 0;
        ok(table->trainer_create(params.handle, options.data(), &trainer, &bytes), "trainer_create");
        expect(bytes > 0, "live bytes of the trainer");
    }
    RuleTrained(const RuleTrained &) = delete;
    RuleTrained &operator=(const RuleTrained &) = delete;
    ~RuleTrained() { table->trainer_close(trainer); }

    std::vector<float> read(int32_t tensor, size_t count) const {
        std::vector<float> values(count);
        ok(table->params_read(params.handle, tensor, 0, values.data(), static_cast<int64_t>(count)), "params_read");
        return values;
    }
};

/* The states of a tensor's moments. */
int32_t moment_state(int32_t tensor, bool first) {
    if (tensor >= SAE_THRESHOLD) {
        return SAE_STATE_M_THRESHOLD + 2 * (tensor - SAE_THRESHOLD) + (first ? 0 : 1);
    }
    return (first ? SAE_STATE_M_W_ENC : SAE_STATE_V_W_ENC) + tensor;
}

struct RuleTrainingCase {
    std::string name;
    int64_t rows, d, m;
    int32_t flags;
    Options options;
    int32_t place = SAE_DEVICE;
    std::vector<int64_t> cuts = {}; // of the batch into parts, at these rows; empty: whole steps
    void *other = nullptr;          // context of a replica that computes all parts but the first; null: no replica
    double bias = 0;                // added to every b_enc
    bool narrow = false;            // of a context with precision=bf16: what the encoder multiplies is bfloat16 already
    double moments = 2e-5;          // tolerance
    int64_t d_out = 0;              // of a transcoder; 0: rows are their own target
    int64_t written() const { return d_out == 0 ? d : d_out; }
};

RuleSae rule_sae(const RuleTrainingCase &of, Random &random) {
    RuleSae sae(of.d, of.written(), of.m, of.flags);
    for (int32_t tensor = 0; tensor <= SAE_W_SKIP; tensor++) {
        sae.tensors[tensor] = random.normals(sae.elements(tensor));
    }
    const double spread = std::sqrt(static_cast<double>(of.d));
    for (int64_t j = 0; j < of.m; j++) {
        const bool silent = j % 3 == 0; // some never fire, some seldom
        if (silent && static_cast<int32_t>(of.options[SAE_OPT_RULE]) == SAE_ABS_TOPK) {
            const auto row = sae.tensors[SAE_W_ENC].begin() + j * of.d;
            std::transform(row, row + of.d, row, [](float weight) { return 0.1f * weight; });
            continue;
        }
        float &b_enc = sae.tensors[SAE_B_ENC][static_cast<size_t>(j)];
        b_enc = static_cast<float>(of.bias + (silent ? j % 2 == 0 ? -60.0 : -1.5 * spread : b_enc));
    }
    for (float &t : sae.tensors[SAE_THRESHOLD]) {
        t = std::abs(t) * static_cast<float>(spread) / 4; // some within the bandwidth of 0
    }
    for (float &r : sae.tensors[SAE_R_MAG]) {
        r *= 0.3f;
    }
    const std::vector<int64_t> without_norm = {1, 3}; // one that may fire, and one that is silent
    for (const int64_t j : of.options[SAE_OPT_RANK_BY_NORM] != 0 ? without_norm : std::vector<int64_t>{}) {
        std::fill_n(sae.tensors[SAE_W_DEC].begin() + j * of.written(), of.written(), 0.0f);
    }
    return sae;
}

/* One trainer beside the reference. */
class RuleRun {
  public:
    RuleRun(void *context, const RuleTrainingCase &of)
        : of_(of), context_(context), random_(static_cast<uint32_t>(of.d * of.m + of.rows)),
          sae_(rule_sae(of, random_)), options_(options_of(of)), reference_(sae_, options_),
          trained_(context, sae_, options_) {
        if (of.other != nullptr) {
            Options of_replica = options_;
            of_replica[SAE_OPT_GRADIENTS] = SAE_GRADIENTS_ONLY;
            replica_ = std::make_unique<RuleTrained>(of.other, sae_, of_replica);
        }
    }

    void run() {
        bool revived = false;
        for (int step = 0; step < 5; step++) {
            const std::string name = of_.name + ", step " + std::to_string(step);
            round_encoder();
            const std::vector<float> x = rounded(random_.normals(of_.rows * of_.d));
            const std::vector<float> y = transcodes() ? random_.normals(of_.rows * of_.d_out) : x;
            if (step == 3) {
                refuse(x, y, false, name);
                refuse(x, y, transcodes(), name);
            }
            ok(take_step(x, y), name.c_str());
            reference_step(x, y);
            compare(name);
            revived = revived || (reference_.stats[SAE_STAT_AUX] > 0 && options_[SAE_OPT_AUX_COEFFICIENT] > 0);
        }
        expect(revived == (options_[SAE_OPT_AUX_COEFFICIENT] > 0), of_.name + ": the auxiliary loss is exercised");
        resume();
    }

  private:
    static Options options_of(const RuleTrainingCase &of) {
        Options options = of.options;
        options[SAE_OPT_GRADIENTS] = of.cuts.empty() ? SAE_GRADIENTS_NONE : SAE_GRADIENTS_KEPT;
        return options;
    }

    std::vector<float> rounded(std::vector<float> values) const {
        std::transform(values.begin(), values.end(), values.begin(),
                       [&](float value) { return of_.narrow ? nearest_bf16(value) : value; });
        return values;
    }

    void round_encoder() {
        if (!of_.narrow) {
            return;
        }
        std::vector<float> &w_enc = sae_.tensors[SAE_W_ENC];
        w_enc = rounded(w_enc);
        ok(table->params_write(trained_.params.handle, SAE_W_ENC, 0, w_enc.data(), static_cast<int64_t>(w_enc.size())),
           "params_write");
    }

    bool transcodes() const { return of_.d_out > 0; }

    /* The argument y. */
    void *target(const Memory<float> &y) const { return transcodes() ? y.buffer : nullptr; }

    sae_status take_step(const std::vector<float> &x, const std::vector<float> &y) {
        const Memory<float> here(context_, x, of_.place);
        const Memory<float> y_here(context_, y, of_.place);
        double ignored[SAE_STAT_COUNT];
        if (of_.cuts.empty()) {
            const sae_status status = table->train_step(trained_.trainer, here.buffer, target(y_here), of_.rows, 1e-2);
            return status == SAE_OK ? table->trainer_stats(trained_.trainer, ignored) : status;
        }
        const Memory<float> there(replica_ == nullptr ? context_ : of_.other, x, of_.place);
        const Memory<float> y_there(replica_ == nullptr ? context_ : of_.other, y, of_.place);
        int64_t pending = 0, elsewhere = 0, first = 0;
        for (const int64_t end : ends()) {
            const bool mine = replica_ == nullptr || first == 0;
            int64_t &rows = mine ? pending : elsewhere;
            const sae_status status =
                table->train_accumulate(mine ? trained_.trainer : replica_->trainer, mine ? here.buffer : there.buffer,
                                        target(mine ? y_here : y_there), first, end - first, rows);
            if (status != SAE_OK) {
                return status;
            }
            rows += end - first;
            first = end;
        }
        if (replica_ != nullptr) {
            ok(table->trainer_add(trained_.trainer, pending, replica_->trainer), "trainer_add");
        }
        sae_status status = table->train_apply(trained_.trainer, pending + elsewhere, 1e-2);
        if (status == SAE_OK) {
            status = table->trainer_stats(trained_.trainer, ignored); // before a replica copies its number of steps
        }
        if (replica_ != nullptr) {
            ok(table->trainer_copy(replica_->trainer, trained_.trainer), "trainer_copy");
            for (int32_t tensor = 0; tensor <= SAE_W_SKIP; tensor++) {
                const size_t count = sae_.tensors[tensor].size();
                expect(replica_->read(tensor, count) == trained_.read(tensor, count), "a replica's parameters");
            }
        }
        return status;
    }

    std::vector<int64_t> ends() const {
        std::vector<int64_t> ends = of_.cuts;
        ends.push_back(of_.rows);
        return ends;
    }

    void reference_step(const std::vector<float> &x, const std::vector<float> &y) {
        RuleTraining theirs(sae_, options_); // decides by its own parts
        theirs.idle_batches = reference_.idle_batches;
        theirs.idle_rows = reference_.idle_rows;
        theirs.stats[SAE_STAT_STEPS] = reference_.stats[SAE_STAT_STEPS];
        int64_t first = 0;
        for (const int64_t end : ends()) {
            const auto part = [&](const std::vector<float> &of, int64_t d) {
                return std::vector<float>(of.begin() + first * d, of.begin() + end * d);
            };
            (replica_ != nullptr && first > 0 ? theirs : reference_)
                .accumulate(part(x, of_.d), part(y, of_.written()), end - first);
            first = end;
        }
        reference_.add(theirs);
        reference_.apply(1e-2);
    }

    /* A batch with NaN, in its rows or in its target, changes nothing. */
    void refuse(std::vector<float> x, std::vector<float> y, bool in_target, const std::string &name) {
        const int64_t row = std::min<int64_t>(of_.rows - 1, 1); // with parts, of the second one
        const int64_t at = row + (of_.cuts.empty() ? 0 : of_.cuts[0]);
        (in_target ? y[static_cast<size_t>(at * of_.d_out)] : x[static_cast<size_t>(at * of_.d)]) =
            std::numeric_limits<float>::quiet_NaN();
        const std::string text = "row " + std::to_string(row) + " of ";
        const sae_status status = take_step(x, y);
        expect(status == SAE_NONFINITE && std::string(table->last_error()).find(text) != std::string::npos,
               name + ": a batch with NaN is refused by row");
        for (int32_t tensor = 0; tensor <= SAE_W_SKIP; tensor++) {
            expect(trained_.read(tensor, sae_.tensors[tensor].size()) == sae_.tensors[tensor],
                   name + ": a refused batch leaves tensor " + std::to_string(tensor));
        }
    }

    /* Everything after a step; then the reference goes on from the backend's own numbers, so that each step is compared by
     * itself: a latent may be within rounding of its threshold. */
    void compare(const std::string &name) {
        double stats[SAE_STAT_COUNT];
        ok(table->trainer_stats(trained_.trainer, stats), "trainer_stats");
        for (const int i : {SAE_STAT_STEPS, SAE_STAT_LOSS, SAE_STAT_RECONSTRUCTION, SAE_STAT_AUX, SAE_STAT_L0,
                            SAE_STAT_DEAD, SAE_STAT_FVU, SAE_STAT_GRADIENT_NORM, SAE_STAT_SPARSITY}) {
            const double wanted = reference_.stats[i];
            expect(std::abs(stats[i] - wanted) <= 1e-4 * std::abs(wanted) + 1e-12,
                   name + ": statistic " + std::to_string(i) + " is " + std::to_string(stats[i]) + ", expected " +
                       std::to_string(wanted));
        }
        for (int32_t tensor = 0; tensor <= SAE_W_SKIP; tensor++) {
            const size_t count = sae_.tensors[tensor].size();
            const std::string which = name + ": tensor " + std::to_string(tensor);
            const std::vector<float> values = trained_.read(tensor, count);
            expect_close(values, sae_.tensors[tensor], 1e-3, which);
            sae_.tensors[tensor] = values;
            if (reference_.has_first(tensor)) {
                const std::vector<float> first = read_state(trained_.trainer, moment_state(tensor, true), count);
                expect_close(first, reference_.first[tensor], of_.moments, which + ", first moment");
                reference_.first[tensor].assign(first.begin(), first.end());
            }
            if (reference_.has_second(tensor)) {
                const std::vector<float> second = read_state(trained_.trainer, moment_state(tensor, false), count);
                expect_close(second, reference_.second[tensor], 2 * of_.moments, which + ", second moment");
                reference_.second[tensor].assign(second.begin(), second.end());
            }
        }
        if (reference_.optimizer() == SAE_SIGNUM) {
            std::vector<double> averaging(2);
            ok(table->trainer_read(trained_.trainer, SAE_STATE_AVERAGING, 0, averaging.data(), 2), "trainer_read");
            expect(averaging == reference_.averaging, name + ": state of the averaging");
        }
        if (static_cast<int32_t>(options_[SAE_OPT_RULE]) == SAE_BATCH_TOPK) {
            double learned = 0;
            ok(table->trainer_read(trained_.trainer, SAE_STATE_LEARNED_THRESHOLD, 0, &learned, 1), "trainer_read");
            expect(std::abs(learned - reference_.learned_threshold) <= 1e-5 * std::abs(learned) + 1e-6,
                   name + ": learned threshold is " + std::to_string(learned) + ", expected " +
                       std::to_string(reference_.learned_threshold));
            reference_.learned_threshold = learned;
        }
        expect(idle(trained_, SAE_STATE_IDLE_BATCHES) == reference_.idle_batches, name + ": idle batches");
        expect(idle(trained_, SAE_STATE_IDLE_ROWS) == reference_.idle_rows, name + ": idle rows");
    }

    static std::vector<int64_t> idle(const RuleTrained &of, int32_t state) {
        std::vector<int64_t> values(static_cast<size_t>(of.m));
        ok(table->trainer_read(of.trainer, state, 0, values.data(), of.m), "trainer_read");
        return values;
    }

    /* The state of one trainer to another. */
    template <typename T>
    static void carry(const RuleTrained &from, const RuleTrained &to, int32_t state, size_t count) {
        std::vector<T> values(count);
        ok(table->trainer_read(from.trainer, state, 0, values.data(), static_cast<int64_t>(count)), "trainer_read");
        ok(table->trainer_write(to.trainer, state, 0, values.data(), static_cast<int64_t>(count)), "trainer_write");
    }

    /* Another trainer with this one's parameters and state goes on with the same bits. */
    void resume() {
        const RuleTrained copy(context_, sae_, options_);
        for (int32_t tensor = 0; tensor <= SAE_W_SKIP; tensor++) {
            for (const bool first : {true, false}) {
                if (first ? reference_.has_first(tensor) : reference_.has_second(tensor)) {
                    carry<float>(trained_, copy, moment_state(tensor, first), sae_.tensors[tensor].size());
                }
            }
        }
        carry<int64_t>(trained_, copy, SAE_STATE_IDLE_BATCHES, static_cast<size_t>(of_.m));
        carry<int64_t>(trained_, copy, SAE_STATE_IDLE_ROWS, static_cast<size_t>(of_.m));
        carry<int64_t>(trained_, copy, SAE_STATE_STEPS, 1);
        if (reference_.optimizer() == SAE_SIGNUM) {
            carry<double>(trained_, copy, SAE_STATE_AVERAGING, 2);
        }
        const bool learns = static_cast<int32_t>(options_[SAE_OPT_RULE]) == SAE_BATCH_TOPK;
        if (learns) {
            carry<double>(trained_, copy, SAE_STATE_LEARNED_THRESHOLD, 1);
        }
        for (int step = 0; step < 2; step++) {
            const Memory<float> x(context_, random_.normals(of_.rows * of_.d), of_.place);
            const Memory<float> y(context_, random_.normals(of_.rows * of_.written()), of_.place);
            for (const RuleTrained *one : {static_cast<const RuleTrained *>(&trained_), &copy}) {
                ok(table->train_step(one->trainer, x.buffer, target(y), of_.rows, 1e-2), "train_step");
            }
        }
        for (int32_t tensor = 0; tensor <= SAE_W_SKIP; tensor++) {
            const size_t count = sae_.tensors[tensor].size();
            expect(trained_.read(tensor, count) == copy.read(tensor, count),
                   of_.name + ": tensor " + std::to_string(tensor) + " of a resumed run");
        }
        double stats[2][SAE_STAT_COUNT];
        ok(table->trainer_stats(trained_.trainer, stats[0]), "trainer_stats");
        ok(table->trainer_stats(copy.trainer, stats[1]), "trainer_stats");
        expect(std::equal(stats[0], stats[0] + SAE_STAT_COUNT, stats[1]), of_.name + ": statistics of a resumed run");
        double learned[2] = {};
        for (int i = 0; learns && i < 2; i++) {
            ok(table->trainer_read(i == 0 ? trained_.trainer : copy.trainer, SAE_STATE_LEARNED_THRESHOLD, 0,
                                   &learned[i], 1),
               "trainer_read");
        }
        expect(learned[0] == learned[1], of_.name + ": learned threshold of a resumed run");
    }

    const RuleTrainingCase &of_;
    void *context_;
    Random random_;
    RuleSae sae_;
    const Options options_;
    RuleTraining reference_;
    RuleTrained trained_;
    std::unique_ptr<RuleTrained> replica_;
};

void check_rule_run(void *context, const RuleTrainingCase &of) { RuleRun(context, of).run(); }

Options with(Options options, const std::vector<std::pair<int, double>> &changes) {
    for (const auto &[key, value] : changes) {
        options[static_cast<size_t>(key)] = value;
    }
    return options;
}

/* k changes with every step: K0, K0, then by 1/3 of the way. */
Options annealed(const Options &options, double initial) {
    return with(options, {{SAE_OPT_INITIAL_K, initial}, {SAE_OPT_K_DECAY_STEPS, 3}});
}

Options sparse_options() {
    return with(rule_options(SAE_THRESHOLD_RULE, 0), {{SAE_OPT_AUX_K, 7},
                                                      {SAE_OPT_DEAD_AFTER_BATCHES, 2},
                                                      {SAE_OPT_LOSS, SAE_LOSS_SUM_MEAN},
                                                      {SAE_OPT_AUX_NORM, SAE_AUX_SUM_MEAN},
                                                      {SAE_OPT_TRAIN_B_ENC, 1},
                                                      {SAE_OPT_SPARSITY_COEFFICIENT, 0.05},
                                                      {SAE_OPT_BANDWIDTH, 0.5},
                                                      {SAE_OPT_TARGET_L0, 8}});
}

RuleTrainingCase transcoder(RuleTrainingCase of, int64_t d_out) {
    of.name = "transcoder, " + of.name;
    of.d_out = d_out;
    return of;
}

} // namespace
#endif
