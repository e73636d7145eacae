/*
 * driver.cpp: runs every operation of the CPU backend against reference.h, at odd sizes, at size one and at sizes
 * larger than a tile, on every instruction set of this processor, and calls every function of the ABI with arguments
 * that it must refuse. Meant for AddressSanitizer, UBSan and ThreadSanitizer; prints failures and returns 1.
 * SAE_TEST_BLAS names a libopenblas.so.0 to test as well.
 * Over 400 lines: a flat list of cases that share one harness.
 */
#include <algorithm>
#include <cstdlib>
#include <limits>
#include <map>
#include <utility>

#include "activation_cases.h"
#include "harness.h"
#include "screen_cases.h"

using namespace test;

namespace {

/* Values close together may come in either order in float32: each must be right for its index, they must descend, and
 * no missing value may exceed the last one by more than rounding. */
void check_row(const reference::Sae &sae, const float *x, const int32_t *index, const float *value, int64_t k) {
    constexpr double kTolerance = 2e-5; /* float sums of some hundred products of order 1 */
    std::vector<double> p(sae.m);
    for (int64_t j = 0; j < sae.m; j++) {
        p[j] = reference::pre_activation(sae, x, j);
    }
    std::vector<bool> seen(sae.m);
    for (int64_t i = 0; i < k; i++) {
        expect(index[i] >= 0 && index[i] < sae.m && !seen[index[i]], "indices are distinct and in range");
        seen[index[i]] = true;
        expect(std::abs(value[i] - std::max(0.0, p[index[i]])) <= kTolerance, "a value is the ReLU'd pre-activation");
        expect(i == 0 || value[i] < value[i - 1] || (value[i] == value[i - 1] && index[i] > index[i - 1]),
               "value descending, then lower index");
    }
    for (int64_t j = 0; j < sae.m; j++) {
        expect(seen[j] || p[j] <= value[k - 1] + kTolerance, "nothing larger is left out");
    }
}

void test_encode_decode(sae_handle context, int64_t d, int64_t m, int64_t k, int64_t rows, bool subtract, double bias) {
    const Pair sae(context, d, m, subtract, bias, 0.5);
    const Buffer<float> x(context, gaussian(rows * d));
    Buffer<int32_t> index(context, rows * k);
    Buffer<float> value(context, rows * k);
    Buffer<float> decoded(context, rows * d);
    ok(encode_topk(sae.params, x.handle, rows, k, index.handle, value.handle));
    ok(decode_topk(sae.params, index.handle, value.handle, rows, k, decoded.handle));
    for (int64_t row = 0; row < rows; row++) {
        check_row(sae.expected, x.data + row * d, index.data + row * k, value.data + row * k, k);
        for (int64_t i = 0; i < d; i++) {
            double expected = sae.expected.at(SAE_B_DEC, i);
            double magnitude = std::abs(expected);
            for (int64_t j = 0; j < k; j++) {
                const double term =
                    value.data[row * k + j] * sae.expected.at(SAE_W_DEC, index.data[row * k + j] * d + i);
                expected += term;
                magnitude += std::abs(term);
            }
            expect(std::abs(decoded.data[row * d + i] - expected) <= 1e-6 * (magnitude + 1), "x_hat");
        }
    }
}

/* Integers, so that float32 is exact: ties, -0.0, rows without a positive value, and padding have one right answer. */
void test_ties(sae_handle context, int64_t d, int64_t m, int64_t k) {
    Pair sae(context, d, m, false, 0, 0);
    const auto whole = [](int64_t n) {
        std::vector<float> values(n);
        for (float &value : values) {
            value = static_cast<float>(static_cast<int>(random_bits() % 5) - 2);
        }
        return values;
    };
    sae.write(SAE_W_ENC, whole(m * d));
    sae.write(SAE_B_ENC, std::vector<float>(m));
    const int64_t count = 40;
    std::vector<float> rows = whole(count * d);
    std::fill_n(rows.begin(), d, -0.0f);
    const Buffer<float> x(context, rows);
    Buffer<int32_t> index(context, count * k);
    Buffer<float> value(context, count * k);
    ok(encode_topk(sae.params, x.handle, count, k, index.handle, value.handle));
    const reference::Kept expected = reference::encode(sae.expected, rows, count, k, nullptr);
    for (int64_t i = 0; i < count * k; i++) {
        expect(index.data[i] == expected.indices[i], "ties go to the lower index");
        expect(value.data[i] == expected.values[i], "the value of a tie");
    }
}

void test_matmul(sae_handle context, int64_t m, int64_t n, int64_t inner) {
    const std::vector<float> left = gaussian(m * inner);
    const std::vector<float> right = gaussian(n * inner);
    const Buffer<float> a(context, left);
    const Buffer<float> b(context, right);
    Buffer<float> c(context, m * n);
    ok(sae_matmul_nt(context, a.handle, m, b.handle, n, inner, c.handle));
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            double expected = 0;
            double magnitude = 0;
            for (int64_t t = 0; t < inner; t++) {
                const double term = static_cast<double>(left[i * inner + t]) * right[j * inner + t];
                expected += term;
                magnitude += std::abs(term);
            }
            expect(std::abs(c.data[i * n + j] - expected) <= 1e-6 * (magnitude + 1), "a product's element");
        }
    }
}

