/*
 * gpu_bench.cu: how fast this GPU and the CUDA backend are, as JSON lines on stdout.
 * Over 400 lines: one program that is carried to GPU machines as a single file, a function per figure.
 *
 *   gpu_bench [--shape NAME] [--rows B]     default: every shape except tiny, which is for trying the tool; 4096 rows
 *
 * First the anchors that every floor is computed from: copy bandwidth, L2 read bandwidth of a 32 MB working set, and
 * the bf16 matrix product of cuBLAS at each shape if libcublas.so.13 can be opened. Then encode + top-k, top-k alone,
 * decode and the training step (fused, with precision=bf16, with bf16 moments, plain; in both precisions with three
 * quarters of the latents dead), other ways to encode, and the products over dead latents alone, linked from the
 * backend's own objects.
 *
 * Every figure is the median over `runs` runs, each between two CUDA events on the backend's stream, after writing 256
 * MiB so that L2 holds nothing of the last run. Inputs are random: zeros would flatter the matrix product.
 * gb_per_s: the bytes named in the row over the median. percent_of_floor: the floor of that row, from the anchors
 * measured in the same run, over the median; each row states its formula.
 */
#include <cuda_runtime.h>
#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "../common/text.h"
#include "../cuda/dead/aux_scratch.h"
#include "../cuda/device/matmul_nt.h"
#include "../cuda/encode/shadow_copies.h"
#include "../cuda/encode/topk.h"
#include "../cuda/operations.h"

namespace {

using namespace sae;
using namespace sae::cuda;

struct Shape {
    const char *name;
    int64_t d_in, d_sae, k;
};

constexpr Shape kShapes[] = {{"gpt2", 768, 12288, 16}, {"1b", 2048, 14336, 48},    {"3b", 3072, 18432, 64},
                             {"8b", 4096, 16384, 80},  {"wide", 4096, 131072, 64}, {"tiny", 40, 640, 4}};
/* Ways to encode other than the default. */
struct Way {
    const char *name, *options;
};
constexpr Way kWays[] = {{"chunked", "encode=chunked"},
                         {"sm80", "kernels=sm80"},
                         {"bf16_dense", "precision=bf16;encode=dense"},
                         {"bf16_sm80", "precision=bf16;kernels=sm80"}};
constexpr int64_t kFlushBytes = int64_t{256} << 20;

void must(cudaError_t error, const char *what) {
    if (error != cudaSuccess) {
        std::fprintf(stderr, "gpu_bench: %s: %s\n", what, cudaGetErrorString(error));
        std::exit(1);
    }
}

void must(sae_status status, const char *what) {
    if (status != SAE_OK) {
        std::fprintf(stderr, "gpu_bench: %s: %s\n", what, last_error());
        std::exit(1);
    }
}

struct Device {
    void *address = nullptr;
    explicit Device(int64_t bytes) { must(cudaMalloc(&address, static_cast<size_t>(bytes)), "cudaMalloc"); }
    Device(const Device &) = delete;
    Device &operator=(const Device &) = delete;
    ~Device() { cudaFree(address); }
    template <typename T>
    T *as() const {
        return static_cast<T *>(address);
    }
};

__global__ void fill_kernel(float *out, int64_t count, unsigned seed) {
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
         i += static_cast<int64_t>(gridDim.x) * blockDim.x) {
        unsigned bits = static_cast<unsigned>(i) * 2654435761u + seed;
        bits = (bits ^ bits >> 15) * 2246822519u;
        bits = (bits ^ bits >> 13) * 3266489917u;
        out[i] = static_cast<float>(bits ^ bits >> 16) * 4.6566e-10f - 1.0f;
    }
}

