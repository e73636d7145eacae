/*
 * backend_check.cpp: checks one backend library against double-precision definitions, without Java.
 *
 *   backend_check LIBRARY [--large]     e.g. libsae_cuda.so on a GPU (also under compute-sanitizer), or its kernels on the CPU
 *   backend_check LIBRARY --rules       only the rules of sae_encode, what decodes their rows, and training with them
 *   backend_check LIBRARY --brief       every kernel, in fewer cases: for sanitizers
 *
 * Calls backend_table.h directly. Exits with 0 if every case passes, 77 if the backend cannot run here, otherwise 1.
 * Over 400 lines: one program that is carried to GPU machines as a single file, a function per case.
 */
#include <dlfcn.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "backend_harness.h"
#include "rules_training_cases.h"

namespace {

/* Parameters on the backend. */
struct Params {
    void *handle = nullptr;
    const Sae &sae;

    Params(void *context, const Sae &of) : sae(of) {
        int64_t bytes = 0;
        ok(table->params_create(context, sae.d, sae.d, sae.m, sae.subtract ? SAE_SUBTRACT_B_DEC : 0, &handle, &bytes),
           "params_create");
        expect(bytes >= 4 * (2 * sae.d * sae.m + sae.m + sae.d), "live bytes of params");
        for (int32_t tensor = 0; tensor < 4; tensor++) {
            const std::vector<float> &values = sae.tensors[tensor];
            ok(table->params_write(handle, tensor, 0, values.data(), static_cast<int64_t>(values.size())),
               "params_write");
        }
    }
    Params(const Params &) = delete;
    Params &operator=(const Params &) = delete;
    ~Params() { table->params_close(handle); }
    std::vector<float> read(int32_t tensor) const {
        std::vector<float> values(sae.tensors[tensor].size());
        ok(table->params_read(handle, tensor, 0, values.data(), static_cast<int64_t>(values.size())), "params_read");
        return values;
    }
};

/* Small integers: products and sums are exact in float32, so ties and indices must agree exactly. */
void check_encode_and_decode(void *context, int64_t rows, int64_t d, int64_t m, int64_t k, bool subtract,
                             int32_t place) {
    const std::string name = "encode rows " + std::to_string(rows) + " d " + std::to_string(d) + " m " +
                             std::to_string(m) + " k " + std::to_string(k) + (place == SAE_HOST ? " host" : " device");
    Random random(static_cast<uint32_t>(rows * 31 + d * 7 + m + k));
    Sae sae(d, m, subtract);
    for (std::vector<float> &tensor : sae.tensors) {
        for (float &value : tensor) {
            value = static_cast<float>(random.integer(-2, 2));
        }
    }
    std::vector<float> x(static_cast<size_t>(rows * d));
    for (float &value : x) {
        value = static_cast<float>(random.integer(-3, 3));
    }
    for (int64_t i = 0; i < d; i++) {
        x[static_cast<size_t>(i)] =
            subtract ? sae.tensors[SAE_B_DEC][static_cast<size_t>(i)] : -0.0f; // row 0: no signal
    }
    const Kept wanted = encode(sae, x, rows, k, nullptr);

    const Params params(context, sae);
    const Memory<float> device_x(context, x, place);
    const Memory<int32_t> indices(context, std::vector<int32_t>(static_cast<size_t>(rows * k), -7), place);
    const Memory<float> values(context, std::vector<float>(static_cast<size_t>(rows * k), -7.0f), place);
    ok(encode_topk(table, params.handle, device_x.buffer, rows, k, indices.buffer, values.buffer), name.c_str());
    expect(indices.read() == wanted.indices, name + ": indices");
    expect(values.read() == wanted.values, name + ": values");

    const Memory<float> x_hat(context, std::vector<float>(x.size(), -7.0f), place);
    ok(decode_topk(table, params.handle, indices.buffer, values.buffer, rows, k, x_hat.buffer), "decode");
    expect_close(x_hat.read(), decode(sae, wanted, rows), 1e-6, name + ": x_hat");
}

Kept encode_on(void *context, const Sae &sae, const std::vector<float> &x, int64_t rows, int64_t k) {
    const Params params(context, sae);
    const Memory<float> device_x(context, x, SAE_DEVICE);
    const Memory<int32_t> indices(context, std::vector<int32_t>(static_cast<size_t>(rows * k), -7), SAE_DEVICE);
    const Memory<float> values(context, std::vector<float>(static_cast<size_t>(rows * k), -7.0f), SAE_DEVICE);
    ok(encode_topk(table, params.handle, device_x.buffer, rows, k, indices.buffer, values.buffer), "encode_topk");
    return {k, indices.read(), values.read()};
}

/* An SAE and rows that are hard to screen, cycling through several kinds of trouble. */
struct Trouble {
    int64_t rows, k;
    Sae sae;
    std::vector<float> x;

    Trouble(int64_t rows_, int64_t d, int64_t m, int64_t k_) : rows(rows_), k(k_), sae(d, m, false) {
        Random random(static_cast<uint32_t>(rows + d + m + k));
        sae.tensors[SAE_W_ENC] = random.normals(d * m);
        sae.tensors[SAE_B_ENC] = random.normals(m);
        for (int64_t j = 0; j < m; j++) { // all latents have different norms; input 0 pushes all but a few below 0
            float *w = &sae.tensors[SAE_W_ENC][static_cast<size_t>(j * d)];
            for (int64_t i = 0; i < d; i++) {
                w[i] *= static_cast<float>(1 + j % 3);
            }
            w[0] = j % (m / 3) == 7 ? 1.0f : -1.0f;
            w[1] = 1.0f; // input 1 affects all alike
        }
        x = random.normals(rows * d);
        for (int64_t row = 0; row < rows; row++) {
            float *of = &x[static_cast<size_t>(row * d)];
            const int64_t kind = row % 8;
            for (int64_t i = 0; i < d; i++) {
                of[i] = kind == 1   ? 0.0f                                // the bias decides
                        : kind == 2 ? (i == 0 ? 1000.0f : 0.0f)           // fewer than k positive
                        : kind == 3 ? (i == 1 ? 64.0f : 0.0f)             // ties except for the bias
                        : kind == 4 ? std::ldexp(of[i], i == 5 ? 100 : 0) // one coordinate dominates
                        : kind == 5 ? std::ldexp(of[i], -130)             // below float32's normal range
                        : kind == 6 ? (i == 1 ? 1e30f : 0.0f)             // equal after rounding: every latent ties
                                    : of[i];
            }
        }
    }
};

/* Against all values in double: chosen latents have the right value, and no other is larger, up to float32 rounding. */
void check_choice(const Trouble &of, const Kept &all, const Kept &got, const std::string &name) {
    const int64_t m = of.sae.m;
    for (int64_t row = 0; row < of.rows; row++) {
        std::vector<double> value(static_cast<size_t>(m));
        std::vector<bool> taken(static_cast<size_t>(m));
        double largest = 0;
        for (int64_t slot = row * m; slot < (row + 1) * m; slot++) {
            value[static_cast<size_t>(all.indices[static_cast<size_t>(slot)])] = all.values[static_cast<size_t>(slot)];
            largest = std::max(largest, static_cast<double>(all.values[static_cast<size_t>(slot)]));
        }
        /* sums of terms that are at most about 10 times the largest value, in any order */
        const double tolerance = 1e-5 * largest + 1e-43;
        const auto at = static_cast<size_t>(row * of.k);
        for (size_t slot = at; slot < at + static_cast<size_t>(of.k); slot++) {
            const auto latent = static_cast<size_t>(got.indices[slot]);
            if (latent >= value.size()) {
                expect(false, name + ": index " + std::to_string(got.indices[slot]));
                return;
            }
            expect(!taken[latent] && std::abs(got.values[slot] - value[latent]) <= tolerance,
                   name + ": slot " + std::to_string(slot - at) + " of row " + std::to_string(row));
            taken[latent] = true;
            const bool ordered =
                slot == at || got.values[slot - 1] > got.values[slot] ||
                (got.values[slot - 1] == got.values[slot] && got.indices[slot - 1] < got.indices[slot]);
            expect(ordered, name + ": order in row " + std::to_string(row));
        }
        for (size_t latent = 0; latent < value.size(); latent++) {
            expect(taken[latent] || value[latent] <= got.values[at + static_cast<size_t>(of.k) - 1] + tolerance,
                   name + ": row " + std::to_string(row) + " left out " + std::to_string(latent));
        }
    }
}

/* In float32 precision every kernel and method gives the same bits, and they are the top k. */
void check_screens_agree() {
    const Trouble cases[] = {{70, 40, 1100, 5},  {21, 33, 1537, 16},  {5, 70, 8200, 512}, {130, 100, 600, 30},
                             {70, 256, 1149, 5}, {130, 300, 1537, 16}}; // sm90: tiles of 4 and 5 stages
    for (const Trouble &of : cases) {
        const std::string name =
            "screen d " + std::to_string(of.sae.d) + " m " + std::to_string(of.sae.m) + " k " + std::to_string(of.k);
        const Kept wanted = encode(of.sae, of.x, of.rows, of.sae.m, nullptr);
        std::vector<Kept> got;
        for (const char *kernels : {"plain", "sm80", "sm90"}) {
            for (const char *way : {"chunked", "fused", "dense"}) {
                void *context = nullptr;
                const std::string options = std::string("kernels=") + kernels + ";encode=" + way;
                if (std::string(way) == "dense" && std::string(kernels) != "plain") {
                    continue; // float32 products are the same whatever the kernels for bfloat16 are
                }
                if (table->context_open(options.c_str(), &context) != SAE_OK) {
                    continue; // this device cannot; check_options says when that is right
                }
                if (std::string(way) != "dense") {
                    got.push_back(encode_on(context, of.sae, of.x, of.rows, of.k));
                    expect(got[0].indices == got.back().indices, name + ", " + options + ": indices");
                    expect(got[0].values == got.back().values, name + ", " + options + ": values");
                } else {
                    check_choice(of, wanted, encode_on(context, of.sae, of.x, of.rows, of.k), name + ", dense");
                }
                table->context_close(context);
            }
        }
        check_choice(of, wanted, got[0], name);
    }
}

void check_refusals(void *context) {
    Sae sae(5, 9, true);
    const Params params(context, sae);
    std::vector<float> x(3 * 5, 1.0f);
    x[7] = std::numeric_limits<float>::quiet_NaN();
    x[12] = std::numeric_limits<float>::infinity();
    const Memory<float> device_x(context, x, SAE_DEVICE);
    const Memory<int32_t> chosen(context, std::vector<int32_t>(3), SAE_DEVICE);
    const Memory<float> values(context, {1.0f, 1.0f, 1.0f}, SAE_DEVICE);
    expect(encode_topk(table, params.handle, device_x.buffer, 3, 1, chosen.buffer, values.buffer) == SAE_NONFINITE,
           "a row with NaN is refused");
    expect(std::string(table->last_error()).find("row 1 of 3") != std::string::npos,
           "the text names the first bad row");
    const Memory<int32_t> indices(context, {0, 8, 9}, SAE_DEVICE);
    const Memory<float> x_hat(context, std::vector<float>(3 * 5), SAE_DEVICE);
    expect(decode_topk(table, params.handle, indices.buffer, values.buffer, 3, 1, x_hat.buffer) == SAE_INVALID_ARGUMENT,
           "an index beyond d_sae is refused");
    expect(std::string(table->last_error()).find("got 9 in row 2 of 3") != std::string::npos,
           "the text names the index and the row");
    void *none = nullptr;
    expect(table->context_open("colour=blue", &none) == SAE_INVALID_ARGUMENT, "an unknown option is refused");
}

/* With nonfinite=later an encode is queued, and context_synchronize reports the first bad row of all since the last. */
void check_late_refusal() {
    void *context = nullptr;
    ok(table->context_open("nonfinite=later", &context), "context_open");
    {
        Sae sae(5, 9, true);
        const Params params(context, sae);
        std::vector<float> x(3 * 5, 1.0f);
        const Memory<float> good(context, x, SAE_DEVICE);
        x[12] = std::numeric_limits<float>::infinity();
        const Memory<float> bad(context, x, SAE_DEVICE);
        x[7] = std::numeric_limits<float>::quiet_NaN();
        const Memory<float> worse(context, x, SAE_DEVICE);
        const Memory<int32_t> chosen(context, std::vector<int32_t>(3), SAE_DEVICE);
        const Memory<float> values(context, std::vector<float>(3), SAE_DEVICE);
        for (const auto *of : {&bad, &worse, &good}) {
            ok(encode_topk(table, params.handle, of->buffer, 3, 1, chosen.buffer, values.buffer), "a queued encode");
        }
        expect(table->context_synchronize(context) == SAE_NONFINITE, "NaN is reported later");
        expect(std::string(table->last_error()).find("row 1 of a batch") != std::string::npos,
               "the text names the first bad row of the batches");
        ok(table->context_synchronize(context), "NaN is reported once");
        ok(encode_topk(table, params.handle, good.buffer, 3, 1, chosen.buffer, values.buffer), "another encode");
        ok(table->context_synchronize(context), "a finite batch");
        const Kept wanted = encode(sae, std::vector<float>(3 * 5, 1.0f), 3, 1, nullptr);
        expect(chosen.read() == wanted.indices, "the choice with nonfinite=later");
    }
    table->context_close(context);
}

/* Context options: which kernels a device can run, and what is refused. */
void check_options(void *context) {
    char text[512];
    ok(table->context_describe(context, text, sizeof text), "context_describe");
    const bool hopper = std::string(text).find("\"sm_90\"") != std::string::npos;
    for (const char *options : {"kernels=plain", "kernels=sm80", "kernels=sm90", "precision=bf16;encode=chunked"}) {
        void *other = nullptr;
        const bool possible = hopper || std::string(options) != "kernels=sm90";
        const sae_status status = table->context_open(options, &other);
        expect(status == (possible ? SAE_OK : SAE_INVALID_ARGUMENT), options);
        if (status == SAE_OK) {
            table->context_close(other);
        }
    }
    void *none = nullptr;
    for (const char *options : {"kernels=sm70", "precision=fp8", "encode=", "nonfinite=never"}) {
        expect(table->context_open(options, &none) == SAE_INVALID_ARGUMENT, options);
        expect(std::string(table->last_error()).find("to be one of") != std::string::npos,
               "the text names the choices");
    }
}

/* Small integers: every precision, kernel and method matches the definition exactly. */
void check_every_way() {
    for (const char *kernels : {"plain", "sm80", "sm90"}) {
        for (const char *rest : {";encode=fused", ";encode=chunked", ";precision=bf16;encode=fused",
                                 ";precision=bf16;encode=chunked", ";precision=bf16;encode=dense"}) {
            void *context = nullptr;
            const std::string options = std::string("kernels=") + kernels + rest;
            if (table->context_open(options.c_str(), &context) != SAE_OK) {
                continue;
            }
            std::printf("%s\n", options.c_str());
            check_encode_and_decode(context, 1, 1, 1, 1, false, SAE_DEVICE);
            check_encode_and_decode(context, 7, 13, 37, 5, true, SAE_HOST);
            check_encode_and_decode(context, 66, 40, 1500, 7, true, SAE_DEVICE);
            check_encode_and_decode(context, 3, 65, 1600, 1600, false, SAE_DEVICE);
            check_encode_and_decode(context, 131, 33, 513, 32, true, SAE_DEVICE);
            table->context_close(context);
        }
    }
}

void check_matmul(void *context, int64_t m, int64_t n, int64_t inner, int32_t place) {
    Random random(static_cast<uint32_t>(m * n + inner));
    const std::vector<float> a = random.normals(m * inner);
    const std::vector<float> b = random.normals(n * inner);
    std::vector<double> wanted(static_cast<size_t>(m * n));
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            for (int64_t p = 0; p < inner; p++) {
                wanted[static_cast<size_t>(i * n + j)] +=
                    static_cast<double>(a[static_cast<size_t>(i * inner + p)]) * b[static_cast<size_t>(j * inner + p)];
            }
        }
    }
    const Memory<float> device_a(context, a, place);
    const Memory<float> device_b(context, b, SAE_DEVICE);
    const Memory<float> c(context, std::vector<float>(wanted.size()), place);
    ok(table->matmul_nt(context, device_a.buffer, m, device_b.buffer, n, inner, c.buffer), "matmul_nt");
    expect_close(c.read(), wanted, 1e-6, "matmul_nt " + std::to_string(m) + " x " + std::to_string(n));
}