const std::map<int, double> kDefaults = {
    {SAE_OPT_K, 5},
    {SAE_OPT_LOSS, 0},
    {SAE_OPT_AUX_COEFFICIENT, 1.0 / 32},
    {SAE_OPT_AUX_K, 512},
    {SAE_OPT_AUX_NORM, 0},
    {SAE_OPT_AUX_DETACH, 0},
    {SAE_OPT_AUX_SCALE_BY_DEAD, 0},
    {SAE_OPT_DEAD_AFTER_BATCHES, 2},
    {SAE_OPT_DEAD_AFTER_ROWS, 0},
    {SAE_OPT_ADAM_BETA1, 0.9},
    {SAE_OPT_ADAM_BETA2, 0.99},
    {SAE_OPT_ADAM_EPS, 1e-8},
    {SAE_OPT_CLIP_NORM, 1e5},
    {SAE_OPT_DECODER_NORM, 1},
    {SAE_OPT_PROJECT_GRADIENT, 1},
    {SAE_OPT_TRAIN_B_ENC, 0},
    {SAE_OPT_FREEZE_DECODER, 0},
};

/* Bounds relative to what is compared (reference.h): statistics, sums of some thousand float32 terms; moments, to the
 * largest; weights, their distance to their norm, which is 2e-7 where it has been seen. */
constexpr double kStatistics = 1e-5;
constexpr double kMoments = 2e-5;
constexpr double kWeights = 1e-5;

void check_state(sae_handle trainer, int32_t state, const std::vector<double> &expected, double tolerance,
                 const std::string &what) {
    std::vector<float> values(expected.size());
    ok(sae_trainer_read(trainer, state, 0, values.data(), static_cast<int64_t>(values.size())));
    double largest = 0;
    double worst = 0;
    for (size_t i = 0; i < values.size(); i++) {
        largest = std::max(largest, std::abs(expected[i]));
        worst = std::max(worst, std::abs(values[i] - expected[i]));
    }
    expect(worst <= tolerance * largest, what + ": off by " + std::to_string(worst / largest) + " of the largest");
}

struct Trained {
    std::vector<float> weights[4];
    bool operator==(const Trained &other) const { return std::equal(weights, weights + 4, other.weights); }
};

