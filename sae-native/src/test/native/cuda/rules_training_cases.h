/* rules_training_cases.h: training with every rule, and of transcoders, on one backend, against double precision
 * (rules_training.h). Part of backend_check.cpp. Over 400 lines: a function per case. */
#ifndef SAE_TEST_RULES_TRAINING_CASES_H
#define SAE_TEST_RULES_TRAINING_CASES_H

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
        float &b_enc = sae.tensors[SAE_B_ENC][static_cast<size_t>(j)];
        b_enc = static_cast<float>(of.bias + (silent ? j % 2 == 0 ? -60.0 : -1.5 * spread : b_enc));
    }
    for (float &t : sae.tensors[SAE_THRESHOLD]) {
        t = std::abs(t) * static_cast<float>(spread) / 4; // some within the bandwidth of 0
    }
    for (float &r : sae.tensors[SAE_R_MAG]) {
        r *= 0.3f;
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

void check_batch_training(void *context, void *other) {
    const Options base = with(rule_options(SAE_BATCH_TOPK, 4), {{SAE_OPT_AUX_K, 7}, {SAE_OPT_DEAD_AFTER_BATCHES, 2}});
    const int32_t flags = SAE_SUBTRACT_B_DEC;
    check_rule_run(context, {"BatchTopK", 70, 19, 61, flags, base, SAE_HOST});
    check_rule_run(context, {"BatchTopK with thresholds", 33, 32, 600, SAE_THRESHOLDS, base});
    check_rule_run(context, {"BatchTopK, one row", 1, 5, 9, flags, with(base, {{SAE_OPT_AUX_NORM, SAE_AUX_SUM_MEAN}})});
    check_rule_run(context, {"BatchTopK, wide rows", 5, 1032, 11, flags, base});
    check_rule_run(context, {"BatchTopK, long lists", 300, 12, 7, flags,
                             with(base, {{SAE_OPT_K, 3}, {SAE_OPT_CLIP_NORM, 0.5}, {SAE_OPT_AUX_DETACH, 1}})});
    const Options clipped = with(base, {{SAE_OPT_LOSS, SAE_LOSS_SUM_MEAN},
                                        {SAE_OPT_AUX_NORM, SAE_AUX_RESIDUAL_VARIANCE},
                                        {SAE_OPT_AUX_DETACH, 1},
                                        {SAE_OPT_DECODER_NORM, SAE_DECODER_NORM_AFTER_STEP},
                                        {SAE_OPT_TRAIN_B_ENC, 1},
                                        {SAE_OPT_CLIP_NORM, 1},
                                        {SAE_OPT_CLIP_PROJECTED, 1},
                                        {SAE_OPT_THRESHOLD_RATE, 0.3},
                                        {SAE_OPT_THRESHOLD_AFTER, 2},
                                        {SAE_OPT_THRESHOLD_FROM_FIRST, 1}});
    check_rule_run(context, {"BatchTopK, clipped by the projection", 70, 19, 61, flags, clipped});
    const Options prefixes = with(base, {{SAE_OPT_PREFIXES, 3},
                                         {SAE_OPT_PREFIX_LATENTS, 10},
                                         {SAE_OPT_PREFIX_LATENTS + 1, 31},
                                         {SAE_OPT_PREFIX_LATENTS + 2, 61},
                                         {SAE_OPT_PREFIX_WEIGHT, 0.5},
                                         {SAE_OPT_PREFIX_WEIGHT + 1, 1},
                                         {SAE_OPT_PREFIX_WEIGHT + 2, 0.25}});
    check_rule_run(context, {"Matryoshka", 70, 19, 61, flags, prefixes});
    check_rule_run(context, {"Matryoshka, detached, fvu", 70, 19, 61, 0,
                             with(prefixes, {{SAE_OPT_AUX_DETACH, 1},
                                             {SAE_OPT_LOSS, SAE_LOSS_FVU},
                                             {SAE_OPT_AUX_NORM, SAE_AUX_TARGET_VARIANCE},
                                             {SAE_OPT_AUX_SCALE_BY_DEAD, 1},
                                             {SAE_OPT_TRAIN_B_ENC, 1}})});
    check_rule_run(context, {"Matryoshka in parts", 70, 19, 61, flags, prefixes, SAE_HOST, {9, 12, 50}});
    check_rule_run(context, {"BatchTopK on two devices", 70, 19, 61, flags, clipped, SAE_HOST, {9, 12, 50}, other});
    check_rule_run(context, {"BatchTopK that keeps nothing",
                             12,
                             8,
                             20,
                             flags,
                             with(base, {{SAE_OPT_AUX_COEFFICIENT, 0}}),
                             SAE_DEVICE,
                             {},
                             nullptr,
                             -100});
}

/* k changes with every step: K0, K0, then by 1/3 of the way. */
Options annealed(const Options &options, double initial) {
    return with(options, {{SAE_OPT_INITIAL_K, initial}, {SAE_OPT_K_DECAY_STEPS, 3}});
}

void check_changing_k(void *context, void *other) {
    const std::vector<std::pair<int, double>> dying = {{SAE_OPT_AUX_K, 7}, {SAE_OPT_DEAD_AFTER_BATCHES, 2}};
    const Options top = with(rule_options(SAE_TOPK, 4), dying);
    const Options batch = with(rule_options(SAE_BATCH_TOPK, 4), dying);
    const int32_t flags = SAE_SUBTRACT_B_DEC;
    const int64_t d = 40, m = 600; // screened
    check_rule_run(context, {"TopK", 40, 19, 61, flags, top});
    check_rule_run(context, {"decreasing k", 40, 19, 61, flags, annealed(top, 40), SAE_HOST});
    check_rule_run(context, {"decreasing k, screened", 40, d, m, 0, annealed(top, 32)});
    check_rule_run(context, {"increasing k in parts", 40, 19, 61, flags, annealed(top, 1), SAE_DEVICE, {9, 12}});
    check_rule_run(context,
                   {"decreasing k on two devices", 40, 19, 61, flags, annealed(top, 20), SAE_HOST, {9, 30}, other});
    check_rule_run(context, {"BatchTopK, decreasing k", 40, 19, 61, flags, annealed(batch, 20)});
    check_rule_run(
        context,
        {"BatchTopK, decreasing k, on two devices", 40, 19, 61, flags, annealed(batch, 20), SAE_HOST, {9, 30}, other});
}

void check_multi_topk(void *context, void *other) {
    const Options base = with(rule_options(SAE_TOPK, 4),
                              {{SAE_OPT_AUX_K, 7}, {SAE_OPT_DEAD_AFTER_BATCHES, 2}, {SAE_OPT_MULTI_TOPK, 0.125}});
    const Options fvu = with(base, {{SAE_OPT_LOSS, SAE_LOSS_FVU},
                                    {SAE_OPT_AUX_NORM, SAE_AUX_RESIDUAL_VARIANCE},
                                    {SAE_OPT_MULTI_TOPK, 2},
                                    {SAE_OPT_CLIP_NORM, 0.05},
                                    {SAE_OPT_TRAIN_B_ENC, 1}});
    const int32_t flags = SAE_SUBTRACT_B_DEC;
    check_rule_run(context, {"multi-TopK", 40, 19, 61, flags, base, SAE_HOST});
    check_rule_run(context, {"multi-TopK, all latents", 20, 12, 13, flags, base});
    check_rule_run(context, {"multi-TopK, decreasing k, fvu, clipped", 40, 40, 600, 0, annealed(fvu, 12)});
    check_rule_run(context, {"multi-TopK in parts", 40, 19, 61, flags, fvu, SAE_DEVICE, {9, 12, 30}});
    check_rule_run(context,
                   {"multi-TopK on two devices", 40, 19, 61, flags, annealed(base, 10), SAE_HOST, {9, 30}, other});
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

void check_threshold_training(void *context, void *other) {
    const Options base = sparse_options();
    const int32_t flags = SAE_SUBTRACT_B_DEC;
    for (const int term : {SAE_SPARSITY_NONE, SAE_SPARSITY_L1, SAE_SPARSITY_TANH}) {
        check_rule_run(context, {"ReLU, term " + std::to_string(term), 40, 19, 61, flags,
                                 with(base, {{SAE_OPT_SPARSITY, term}, {SAE_OPT_SPARSITY_WARMUP, 3}})});
    }
    const Options l1 = with(base, {{SAE_OPT_SPARSITY, SAE_SPARSITY_L1}});
    check_rule_run(context, {"ReLU, L1 without norms, frozen decoder", 40, 20, 61, 0,
                             with(l1, {{SAE_OPT_WEIGHT_BY_NORM, 0}, {SAE_OPT_FREEZE_DECODER, 1}})});
    check_rule_run(context, {"ReLU with more entries a row than the first guess", 9, 8, 400, flags, l1});
    check_rule_run(context, {"ReLU in parts", 40, 19, 61, flags, l1, SAE_HOST, {9, 12, 30}});
    check_rule_run(context, {"ReLU warming up on two devices",
                             40,
                             19,
                             61,
                             flags,
                             with(l1, {{SAE_OPT_SPARSITY_WARMUP, 4}}),
                             SAE_HOST,
                             {9, 30},
                             other});
    check_rule_run(context, {"ReLU without an active latent",
                             12,
                             8,
                             20,
                             flags,
                             with(l1, {{SAE_OPT_AUX_COEFFICIENT, 0}}),
                             SAE_DEVICE,
                             {},
                             nullptr,
                             -100});
    for (int term = SAE_SPARSITY_NONE; term <= SAE_SPARSITY_L0_OF_BATCH; term++) {
        check_rule_run(context,
                       {"JumpReLU, term " + std::to_string(term), 40, 19, 61,
                        term % 2 == 0 ? SAE_THRESHOLDS : SAE_THRESHOLDS | flags,
                        with(base, {{SAE_OPT_SPARSITY, term}, {SAE_OPT_STE_TO_INPUT, term % 3 == 0 ? 0 : 1}})});
    }
    const Options of_batch = with(base, {{SAE_OPT_SPARSITY, SAE_SPARSITY_L0_OF_BATCH}, {SAE_OPT_CLIP_NORM, 0.5}});
    check_rule_run(context, {"JumpReLU in parts", 40, 19, 61, SAE_THRESHOLDS | flags, of_batch, SAE_DEVICE, {9, 30}});
    check_rule_run(context,
                   {"JumpReLU on two devices", 40, 19, 61, SAE_THRESHOLDS | flags, of_batch, SAE_HOST, {9, 30}, other});
}

void check_gated_training(void *context, void *other) {
    const Options base = with(sparse_options(), {{SAE_OPT_AUX_COEFFICIENT, 0}, {SAE_OPT_SPARSITY, SAE_SPARSITY_L1}});
    const int32_t flags = SAE_GATED | SAE_SUBTRACT_B_DEC;
    check_rule_run(context, {"gated", 40, 19, 61, flags, base});
    check_rule_run(context, {"gated without a term", 40, 20, 61, SAE_GATED,
                             with(base, {{SAE_OPT_SPARSITY, SAE_SPARSITY_NONE}, {SAE_OPT_TRAIN_B_ENC, 0}})});
    const Options detached = with(base, {{SAE_OPT_GATE_DETACH, 1},
                                         {SAE_OPT_WEIGHT_BY_NORM, 0},
                                         {SAE_OPT_DECODER_NORM, SAE_DECODER_NORM_AFTER_STEP},
                                         {SAE_OPT_CLIP_NORM, 0}});
    check_rule_run(context, {"gated, detached", 40, 19, 61, flags, detached, SAE_HOST});
    check_rule_run(context, {"gated in parts", 40, 19, 61, flags, detached, SAE_HOST, {9, 30}});
    check_rule_run(context, {"gated on two devices", 40, 19, 61, flags, base, SAE_HOST, {9, 30}, other});
    check_rule_run(context, {"gated without an open gate", 12, 8, 20, flags, base, SAE_DEVICE, {}, nullptr, -100});
}

RuleTrainingCase transcoder(RuleTrainingCase of, int64_t d_out) {
    of.name = "transcoder, " + of.name;
    of.d_out = d_out;
    return of;
}

void check_group_training(void *context, void *other) {
    const Options base = with(rule_options(SAE_GROUP_MAX, 6), {{SAE_OPT_AUX_K, 7}, {SAE_OPT_DEAD_AFTER_BATCHES, 2}});
    const Options clipped = with(base, {{SAE_OPT_LOSS, SAE_LOSS_FVU},
                                        {SAE_OPT_DECODER_NORM, SAE_DECODER_NORM_AFTER_STEP},
                                        {SAE_OPT_TRAIN_B_ENC, 1},
                                        {SAE_OPT_CLIP_NORM, 0.05}});
    const int32_t flags = SAE_SUBTRACT_B_DEC;
    check_rule_run(context, {"groups", 40, 19, 60, flags, base, SAE_HOST});
    check_rule_run(context, {"groups, clipped", 33, 32, 600, 0, clipped});
    check_rule_run(context, {"groups in parts", 40, 19, 60, flags, clipped, SAE_DEVICE, {9, 12, 30}});
    check_rule_run(context, {"groups on two devices", 40, 19, 60, flags, base, SAE_HOST, {9, 30}, other});
    check_rule_run(context, transcoder({"groups with a skip", 40, 19, 60, SAE_SKIP, clipped}, 24));
}

void check_transcoder_training(void *context, void *other) {
    const Options base = with(rule_options(SAE_TOPK, 4),
                              {{SAE_OPT_AUX_K, 7}, {SAE_OPT_DEAD_AFTER_BATCHES, 2}, {SAE_OPT_TRAIN_B_ENC, 1}});
    const Options fvu = with(base, {{SAE_OPT_LOSS, SAE_LOSS_FVU}, {SAE_OPT_AUX_NORM, SAE_AUX_TARGET_VARIANCE}});
    const Options clipped = with(base, {{SAE_OPT_CLIP_NORM, 0.05},
                                        {SAE_OPT_CLIP_PROJECTED, 1},
                                        {SAE_OPT_DECODER_NORM, SAE_DECODER_NORM_AFTER_STEP},
                                        {SAE_OPT_AUX_NORM, SAE_AUX_RESIDUAL_VARIANCE},
                                        {SAE_OPT_AUX_DETACH, 1}});
    check_rule_run(context, transcoder({"narrower", 40, 40, 61, 0, base, SAE_HOST}, 24));
    check_rule_run(context, transcoder({"wider", 40, 19, 61, 0, clipped}, 300));
    check_rule_run(context, transcoder({"as wide as it reads", 40, 40, 600, 0, fvu, SAE_HOST}, 40));
    check_rule_run(context,
                   transcoder({"as wide, clipped", 40, 19, 61, 0, with(fvu, {{SAE_OPT_CLIP_NORM, 0.05}})}, 19));
    check_rule_run(context, transcoder({"as wide, b_dec subtracted", 40, 19, 61, SAE_SUBTRACT_B_DEC, base}, 19));
    check_rule_run(context, transcoder({"as wide, in parts", 40, 19, 61, 0, base, SAE_HOST, {9, 12}}, 19));
    check_rule_run(context, transcoder({"one row", 1, 19, 61, SAE_SKIP, base}, 7));
    check_rule_run(context, transcoder({"with a skip", 40, 19, 61, SAE_SKIP, fvu, SAE_HOST}, 24));
    check_rule_run(context, transcoder({"with a skip, several tiles", 150, 140, 61, SAE_SKIP, base}, 131));
    check_rule_run(context, transcoder({"with a skip, clipped", 40, 19, 61, SAE_SKIP, clipped}, 24));
    check_rule_run(context,
                   transcoder({"with a skip, in parts", 40, 19, 61, SAE_SKIP, fvu, SAE_DEVICE, {9, 12, 30}}, 24));
    check_rule_run(
        context, transcoder({"with a skip, on two devices", 40, 19, 61, SAE_SKIP, base, SAE_HOST, {9, 30}, other}, 24));
    check_rule_run(context, transcoder({"with a skip and multi-TopK", 40, 19, 61, SAE_SKIP,
                                        annealed(with(fvu, {{SAE_OPT_MULTI_TOPK, 0.5}}), 9)},
                                       24));
    check_rule_run(context, {"SAE with a skip", 40, 19, 61, SAE_SKIP | SAE_SUBTRACT_B_DEC, base});
    const Options batch = with(fvu, {{SAE_OPT_RULE, SAE_BATCH_TOPK},
                                     {SAE_OPT_PREFIXES, 2},
                                     {SAE_OPT_PREFIX_LATENTS, 20},
                                     {SAE_OPT_PREFIX_LATENTS + 1, 61},
                                     {SAE_OPT_PREFIX_WEIGHT, 0.5},
                                     {SAE_OPT_PREFIX_WEIGHT + 1, 1}});
    check_rule_run(context, transcoder({"Matryoshka with a skip", 40, 19, 61, SAE_SKIP, batch, SAE_HOST}, 24));
    check_rule_run(context,
                   transcoder({"Matryoshka with a skip, in parts", 40, 19, 61, SAE_SKIP, batch, SAE_HOST, {9}}, 24));
    const Options l1 = with(sparse_options(), {{SAE_OPT_SPARSITY, SAE_SPARSITY_L1}});
    check_rule_run(context, transcoder({"L1", 40, 19, 61, 0, l1}, 24));
    check_rule_run(context, transcoder({"JumpReLU with a skip, on two devices",
                                        40,
                                        19,
                                        61,
                                        SAE_THRESHOLDS | SAE_SKIP,
                                        with(sparse_options(), {{SAE_OPT_SPARSITY, SAE_SPARSITY_TANH}}),
                                        SAE_HOST,
                                        {9, 30},
                                        other},
                                       24));
    check_rule_run(context, transcoder({"gated", 40, 19, 61, SAE_GATED, with(l1, {{SAE_OPT_AUX_COEFFICIENT, 0}})}, 24));
}

/* The optimisers besides Adam, with every kind of rule. */
void check_optimizer_training(void *context, void *other, int32_t optimizer, bool brief) {
    const std::vector<std::pair<int, double>> change = {{SAE_OPT_OPTIMIZER, optimizer}};
    const std::string name = optimizer == SAE_SIGNUM ? "signum, " : "muon, ";
    const int32_t flags = SAE_SUBTRACT_B_DEC;
    const Options top =
        with(with(rule_options(SAE_TOPK, 4), {{SAE_OPT_AUX_K, 7}, {SAE_OPT_DEAD_AFTER_BATCHES, 2}}), change);
    check_rule_run(context, {name + "TopK", 70, 19, 61, flags, top, SAE_HOST});
    const Options clipped = with(top, {{SAE_OPT_DECODER_NORM, SAE_DECODER_NORM_AFTER_STEP},
                                       {SAE_OPT_CLIP_NORM, 0.05},
                                       {SAE_OPT_CLIP_PROJECTED, 1},
                                       {SAE_OPT_TRAIN_B_ENC, 1}});
    check_rule_run(context, {name + "TopK, clipped, norm after", 33, 32, 300, flags, clipped});
    check_rule_run(
        context,
        transcoder({name + "with a skip, in parts", 40, 19, 61, SAE_SKIP, clipped, SAE_HOST, {9, 12, 30}}, 24));
    if (brief) {
        return;
    }
    check_rule_run(context, {name + "TopK, wide rows", 5, 1032, 11, 0, with(clipped, {{SAE_OPT_PROJECT_GRADIENT, 0}})});
    check_rule_run(context,
                   {name + "TopK, decoder frozen", 70, 19, 61, flags, with(top, {{SAE_OPT_FREEZE_DECODER, 1}})});
    check_rule_run(context, {name + "TopK in parts", 70, 19, 61, flags, top, SAE_HOST, {9, 12, 50}});
    check_rule_run(context, {name + "TopK on two devices", 70, 19, 61, flags, clipped, SAE_HOST, {9, 12, 50}, other});
    check_rule_run(
        context,
        {name + "BatchTopK", 70, 19, 61, SAE_THRESHOLDS,
         with(with(rule_options(SAE_BATCH_TOPK, 4), {{SAE_OPT_AUX_K, 7}, {SAE_OPT_DEAD_AFTER_BATCHES, 2}}), change)});
    const Options sparse = with(with(sparse_options(), {{SAE_OPT_SPARSITY, SAE_SPARSITY_L1}}), change);
    check_rule_run(context, {name + "ReLU in parts", 40, 19, 61, flags, sparse, SAE_HOST, {9, 30}});
    check_rule_run(context, {name + "JumpReLU on two devices",
                             40,
                             19,
                             61,
                             SAE_THRESHOLDS | flags,
                             with(sparse, {{SAE_OPT_SPARSITY, SAE_SPARSITY_L0}}),
                             SAE_DEVICE,
                             {9, 30},
                             other});
    check_rule_run(context,
                   {name + "gated", 40, 19, 61, SAE_GATED | flags, with(sparse, {{SAE_OPT_AUX_COEFFICIENT, 0}})});
    check_rule_run(context, transcoder({name + "with a skip", 40, 19, 61, SAE_SKIP, top, SAE_HOST}, 24));
    check_rule_run(context,
                   {name + "groups", 40, 19, 60, flags, with(with(rule_options(SAE_GROUP_MAX, 6), {}), change)});
}

/* With an option of the context. */
void check_rule_option(const std::string &option, const RuleTrainingCase &of) {
    void *context = nullptr;
    ok(table->context_open(option.c_str(), &context), option.c_str());
    check_rule_run(context, of);
    table->context_close(context);
}

void check_rule_options() {
    const Options batch = with(rule_options(SAE_BATCH_TOPK, 4), {{SAE_OPT_AUX_K, 7}, {SAE_OPT_DEAD_AFTER_BATCHES, 2}});
    const Options l0 = with(sparse_options(), {{SAE_OPT_SPARSITY, SAE_SPARSITY_L0}});
    RuleTrainingCase of{"BatchTopK, precision=bf16", 40, 19, 61, 0, batch};
    of.narrow = true;
    check_rule_option("precision=bf16", of);
    of.name = "JumpReLU, precision=bf16";
    of.flags = SAE_THRESHOLDS;
    of.options = l0;
    check_rule_option("precision=bf16", of);
    const Options dying = with(rule_options(SAE_TOPK, 4), {{SAE_OPT_AUX_K, 7}, {SAE_OPT_DEAD_AFTER_BATCHES, 2}});
    const Options multi = annealed(with(dying, {{SAE_OPT_MULTI_TOPK, 0.5}}), 9);
    RuleTrainingCase skip = transcoder({"with a skip, precision=bf16", 40, 19, 61, SAE_SKIP, multi}, 24);
    skip.narrow = true;
    check_rule_option("precision=bf16", skip);
    RuleTrainingCase groups{"groups, precision=bf16", 40, 19, 61, 0, dying};
    groups.m = 60;
    groups.options[SAE_OPT_RULE] = SAE_GROUP_MAX;
    groups.narrow = true;
    check_rule_option("precision=bf16", groups);
    skip.narrow = false;
    check_rule_option("kernels=plain", skip);
    check_rule_option("graph=off", skip);
    check_rule_option("step=plain", transcoder({"as wide, step=plain", 40, 19, 61, 0, annealed(dying, 9)}, 19));
    skip.moments = 0.01;
    check_rule_option("moments=bf16", skip);
    of.narrow = false;
    of.name = "JumpReLU, moments=bf16";
    of.moments = 0.01; // of 8 significant bits, the last one rounded up or down
    check_rule_option("moments=bf16", of);
    of.options = with(l0, {{SAE_OPT_OPTIMIZER, SAE_SIGNUM}});
    of.name = "signum, JumpReLU, moments=bf16";
    of.moments = 2e-5; // only Adam's are bfloat16
    check_rule_option("moments=bf16", of);
    of.options = with(l0, {{SAE_OPT_OPTIMIZER, SAE_MUON}});
    of.name = "muon, JumpReLU, moments=bf16";
    check_rule_option("moments=bf16", of);
    of.name = "muon, JumpReLU, kernels=plain";
    check_rule_option("kernels=plain", of);
    of.narrow = true;
    of.name = "signum, JumpReLU, precision=bf16";
    check_rule_option("precision=bf16", of);
}

void check_rule_training(void *context, bool brief) {
    void *other = nullptr;
    if (table->context_open("device=1", &other) != SAE_OK) {
        ok(table->context_open("", &other), "context_open");
    }
    check_changing_k(context, other);
    check_multi_topk(context, other);
    check_group_training(context, other);
    check_transcoder_training(context, other);
    check_batch_training(context, other);
    check_threshold_training(context, other);
    check_gated_training(context, other);
    check_optimizer_training(context, other, SAE_SIGNUM, brief);
    check_optimizer_training(context, other, SAE_MUON, brief);
    table->context_close(other);
    if (std::string(table->name) == "cuda" && !brief) { // other backends have no such options
        check_rule_options();
    }
}

} // namespace
#endif