__global__ void read_kernel(const float4 *in, int64_t count, int rounds, float *out) {
    float sum = 0;
    for (int round = 0; round < rounds; round++) {
        for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
             i += static_cast<int64_t>(gridDim.x) * blockDim.x) {
            const float4 four = __ldcg(in + i); // from L2, past L1
            sum += four.x + four.y + four.z + four.w;
        }
    }
    if (sum == 12345.678f) {
        *out = sum; // never true: keeps the reads
    }
}

struct Timer {
    cudaStream_t stream;
    Device flush{kFlushBytes};
    cudaEvent_t before = nullptr, after = nullptr;

    explicit Timer(cudaStream_t on) : stream(on) {
        must(cudaEventCreate(&before), "cudaEventCreate");
        must(cudaEventCreate(&after), "cudaEventCreate");
    }

    /* Sorted microseconds. */
    std::vector<double> time(const std::function<void()> &work, int runs = 30) const {
        work(); // warm: allocations, graphs, clocks
        std::vector<double> times;
        for (int run = 0; run < runs; run++) {
            must(cudaMemsetAsync(flush.address, run, kFlushBytes, stream), "flushing L2");
            must(cudaEventRecord(before, stream), "cudaEventRecord");
            work();
            must(cudaEventRecord(after, stream), "cudaEventRecord");
            must(cudaEventSynchronize(after), "waiting for a run");
            float milliseconds = 0;
            must(cudaEventElapsedTime(&milliseconds, before, after), "cudaEventElapsedTime");
            times.push_back(1e3 * milliseconds);
        }
        std::sort(times.begin(), times.end());
        return times;
    }
};

double median(const std::vector<double> &sorted) { return sorted[sorted.size() / 2]; }

struct Anchors {
    double copy_gb, l2_gb, gemm_tf;
};

/* floor_us <= 0: no floor to compare with. */
void print(const char *row, const Shape &shape, int64_t rows, const std::vector<double> &times, double bytes,
           double floor_us, const char *floor) {
    std::printf("{\"row\":\"%s\",\"shape\":\"%s\",\"rows\":%lld,\"d_in\":%lld,\"d_sae\":%lld,\"k\":%lld,\"runs\":%zu,"
                "\"median_us\":%.2f,\"p10_us\":%.2f,\"p90_us\":%.2f,\"bytes\":%.0f,\"gb_per_s\":%.1f",
                row, shape.name, static_cast<long long>(rows), static_cast<long long>(shape.d_in),
                static_cast<long long>(shape.d_sae), static_cast<long long>(shape.k), times.size(), median(times),
                times[times.size() / 10], times[times.size() * 9 / 10], bytes, bytes / median(times) / 1e3);
    if (floor_us > 0) {
        std::printf(",\"floor_us\":%.2f,\"percent_of_floor\":%.1f,\"floor\":\"%s\"", floor_us,
                    100 * floor_us / median(times), floor);
    }
    std::printf("}\n");
    std::fflush(stdout);
}

void print_anchor(const char *name, const char *unit, double value, const char *shape = "") {
    std::printf("{\"anchor\":\"%s\",\"shape\":\"%s\",\"%s\":%.2f}\n", name, shape, unit, value);
    std::fflush(stdout);
}

/* cublasGemmEx from an optional library. */
class Cublas {
  public:
    explicit Cublas(cudaStream_t stream) {
        void *library = dlopen("libcublas.so.13", RTLD_NOW);
        if (library == nullptr) {
            std::fprintf(stderr, "gpu_bench: no libcublas.so.13 (%s): its product is not measured\n", dlerror());
            return;
        }
        const auto create = reinterpret_cast<int (*)(void **)>(dlsym(library, "cublasCreate_v2"));
        const auto set_stream = reinterpret_cast<int (*)(void *, cudaStream_t)>(dlsym(library, "cublasSetStream_v2"));
        gemm_ = reinterpret_cast<Gemm>(dlsym(library, "cublasGemmEx"));
        if (create == nullptr || set_stream == nullptr || create(&handle_) != 0 || set_stream(handle_, stream) != 0) {
            gemm_ = nullptr;
        }
    }
    bool there() const { return gemm_ != nullptr; }