Trained test_training(sae_handle context, const std::map<int, double> &changes, bool subtract, int64_t rows) {
    const int64_t d = 19;
    const int64_t m = 151;
    random_bits.seed(11);
    const Pair sae(context, d, m, subtract, changes.count(SAE_OPT_TRAIN_B_ENC) != 0 ? 0.1 : 0, 0.2);
    std::map<int, double> options = kDefaults;
    for (const auto &[key, value] : changes) {
        options[key] = value;
    }
    std::vector<int32_t> keys;
    std::vector<double> values;
    for (const auto &[key, value] : options) {
        keys.push_back(key);
        values.push_back(value);
    }
    sae_handle trainer = 0;
    ok(sae_trainer_create(sae.params, keys.data(), values.data(), static_cast<int64_t>(keys.size()), &trainer));
    reference::Options given = reference::default_options(0);
    for (const auto &[key, value] : options) {
        given[key] = value;
    }
    reference::Sae after = sae.expected;
    reference::Training expected(after, given);
    for (int step = 1; step <= 4; step++) {
        const std::vector<float> batch = gaussian(rows * d, 1, 0.3);
        const Buffer<float> x(context, batch);
        ok(sae_train_step(trainer, x.handle, 0, rows, 1e-2));
        expected.step(batch, rows, 1e-2);
        double stats[SAE_STAT_COUNT];
        ok(sae_trainer_stats(trainer, stats));
        for (int stat = 0; stat < SAE_STAT_LISTED; stat++) { /* double sums of float32 values */
            const bool counted = stat == SAE_STAT_STEPS || stat == SAE_STAT_DEAD;
            close_to(stats[stat], expected.stats[stat], counted ? 0 : kStatistics, "statistic " + std::to_string(stat));
        }
        for (int tensor = 0; tensor < 4; tensor++) {
            const std::string of = " of tensor " + std::to_string(tensor);
            check_state(trainer, SAE_STATE_M_W_ENC + tensor, expected.first[tensor], kMoments, "first moment" + of);
            check_state(trainer, SAE_STATE_V_W_ENC + tensor, expected.second[tensor], 2 * kMoments,
                        "second moment" + of);
        }
    }
    Trained end;
    for (int tensor = 0; tensor < 4; tensor++) {
        const std::vector<float> &right = after.tensors[tensor];
        end.weights[tensor] = sae.read(tensor, static_cast<int64_t>(right.size()));
        double difference = 0;
        double size = 0;
        for (size_t i = 0; i < right.size(); i++) {
            difference += std::pow(end.weights[tensor][i] - right[i], 2);
            size += std::pow(right[i], 2);
        }
        expect(difference <= kWeights * kWeights * size, "weights of tensor " + std::to_string(tensor));
    }
    ok(sae_trainer_close(trainer));
    return end;
}

const std::vector<std::pair<std::string, std::map<int, double>>> kVariants = {
    {"study", {}},
    {"few of the dead", {{SAE_OPT_AUX_K, 7}}},
    {"one of the dead", {{SAE_OPT_AUX_K, 1}}},
    {"fvu", {{SAE_OPT_LOSS, SAE_LOSS_FVU}, {SAE_OPT_AUX_NORM, SAE_AUX_TARGET_VARIANCE}}},
    {"sum", {{SAE_OPT_LOSS, SAE_LOSS_SUM_MEAN}, {SAE_OPT_AUX_NORM, SAE_AUX_SUM_MEAN}, {SAE_OPT_AUX_DETACH, 1}}},
    {"residual variance", {{SAE_OPT_AUX_NORM, SAE_AUX_RESIDUAL_VARIANCE}, {SAE_OPT_AUX_SCALE_BY_DEAD, 1}}},
    {"no aux", {{SAE_OPT_AUX_COEFFICIENT, 0}}},
    {"dead by rows", {{SAE_OPT_DEAD_AFTER_BATCHES, 0}, {SAE_OPT_DEAD_AFTER_ROWS, 40}}},
    {"clipped", {{SAE_OPT_CLIP_NORM, 0.01}, {SAE_OPT_TRAIN_B_ENC, 1}}},
    {"never clipped", {{SAE_OPT_CLIP_NORM, 0}}},
    {"norm after", {{SAE_OPT_DECODER_NORM, SAE_DECODER_NORM_AFTER_STEP}}},
    {"no norm", {{SAE_OPT_DECODER_NORM, SAE_DECODER_NORM_NONE}, {SAE_OPT_PROJECT_GRADIENT, 0}}},
    {"b_enc", {{SAE_OPT_TRAIN_B_ENC, 1}}},
    {"frozen", {{SAE_OPT_FREEZE_DECODER, 1}}},
};

