/*
 * backend_check.cpp: one backend library against definitions in double precision, without Java.
 *
 *   backend_check LIBRARY [--large]     e.g. libsae_cuda.so on a GPU (also under compute-sanitizer), or its kernels on the CPU
 *
 * Speaks backend_table.h directly. Ends with 0 when every case passes, 77 when the backend cannot run here, else 1.
 */
#include <dlfcn.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

#include "../../../main/native/common/backend_table.h"
#include "reference.h"

namespace {

using namespace reference;

const sae_backend_table *table = nullptr;
int failures = 0;

void expect(bool condition, const std::string &what) {
    if (!condition) {
        failures++;
        std::fprintf(stderr, "FAILED: %s\n", what.c_str());
    }
}

void ok(sae_status status, const char *what) {
    if (status != SAE_OK) {
        std::fprintf(stderr, "FAILED: %s: status %d, %s\n", what, status, table->last_error());
        std::exit(1);
    }
}

/* A buffer of the backend with what a vector holds. */
template <typename T>
struct Memory {
    void *buffer = nullptr;
    size_t count;

    Memory(void *context, const std::vector<T> &values, int32_t place) : count(values.size()) {
        ok(table->buffer_create(context, static_cast<int64_t>(count * sizeof(T)), place, &buffer), "buffer_create");
        ok(table->buffer_write(buffer, 0, values.data(), static_cast<int64_t>(count * sizeof(T))), "buffer_write");
    }
    Memory(const Memory &) = delete;
    Memory &operator=(const Memory &) = delete;
    ~Memory() { table->buffer_close(buffer); }
    std::vector<T> read() const {
        std::vector<T> values(count);
        ok(table->buffer_read(buffer, 0, values.data(), static_cast<int64_t>(count * sizeof(T))), "buffer_read");
        return values;
    }
};

/* Parameters on the backend. */
struct Params {
    void *handle = nullptr;
    const Sae &sae;