    /* c [m, n] = a [m, inner] b^T, bf16 in, float32 sums, bf16 out, row-major. */
    void multiply(const void *a, const void *b, void *c, int64_t m, int64_t n, int64_t inner) const {
        constexpr int kTransposed = 1, kPlain = 0, kBf16 = 14, kCompute32F = 68, kDefault = -1;
        const float one = 1, zero = 0;
        const int status = gemm_(handle_, kTransposed, kPlain, static_cast<int>(n), static_cast<int>(m),
                                 static_cast<int>(inner), &one, b, kBf16, static_cast<int>(inner), a, kBf16,
                                 static_cast<int>(inner), &zero, c, kBf16, static_cast<int>(n), kCompute32F, kDefault);
        if (status != 0) {
            std::fprintf(stderr, "gpu_bench: cublasGemmEx: status %d\n", status);
            std::exit(1);
        }
    }

  private:
    using Gemm = int (*)(void *, int, int, int, int, int, const void *, const void *, int, int, const void *, int, int,
                         const void *, void *, int, int, int, int);
    void *handle_ = nullptr;
    Gemm gemm_ = nullptr;
};

void fill(float *out, int64_t count, unsigned seed, cudaStream_t stream) {
    must(launch({1056, 256, 0, 1}, fill_kernel, stream, out, count, seed), "filling");
}

/* Random bf16 pairs: the upper halves of random floats in [-1, 1). */
__global__ void fill_bf16_kernel(unsigned *out, int64_t pairs, const float *from) {
    for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < pairs;
         i += static_cast<int64_t>(gridDim.x) * blockDim.x) {
        out[i] = __float_as_uint(from[2 * i]) >> 16 | (__float_as_uint(from[2 * i + 1]) & 0xFFFF0000u);
    }
}

double measure_gemm(const Timer &timer, const Cublas &cublas, const Shape &shape, int64_t rows) {
    const auto random = [&](int64_t count, unsigned seed, Device &into) {
        const Device wide(4 * count);
        fill(wide.as<float>(), count, seed, timer.stream);
        must(
            launch({1056, 256, 0, 1}, fill_bf16_kernel, timer.stream, into.as<unsigned>(), count / 2, wide.as<float>()),
            "filling");
        must(cudaStreamSynchronize(timer.stream), "filling");
    };
    Device a(2 * rows * shape.d_in), b(2 * shape.d_sae * shape.d_in), c(2 * rows * shape.d_sae);
    random(rows * shape.d_in, 1, a);
    random(shape.d_sae * shape.d_in, 2, b);
    const auto times =
        timer.time([&] { cublas.multiply(a.address, b.address, c.address, rows, shape.d_sae, shape.d_in); });
    return 2.0 * static_cast<double>(rows) * static_cast<double>(shape.d_sae) * static_cast<double>(shape.d_in) /
           median(times) / 1e6;
}

Anchors measure_anchors(const Timer &timer) {
    constexpr int64_t kCopy = int64_t{1} << 30, kWorkingSet = 32 << 20, kRounds = 20;
    const Device from(kCopy), to(kCopy);
    fill(from.as<float>(), kCopy / 4, 3, timer.stream);
    const auto copy = timer.time([&] {
        must(cudaMemcpyAsync(to.address, from.address, kCopy, cudaMemcpyDeviceToDevice, timer.stream), "copying");
    });
    const auto read = timer.time([&] {
        must(launch({1056, 512, 0, 1}, read_kernel, timer.stream, from.as<float4>(), kWorkingSet / 16, kRounds,
                    to.as<float>()),
             "reading L2");
    });
    const Anchors anchors{2.0 * kCopy / median(copy) / 1e3, 1.0 * kWorkingSet * kRounds / median(read) / 1e3, 0};
    print_anchor("copy, read + written", "gb_per_s", anchors.copy_gb);
    print_anchor("L2 read, 32 MB working set", "gb_per_s", anchors.l2_gb);
    return anchors;
}