/* A refused step must leave everything unchanged. */
void test_nonfinite(sae_handle context) {
    const int64_t d = 5;
    const Pair sae(context, d, 9, true, 0, 0);
    const std::vector<float> before = sae.read(SAE_W_ENC, 9 * d);
    std::vector<float> batch = gaussian(200 * d);
    batch[150 * d + 2] = std::numeric_limits<float>::quiet_NaN();
    batch[170 * d] = std::numeric_limits<float>::infinity();
    const Buffer<float> x(context, batch);
    Buffer<int32_t> index(context, 200);
    Buffer<float> value(context, 200);
    refused(encode_topk(sae.params, x.handle, 200, 1, index.handle, value.handle), SAE_NONFINITE, "row 150");
    const int32_t key = SAE_OPT_K;
    const double k = 2;
    sae_handle trainer = 0;
    ok(sae_trainer_create(sae.params, &key, &k, 1, &trainer));
    refused(sae_train_step(trainer, x.handle, 0, 200, 1e-3), SAE_NONFINITE, "row 150");
    expect(before == sae.read(SAE_W_ENC, 9 * d), "a refused step changes nothing");
    int64_t steps = -1;
    ok(sae_trainer_read(trainer, SAE_STATE_STEPS, 0, &steps, 1));
    expect(steps == 0, "a refused step does not count");
    ok(sae_trainer_close(trainer));
}

/* An SAE, identical each time, and a trainer for it that keeps gradients. */
struct Member {
    static constexpr int64_t kWidth = 19, kLatents = 151, kRows = 61;
    Pair sae;
    sae_handle trainer = 0;

    Member(sae_handle context, double gradients, std::map<int, double> options)
        : sae((random_bits.seed(5), context), kWidth, kLatents, true, 0.1, 0.2) {
        options[SAE_OPT_K] = 4;
        options[SAE_OPT_TRAIN_B_ENC] = 1;
        options[SAE_OPT_GRADIENTS] = gradients;
        std::vector<int32_t> keys;
        std::vector<double> values;
        for (const auto &[key, value] : options) {
            keys.push_back(key);
            values.push_back(value);
        }
        ok(sae_trainer_create(sae.params, keys.data(), values.data(), static_cast<int64_t>(keys.size()), &trainer));
    }
    ~Member() { ok(sae_trainer_close(trainer)); }
    Member(const Member &) = delete;
    Member &operator=(const Member &) = delete;

    std::vector<float> weights() const {
        std::vector<float> all;
        for (const auto &[tensor, size] : {std::pair<int32_t, int64_t>{SAE_W_ENC, kWidth * kLatents},
                                           {SAE_B_ENC, kLatents},
                                           {SAE_W_DEC, kWidth * kLatents},
                                           {SAE_B_DEC, kWidth}}) {
            const std::vector<float> one = sae.read(tensor, size);
            all.insert(all.end(), one.begin(), one.end());
        }
        return all;
    }
};

/* The parts of a mean add up to the whole batch, wherever they are computed; with dead latents the same parts give the
 * same bits. */