void check_gather(void *context, int64_t from_rows, int64_t columns, int64_t count, double factor, int32_t place) {
    const std::string name = "gather_rows " + std::to_string(count) + " x " + std::to_string(columns);
    Random random(static_cast<uint32_t>(columns + count));
    const std::vector<float> from = random.normals(from_rows * columns);
    const int64_t first = 3;
    std::vector<int32_t> rows(static_cast<size_t>(first + count));
    for (int32_t &row : rows) {
        row = random.integer(0, static_cast<int>(from_rows) - 1);
    }
    rows.back() = count % 2 == 0 ? -1 : static_cast<int32_t>(from_rows);
    const Memory<float> source(context, from, SAE_DEVICE);
    const Memory<int32_t> numbers(context, rows, place);
    if (place == SAE_HOST) {
        ok(table->buffer_upload(numbers.buffer, (first + count) * 4), "buffer_upload");
    }
    const Memory<float> into(context, std::vector<float>(static_cast<size_t>(count * columns)), place);
    ok(table->gather_rows(context, source.buffer, from_rows, columns, numbers.buffer, first, count, factor,
                          into.buffer),
       "gather_rows");
    const std::vector<float> got = into.read();
    for (int64_t i = 0; i < count * columns; i++) {
        const int64_t row = rows[static_cast<size_t>(first + i / columns)];
        const bool last = i / columns == count - 1;
        const float wanted =
            last ? 0.0f : static_cast<float>(from[static_cast<size_t>(row * columns + i % columns)] * factor);
        const float value = got[static_cast<size_t>(i)];
        expect(last ? std::isnan(value) : value == wanted, name);
    }
}

/* An SAE's parameters and their trainer. */
struct Trained {
    Params params;
    void *trainer = nullptr;

    Trained(void *context, const Sae &sae, const Options &options) : params(context, sae) {
        int64_t bytes = 0;
        ok(table->trainer_create(params.handle, options.data(), &trainer, &bytes), "trainer_create");
        expect(bytes > 0, "live bytes of the trainer");
    }
    Trained(const Trained &) = delete;
    Trained &operator=(const Trained &) = delete;
    ~Trained() { table->trainer_close(trainer); }
};

/* One step whose batch is cut at these rows, the last cut being its end. With a replica, the second and later parts run
 * on it, from its own memory; then the sums are added and the parameters copied back. */
sae_status step_in_parts(Trained &main, void *context, Trained *replica, void *other, const std::vector<float> &x,
                         const std::vector<int64_t> &cuts, double lr, int32_t place) {
    const Memory<float> here(context, x, place);
    const Memory<float> there(replica == nullptr ? context : other, x, place);
    if (place == SAE_HOST) {
        ok(table->buffer_upload(here.buffer, static_cast<int64_t>(x.size() * sizeof(float))), "buffer_upload");
    }
    int64_t pending = 0, elsewhere = 0, first = 0;
    for (const int64_t end : cuts) {
        const bool mine = replica == nullptr || first == 0;
        int64_t &rows = mine ? pending : elsewhere;
        const sae_status status =
            table->train_accumulate(mine ? main.trainer : replica->trainer, mine ? here.buffer : there.buffer, nullptr,
                                    first, end - first, rows);
        if (status != SAE_OK) {
            return status;
        }
        rows += end - first;
        first = end;
    }
    if (replica != nullptr) {
        ok(table->trainer_add(main.trainer, pending, replica->trainer), "trainer_add");
    }
    const sae_status status = table->train_apply(main.trainer, pending + elsewhere, lr);
    if (replica != nullptr) {
        ok(table->trainer_copy(replica->trainer, main.trainer), "trainer_copy");
        for (int32_t tensor = 0; tensor < 4; tensor++) {
            expect(replica->params.read(tensor) == main.params.read(tensor), "a replica's parameters");
        }
    }
    double stats[SAE_STAT_COUNT];
    return status == SAE_OK ? table->trainer_stats(main.trainer, stats) : status;
}

/* Runs the backend and the reference in parallel; compares every statistic and tensor after each step. */
struct TrainingCase {
    std::string name;
    int64_t rows, d, m;
    bool subtract;
    Options options;
    int32_t place = SAE_DEVICE;
    bool uploads = false; // the rows are uploaded before the step
    int64_t silent = 3;   // one latent in this many starts silent, to exercise the auxiliary loss; 0: none, 1: all
    double moments = 2e-5;
    std::vector<int64_t> cuts = {}; // of the batch into parts, at these rows and at its end; empty: whole steps
    void *other = nullptr;          // context of a replica that computes all parts but the first; null: no replica
};