constexpr int64_t kDeadTimed = 6144; // latents: fewer than a part has at 4096 rows
constexpr double kDeadProducts = 4;  // reconstruction, dz, and the gradients of both matrices

/* A part of dead latents with random values. */
class DeadBench {
  public:
    const int64_t latents;

    DeadBench(const Params &params, int64_t rows)
        : latents(std::min(kDeadTimed, dead_part(rows, params))), p_(params), rows_(rows),
          aux_(params.context->scratch.make<AuxScratch>(params, rows, 1)), dead_(aux_.dead), names_(4 * latents),
          count_(4), input_(4 * rows * params.d_in), rounded_(2 * rows * round_up(params.d_in, kDepthStep)) {
        std::vector<int> names(static_cast<size_t>(latents));
        std::iota(names.begin(), names.end(), 0);
        const auto count = static_cast<int>(latents);
        must(cudaMemcpy(names_.address, names.data(), names.size() * sizeof(int), cudaMemcpyHostToDevice),
             "cudaMemcpy");
        must(cudaMemcpy(count_.address, &count, sizeof count, cudaMemcpyHostToDevice), "cudaMemcpy");
        part_ = {0, dead_part(rows, params), count_.as<int>(), names_.as<int>()};
        const cudaStream_t stream = params.context->stream;
        fill(aux_.gradient, rows * params.d_in, 8, stream);
        fill(input_.as<float>(), rows * params.d_in, 9, stream);
        if (dead_.rows == 0) {
            fill(aux_.z, rows * part_.most, 10, stream);
        } else {
            dead_.n_dead = count_.as<int>();
            dead_.decoder = gathered_decoder(params);
            dead_.input = rounded_.as<uint16_t>();
            round(input_.as<float>(), params.d_in, rounded_.as<uint16_t>(), dead_.decoder.stride);
            fill(aux_.dz, rows * part_.most, 10, stream); // only a source for rounding
            round(aux_.dz, part_.most, dead_.z, part_.most);
        }
    }

    void enqueue() const {
        const Context &context = *p_.context;
        const auto go = [](cudaError_t error) { must(error, "the products over dead latents"); };
        if (dead_.rows > 0) {
            go(launch_reconstruct_dead(context, dead_, part_, aux_.gradient));
            go(launch_transpose_batch(dead_, aux_.gradient, context.stream));
            go(launch_dense_gradients(context, dead_, part_, aux_.by_z, aux_.by_dz, aux_.bias));
            return;
        }
        const float *w_dec = p_.tensor(SAE_W_DEC);
        go(launch_reconstruct_dead(part_, aux_.z, w_dec, rows_, p_.d_in, aux_.gradient, context.stream));
        go(launch_matmul_nt(aux_.gradient, rows_, w_dec, part_.most, p_.d_in, part_.latents, part_.count, nullptr,
                            aux_.dz, context.stream));
        go(launch_dense_gradients(part_, aux_.z, aux_.dz, aux_.gradient, input_.as<float>(), rows_, p_.d_in, aux_.by_z,
                                  aux_.by_dz, aux_.bias, context.stream));
    }

  private:
    void round(const float *matrix, int64_t columns, uint16_t *rounded, int64_t depth) const {
        must(launch_round_matrix(matrix, rows_, columns, rounded, depth, p_.context->stream), "rounding");
    }

    const Params &p_;
    const int64_t rows_;
    const AuxScratch aux_;
    DeadBf16 dead_;
    DensePart part_{};
    const Device names_, count_, input_, rounded_;
};