void test_parts(sae_handle context, sae_handle other, double clip_norm) {
    const std::map<int, double> mean = {{SAE_OPT_AUX_COEFFICIENT, 0}, {SAE_OPT_CLIP_NORM, clip_norm}};
    const Member whole(context, SAE_GRADIENTS_NONE, mean);
    const Member parts(context, SAE_GRADIENTS_KEPT, mean);
    const Member main(context, SAE_GRADIENTS_KEPT, mean);
    const Member replica(other, SAE_GRADIENTS_ONLY, mean);
    for (int step = 0; step < 3; step++) {
        const std::vector<float> batch = gaussian(Member::kRows * Member::kWidth);
        const Buffer<float> x(context, batch);
        const Buffer<float> y(other, batch);
        ok(sae_train_step(whole.trainer, x.handle, 0, Member::kRows, 1e-2));
        ok(sae_train_accumulate(parts.trainer, x.handle, 0, 0, 20));
        ok(sae_train_accumulate(parts.trainer, x.handle, 0, 20, Member::kRows - 20));
        ok(sae_train_apply(parts.trainer, 1e-2));
        ok(sae_trainer_copy(replica.trainer, main.trainer));
        ok(sae_train_accumulate(main.trainer, x.handle, 0, 0, 20));
        ok(sae_train_accumulate(replica.trainer, y.handle, 0, 20, Member::kRows - 20));
        ok(sae_trainer_add(main.trainer, replica.trainer));
        ok(sae_train_apply(main.trainer, 1e-2));
        double expected[SAE_STAT_COUNT];
        double got[SAE_STAT_COUNT];
        ok(sae_trainer_stats(whole.trainer, expected));
        ok(sae_trainer_stats(parts.trainer, got));
        for (const int stat : {SAE_STAT_STEPS, SAE_STAT_LOSS, SAE_STAT_L0, SAE_STAT_DEAD, SAE_STAT_GRADIENT_NORM}) {
            close_to(got[stat], expected[stat], 1e-4, "statistic " + std::to_string(stat) + " of parts");
        }
    }
    const std::vector<float> expected = whole.weights();
    const std::vector<float> got = parts.weights();
    double difference = 0;
    double size = 0;
    for (size_t i = 0; i < got.size(); i++) {
        difference += std::pow(got[i] - expected[i], 2);
        size += std::pow(expected[i], 2);
    }
    expect(difference <= 1e-8 * size, "weights after parts");
    expect(got == main.weights(), "a part of a replica is a part");

    const std::map<int, double> dead = {{SAE_OPT_DEAD_AFTER_BATCHES, 1}, {SAE_OPT_AUX_K, 7}};
    std::vector<float> results[2];
    for (std::vector<float> &result : results) {
        const Member member(context, SAE_GRADIENTS_KEPT, dead);
        const Buffer<float> x(context, gaussian(Member::kRows * Member::kWidth));
        for (const int64_t cut : {1, 30}) {
            ok(sae_train_accumulate(member.trainer, x.handle, 0, 0, cut));
            ok(sae_train_accumulate(member.trainer, x.handle, 0, cut, Member::kRows - cut));
            ok(sae_train_apply(member.trainer, 1e-2));
        }
        result = member.weights();
    }
    expect(results[0] == results[1], "the same parts give the same bits");
}

/* Invalid calls with parts are refused, and a part with NaN drops those before it. */
void test_parts_refusals(sae_handle context, sae_handle other) {
    const Member kept(context, SAE_GRADIENTS_KEPT, {});
    const Member none(context, SAE_GRADIENTS_NONE, {});
    const Member only(other, SAE_GRADIENTS_ONLY, {});
    const Member differs(other, SAE_GRADIENTS_KEPT, {{SAE_OPT_AUX_K, 9}});
    const std::vector<float> before = kept.weights();
    std::vector<float> batch = gaussian(Member::kRows * Member::kWidth);
    batch[50 * Member::kWidth] = NAN;
    const Buffer<float> x(context, batch);
    const Buffer<float> y(other, batch);
    float moment = 0;
    refused(sae_train_apply(kept.trainer, 1e-3), SAE_INVALID_ARGUMENT, "got none");
    refused(sae_trainer_add(kept.trainer, only.trainer), SAE_INVALID_ARGUMENT, "`from`, got none");
    refused(sae_train_accumulate(kept.trainer, x.handle, 0, -1, 2), SAE_INVALID_ARGUMENT, "first");
    refused(sae_train_accumulate(kept.trainer, x.handle, 0, 60, 2), SAE_INVALID_ARGUMENT, "x to hold");
    refused(sae_train_accumulate(none.trainer, x.handle, 0, 0, 2), SAE_INVALID_ARGUMENT, "to keep gradients");
    refused(sae_train_step(only.trainer, y.handle, 0, 2, 1e-3), SAE_INVALID_ARGUMENT, "moments");
    refused(sae_trainer_read(only.trainer, SAE_STATE_V_B_ENC, 0, &moment, 1), SAE_INVALID_ARGUMENT, "moments");
    ok(sae_train_accumulate(differs.trainer, y.handle, 0, 0, 2));
    refused(sae_trainer_add(kept.trainer, differs.trainer), SAE_INVALID_ARGUMENT, "the same options");
    refused(sae_trainer_add(differs.trainer, differs.trainer), SAE_INVALID_ARGUMENT, "one twice");
    refused(sae_trainer_copy(differs.trainer, differs.trainer), SAE_INVALID_ARGUMENT, "one twice");
    ok(sae_train_accumulate(kept.trainer, x.handle, 0, 0, 40));
    refused(sae_train_step(kept.trainer, x.handle, 0, 2, 1e-3), SAE_INVALID_ARGUMENT, "got 40");
    refused(sae_trainer_copy(kept.trainer, none.trainer), SAE_INVALID_ARGUMENT, "got 40");
    refused(sae_train_accumulate(kept.trainer, x.handle, 0, 40, 20), SAE_NONFINITE, "row 10");
    refused(sae_train_apply(kept.trainer, 1e-3), SAE_INVALID_ARGUMENT, "got none");
    expect(before == kept.weights(), "a dropped step changes nothing");
}