void check_training(void *context, const TrainingCase &of) {
    const auto [name, rows, d, m, subtract, given, place, uploads, silent, moments, cut_at, other] = of;
    Options options = given;
    std::vector<int64_t> cuts = cut_at;
    const bool in_parts = !cuts.empty();
    if (in_parts) {
        cuts.push_back(rows);
        options[SAE_OPT_GRADIENTS] = SAE_GRADIENTS_KEPT;
    }
    Random random(static_cast<uint32_t>(d * m));
    Sae sae(d, m, subtract);
    sae.tensors[SAE_W_ENC] = random.normals(d * m);
    sae.tensors[SAE_W_DEC] = random.normals(d * m);
    sae.tensors[SAE_B_DEC] = random.normals(d);
    sae.tensors[SAE_B_ENC] = random.normals(m);
    const int64_t silent_ones = silent == 0 ? 0 : m / silent;
    for (int64_t j = 0; j < silent_ones; j++) {
        sae.tensors[SAE_B_ENC][static_cast<size_t>(j)] = -60.0f;
    }
    for (int64_t j = silent_ones / 2; j < silent_ones; j++) {
        sae.tensors[SAE_B_ENC][static_cast<size_t>(j)] = -1.5f * static_cast<float>(std::sqrt(d));
    }
    Trained trained(context, sae, options);
    const Params &params = trained.params;
    void *trainer = trained.trainer;
    Options replica_options = options;
    replica_options[SAE_OPT_GRADIENTS] = SAE_GRADIENTS_ONLY;
    std::unique_ptr<Trained> replica;
    if (other != nullptr) {
        replica = std::make_unique<Trained>(other, sae, replica_options);
    }
    Training reference(sae, options);
    /* Takes a step, in parts or not. */
    const auto step_on = [&](const std::vector<float> &x) {
        if (in_parts) {
            return step_in_parts(trained, context, replica.get(), other, x, cuts, 1e-2, place);
        }
        const Memory<float> device_x(context, x, place);
        if (uploads) { // twice: the second copy replaces the first
            const auto size = static_cast<int64_t>(x.size() * sizeof(float));
            ok(table->buffer_upload(device_x.buffer, size / 2), "buffer_upload");
            ok(table->buffer_upload(device_x.buffer, size), "buffer_upload");
        }
        double ignored[SAE_STAT_COUNT];
        const sae_status status = table->train_step(trainer, device_x.buffer, nullptr, rows, 1e-2);
        return status == SAE_OK ? table->trainer_stats(trainer, ignored) : status;
    };
    const auto reference_step = [&](const std::vector<float> &x) {
        if (!in_parts) {
            reference.step(x, rows, 1e-2);
            return;
        }
        Training theirs(sae, options); // decides by its own parts
        theirs.idle_batches = reference.idle_batches;
        theirs.idle_rows = reference.idle_rows;
        int64_t first = 0;
        for (const int64_t end : cuts) {
            const std::vector<float> part(x.begin() + first * d, x.begin() + end * d);
            (other != nullptr && first > 0 ? theirs : reference).accumulate(part, end - first);
            first = end;
        }
        reference.add(theirs);
        reference.apply(1e-2);
    };

    bool revived = false;
    for (int step = 0; step < 6; step++) {
        const std::string at = name + ", step " + std::to_string(step);
        std::vector<float> x = random.normals(rows * d);
        if (step == 3) { // a refused batch changes nothing and is reported once
            std::vector<float> bad = x;
            const int64_t row = in_parts ? cuts[0] + 1 : 1; // row 1 of the second part
            bad[static_cast<size_t>(row * d)] = std::numeric_limits<float>::infinity();
            expect(step_on(bad) == SAE_NONFINITE &&
                       std::string(table->last_error()).find("row 1 of ") != std::string::npos,
                   at + ": a batch with infinity is refused by row");
        }
        ok(step_on(x), "a step");
        double stats[SAE_STAT_COUNT];
        ok(table->trainer_stats(trainer, stats), "trainer_stats");
        reference_step(x);
        for (int i = 0; i < SAE_STAT_LISTED; i++) { // what the encoder counts: check_counts
            const double wanted = reference.stats[i];
            expect(std::abs(stats[i] - wanted) <= 1e-4 * std::abs(wanted) + 1e-12,
                   at + ": statistic " + std::to_string(i) + " is " + std::to_string(stats[i]) + ", expected " +
                       std::to_string(wanted));
        }
        revived = revived || reference.stats[SAE_STAT_AUX] > 0;
        for (int32_t tensor = 0; tensor < 4; tensor++) {
            const std::string which = at + ": tensor " + std::to_string(tensor);
            const size_t count = sae.tensors[tensor].size();
            /* Adam divides by sqrt(v): where a gradient is only rounding error its step may differ by lr, so the
             * moments have a tight bound and the weights a loose one. */
            expect_close(read_state(trainer, SAE_STATE_M_W_ENC + tensor, count), reference.first[tensor], moments,
                         which + ", first moment");
            expect_close(read_state(trainer, SAE_STATE_V_W_ENC + tensor, count), reference.second[tensor], 2 * moments,
                         which + ", second moment");
            expect_close(params.read(tensor), sae.tensors[tensor], 1e-3, which);
        }
        std::vector<int64_t> idle(static_cast<size_t>(m));
        ok(table->trainer_read(trainer, SAE_STATE_IDLE_BATCHES, 0, idle.data(), m), "trainer_read");
        expect(idle == reference.idle_batches, at + ": idle batches");
        ok(table->trainer_read(trainer, SAE_STATE_IDLE_ROWS, 0, idle.data(), m), "trainer_read");
        expect(idle == reference.idle_rows, at + ": idle rows");
    }
    expect(revived == (options[SAE_OPT_AUX_COEFFICIENT] > 0 && silent > 0), name + ": the auxiliary loss is exercised");

    int64_t steps = 41;
    ok(table->trainer_write(trainer, SAE_STATE_STEPS, 0, &steps, 1), "trainer_write");
    ok(table->trainer_read(trainer, SAE_STATE_STEPS, 0, &steps, 1), "trainer_read");
    expect(steps == 41, name + ": steps are written and read back");
}

/* Two trainers on the same batches end bit-identical; a third, given the first one's state, continues identically. */
void check_repeatable(void *context) {
    const int64_t rows = 97, d = 24, m = 150;
    Random random(5);
    Sae sae(d, m, true);
    sae.tensors[SAE_W_ENC] = random.normals(d * m);
    sae.tensors[SAE_W_DEC] = random.normals(d * m);
    Options options = default_options(6);
    options[SAE_OPT_DEAD_AFTER_BATCHES] = 1;
    const std::vector<float> x = random.normals(rows * d);
    const Memory<float> device_x(context, x, SAE_DEVICE);
    std::vector<float> results[2];
    for (std::vector<float> &result : results) {
        const Params params(context, sae);
        void *trainer = nullptr;
        int64_t bytes = 0;
        ok(table->trainer_create(params.handle, options.data(), &trainer, &bytes), "trainer_create");
        for (int step = 0; step < 3; step++) {
            ok(table->train_step(trainer, device_x.buffer, nullptr, rows, 1e-3), "train_step");
        }
        result = params.read(SAE_W_ENC);
        table->trainer_close(trainer);
    }
    expect(results[0] == results[1], "two runs on the same input are bit-identical");
}

void run_cases(void *context, bool large, bool brief) {
    for (const int32_t place : {SAE_HOST, SAE_DEVICE}) {
        check_encode_and_decode(context, 1, 1, 1, 1, false, place);
        check_encode_and_decode(context, 7, 13, 37, 5, true, place);
        check_encode_and_decode(context, 65, 17, 67, 67, false, place);
        check_encode_and_decode(context, 3, 40, 1500, 1100, true, place); // k beyond the shared keys
        check_encode_and_decode(context, 130, 33, 300, 16, true, place);
        check_matmul(context, 1, 1, 1, place);
        check_matmul(context, 65, 130, 19, place);
        check_gather(context, 1, 1, 2, 1, place);
        check_gather(context, 19, 132, 41, 0.3, place);
        check_gather(context, 6, 33, 70, -2.5, place);
    }
    if (large) {
        check_encode_and_decode(context, 70, 4, 1 << 18, 3, false, SAE_DEVICE); // more than one chunk of rows
        check_encode_and_decode(context, 300, 768, 12288, 64, true, SAE_DEVICE);
    }
    check_refusals(context);
    check_options(context);
    check_every_way();
    if (!brief) {
        check_screens_agree();
    }
    check_repeatable(context);
}

/* The study's options at small sizes. */
Options small_options(double k) {
    Options options = default_options(k);
    options[SAE_OPT_AUX_K] = 7;
    options[SAE_OPT_DEAD_AFTER_BATCHES] = 2;
    return options;
}

/* Every loss, normalisation and choice of the trainer. */
void check_training_options(void *context) {
    Options options = small_options(4);
    check_training(context, {"study", 70, 19, 61, true, options, SAE_HOST});
    check_training(context, {"study, uploaded", 70, 19, 61, true, options, SAE_HOST, true});
    check_training(context, {"study without b_dec in the input", 33, 300, 20, false, options});
    check_training(context, {"screened", 40, 40, 600, true, options});
    options[SAE_OPT_LOSS] = SAE_LOSS_FVU;
    options[SAE_OPT_AUX_NORM] = SAE_AUX_TARGET_VARIANCE;
    options[SAE_OPT_AUX_SCALE_BY_DEAD] = 1;
    options[SAE_OPT_AUX_K] = 512;
    options[SAE_OPT_TRAIN_B_ENC] = 1;
    options[SAE_OPT_DECODER_NORM] = SAE_DECODER_NORM_AFTER_STEP;
    options[SAE_OPT_CLIP_NORM] = 0.01;
    check_training(context, {"fvu", 70, 19, 61, true, options});
    options[SAE_OPT_CLIP_PROJECTED] = 1;
    check_training(context, {"fvu, clipped by the projected gradient", 70, 19, 61, true, options});
    options[SAE_OPT_CLIP_PROJECTED] = 0;
    options[SAE_OPT_LOSS] = SAE_LOSS_SUM_MEAN;
    options[SAE_OPT_AUX_NORM] = SAE_AUX_RESIDUAL_VARIANCE;
    options[SAE_OPT_AUX_DETACH] = 1;
    options[SAE_OPT_CLIP_NORM] = 0;
    options[SAE_OPT_DECODER_NORM] = SAE_DECODER_NORM_NONE;
    options[SAE_OPT_DEAD_AFTER_BATCHES] = 0;
    options[SAE_OPT_DEAD_AFTER_ROWS] = 100;
    check_training(context, {"sum-mean, detached", 70, 19, 61, false, options});
    options[SAE_OPT_AUX_NORM] = SAE_AUX_SUM_MEAN;
    options[SAE_OPT_PROJECT_GRADIENT] = 0;
    options[SAE_OPT_FREEZE_DECODER] = 1;
    options[SAE_OPT_CLIP_NORM] = 1;
    check_training(context, {"frozen decoder", 70, 19, 61, true, options});
    options[SAE_OPT_AUX_COEFFICIENT] = 0;
    check_training(context, {"no auxiliary loss", 70, 19, 61, true, options});
}