/* One context, parameters and rows of a shape on the backend. */
class Bench {
  public:
    Bench(const Timer &timer, const std::string &options, const Shape &shape, int64_t rows)
        : timer_(timer), shape_(shape), rows_(rows), x_(4 * rows * shape.d_in), indices_(4 * rows * shape.k),
          values_(4 * rows * shape.k), x_hat_(4 * rows * shape.d_in) {
        const std::string all = "stream=" + std::to_string(reinterpret_cast<int64_t>(timer.stream)) + ";" + options;
        must(context_open(all.c_str(), &context_), "context_open");
        int64_t bytes = 0;
        must(params_create(context_, shape.d_in, shape.d_sae, SAE_SUBTRACT_B_DEC, &params_, &bytes), "params_create");
        const auto &params = *static_cast<Params *>(params_);
        fill(params.tensor(SAE_W_ENC), shape.d_in * shape.d_sae, 5, timer.stream);
        fill(params.tensor(SAE_W_DEC), shape.d_in * shape.d_sae, 6, timer.stream);
        fill(x_.as<float>(), rows * shape.d_in, 7, timer.stream);
        wrap(x_, 4 * rows * shape.d_in, &x_buffer_);
        wrap(indices_, 4 * rows * shape.k, &index_buffer_);
        wrap(values_, 4 * rows * shape.k, &value_buffer_);
        wrap(x_hat_, 4 * rows * shape.d_in, &x_hat_buffer_);
    }
    Bench(const Bench &) = delete;
    Bench &operator=(const Bench &) = delete;
    ~Bench() {
        for (void *buffer : {x_buffer_, index_buffer_, value_buffer_, x_hat_buffer_}) {
            buffer_close(buffer);
        }
        params_close(params_);
        context_close(context_);
    }

    void encode(const std::string &row, const Anchors &anchors) const {
        const double b = static_cast<double>(rows_), d = static_cast<double>(shape_.d_in),
                     m = static_cast<double>(shape_.d_sae), k = static_cast<double>(shape_.k);
        print(row.c_str(), shape_, rows_, timer_.time([&] {
            must(encode_topk(params_, x_buffer_, rows_, shape_.k, index_buffer_, value_buffer_), "encode_topk");
        }),
              4 * b * d + 4 * m * d + 8 * b * k, anchors.gemm_tf > 0 ? 2 * b * m * d / anchors.gemm_tf / 1e6 : 0,
              "2 B m d / bf16 GEMM rate");
    }

    /* For the latents encoded last. */
    void decode(const std::string &row, const Anchors &anchors) const {
        const double b = static_cast<double>(rows_), d = static_cast<double>(shape_.d_in),
                     k = static_cast<double>(shape_.k);
        print(row.c_str(), shape_, rows_, timer_.time([&] {
            must(sae::cuda::decode(params_, index_buffer_, value_buffer_, rows_, shape_.k, x_hat_buffer_), "decode");
        }),
              4 * b * k * d + 4 * b * d, 2 * b * k * d / anchors.l2_gb / 1e3, "2 B k d bytes / L2 read rate");
    }