void test_refusals(sae_handle context, sae_handle other) {
    const Pair sae(context, 4, 6, true, 0, 0);
    const Buffer<float> x(context, 8);
    const Buffer<float> small(context, 1);
    const Buffer<float> foreign(other, 8);
    Buffer<int32_t> index(context, 12);
    sae_handle made = 0;
    char text[8];
    refused(sae_context_open("", "threads=0", &made), SAE_INVALID_ARGUMENT, "threads");
    refused(sae_context_open("", "colour=red", &made), SAE_INVALID_ARGUMENT, "colour");
    refused(sae_context_open("", "isa=mmx", &made), SAE_INVALID_ARGUMENT, "mmx");
    refused(sae_context_open("", "screen=fp8", &made), SAE_INVALID_ARGUMENT, "fp8");
    refused(sae_context_open("", "blas=/nowhere/libopenblas.so.0", &made), SAE_UNAVAILABLE, "nowhere");
    refused(sae_context_open("/nowhere/libsae_cuda.so", "", &made), SAE_UNAVAILABLE, "nowhere");
    refused(sae_context_open("", "", nullptr), SAE_INVALID_ARGUMENT, "null");
    refused(sae_context_describe(context, text, sizeof text), SAE_INVALID_ARGUMENT, "room");
    refused(sae_context_close(0), SAE_INVALID_HANDLE, "context");
    refused(sae_buffer_close(context), SAE_INVALID_HANDLE, "a context");
    refused(sae_buffer_create(context, 0, SAE_HOST, &made), SAE_INVALID_ARGUMENT, "bytes");
    refused(sae_buffer_create(context, 8, 7, &made), SAE_INVALID_ARGUMENT, "place");
    refused(sae_buffer_read(x.handle, 30, text, 8), SAE_INVALID_ARGUMENT, "range");
    sae_handle enormous = 0;
    refused(sae_buffer_create(context, INT64_MAX, SAE_HOST, &enormous), SAE_OUT_OF_MEMORY, "memory");
    refused(sae_params_create(context, 0, 4, 4, 0, &made), SAE_INVALID_ARGUMENT, "d_in");
    refused(sae_params_create(context, 4, 4, 4, 16, &made), SAE_INVALID_ARGUMENT, "flags");
    refused(sae_params_read(sae.params, 9, 0, x.data, 1), SAE_INVALID_ARGUMENT, "tensor");
    refused(sae_params_read(sae.params, SAE_B_DEC, 3, x.data, 2), SAE_INVALID_ARGUMENT, "range");
    refused(encode_topk(sae.params, x.handle, 2, 7, index.handle, x.handle), SAE_INVALID_ARGUMENT, "k in [1");
    refused(encode_topk(sae.params, x.handle, 3, 1, index.handle, small.handle), SAE_INVALID_ARGUMENT, "x to hold");
    refused(encode_topk(sae.params, foreign.handle, 1, 1, index.handle, small.handle), SAE_INVALID_ARGUMENT, "another");
    refused(encode_topk(sae.params, x.handle, 1, 1, index.handle, x.handle), SAE_INVALID_ARGUMENT, "two buffers");
    index.data[1] = 6;
    refused(decode_topk(sae.params, index.handle, small.handle, 1, 1, small.handle), SAE_INVALID_ARGUMENT,
            "x_hat to hold");
    const Buffer<float> output(context, 8);
    refused(decode_topk(sae.params, index.handle, x.handle, 2, 1, output.handle), SAE_INVALID_ARGUMENT, "row 1");
    const int32_t keys[2] = {SAE_OPT_K, SAE_OPT_ADAM_BETA1};
    const double bad_k[2] = {7, 0.9};
    const double bad_beta[2] = {1, 1};
    refused(sae_trainer_create(sae.params, keys, bad_k, 0, &made), SAE_INVALID_ARGUMENT, "option K");
    refused(sae_trainer_create(sae.params, keys, bad_k, 2, &made), SAE_INVALID_ARGUMENT, "d_sae");
    refused(sae_trainer_create(sae.params, keys, bad_beta, 2, &made), SAE_INVALID_ARGUMENT, "ADAM_BETA1");
    ok(sae_trainer_create(sae.params, keys, bad_beta, 1, &made));
    refused(sae_train_step(made, x.handle, 0, 2, NAN), SAE_INVALID_ARGUMENT, "lr");
    refused(sae_train_step(made, small.handle, 0, 2, 1e-3), SAE_INVALID_ARGUMENT, "x to hold");
    refused(sae_trainer_read(made, 99, 0, text, 1), SAE_INVALID_ARGUMENT, "state");
    ok(sae_trainer_close(made));
    refused(sae_trainer_close(made), SAE_INVALID_HANDLE, "closed");
}