    Params(void *context, const Sae &of) : sae(of) {
        int64_t bytes = 0;
        ok(table->params_create(context, sae.d, sae.m, sae.subtract ? SAE_SUBTRACT_B_DEC : 0, &handle, &bytes),
           "params_create");
        expect(bytes == 4 * (2 * sae.d * sae.m + sae.m + sae.d), "live bytes of params");
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

/* |a - b| <= tolerance * the largest |b|: sums in float32 round relative to their largest terms. */
template <typename A, typename B>
void expect_close(const std::vector<A> &a, const std::vector<B> &b, double tolerance, const std::string &what) {
    double largest = 0;
    double worst = 0;
    for (size_t i = 0; i < b.size(); i++) {
        largest = std::max(largest, std::abs(static_cast<double>(b[i])));
        const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
        worst = std::isnan(difference) ? std::numeric_limits<double>::infinity() : std::max(worst, difference);
    }
    expect(a.size() == b.size() && worst <= tolerance * (largest + 1e-30),
           what + ": off by " + std::to_string(worst) + ", largest " + std::to_string(largest));
}

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
    ok(table->encode_topk(params.handle, device_x.buffer, rows, k, indices.buffer, values.buffer), name.c_str());
    expect(indices.read() == wanted.indices, name + ": indices");
    expect(values.read() == wanted.values, name + ": values");

    const Memory<float> x_hat(context, std::vector<float>(x.size(), -7.0f), place);
    ok(table->decode(params.handle, indices.buffer, values.buffer, rows, k, x_hat.buffer), "decode");
    expect_close(x_hat.read(), decode(sae, wanted, rows), 1e-6, name + ": x_hat");
}

void check_refusals(void *context) {
    Sae sae(5, 9, true);
    const Params params(context, sae);
    std::vector<float> x(3 * 5, 1.0f);
    x[7] = std::numeric_limits<float>::quiet_NaN();
    x[12] = std::numeric_limits<float>::infinity();
    const Memory<float> device_x(context, x, SAE_DEVICE);
    const Memory<int32_t> indices(context, {0, 8, 9}, SAE_DEVICE);
    const Memory<float> values(context, {1.0f, 1.0f, 1.0f}, SAE_DEVICE);
    expect(table->encode_topk(params.handle, device_x.buffer, 3, 1, indices.buffer, values.buffer) == SAE_NONFINITE,
           "a row with NaN is refused");
    expect(std::string(table->last_error()).find("row 1 of 3") != std::string::npos,
           "the text names the first bad row");
    const Memory<float> x_hat(context, std::vector<float>(3 * 5), SAE_DEVICE);
    expect(table->decode(params.handle, indices.buffer, values.buffer, 3, 1, x_hat.buffer) == SAE_INVALID_ARGUMENT,
           "an index beyond d_sae is refused");
    expect(std::string(table->last_error()).find("got 9 in row 2 of 3") != std::string::npos,
           "the text names the index and the row");
    void *none = nullptr;
    expect(table->context_open("colour=blue", &none) == SAE_INVALID_ARGUMENT, "an unknown option is refused");
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

std::vector<float> read_state(void *trainer, int32_t state, size_t count) {
    std::vector<float> values(count);
    ok(table->trainer_read(trainer, state, 0, values.data(), static_cast<int64_t>(count)), "trainer_read");
    return values;
}

/* Steps of the backend and of the reference side by side; every statistic and tensor after each. */
void check_training(void *context, const std::string &name, int64_t rows, int64_t d, int64_t m, bool subtract,
                    const Options &options, int32_t place) {
    Random random(static_cast<uint32_t>(d * m));
    Sae sae(d, m, subtract);
    sae.tensors[SAE_W_ENC] = random.normals(d * m);
    sae.tensors[SAE_W_DEC] = random.normals(d * m);
    sae.tensors[SAE_B_DEC] = random.normals(d);
    sae.tensors[SAE_B_ENC] = random.normals(m);
    for (int64_t j = 0; j < m / 3; j++) { // these start silent, so that the auxiliary loss has work
        sae.tensors[SAE_B_ENC][static_cast<size_t>(j)] = -60.0f;
    }
    for (int64_t j = m / 6; j < m / 3; j++) {
        sae.tensors[SAE_B_ENC][static_cast<size_t>(j)] = -1.5f * static_cast<float>(std::sqrt(d));
    }
    const Params params(context, sae);
    void *trainer = nullptr;
    int64_t bytes = 0;
    ok(table->trainer_create(params.handle, options.data(), &trainer, &bytes), "trainer_create");
    expect(bytes > 0, name + ": live bytes of the trainer");
    Training reference(sae, options);

    bool revived = false;
    for (int step = 0; step < 6; step++) {
        const std::string at = name + ", step " + std::to_string(step);
        std::vector<float> x = random.normals(rows * d);
        if (step == 3) { // a refused batch changes nothing and is reported once
            std::vector<float> bad = x;
            bad[static_cast<size_t>(d)] = std::numeric_limits<float>::infinity();
            const Memory<float> device_bad(context, bad, place);
            double ignored[SAE_STAT_COUNT];
            sae_status status = table->train_step(trainer, device_bad.buffer, rows, 1e-2);
            status = status == SAE_OK ? table->trainer_stats(trainer, ignored) : status;
            expect(status == SAE_NONFINITE && std::string(table->last_error()).find("row 1 of ") != std::string::npos,
                   at + ": a batch with infinity is refused by row");
        }
        const Memory<float> device_x(context, x, place);
        ok(table->train_step(trainer, device_x.buffer, rows, 1e-2), "train_step");
        double stats[SAE_STAT_COUNT];
        ok(table->trainer_stats(trainer, stats), "trainer_stats");
        reference.step(x, rows, 1e-2);
        for (int i = 0; i < SAE_STAT_COUNT; i++) {
            const double wanted = reference.stats[i];
            expect(std::abs(stats[i] - wanted) <= 1e-4 * std::abs(wanted) + 1e-12,
                   at + ": statistic " + std::to_string(i) + " is " + std::to_string(stats[i]) + ", expected " +
                       std::to_string(wanted));
        }
        revived = revived || reference.stats[SAE_STAT_AUX] > 0;
        for (int32_t tensor = 0; tensor < 4; tensor++) {
            const std::string which = at + ": tensor " + std::to_string(tensor);
            const size_t count = sae.tensors[tensor].size();
            /* Adam divides by sqrt(v): where a gradient is all rounding its step may differ by lr, so the moments have the
             * tight bound and the weights that of the issue. */
            expect_close(read_state(trainer, SAE_STATE_M_W_ENC + tensor, count), reference.first[tensor], 2e-5,
                         which + ", first moment");
            expect_close(read_state(trainer, SAE_STATE_V_W_ENC + tensor, count), reference.second[tensor], 4e-5,
                         which + ", second moment");
            expect_close(params.read(tensor), sae.tensors[tensor], 1e-3, which);
        }
        std::vector<int64_t> idle(static_cast<size_t>(m));
        ok(table->trainer_read(trainer, SAE_STATE_IDLE_BATCHES, 0, idle.data(), m), "trainer_read");
        expect(idle == reference.idle_batches, at + ": idle batches");
        ok(table->trainer_read(trainer, SAE_STATE_IDLE_ROWS, 0, idle.data(), m), "trainer_read");
        expect(idle == reference.idle_rows, at + ": idle rows");
    }
    expect(revived == (options[SAE_OPT_AUX_COEFFICIENT] > 0), name + ": the auxiliary loss is exercised");

    int64_t steps = 41;
    ok(table->trainer_write(trainer, SAE_STATE_STEPS, 0, &steps, 1), "trainer_write");
    ok(table->trainer_read(trainer, SAE_STATE_STEPS, 0, &steps, 1), "trainer_read");
    expect(steps == 41, name + ": steps are written and read back");
    table->trainer_close(trainer);
}

/* Two trainers on the same batches end bit-identical, a third one that got the state of the first continues so. */
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
            ok(table->train_step(trainer, device_x.buffer, rows, 1e-3), "train_step");
        }
        result = params.read(SAE_W_ENC);
        table->trainer_close(trainer);
    }
    expect(results[0] == results[1], "two runs on the same input are bit-identical");
}