    void train_step(const char *row, const Anchors &anchors) const {
        const double b = static_cast<double>(rows_), d = static_cast<double>(shape_.d_in),
                     m = static_cast<double>(shape_.d_sae), k = static_cast<double>(shape_.k);
        std::vector<double> options = {k,
                                       SAE_LOSS_MEAN,
                                       1.0 / 32,
                                       512,
                                       SAE_AUX_MEAN,
                                       0,
                                       0,
                                       5,
                                       0,
                                       0.9,
                                       0.99,
                                       1e-8,
                                       1e5,
                                       SAE_DECODER_NORM_BEFORE_STEP,
                                       1,
                                       0,
                                       0,
                                       SAE_GRADIENTS_NONE};
        void *trainer = nullptr;
        int64_t bytes = 0;
        must(trainer_create(params_, options.data(), &trainer, &bytes), "trainer_create");
        for (int step = 0; step < 8; step++) { // past the first dead latents
            must(sae::cuda::train_step(trainer, x_buffer_, rows_, 1e-6), "train_step");
        }
        const auto times =
            timer_.time([&] { must(sae::cuda::train_step(trainer, x_buffer_, rows_, 1e-6), "train_step"); });
        double stats[SAE_STAT_COUNT];
        must(trainer_stats(trainer, stats), "trainer_stats");
        const double gather = 2 * b * k * d, parameters = 2 * m * d;
        const double products = 2 * m + (2 + 2 * kDeadProducts) * stats[SAE_STAT_DEAD]; // scores of all and of the dead
        const double encode = anchors.gemm_tf > 0 ? products * b * d / anchors.gemm_tf / 1e6 : 0;
        const double decode =
            std::max(gather / anchors.l2_gb, (2 * m * d + 4 * b * d + 8 * b * k) / anchors.copy_gb) / 1e3;
        const double update =
            std::max(26 * parameters / anchors.copy_gb, (2 * gather + 26 * parameters) / anchors.l2_gb) / 1e3;
        print(row, shape_, rows_, times, 24 * parameters + 16 * b * k * d, encode > 0 ? encode + decode + update : 0,
              "(2 m + 10 dead) B d / bf16 GEMM rate + max(2 B k d / L2, W_dec / HBM) + max(26 P / HBM, (4 B k d + 26 "
              "P) / "
              "L2), bf16 operands");
        std::printf("{\"row\":\"%s_state\",\"shape\":\"%s\",\"dead\":%.0f,\"l0\":%.2f}\n", row, shape_.name,
                    stats[SAE_STAT_DEAD], stats[SAE_STAT_L0]);
        trainer_close(trainer);
    }

    /* From now on three of four latents are seldom positive and almost never among the largest k. */
    void silence() const {
        std::vector<float> bias(static_cast<size_t>(shape_.d_sae), 0.0f);
        for (size_t latent = 0; latent < bias.size(); latent++) {
            bias[latent] = latent % 4 == 0 ? 0.0f : -0.7f * std::sqrt(static_cast<float>(shape_.d_in));
        }
        must(params_write(params_, SAE_B_ENC, 0, bias.data(), shape_.d_sae), "params_write");
    }

    /* The auxiliary loss's products over a part of dead latents, with the kernels that build their operands. */
    void dead_products(const char *row, const Anchors &anchors) const {
        const auto &params = *static_cast<Params *>(params_);
        const DeadBench dead(params, rows_);
        const double flop = kDeadProducts * 2.0 * static_cast<double>(rows_) * static_cast<double>(dead.latents) *
                            static_cast<double>(shape_.d_in);
        const auto times = timer_.time([&] { dead.enqueue(); });
        print(row, shape_, rows_, times, 4 * 2.0 * static_cast<double>(dead.latents * shape_.d_in),
              anchors.gemm_tf > 0 ? flop / anchors.gemm_tf / 1e6 : 0, "8 B n d / bf16 GEMM rate");
        std::printf("{\"row\":\"%s_rate\",\"shape\":\"%s\",\"dead\":%lld,\"flop\":%.0f,\"tf_per_s\":%.2f}\n", row,
                    shape_.name, static_cast<long long>(dead.latents), flop, flop / median(times) / 1e6);
    }

  private:
    void wrap(const Device &memory, int64_t bytes, void **buffer) const {
        must(buffer_wrap(context_, reinterpret_cast<int64_t>(memory.address), bytes, SAE_DEVICE, buffer),
             "buffer_wrap");
    }

    const Timer &timer_;
    const Shape shape_;
    const int64_t rows_;
    Device x_, indices_, values_, x_hat_;
    void *context_ = nullptr;
    void *params_ = nullptr;
    void *x_buffer_ = nullptr;
    void *index_buffer_ = nullptr;
    void *value_buffer_ = nullptr;
    void *x_hat_buffer_ = nullptr;
};