void test_lifetimes() {
    sae_handle context = 0;
    sae_handle buffer = 0;
    sae_handle params = 0;
    sae_handle trainer = 0;
    const int32_t key = SAE_OPT_K;
    const double k = 1;
    ok(sae_context_open("", "threads=1", &context));
    ok(sae_buffer_create(context, 100, SAE_DEVICE, &buffer));
    ok(sae_params_create(context, 3, 3, 4, 0, &params));
    ok(sae_trainer_create(params, &key, &k, 1, &trainer));
    int64_t bytes = 0;
    ok(sae_context_live_bytes(context, &bytes));
    expect(bytes == 100 + 3 * 4 * (2 * 12 + 4 + 3) + 2 * 8 * 4, "live bytes, got " + std::to_string(bytes));
    ok(sae_params_close(params));
    refused(sae_trainer_close(trainer), SAE_INVALID_HANDLE, "closed");
    ok(sae_context_close(context));
    refused(sae_buffer_close(buffer), SAE_INVALID_HANDLE, "closed");
}

/* Detached memory stays valid until it is closed itself. */
void test_detached_memory() {
    constexpr int64_t kSizes[] = {64, 4 << 20}; /* on the heap, and mapped */
    for (const int64_t size : kSizes) {
        sae_handle context = 0;
        sae_handle buffer = 0;
        sae_handle memory = 0;
        int64_t address = 0;
        int64_t bytes = -1;
        ok(sae_context_open("", "threads=1", &context));
        ok(sae_buffer_create(context, size, SAE_HOST, &buffer));
        ok(sae_buffer_address(buffer, &address));
        auto *const data = reinterpret_cast<unsigned char *>(address);
        data[size - 1] = 7;
        refused(sae_buffer_detach(buffer, nullptr), SAE_INVALID_ARGUMENT, "place");
        refused(sae_buffer_detach(context, &memory), SAE_INVALID_HANDLE, "a context");
        ok(sae_buffer_detach(buffer, &memory));
        ok(sae_context_live_bytes(context, &bytes));
        expect(bytes == 0, "detached memory does not count");
        refused(sae_buffer_close(buffer), SAE_INVALID_HANDLE, "closed");
        refused(sae_buffer_close(memory), SAE_INVALID_HANDLE, "detached memory");
        ok(sae_context_close(context));
        expect(data[size - 1] == 7, "detached memory outlives its context");
        data[0] = 8;
        ok(sae_memory_close(memory));
        refused(sae_memory_close(memory), SAE_INVALID_HANDLE, "closed");
    }
    alignas(64) static unsigned char callers[64] = {};
    sae_handle context = 0;
    sae_handle buffer = 0;
    sae_handle memory = 0;
    ok(sae_context_open("", "threads=1", &context));
    ok(sae_buffer_wrap(context, reinterpret_cast<int64_t>(callers), sizeof callers, SAE_HOST, &buffer));
    ok(sae_buffer_detach(buffer, &memory));
    ok(sae_memory_close(memory));
    ok(sae_context_close(context));
    callers[0] = 9; /* still the caller's */
}