/* Shapes that cover every path through the fused step. */
void check_training_shapes(void *context) {
    Options options = small_options(3);
    check_training(context, {"lists over several stretches", 500, 20, 9, true, options});
    options[SAE_OPT_CLIP_NORM] = 0.5;
    options[SAE_OPT_AUX_DETACH] = 1;
    check_training(context, {"long lists, clipped", 300, 12, 7, true, options, SAE_DEVICE, false, 0});
    check_training(context, {"all latents silent", 40, 16, 40, true, options, SAE_DEVICE, false, 1});
    check_training(context, {"two columns a thread", 5, 270, 11, false, options});
    check_training(context, {"two chunks a thread", 5, 1032, 11, true, options});
    check_training(context, {"one row of weights at a time", 3, 4100, 5, true, options, SAE_DEVICE, false, 3,
                             1e-3}); // dz is a sum of 4100 products in float32
    for (const double k : {20.0, 40.0, 100.0, 150.0}) {
        check_training(context, {"k " + std::to_string(k), 9, 36, 160, true, small_options(k)});
    }
}

/* Batches in parts of unequal size, on one trainer and on two of two devices. */
void check_parts(void *context, void *other) {
    Options options = small_options(4);
    const auto with = [&](const std::string &name, bool subtract, void *replica, int32_t place) {
        TrainingCase of{name, 70, 19, 61, subtract, options, place};
        of.cuts = {9, 12, 50};
        of.other = replica;
        check_training(context, of);
    };
    with("parts", true, nullptr, SAE_DEVICE);
    with("parts from the host", true, nullptr, SAE_HOST);
    with("parts on two devices", true, other, SAE_HOST);
    options[SAE_OPT_LOSS] = SAE_LOSS_FVU;
    options[SAE_OPT_AUX_NORM] = SAE_AUX_TARGET_VARIANCE;
    options[SAE_OPT_AUX_SCALE_BY_DEAD] = 1;
    options[SAE_OPT_TRAIN_B_ENC] = 1;
    options[SAE_OPT_DECODER_NORM] = SAE_DECODER_NORM_AFTER_STEP;
    options[SAE_OPT_CLIP_NORM] = 0.01;
    options[SAE_OPT_DEAD_AFTER_BATCHES] = 0;
    options[SAE_OPT_DEAD_AFTER_ROWS] = 100;
    with("parts, fvu, clipped", false, nullptr, SAE_DEVICE);
    with("parts on two devices, fvu, clipped", true, other, SAE_DEVICE);
    options[SAE_OPT_AUX_NORM] = SAE_AUX_RESIDUAL_VARIANCE;
    options[SAE_OPT_LOSS] = SAE_LOSS_SUM_MEAN;
    options[SAE_OPT_FREEZE_DECODER] = 1;
    options[SAE_OPT_CLIP_NORM] = 0;
    with("parts, frozen decoder, residual variance", true, nullptr, SAE_DEVICE);
}

/* A graph keeps nothing from the step it was captured from: rows and lr change, a second batch size comes in between,
 * and the result is bit-identical to that of single launches. */
void check_graph(const std::string &others) {
    const int64_t rows = 50, d = 20, m = 60;
    Random random(31);
    Sae sae(d, m, true);
    sae.tensors[SAE_W_ENC] = random.normals(d * m);
    sae.tensors[SAE_W_DEC] = random.normals(d * m);
    std::fill_n(sae.tensors[SAE_B_ENC].begin(), m / 2, -1.5f * std::sqrt(static_cast<float>(d))); // most of them die
    const std::vector<float> x = random.normals(7 * rows * d);
    std::vector<float> weights[2], decoders[2];
    for (int run = 0; run < 2; run++) {
        void *context = nullptr;
        ok(table->context_open(((run == 0 ? "graph=on" : "graph=off") + others).c_str(), &context), "context_open");
        {
            const Params params(context, sae);
            const Memory<float> device_x(context, std::vector<float>(static_cast<size_t>(rows * d)), SAE_DEVICE);
            void *trainer = nullptr;
            int64_t bytes = 0;
            ok(table->trainer_create(params.handle, small_options(4).data(), &trainer, &bytes), "trainer_create");
            for (int step = 0; step < 7; step++) {
                ok(table->buffer_write(device_x.buffer, 0, x.data() + step * rows * d, rows * d * 4), "buffer_write");
                ok(table->train_step(trainer, device_x.buffer, nullptr, step % 3 == 2 ? rows - 7 : rows,
                                     1e-3 * (step + 1)),
                   "train_step");
            }
            weights[run] = params.read(SAE_W_ENC);
            decoders[run] = params.read(SAE_W_DEC);
            double stats[SAE_STAT_COUNT];
            ok(table->trainer_stats(trainer, stats), "trainer_stats");
            expect(stats[SAE_STAT_AUX] > 0, "graphs: there are dead latents" + others);
            table->trainer_close(trainer);
        }
        table->context_close(context);
    }
    expect(weights[0] == weights[1] && decoders[0] == decoders[1], "graphs give what single launches give" + others);
}

/* Where steps cannot be captured, they are launched one by one, with the same result, and the context says why. */
void check_failed_capture() {
    const int64_t rows = 20, d = 20, m = 60;
    Random random(32);
    Sae sae(d, m, true);
    sae.tensors[SAE_W_ENC] = random.normals(d * m);
    sae.tensors[SAE_W_DEC] = random.normals(d * m);
    const std::vector<float> x = random.normals(rows * d);
    std::vector<float> weights[2];
    setenv("CUDA_ON_CPU_FAIL_CAPTURE", "1", 1);
    for (int run = 0; run < 2; run++) {
        void *context = nullptr;
        ok(table->context_open(run == 0 ? "graph=on" : "graph=off", &context), "context_open");
        {
            const Trained trained(context, sae, small_options(4));
            const Memory<float> device_x(context, x, SAE_DEVICE);
            for (int step = 0; step < 4; step++) {
                ok(table->train_step(trained.trainer, device_x.buffer, nullptr, rows, 1e-3),
                   "train_step without graphs");
            }
            weights[run] = trained.params.read(SAE_W_ENC);
        }
        char text[512];
        ok(table->context_describe(context, text, sizeof text), "context_describe");
        const bool said = std::string(text).find("\"graph\":\"off: capturing a step: ") != std::string::npos;
        expect(said == (run == 0), std::string("the context says why there are no graphs: ") + text);
        table->context_close(context);
    }
    unsetenv("CUDA_ON_CPU_FAIL_CAPTURE");
    expect(weights[0] == weights[1], "a failed capture changes nothing");
}

/* Every other row ties with so many latents that its list overflows: the step's statistics say so, and the choice is
 * that of a row of scores in memory. */
void check_counts(int64_t rows, int64_t m) {
    const int64_t d = 40, k = 4;
    Random random(33);
    Sae sae(d, m, false);
    sae.tensors[SAE_W_ENC] = random.normals(d * m);
    sae.tensors[SAE_W_DEC] = random.normals(d * m);
    std::vector<float> &w = sae.tensors[SAE_W_ENC];
    for (int64_t j = m / 2 + 1; j < m; j++) {
        std::copy_n(w.begin() + m / 2 * d, d, w.begin() + j * d);
    }
    std::vector<float> x = random.normals(rows * d);
    for (int64_t i = 0; i < rows * d; i++) {
        const float direction = w[static_cast<size_t>(m / 2 * d + i % d)];
        x[static_cast<size_t>(i)] = x[static_cast<size_t>(i)] / 4 + (i / d % 2 == 0 ? 2.0f : -2.0f) * direction;
    }
    std::vector<int32_t> chosen;
    for (const char *options : {"encode=chunked", "", "step=plain", "precision=bf16", "encode=dense"}) {
        const std::string name = std::string("counts with ") + options;
        void *context = nullptr;
        ok(table->context_open(options, &context), "context_open");
        const Kept got = encode_on(context, sae, x, rows, k);
        chosen = chosen.empty() ? got.indices : chosen;
        expect(std::string(options) == "precision=bf16" || got.indices == chosen, name + ": the same latents");
        for (const bool in_parts : {false, true}) {
            if (name.find("chunked") != std::string::npos || (in_parts && name.find("plain") == std::string::npos)) {
                continue;
            }
            Options of = small_options(k);
            of[SAE_OPT_GRADIENTS] = SAE_GRADIENTS_KEPT;
            Trained trained(context, sae, of);
            const Memory<float> device_x(context, x, SAE_DEVICE);
            if (in_parts) {
                ok(step_in_parts(trained, context, nullptr, nullptr, x, {rows / 2, rows}, 1e-3, SAE_DEVICE),
                   "a step in parts");
            } else {
                ok(table->train_step(trained.trainer, device_x.buffer, nullptr, rows, 1e-3), "train_step");
            }
            double stats[SAE_STAT_COUNT];
            ok(table->trainer_stats(trained.trainer, stats), "trainer_stats");
            const bool lists = std::string(options).find("encode=") == std::string::npos;
            const double overflowed = lists ? static_cast<double>(rows / 2) : 0;
            if (!in_parts || rows < 1000) { // fewer rows on a GPU score every latent at once, and keep no lists
                expect(stats[SAE_STAT_OVERFLOWED] == overflowed,
                       name + ": " + std::to_string(stats[SAE_STAT_OVERFLOWED]) + " rows overflowed");
                expect((stats[SAE_STAT_LISTED] >= static_cast<double>(m) / 4) == lists &&
                           stats[SAE_STAT_LISTED] <= static_cast<double>(m),
                       name + ": " + std::to_string(stats[SAE_STAT_LISTED]) + " listed a row");
            }
        }
        table->context_close(context);
    }
}

/* 200 steps against the reference: losses within 1e-3. Weights may drift apart where a gradient is only rounding. */
void check_long_run(void *context) {
    const int64_t rows = 128, d = 48, m = 384;
    Random random(21);
    Sae sae(d, m, true);
    sae.tensors[SAE_W_ENC] = random.normals(d * m);
    sae.tensors[SAE_W_DEC] = random.normals(d * m);
    Options options = small_options(8);
    options[SAE_OPT_AUX_K] = 24;
    const Params params(context, sae);
    void *trainer = nullptr;
    int64_t bytes = 0;
    ok(table->trainer_create(params.handle, options.data(), &trainer, &bytes), "trainer_create");
    Training reference(sae, options);
    double worst = 0;
    for (int step = 0; step < 200; step++) {
        const std::vector<float> x = random.normals(rows * d);
        const Memory<float> device_x(context, x, SAE_HOST);
        ok(table->train_step(trainer, device_x.buffer, nullptr, rows, 1e-3), "train_step");
        double stats[SAE_STAT_COUNT];
        ok(table->trainer_stats(trainer, stats), "trainer_stats");
        reference.step(x, rows, 1e-3);
        worst = std::max(worst, std::abs(stats[SAE_STAT_LOSS] / reference.stats[SAE_STAT_LOSS] - 1));
    }
    std::printf("200 steps: the largest relative difference of the losses is %.2e\n", worst);
    expect(worst < 1e-3, "200 steps: the loss follows the reference");
    table->trainer_close(trainer);
}