void measure_topk(const Timer &timer, const Anchors &anchors, const Shape &shape, int64_t rows) {
    const Device scores(4 * rows * shape.d_sae), indices(4 * rows * shape.k), values(4 * rows * shape.k);
    const Device keys(std::max<int64_t>(8 * topk_scratch(rows, shape.k), 8));
    fill(scores.as<float>(), rows * shape.d_sae, 4, timer.stream);
    const double bytes = 4.0 * static_cast<double>(rows) * static_cast<double>(shape.d_sae);
    print("topk", shape, rows, timer.time([&] {
        must(launch_topk(scores.as<float>(), rows, shape.d_sae, nullptr, nullptr, shape.k, keys.as<uint64_t>(),
                         indices.as<int>(), values.as<float>(), timer.stream),
             "top-k");
    }),
          bytes, bytes / anchors.copy_gb / 1e3, "4 B m bytes / copy rate");
}

void measure(const Timer &timer, const Cublas &cublas, Anchors anchors, const Shape &shape, int64_t rows) {
    if (cublas.there()) {
        anchors.gemm_tf = measure_gemm(timer, cublas, shape, rows);
        print_anchor("cuBLAS bf16 product", "tf_per_s", anchors.gemm_tf, shape.name);
    }
    measure_topk(timer, anchors, shape, rows);
    {
        const Bench bench(timer, "", shape, rows);
        bench.encode("encode_topk", anchors);
        bench.decode("decode", anchors);
        bench.train_step("train_step", anchors);
    }
    {
        const Bench bench(timer, "precision=bf16", shape, rows);
        bench.encode("encode_topk_bf16", anchors);
        bench.decode("decode_bf16", anchors);
        bench.train_step("train_step_bf16", anchors);
    }
    for (const Way &way : kWays) {
        const Bench bench(timer, way.options, shape, rows);
        bench.encode(std::string("encode_topk_") + way.name, anchors);
    }
    {
        const Bench bench(timer, "moments=bf16", shape, rows);
        bench.train_step("train_step_bf16_moments", anchors);
    }
    if (shape.d_sae <= 20000) { // its gradients would not fit along with the rest
        const Bench bench(timer, "step=plain", shape, rows);
        bench.train_step("train_step_plain", anchors);
    }
    for (const bool bf16 : {true, false}) {
        const Bench bench(timer, bf16 ? "precision=bf16" : "", shape, rows);
        bench.dead_products(bf16 ? "dead_products_bf16" : "dead_products", anchors);
        if (bf16 || shape.d_sae <= 20000) { // the wide shape has 13 TFLOP per step of them
            bench.silence();
            bench.train_step(bf16 ? "train_step_dead_bf16" : "train_step_dead", anchors);
        }
    }
}

} // namespace

int main(int argc, char **argv) {
    std::string only;
    int64_t rows = 4096;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (std::strcmp(argv[i], "--shape") == 0) {
            only = argv[i + 1];
        } else if (std::strcmp(argv[i], "--rows") == 0) {
            rows = std::atoll(argv[i + 1]);
        } else {
            argc = -1;
        }
    }
    if (argc < 1 || argc % 2 == 0 || rows < 1) {
        std::fprintf(stderr, "usage: gpu_bench [--shape gpt2|1b|3b|8b|wide|tiny] [--rows B]\n");
        return 2;
    }
    char text[512];
    must(probe(text, sizeof text), "probe");
    std::printf("{\"device\":%s}\n", json_string(text).c_str());
    cudaStream_t stream = nullptr;
    must(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
    const Timer timer(stream);
    const Anchors anchors = measure_anchors(timer);
    const Cublas cublas(stream);
    for (const Shape &shape : kShapes) {
        if (only.empty() ? std::strcmp(shape.name, "tiny") != 0 : only == shape.name) {
            measure(timer, cublas, anchors, shape, rows);
        }
    }
    return 0;
}