void run_all(const std::string &options) {
    where = options;
    sae_handle context = 0;
    sae_handle other = 0;
    if (sae_context_open("", options.c_str(), &context) == SAE_UNAVAILABLE) {
        std::printf("skipped [%s]: %s\n", options.c_str(), sae_last_error());
        return;
    }
    ok(sae_context_open("", "threads=1", &other));
    const int64_t shapes[][4] = {{1, 1, 1, 1},       {7, 13, 3, 2},     {16, 64, 64, 5},
                                 {33, 257, 40, 37},  {65, 700, 17, 9},  {3, 7001, 1, 5},
                                 {20, 6500, 130, 3}, {64, 300, 8, 600}, {47, 5000, 11, 50}};
    for (const auto &[d, m, k, rows] : shapes) {
        where = options + " encode " + std::to_string(d) + " " + std::to_string(m) + " " + std::to_string(k);
        test_encode_decode(context, d, m, k, rows, true, 0);
        test_encode_decode(context, d, m, k, rows, false, 0.3);
        test_encode_decode(context, d, m, k, rows, true, -3); /* hardly any positive values: padding */
    }
    const int64_t tied[][3] = {{3, 5, 5},     {3, 40, 7},    {3, 1000, 16}, {3, 1000, 300},
                               {2, 9000, 12}, {40, 3000, 8}, {35, 700, 3}};
    for (const auto &[d, m, k] : tied) {
        where = options + " ties " + std::to_string(d) + " " + std::to_string(m) + " " + std::to_string(k);
        test_ties(context, d, m, k);
    }
    for (const bool gated : {false, true}) {
        where = options + (gated ? " gated" : " activations");
        test_activations(context, 3, 5, 1, 4, gated);
        test_activations(context, 9, 770, 70, 40, gated);
        test_activations(context, 33, 2112, 4, 520, gated);
        test_activations(context, 40, 96, 96, 33, gated);
    }
    where = options + " transcoders";
    test_transcoder(context, 1, 1, 1, 1);
    test_transcoder(context, 7, 19, 300, 70);
    test_transcoder(context, 19, 7, 40, 33);
    where = options + " activations' refusals";
    test_activation_refusals(context, other);
    where = options + " matmul";
    test_matmul(context, 1, 1, 1);
    test_matmul(context, 37, 53, 29);
    test_matmul(context, 300, 41, 530);
    for (const auto &[name, changes] : kVariants) {
        for (const bool subtract : {true, false}) {
            where = options + " training " + name + (subtract ? "" : ", b_dec not subtracted");
            const Trained once = test_training(context, changes, subtract, 61);
            expect(once == test_training(context, changes, subtract, 61), "the same input gives the same bits");
        }
    }
    where = options + " one row";
    test_training(context, {{SAE_OPT_LOSS, SAE_LOSS_FVU}, {SAE_OPT_AUX_NORM, SAE_AUX_RESIDUAL_VARIANCE}}, true, 1);
    where = options + " non-finite";
    test_nonfinite(context);
    sae_handle twin = 0; /* results are bit-identical only within an instruction set */
    ok(sae_context_open("", options.c_str(), &twin));
    for (const double clip_norm : {1e5, 0.01}) {
        where = options + " parts clipped to " + std::to_string(clip_norm);
        test_parts(context, twin, clip_norm);
    }
    ok(sae_context_close(twin));
    where = options + " parts' refusals";
    test_parts_refusals(context, other);
    where = options + " refusals";
    test_refusals(context, other);
    int64_t bytes = -1;
    ok(sae_context_live_bytes(context, &bytes));
    expect(bytes == 0, "no bytes are left");
    ok(sae_context_close(other));
    ok(sae_context_close(context));
    std::printf("ran [%s]\n", options.c_str());
}

} // namespace

int main() {
    run_all("threads=3"); /* the best available, with the screen if it pays off here */
    for (const char *isa : {"portable", "avx2", "avx512"}) {
        run_all(std::string("threads=3;isa=") + isa);
    }
    for (const char *screen : {"portable", "avx512bf16", "amx"}) {
        run_all(std::string("threads=2;screen=") + screen);
    }
    const char *blas = std::getenv("SAE_TEST_BLAS");
    if (blas != nullptr) {
        run_all(std::string("threads=2;blas=") + blas);
    }
    test_screens();
    where = "lifetimes";
    test_lifetimes();
    where = "detached memory";
    test_detached_memory();
    std::printf("%d failures\n", failures);
    return failures == 0 ? 0 : 1;
}