/* The study's smallest shape twice, bit-identical. */
void check_repeatable_at_size(void *context) {
    const int64_t rows = 4096, d = 768, m = 12288;
    Random random(22);
    Sae sae(d, m, true);
    sae.tensors[SAE_W_ENC] = random.normals(d * m);
    sae.tensors[SAE_W_DEC] = random.normals(d * m);
    const Memory<float> device_x(context, random.normals(rows * d), SAE_DEVICE);
    std::vector<float> results[2][2];
    for (auto &result : results) {
        const Params params(context, sae);
        void *trainer = nullptr;
        int64_t bytes = 0;
        ok(table->trainer_create(params.handle, default_options(16).data(), &trainer, &bytes), "trainer_create");
        for (int step = 0; step < 12; step++) {
            ok(table->train_step(trainer, device_x.buffer, nullptr, rows, 1e-3), "train_step");
        }
        result[0] = params.read(SAE_W_ENC);
        result[1] = params.read(SAE_W_DEC);
        table->trainer_close(trainer);
    }
    expect(results[0][0] == results[1][0] && results[0][1] == results[1][1],
           "two runs of the study's smallest shape are bit-identical");
}

/* moments=bf16: close to float32's result, unbiased, and the same bits in every run. */
void check_narrow_moments(bool in_parts) {
    const int64_t rows = 60, d = 20, m = 70;
    Random random(11);
    Sae sae(d, m, true);
    sae.tensors[SAE_W_ENC] = random.normals(d * m);
    sae.tensors[SAE_W_DEC] = random.normals(d * m);
    const std::vector<float> x = random.normals(rows * d);
    const auto count = static_cast<size_t>(d * m);
    std::vector<float> first[3], second[3], weights[3];
    for (int run = 0; run < 3; run++) {
        void *context = nullptr;
        ok(table->context_open(run == 0 ? "moments=fp32" : "moments=bf16", &context), "context_open");
        {
            Options options = small_options(5);
            options[SAE_OPT_GRADIENTS] = in_parts ? SAE_GRADIENTS_KEPT : SAE_GRADIENTS_NONE;
            Trained trained(context, sae, options);
            const Params &params = trained.params;
            void *trainer = trained.trainer;
            const Memory<float> device_x(context, x, SAE_DEVICE);
            for (int step = 0; step < 20; step++) {
                ok(in_parts ? step_in_parts(trained, context, nullptr, nullptr, x, {25, rows}, 1e-4, SAE_DEVICE)
                            : table->train_step(trainer, device_x.buffer, nullptr, rows, 1e-4),
                   "a step");
            }
            first[run] = read_state(trainer, SAE_STATE_M_W_ENC, count);
            second[run] = read_state(trainer, SAE_STATE_V_W_DEC, count);
            weights[run] = params.read(SAE_W_ENC);
            ok(table->trainer_write(trainer, SAE_STATE_M_W_ENC, 0, first[run].data(), d * m), "trainer_write");
            expect(read_state(trainer, SAE_STATE_M_W_ENC, count) == first[run], "moments come back as written");
        }
        table->context_close(context);
    }
    expect(first[1] == first[2] && second[1] == second[2] && weights[1] == weights[2],
           "moments=bf16: two runs are bit-identical");
    expect(first[0] != first[1], "moments=bf16: the moments are narrow");
    expect_close(first[1], first[0], 0.02, "moments=bf16: first moments");
    expect_close(second[1], second[0], 0.02, "moments=bf16: second moments");
    expect_close(weights[1], weights[0], 1e-3, "moments=bf16: weights");
    double wide = 0, narrow = 0;
    for (size_t i = 0; i < count; i++) {
        wide += second[0][i];
        narrow += second[1][i];
    }
    expect(std::abs(narrow / wide - 1) < 2e-3, "moments=bf16: rounding has no drift");
}

void round_all(std::vector<float> &values) {
    for (float &value : values) {
        value = nearest_bf16(value);
    }
}

/* The outputs of some parameters for these rows. */
struct Outputs {
    Kept kept;
    std::vector<float> x_hat;

    Outputs(void *context, const Params &params, const std::vector<float> &x, int64_t rows, int64_t k) {
        const Memory<float> device_x(context, x, SAE_DEVICE);
        const Memory<int32_t> indices(context, std::vector<int32_t>(static_cast<size_t>(rows * k), -7), SAE_DEVICE);
        const Memory<float> values(context, std::vector<float>(static_cast<size_t>(rows * k), -7.0f), SAE_DEVICE);
        const Memory<float> decoded(context, std::vector<float>(x.size(), -7.0f), SAE_DEVICE);
        ok(encode_topk(table, params.handle, device_x.buffer, rows, k, indices.buffer, values.buffer), "encode_topk");
        ok(decode_topk(table, params.handle, indices.buffer, values.buffer, rows, k, decoded.buffer), "decode");
        kept = {k, indices.read(), values.read()};
        x_hat = decoded.read();
    }
    bool operator==(const Outputs &other) const {
        return kept.indices == other.kept.indices && kept.values == other.kept.values && x_hat == other.x_hat;
    }
};

/* The step keeps the bf16 copies of the weights current: trained parameters give the same outputs as a fresh SAE with
 * the same weights. */
void check_copies(const char *context_options, int64_t d, bool clipped) {
    const int64_t rows = 40, m = 600, k = 4;
    const std::string name = std::string("copies, ") + context_options + " d " + std::to_string(d);
    Random random(static_cast<uint32_t>(d));
    Sae sae(d, m, true);
    sae.tensors[SAE_W_ENC] = random.normals(d * m);
    sae.tensors[SAE_W_DEC] = random.normals(d * m);
    std::fill_n(sae.tensors[SAE_B_ENC].begin(), m / 3, -60.0f); // silent: dead latents are updated separately
    Options options = small_options(k);
    options[SAE_OPT_TRAIN_B_ENC] = 1;
    options[SAE_OPT_DEAD_AFTER_BATCHES] = 1;
    options[SAE_OPT_CLIP_NORM] = clipped ? 0.01 : 0;
    void *context = nullptr;
    ok(table->context_open(context_options, &context), context_options);
    {
        const Params params(context, sae);
        void *trainer = nullptr;
        int64_t bytes = 0;
        ok(table->trainer_create(params.handle, options.data(), &trainer, &bytes), "trainer_create");
        for (int step = 0; step < 3; step++) {
            const Memory<float> device_x(context, random.normals(rows * d), SAE_DEVICE);
            ok(table->train_step(trainer, device_x.buffer, nullptr, rows, 0.5),
               "train_step"); // large: stale copies would show
        }
        table->trainer_close(trainer);
        Sae same(d, m, true);
        for (int32_t tensor = 0; tensor < 4; tensor++) {
            same.tensors[tensor] = params.read(tensor);
            expect(same.tensors[tensor] != sae.tensors[tensor], name + ": trained");
        }
        const std::vector<float> x = random.normals(rows * d);
        const Params anew(context, same);
        expect(Outputs(context, params, x, rows, k) == Outputs(context, anew, x, rows, k), name);
    }
    table->context_close(context);
}

/* A fused step after an update in parts gives the same result as one that starts without copies. */
void check_parts_and_steps() {
    const int64_t rows = 40, d = 20, m = 600;
    Random random(17);
    Sae sae(d, m, true);
    sae.tensors[SAE_W_ENC] = random.normals(d * m);
    sae.tensors[SAE_W_DEC] = random.normals(d * m);
    Options options = small_options(4);
    options[SAE_OPT_GRADIENTS] = SAE_GRADIENTS_KEPT;
    options[SAE_OPT_CLIP_NORM] = 0.01;
    const std::vector<float> x = random.normals(rows * d);
    for (const char *context_options : {"", "precision=bf16"}) {
        void *context = nullptr;
        ok(table->context_open(context_options, &context), "context_open");
        {
            Trained trained(context, sae, options);
            const Memory<float> device_x(context, x, SAE_DEVICE);
            ok(table->train_step(trained.trainer, device_x.buffer, nullptr, rows, 0.5), "train_step");
            ok(step_in_parts(trained, context, nullptr, nullptr, x, {15, rows}, 0.5, SAE_DEVICE), "step_in_parts");
            Sae same(d, m, true);
            for (int32_t tensor = 0; tensor < 4; tensor++) {
                same.tensors[tensor] = trained.params.read(tensor);
            }
            const Params anew(context, same);
            expect(Outputs(context, trained.params, x, rows, 4) == Outputs(context, anew, x, rows, 4),
                   std::string("parts leave no old copies, ") + context_options);
        }
        table->context_close(context);
    }
}

/* precision=bf16 on operands that are already bfloat16: only the gradients are rounded, so statistics match the
 * reference and first moments are close; decoding is the product with the rounded weights. */
void check_narrow_products(int64_t d, int64_t k, int64_t rows) {
    const int64_t m = 500; // with 300 rows some lists are longer than a stretch
    const std::string name = "precision=bf16 d " + std::to_string(d) + " k " + std::to_string(k);
    Random random(static_cast<uint32_t>(d + k));
    Sae sae(d, m, false);
    sae.tensors[SAE_W_ENC] = random.normals(d * m);
    sae.tensors[SAE_W_DEC] = random.normals(d * m);
    std::fill_n(sae.tensors[SAE_B_ENC].begin(), m / 3, -60.0f);
    sae.tensors[SAE_B_ENC][static_cast<size_t>(m - 1)] = 60.0f; // fires on every row
    std::vector<float> x = random.normals(rows * d);
    round_all(x);
    round_all(sae.tensors[SAE_W_ENC]);
    round_all(sae.tensors[SAE_W_DEC]);
    Options options = small_options(static_cast<double>(k));
    options[SAE_OPT_DEAD_AFTER_BATCHES] = 1;
    void *context = nullptr;
    ok(table->context_open("precision=bf16", &context), "precision=bf16");
    {
        const Params params(context, sae);
        void *trainer = nullptr;
        int64_t bytes = 0;
        ok(table->trainer_create(params.handle, options.data(), &trainer, &bytes), "trainer_create");
        Training reference(sae, options);
        const Memory<float> device_x(context, x, SAE_DEVICE);
        ok(table->train_step(trainer, device_x.buffer, nullptr, rows, 1e-2), "train_step");
        reference.step(x, rows, 1e-2);
        double stats[SAE_STAT_COUNT];
        ok(table->trainer_stats(trainer, stats), "trainer_stats");
        for (int i = 0; i < SAE_STAT_LISTED; i++) {                             // what the encoder counts: check_counts
            const double tolerance = i == SAE_STAT_GRADIENT_NORM ? 1e-3 : 1e-4; // of a gradient from rounded ones
            expect(std::abs(stats[i] - reference.stats[i]) <= tolerance * std::abs(reference.stats[i]) + 1e-12,
                   name + ": statistic " + std::to_string(i) + " is " + std::to_string(stats[i]) + ", expected " +
                       std::to_string(reference.stats[i]));
        }
        for (int32_t tensor = 0; tensor < 4; tensor++) {
            const std::string which = name + ": first moment " + std::to_string(tensor);
            const size_t count = sae.tensors[tensor].size();
            const std::vector<float> moment = read_state(trainer, SAE_STATE_M_W_ENC + tensor, count);
            /* rounding g costs 2^-9 of each term, and the terms are larger than their sum */
            expect_close(moment, reference.first[tensor], 1e-2, which);
        }
        table->trainer_close(trainer);
        Sae rounded(d, m, false);
        rounded.tensors[SAE_W_DEC] = params.read(SAE_W_DEC);
        rounded.tensors[SAE_B_DEC] = params.read(SAE_B_DEC);
        round_all(rounded.tensors[SAE_W_DEC]);
        const Outputs outputs(context, params, x, rows, k);
        expect_close(outputs.x_hat, decode(rounded, outputs.kept, rows), 1e-6, name + ": x_hat");
    }
    table->context_close(context);
}