void run_cases(void *context, bool large) {
    for (const int32_t place : {SAE_HOST, SAE_DEVICE}) {
        check_encode_and_decode(context, 1, 1, 1, 1, false, place);
        check_encode_and_decode(context, 7, 13, 37, 5, true, place);
        check_encode_and_decode(context, 65, 17, 67, 67, false, place);
        check_encode_and_decode(context, 3, 40, 1500, 1100, true, place); // k beyond the shared keys
        check_encode_and_decode(context, 130, 33, 300, 16, true, place);
        check_matmul(context, 1, 1, 1, place);
        check_matmul(context, 65, 130, 19, place);
    }
    if (large) {
        check_encode_and_decode(context, 70, 4, 1 << 18, 3, false, SAE_DEVICE); // more than one chunk of rows
        check_encode_and_decode(context, 300, 768, 12288, 64, true, SAE_DEVICE);
    }
    check_refusals(context);
    check_repeatable(context);

    Options options = default_options(4);
    options[SAE_OPT_AUX_K] = 7;
    options[SAE_OPT_DEAD_AFTER_BATCHES] = 2;
    check_training(context, "study", 70, 19, 61, true, options, SAE_HOST);
    check_training(context, "study without b_dec in the input", 33, 300, 20, false, options, SAE_DEVICE);
    options[SAE_OPT_LOSS] = SAE_LOSS_FVU;
    options[SAE_OPT_AUX_NORM] = SAE_AUX_TARGET_VARIANCE;
    options[SAE_OPT_AUX_SCALE_BY_DEAD] = 1;
    options[SAE_OPT_AUX_K] = 512;
    options[SAE_OPT_TRAIN_B_ENC] = 1;
    options[SAE_OPT_DECODER_NORM] = SAE_DECODER_NORM_AFTER_STEP;
    options[SAE_OPT_CLIP_NORM] = 0.01;
    check_training(context, "fvu", 70, 19, 61, true, options, SAE_DEVICE);
    options[SAE_OPT_LOSS] = SAE_LOSS_SUM_MEAN;
    options[SAE_OPT_AUX_NORM] = SAE_AUX_RESIDUAL_VARIANCE;
    options[SAE_OPT_AUX_DETACH] = 1;
    options[SAE_OPT_CLIP_NORM] = 0;
    options[SAE_OPT_DECODER_NORM] = SAE_DECODER_NORM_NONE;
    options[SAE_OPT_DEAD_AFTER_BATCHES] = 0;
    options[SAE_OPT_DEAD_AFTER_ROWS] = 100;
    check_training(context, "sum-mean, detached", 70, 19, 61, false, options, SAE_DEVICE);
    options[SAE_OPT_AUX_NORM] = SAE_AUX_SUM_MEAN;
    options[SAE_OPT_PROJECT_GRADIENT] = 0;
    options[SAE_OPT_FREEZE_DECODER] = 1;
    options[SAE_OPT_CLIP_NORM] = 1;
    check_training(context, "frozen decoder", 70, 19, 61, true, options, SAE_DEVICE);
    options[SAE_OPT_AUX_COEFFICIENT] = 0;
    check_training(context, "no auxiliary loss", 70, 19, 61, true, options, SAE_DEVICE);
}

/* Memory and streams that the caller shares with the backend. */
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

} // namespace

int main(int argc, char **argv) {
    if (argc < 2 || argc > 3 || (argc == 3 && std::string(argv[2]) != "--large")) {
        std::fprintf(stderr, "usage: %s LIBRARY [--large]\n", argv[0]);
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
    run_cases(context, argc == 3);
    check_interop(context);
    ok(table->context_synchronize(context), "context_synchronize");
    table->context_close(context);
    std::printf(failures == 0 ? "every case passed\n" : "%d checks failed\n", failures);
    return failures == 0 ? 0 : 1;
}