/* A step with dead latents. */
struct DeadCase {
    int64_t rows, d, m;
    double aux_k;
    bool detach, clipped, dead;
};

/* One step; returns first moments of the weights, live latents first, then dead ones. narrow: precision=bf16. */
std::vector<std::vector<float>> check_dead_step(void *context, const DeadCase &of, const std::string &name,
                                                bool narrow) {
    const auto [rows, d, m, aux_k, detach, clipped, dead] = of;
    Random random(static_cast<uint32_t>(d + rows));
    Sae sae(d, m, true);
    std::vector<float> x = random.normals(rows * d);
    sae.tensors[SAE_B_DEC] = random.normals(d);
    for (std::vector<float> *values : {&x, &sae.tensors[SAE_B_DEC]}) { // so that x - b_dec is bfloat16
        for (float &value : *values) {
            value = narrow ? std::nearbyint(8 * value) / 8 : value;
        }
    }
    sae.tensors[SAE_W_ENC] = random.normals(d * m);
    sae.tensors[SAE_W_DEC] = random.normals(d * m);
    if (narrow) {
        round_all(sae.tensors[SAE_W_ENC]);
        round_all(sae.tensors[SAE_W_DEC]);
    }
    for (int64_t j = 0; j < m; j++) { // seldom positive, and almost never among the k largest
        sae.tensors[SAE_B_ENC][static_cast<size_t>(j)] = j % 3 == 0 ? 0.0f : -2.0f * std::sqrt(static_cast<float>(d));
    }
    Options options = small_options(8);
    options[SAE_OPT_AUX_K] = aux_k;
    options[SAE_OPT_AUX_DETACH] = detach ? 1 : 0;
    options[SAE_OPT_TRAIN_B_ENC] = 1;
    options[SAE_OPT_CLIP_NORM] = clipped ? 0.01 : 0;
    options[SAE_OPT_DEAD_AFTER_BATCHES] = dead ? 1 : 9;
    const Params params(context, sae);
    void *trainer = nullptr;
    int64_t bytes = 0;
    ok(table->trainer_create(params.handle, options.data(), &trainer, &bytes), "trainer_create");
    const Memory<float> device_x(context, x, SAE_DEVICE);
    ok(table->train_step(trainer, device_x.buffer, nullptr, rows, 1e-2), "train_step");
    Training reference(sae, options, narrow);
    reference.step(x, rows, 1e-2);
    double stats[SAE_STAT_COUNT];
    ok(table->trainer_stats(trainer, stats), "trainer_stats");
    for (int i = 0; i < SAE_STAT_LISTED; i++) {
        expect(std::abs(stats[i] - reference.stats[i]) <= 1e-4 * std::abs(reference.stats[i]) + 1e-12,
               name + ": statistic " + std::to_string(i) + " is " + std::to_string(stats[i]) + ", expected " +
                   std::to_string(reference.stats[i]));
    }
    expect(dead == (stats[SAE_STAT_AUX] > 0), name + ": the auxiliary loss is exercised where it should be");
    std::vector<std::vector<float>> moments;
    for (int32_t tensor = 0; tensor < 4; tensor++) {
        const std::vector<float> got =
            read_state(trainer, SAE_STATE_M_W_ENC + tensor, static_cast<size_t>(sae.tensors[tensor].size()));
        const std::vector<double> &wanted = reference.first[tensor];
        std::vector<float> got_by[2]; // of live and dead latents, whose gradients are much smaller
        std::vector<double> wanted_by[2];
        for (size_t i = 0; i < got.size(); i++) {
            const size_t latent = i / (tensor == SAE_B_ENC ? 1 : static_cast<size_t>(d));
            const bool is_dead = dead && tensor != SAE_B_DEC && reference.idle_batches[latent] > 0;
            got_by[is_dead].push_back(got[i]);
            wanted_by[is_dead].push_back(wanted[i]);
        }
        for (const int is_dead : {0, 1}) {
            /* In bfloat16, where float32 and double round differently: 2^-8 of one term of a sum. Otherwise some
             * 2^-18 of each, and of each sum before it (split_product.cuh); a term left out would be 2^-8. */
            expect_close(got_by[is_dead], wanted_by[is_dead], narrow ? 1e-3 : 1e-5,
                         name + ": first moment " + std::to_string(tensor) + (is_dead ? " of the dead" : ""));
        }
        moments.push_back(got);
    }
    table->trainer_close(trainer);
    return moments;
}

/* The auxiliary loss's products in both precisions, with every kernel: full, partly full and empty parts, and a single
 * part; rows, columns and latents that do not fill a tile; more values to choose than dead latents, and more than are
 * sorted in shared memory; no dead latents. */
void check_dead_products(bool brief) {
    const DeadCase wide = {5, 33, 1560, 1030, false, false, true}, none = {70, 33, 300, 16, false, true, false};
    const struct {
        const char *options;
        bool narrow;
        std::vector<DeadCase> cases;
    } groups[] = {
        {"precision=fp32;kernels=plain", false, {{130, 36, 200, 24, false, true, true}, none}},
        {"precision=fp32;kernels=sm80",
         false,
         {{130, 36, 200, 24, false, true, true}, {37, 270, 230, 512, true, false, true}, wide, none}},
        {"precision=bf16;kernels=plain", true, {{300, 36, 800, 24, false, true, true}, none}},
        {"precision=bf16;kernels=sm80",
         true,
         {{300, 36, 800, 24, false, true, true}, {37, 270, 230, 512, true, false, true}, none}},
        {"precision=bf16;kernels=sm90",
         true,
         {{300, 36, 800, 24, false, true, true}, {37, 270, 230, 512, true, false, true}, wide, none}},
    };
    for (const auto &[options, narrow, cases] : groups) {
        void *context = nullptr;
        if (table->context_open(options, &context) != SAE_OK) {
            continue; // this device cannot; check_options says when that is right
        }
        for (const DeadCase &of : cases) {
            if (brief && of.rows * of.d * of.m > 3000000) {
                continue;
            }
            const std::string name = std::string("dead latents, ") + options + " rows " + std::to_string(of.rows);
            const auto moments = check_dead_step(context, of, name, narrow);
            if (of.clipped && of.dead) {
                expect(check_dead_step(context, of, name, narrow) == moments, name + ": two runs are bit-identical");
            }
        }
        table->context_close(context);
    }
}

/* An SAE that cannot fit is refused, with numbers, before anything is allocated. */
void check_memory_plan(void *context) {
    void *params = nullptr;
    int64_t bytes = 0;
    const int64_t d = 16384, m = int64_t{1} << 26; // 8.8 TB of parameters
    expect(table->params_create(context, d, d, m, 0, &params, &bytes) == SAE_OUT_OF_MEMORY,
           "too large an SAE is refused");
    const std::string text = table->last_error();
    const int64_t shadow = 2 * d * m + 12 * (m + m / 256 + 1);
    expect(text.find("expected " + std::to_string(4 * (2 * d * m + d + m) + shadow) + " bytes") != std::string::npos &&
               text.find("saves " + std::to_string(shadow)) != std::string::npos &&
               text.find(std::to_string(16 * d * m + 8 * (d + m) + 16 * m) + " more") != std::string::npos &&
               text.find(std::to_string(8 * d * m + 8 * (d + m) + 16 * m) + " with moments=bf16") != std::string::npos,
           "the refusal says what it needs: " + text);
}

/* The training cases with other context options; a second context uses the second device if there is one. */
/* Without parts where the rules' cases have enough of them. */
void run_training(const std::string &context_options, bool shapes, bool parts) {
    void *context = nullptr;
    ok(table->context_open(context_options.c_str(), &context), context_options.c_str());
    check_training_options(context);
    if (shapes) {
        check_training_shapes(context);
    }
    if (parts) {
        void *other = nullptr;
        if (table->context_open((context_options + ";device=1").c_str(), &other) != SAE_OK) {
            ok(table->context_open(context_options.c_str(), &other), context_options.c_str());
        }
        check_parts(context, other);
        table->context_close(other);
    }
    table->context_close(context);
}

/* Memory and streams shared with the caller. */
void check_interop(void *context) {
    const std::vector<float> values = {1, 2, 3, 4};
    const auto bytes = static_cast<int64_t>(values.size() * sizeof(float));
    const Memory<float> own(context, values, SAE_DEVICE);
    const int64_t stream = table->context_stream(context);
    void *other = nullptr;
    const std::string options = stream == 0 ? "" : "stream=" + std::to_string(stream);
    ok(table->context_open(options.c_str(), &other), "context_open on a stream");
    expect(table->context_stream(other) == stream, "the caller's stream is the one that is used");
    ok(table->context_order(other, stream, SAE_ORDER_AFTER), "context_order after");
    ok(table->context_order(other, stream, SAE_ORDER_BEFORE), "context_order before");
    void *wrapped = nullptr;
    const int64_t address = table->buffer_address(own.buffer);
    ok(table->buffer_wrap(other, address, bytes, SAE_DEVICE, &wrapped), "buffer_wrap");
    expect(table->buffer_address(wrapped) == address, "the address of wrapped memory");
    std::vector<float> read(values.size());
    ok(table->buffer_read(wrapped, 0, read.data(), bytes), "buffer_read");
    expect(read == values, "wrapped memory is the caller's");
    const float nine = 9;
    ok(table->buffer_write(wrapped, 4, &nine, 4), "buffer_write");
    table->buffer_close(wrapped);
    expect(own.read() == std::vector<float>{1, 9, 3, 4}, "the caller's memory outlives its wrapping");
    alignas(64) float host[16] = {};
    expect(table->buffer_wrap(other, reinterpret_cast<int64_t>(host), sizeof host, SAE_DEVICE, &wrapped) ==
               SAE_INVALID_ARGUMENT,
           "host memory is not the device's");
    expect(table->buffer_wrap(other, address, bytes, SAE_HOST, &wrapped) == SAE_INVALID_ARGUMENT,
           "device memory is not the host's");
    table->context_close(other);
}

/* Memory in both places stays valid after its buffer and its context are closed. */
void check_detached_memory() {
    for (const int32_t place : {SAE_HOST, SAE_DEVICE}) {
        const std::vector<float> values = {1, 2, 3, 4};
        const auto bytes = static_cast<int64_t>(values.size() * sizeof(float));
        void *first = nullptr;
        void *buffer = nullptr;
        void *memory = nullptr;
        ok(table->context_open("", &first), "context_open");
        ok(table->buffer_create(first, bytes, place, &buffer), "buffer_create");
        ok(table->buffer_write(buffer, 0, values.data(), bytes), "buffer_write");
        if (place == SAE_HOST) {
            ok(table->buffer_upload(buffer, bytes), "buffer_upload");
        }
        const int64_t address = table->buffer_address(buffer);
        ok(table->buffer_detach(buffer, &memory), "buffer_detach");
        table->context_close(first);
        void *second = nullptr;
        void *wrapped = nullptr;
        ok(table->context_open("", &second), "context_open");
        ok(table->buffer_wrap(second, address, bytes, place, &wrapped), "buffer_wrap");
        std::vector<float> read(values.size());
        ok(table->buffer_read(wrapped, 0, read.data(), bytes), "buffer_read");
        expect(read == values, "detached memory outlives its context");
        table->buffer_close(wrapped);
        table->context_close(second);
        table->memory_close(memory);
    }
}

constexpr int32_t kRules[] = {SAE_TOPK, SAE_ABS_TOPK, SAE_GROUP_MAX, SAE_BATCH_TOPK, SAE_THRESHOLD_RULE};

/* One encode of the backend; ragged rows are asked for with `room`. The status is the backend's. */
struct RuleEncode {
    Rows rows;
    int64_t entries;
    sae_status status;

    RuleEncode(void *context, void *params, int32_t rule, const Memory<float> &x, int64_t n, int64_t k, int64_t room,
               int32_t place)
        : entries(rule < SAE_BATCH_TOPK ? n * k : -7) {
        const bool ragged = rule >= SAE_BATCH_TOPK;
        const auto size = static_cast<size_t>(ragged ? room : n * k);
        const Memory<int32_t> offsets(context, std::vector<int32_t>(static_cast<size_t>(n + 1), -7), place);
        const Memory<int32_t> indices(context, std::vector<int32_t>(size, -7), place);
        const Memory<float> values(context, std::vector<float>(size, -7.0f), place);
        const sae_latents into{ragged ? offsets.buffer : nullptr, indices.buffer, values.buffer, k,
                               static_cast<int64_t>(size)};
        status = table->encode(params, rule, x.buffer, n, &into, ragged ? &entries : nullptr);
        rows = {ragged ? offsets.read() : std::vector<int32_t>{}, indices.read(), values.read()};
        if (status == SAE_OK && ragged && entries <= room) {
            rows.indices.resize(static_cast<size_t>(entries));
            rows.values.resize(static_cast<size_t>(entries));
        }
    }
};

std::vector<float> integers(Random &random, int64_t count, int least, int most) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float &value : values) {
        value = static_cast<float>(random.integer(least, most));
    }
    return values;
}

struct RuleCase {
    int64_t rows, d_in, d_out, m, k;
    int32_t flags;

    std::string name() const {
        return "rows " + std::to_string(rows) + " d " + std::to_string(d_in) + " " + std::to_string(d_out) + " m " +
               std::to_string(m) + " k " + std::to_string(k) + " flags " + std::to_string(flags);
    }
};

/* An SAE and rows of small integers: products, sums and comparisons are exact, in bfloat16 too, and there are many ties. */
struct IntegerCase {
    RuleSae sae;
    std::vector<float> x;

    explicit IntegerCase(const RuleCase &of) : sae(of.d_in, of.d_out, of.m, of.flags) {
        Random random(static_cast<uint32_t>(of.rows * 31 + of.d_in * 7 + of.m + of.k + of.flags));
        for (int32_t tensor = 0; tensor <= SAE_W_SKIP; tensor++) {
            sae.tensors[tensor] = integers(random, sae.elements(tensor), -2, 2);
        }
        for (float &threshold : sae.tensors[SAE_THRESHOLD]) {
            threshold = static_cast<float>(random.integer(-3, 9));
        }
        std::fill(sae.tensors[SAE_R_MAG].begin(), sae.tensors[SAE_R_MAG].end(), 0.0f); // exp(0) is an integer
        x = integers(random, of.rows * of.d_in, -3, 3);
        std::fill_n(x.begin(), of.d_in, 0.0f); // row 0: little or no signal
    }
};

void check_integer_rule(void *context, const RuleCase &of, int32_t rule, int32_t place, const std::string &options) {
    const std::string name =
        "rule " + std::to_string(rule) + " " + of.name() + " " + options + (place == SAE_HOST ? " host" : " device");
    const IntegerCase made(of);
    const Rows wanted = encode(made.sae, rule, made.x, of.rows, of.k);
    const RuleParams params(context, made.sae);
    const Memory<float> x(context, made.x, place);
    const auto entries = static_cast<int64_t>(wanted.indices.size());
    if (rule >= SAE_BATCH_TOPK && entries > 1) {
        const RuleEncode small(context, params.handle, rule, x, of.rows, of.k, entries - 1, place);
        expect(small.status == SAE_OK && small.entries == entries, name + ": entries without room");
    }
    for (const int64_t spare : {0, 5}) {
        if (spare > 0 && (rule < SAE_BATCH_TOPK || of.rows > 10)) {
            continue; // to save time under the emulation
        }
        const RuleEncode got(context, params.handle, rule, x, of.rows, of.k, std::max<int64_t>(entries + spare, 1),
                             place);
        expect(got.status == SAE_OK, name + ": " + table->last_error());
        expect(got.entries == entries, name + ": entries " + std::to_string(got.entries));
        expect(got.rows.offsets == wanted.offsets, name + ": offsets");
        expect(got.rows.indices == wanted.indices, name + ": indices");
        expect(got.rows.values == wanted.values, name + ": values");
    }
    Rows padded = wanted; // room that the rows leave unused
    padded.indices.push_back(-7);
    padded.values.push_back(-7.0f);
    const bool ragged = !wanted.offsets.empty();
    const Memory<int32_t> offsets(context, ragged ? wanted.offsets : std::vector<int32_t>{0}, place);
    const Memory<int32_t> indices(context, padded.indices, place);
    const Memory<float> values(context, padded.values, place);
    const Memory<float> x_hat(context, std::vector<float>(static_cast<size_t>(of.rows * of.d_out), -7.0f), place);
    const sae_latents latents{ragged ? offsets.buffer : nullptr, indices.buffer, values.buffer, of.k, entries + 1};
    ok(table->decode(params.handle, &latents, of.rows, (of.flags & SAE_SKIP) != 0 ? x.buffer : nullptr, x_hat.buffer),
       (name + ": decode").c_str());
    expect_close(x_hat.read(), decode(made.sae, wanted, of.rows, of.k, made.x), 1e-6, name + ": x_hat");
}

/* Every rule and flag, on every kernel, precision and method; brief: at the larger sizes with the context's defaults alone. */
void check_integer_rules(bool brief) {
    const RuleCase cases[] = {
        {3, 5, 5, 12, 4, SAE_SUBTRACT_B_DEC},
        {9, 33, 20, 528, 3, SAE_THRESHOLDS | SAE_SKIP}, // screened where the context does
        {11, 40, 36, 1100, 44, SAE_GATED},
        {6, 36, 36, 1200, 600, SAE_SUBTRACT_B_DEC | SAE_THRESHOLDS}, // k above what lists take
        {2, 8, 8, 2200, 1100, 0},                                    // k beyond the shared keys
        {140, 8, 4, 130, 2, SAE_SKIP},                               // two chunks: the batch is cut twice
    };
    for (const char *options :
         {"", "kernels=plain", "kernels=sm80", "encode=dense", "precision=bf16", "precision=bf16;kernels=plain"}) {
        void *context = nullptr;
        ok(table->context_open(std::string(table->name) == "cuda" ? options : "", &context), "context_open");
        for (const RuleCase &of : cases) {
            if (brief && of.m > 600 && std::string(options) != "") {
                continue;
            }
            for (const int32_t rule : kRules) {
                const bool gated = (of.flags & SAE_GATED) != 0;
                if (gated && rule != SAE_THRESHOLD_RULE) {
                    continue; // abi.cpp refuses
                }
                if (rule != SAE_THRESHOLD_RULE && std::string(options) != "" &&
                    std::string(options) != "precision=bf16") {
                    continue; // the same product as with one of those
                }
                check_integer_rule(context, of, rule, of.rows % 2 == 0 ? SAE_HOST : SAE_DEVICE, options);
            }
        }
        table->context_close(context);
        if (std::string(table->name) != "cuda") {
            break;
        }
    }
}

/* Against the definition: a latent whose comparison rounding may decide is free, others fire or not, and values are
 * right up to rounding. */
void check_fired(const RuleSae &sae, const std::vector<float> &x, const Rows &got, int64_t rows,
                 const std::string &name) {
    for (int64_t row = 0; row < rows; row++) {
        const std::vector<double> product = products(sae, x, row);
        double largest = 0;
        for (int64_t j = 0; j < sae.m; j++) {
            largest = std::max(largest, std::abs(product[static_cast<size_t>(j)]));
        }
        std::vector<float> of_row(static_cast<size_t>(sae.m));
        for (auto at = static_cast<size_t>(got.offsets[row]); at < static_cast<size_t>(got.offsets[row + 1]); at++) {
            const bool ordered = at == static_cast<size_t>(got.offsets[row]) || got.indices[at - 1] < got.indices[at];
            expect(ordered && got.values[at] > 0, name + ": order and sign in row " + std::to_string(row));
            of_row[static_cast<size_t>(got.indices[at])] = got.values[at];
        }
        for (int64_t j = 0; j < sae.m; j++) {
            const double p = product[static_cast<size_t>(j)];
            const float value = of_row[static_cast<size_t>(j)];
            /* sums of terms that are at most about 10 times the largest product, in any order */
            const double tolerance = 1e-5 * (largest + std::abs(sae.at(SAE_B_ENC, j)) + 1e-37);
            const float least = activation(sae, SAE_THRESHOLD_RULE, p - tolerance, j);
            const float most = activation(sae, SAE_THRESHOLD_RULE, p + tolerance, j);
            const bool right = value == 0 ? least == 0 : value >= least * (1 - 1e-5) && value <= most * (1 + 1e-5);
            expect(right, name + ": row " + std::to_string(row) + " latent " + std::to_string(j) + " has " +
                              std::to_string(value) + ", not from " + std::to_string(least) + " to " +
                              std::to_string(most));
        }
    }
}

/* Rows that are hard to screen, some of which overflow their lists: right on every path, and the same bits on every kernel
 * that screens, however much room there is. */
void check_hard_thresholds(bool brief) {
    struct Case {
        int64_t rows, d, m;
        int32_t flags;
        float threshold; // what most are near to
    };
    const Case cases[] = {{24, 40, 1100, SAE_THRESHOLDS, 8.0f},
                          {21, 33, 1537, 0, 0.0f}, // half of all fire: every list overflows
                          {18, 70, 1300, SAE_GATED, 0.0f},
                          {34, 256, 520, SAE_THRESHOLDS, 30.0f}};
    for (const Case &of : cases) {
        if (brief && of.m > 600) {
            continue;
        }
        const std::string name = "thresholds d " + std::to_string(of.d) + " m " + std::to_string(of.m) + " flags " +
                                 std::to_string(of.flags);
        const Trouble trouble(of.rows, of.d, of.m, 1);
        RuleSae sae(of.d, of.d, of.m, of.flags);
        Random random(7);
        for (const int32_t tensor : {SAE_W_ENC, SAE_B_ENC}) {
            sae.tensors[tensor] = trouble.sae.tensors[tensor];
        }
        for (const int32_t tensor : {SAE_THRESHOLD, SAE_R_MAG, SAE_B_MAG}) {
            sae.tensors[tensor] = random.normals(sae.elements(tensor));
        }
        for (size_t j = 0; j < sae.tensors[SAE_THRESHOLD].size(); j++) {
            float &threshold = sae.tensors[SAE_THRESHOLD][j];
            threshold = j % 50 == 3   ? std::numeric_limits<float>::infinity()
                        : j % 50 == 4 ? -1.0f
                                      : threshold + of.threshold;
        }
        std::vector<Rows> got;
        for (const char *options : {"kernels=plain", "kernels=sm80", "", "encode=dense"}) {
            void *context = nullptr;
            ok(table->context_open(std::string(table->name) == "cuda" ? options : "", &context), "context_open");
            {
                const RuleParams params(context, sae);
                const Memory<float> x(context, trouble.x, SAE_DEVICE);
                const RuleEncode small(context, params.handle, SAE_THRESHOLD_RULE, x, of.rows, 0, 1, SAE_DEVICE);
                const RuleEncode exact(context, params.handle, SAE_THRESHOLD_RULE, x, of.rows, 0, small.entries,
                                       SAE_DEVICE);
                const RuleEncode wide(context, params.handle, SAE_THRESHOLD_RULE, x, of.rows, 0, of.rows * of.m,
                                      SAE_DEVICE);
                expect(exact.status == SAE_OK && exact.entries == small.entries && wide.entries == small.entries,
                       name + " " + options + ": entries do not depend on room");
                expect(exact.rows.offsets == wide.rows.offsets && exact.rows.indices == wide.rows.indices &&
                           exact.rows.values == wide.rows.values,
                       name + " " + options + ": rows do not depend on room");
                check_fired(sae, trouble.x, wide.rows, of.rows, name + " " + options);
                got.push_back(wide.rows);
            }
            table->context_close(context);
        }
        for (const size_t other : {1, 2}) {
            expect(got[0].offsets == got[other].offsets && got[0].indices == got[other].indices &&
                       got[0].values == got[other].values,
                   name + ": the same bits on every kernel");
        }
    }
}

/* A fifth of the rows fire everywhere, more of them than are computed from all latents at a time under the emulation, and
 * lists are too short for them, since the mean row has little. */
void check_overflowing_rows(void *context) {
    const int64_t rows = 80;
    RuleSae sae(33, 33, 1100, 0);
    Random random(11);
    std::vector<float> x = integers(random, rows * sae.d_in, -1, 1);
    sae.tensors[SAE_W_ENC] = integers(random, sae.elements(SAE_W_ENC), -1, 1);
    for (int64_t j = 0; j < sae.m; j++) {
        sae.tensors[SAE_W_ENC][static_cast<size_t>(j * sae.d_in)] = static_cast<float>(1 + j % 3);
    }
    for (int64_t row = 0; row < rows; row++) {
        x[static_cast<size_t>(row * sae.d_in)] = row % 5 == 2 ? 100.0f : -100.0f;
    }
    const Rows wanted = encode(sae, SAE_THRESHOLD_RULE, x, rows, 0);
    const auto entries = static_cast<int64_t>(wanted.indices.size());
    expect(entries == rows / 5 * sae.m, "a fifth of the rows fire everywhere");
    const RuleParams params(context, sae);
    const Memory<float> device_x(context, x, SAE_DEVICE);
    const RuleEncode got(context, params.handle, SAE_THRESHOLD_RULE, device_x, rows, 0, entries, SAE_DEVICE);
    expect(got.status == SAE_OK && got.entries == entries, "entries of overflowing rows");
    expect(got.rows.offsets == wanted.offsets && got.rows.indices == wanted.indices && got.rows.values == wanted.values,
           "overflowing rows");
}

void check_rule_refusals(void *context) {
    const RuleCase of{3, 5, 4, 12, 4, SAE_SKIP};
    IntegerCase made(of);
    const RuleParams params(context, made.sae);
    const std::vector<float> finite = made.x;
    made.x[5 + 2] = std::numeric_limits<float>::quiet_NaN();
    made.x[10] = std::numeric_limits<float>::infinity();
    const Memory<float> bad(context, made.x, SAE_DEVICE);
    for (const int32_t rule : kRules) {
        const RuleEncode got(context, params.handle, rule, bad, of.rows, of.k, 100, SAE_DEVICE);
        expect(got.status == SAE_NONFINITE && std::string(table->last_error()).find("row 1 of 3") != std::string::npos,
               "rule " + std::to_string(rule) + " refuses the first row with NaN");
    }
    const Memory<float> x(context, finite, SAE_DEVICE);
    const Memory<float> values(context, {1.0f, 1.0f, 1.0f, 1.0f}, SAE_DEVICE);
    const Memory<float> x_hat(context, std::vector<float>(3 * 4), SAE_DEVICE);
    const auto refuse = [&](const std::vector<int32_t> &offsets, const std::vector<int32_t> &indices,
                            const char *text) {
        const Memory<int32_t> starts(context, offsets, SAE_DEVICE);
        const Memory<int32_t> chosen(context, indices, SAE_DEVICE);
        const sae_latents latents{starts.buffer, chosen.buffer, values.buffer, 0, 4};
        expect(table->decode(params.handle, &latents, 3, x.buffer, x_hat.buffer) == SAE_INVALID_ARGUMENT &&
                   std::string(table->last_error()).find(text) != std::string::npos,
               "decode refuses with '" + std::string(text) + "', got " + table->last_error());
    };
    refuse({0, 2, 1, 3}, {0, 1, 2, 3}, "got 2 and 1 in row 1");
    refuse({-1, 2, 2, 3}, {0, 1, 2, 3}, "got -1 and 2 in row 0");
    refuse({0, 2, 2, 5}, {0, 1, 2, 3}, "[0, 4], got 2 and 5 in row 2");
    refuse({0, 1, 1, 3}, {0, 1, 12, 3}, "got 12 in row 2");
}

void run_rules(void *context, bool brief) {
    timed("rules", [&] {
        check_rule_refusals(context);
        check_integer_rules(brief);
        check_hard_thresholds(brief);
        check_overflowing_rows(context);
    });
    check_rule_training(context, brief);
}

/* What depends on options of the context. */
void run_options(void *context, bool emulated, bool brief) {
    check_memory_plan(context);
    check_late_refusal();
    if (!brief) {
        timed("training, step=plain", [] { run_training("step=plain;graph=off", false, true); });
    }
    timed("graphs", [&] {
        check_graph("");
        check_graph(";precision=bf16");
        if (emulated) { // a GPU has no reason to refuse
            check_failed_capture();
        }
    });
    timed("statistics of lists", [&] { emulated ? check_counts(64, 1100) : check_counts(8192, 2000); });
    timed("moments in bfloat16", [] {
        check_narrow_moments(false);
        check_narrow_moments(true);
    });
    timed("parts and steps", [] { check_parts_and_steps(); });
    timed("copies of weights", [] {
        check_copies("", 40, false); // screened, with a shadow of W_enc alone
        check_copies("precision=bf16", 40, true);
        check_copies("precision=bf16;step=plain", 33, false);
        check_copies("precision=bf16", 33, false);
    });
    timed("products in bfloat16", [] {
        check_narrow_products(36, 3, 300);
        check_narrow_products(33, 20, 300);
        for (const int64_t k : {3, 20, 40, 100, 150}) { // eight columns a thread, and rows in 2 to 16 slots
            check_narrow_products(40, k, 20);
        }
    });
    timed("products of dead latents", [&] { check_dead_products(brief); });
}

} // namespace

int main(int argc, char **argv) {
    const std::string mode = argc == 3 ? argv[2] : "";
    if (argc < 2 || argc > 3 || (argc == 3 && mode != "--large" && mode != "--rules" && mode != "--brief")) {
        std::fprintf(stderr, "usage: %s LIBRARY [--large | --rules | --brief]\n", argv[0]);
        return 2;
    }
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    using Entry = const sae_backend_table *(*)(int32_t);
    const auto entry = library == nullptr ? nullptr : reinterpret_cast<Entry>(dlsym(library, "sae_backend_entry"));
    if (entry == nullptr) {
        std::fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    table = entry(SAE_ABI_VERSION);
    char text[512];
    const sae_status usable = table->probe(text, sizeof text);
    if (usable == SAE_UNAVAILABLE) {
        std::printf("%s cannot run here: %s\n", table->name, table->last_error());
        return 77;
    }
    ok(usable, "probe");
    std::printf("%s: %s\n", table->name, text);
    void *context = nullptr;
    ok(table->context_open("", &context), "context_open");
    ok(table->context_describe(context, text, sizeof text), "context_describe");
    std::printf("%s\n", text);
    const bool all = mode != "--rules", brief = mode == "--brief", large = mode == "--large";
    const bool cuda = std::string(table->name) == "cuda"; // other backends do not have the options of most cases
    run_rules(context, brief);
    if (all) {
        timed("encode and decode", [&] { run_cases(context, large, brief); });
        check_interop(context);
        check_detached_memory();
        timed("training", [&] { run_training("", true, !brief); });
    }
    if (all && cuda) {
        run_options(context, std::string(text).find("emulated") != std::string::npos, brief);
    }
    if (large && cuda) {
        check_long_run(context);
        check_repeatable_at_size(context);
    }
    ok(table->context_synchronize(context), "context_synchronize");
    table->context_close(context);
    std::printf(failures == 0 ? "every case passed\n" : "%d checks failed\n", failures);
    return failures == 0 ? 0 : 1;
}
