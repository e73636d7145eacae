/*
 * subject.cpp: one SAE on the backend, and its operations; see bench.h.
 *
 * It is what training works on. W_enc is uniform in +-sqrt(6 / d_sae) and rows of W_dec have unit norm, as the study's
 * trainer starts; activations are standard normal. With these the bound on the gradient's norm (step_sums) is at most
 * 63 at every shape, far from the study's clip norm of 1e5: a step does not measure the norm first, just as in training.
 * Step::kClipping forces it to, by a clip norm that is always reached.
 * Batches rotate, so that latents do not die for want of variety. lr is tiny: the time of a step does not depend on it,
 * and the distribution of scores stays that of the start.
 */
#include <algorithm>
#include <array>
#include <cmath>
#include <random>

#include "bench.h"

#ifndef SAE_CUDA_ON_CPU_H
extern "C" { // of cuda_profiler_api.h, which not every toolkit has
cudaError_t cudaProfilerStart(void);
cudaError_t cudaProfilerStop(void);
}
#endif

namespace bench {
namespace {

constexpr int64_t kBatches = 4;
#ifdef SAE_CUDA_ON_CPU_H
constexpr int kSteps = 3;
constexpr double kLeastPace = 2;
#else
constexpr int kSteps = 8; // before timing: past the first dead latents, and with its graph
constexpr double kLeastPace = 5;
#endif
constexpr double kLr = 1e-7;
constexpr double kDeadProducts = 4; // of the auxiliary loss: reconstruction, dz, the gradients of both matrices
constexpr double kNeverClips = 1e5, kAlwaysClips = 1e-9;
constexpr int64_t kPool = int64_t{1} << 24, kShift = 104729; // a prime: no two rows are alike

/* Uniform in (-1, 1). */
const std::vector<float> &pool() {
    static const std::vector<float> values = [] {
        std::vector<float> made(static_cast<size_t>(kPool));
        uint64_t state = 88172645463325252u;
        for (float &value : made) { // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            value = static_cast<float>(static_cast<int64_t>(state) >> 11) * 0x1p-52f;
        }
        return made;
    }();
    return values;
}

} // namespace

std::vector<double> step_options(const Shape &shape, Step kind) {
    std::vector<double> options(SAE_OPT_COUNT);
    const bool aux = kind == Step::kAux || kind == Step::kDead;
    options[SAE_OPT_K] = shape.active();
    options[SAE_OPT_LOSS] = SAE_LOSS_MEAN;
    options[SAE_OPT_AUX_COEFFICIENT] = aux ? 1.0 / 32 : 0;
    options[SAE_OPT_AUX_K] = std::min(512.0, shape.m());
    options[SAE_OPT_AUX_NORM] = SAE_AUX_MEAN;
    options[SAE_OPT_DEAD_AFTER_BATCHES] = 5;
    options[SAE_OPT_ADAM_BETA1] = 0.9;
    options[SAE_OPT_ADAM_BETA2] = 0.99;
    options[SAE_OPT_ADAM_EPS] = 1e-8;
    options[SAE_OPT_CLIP_NORM] = kind == Step::kClipping ? kAlwaysClips : kNeverClips;
    options[SAE_OPT_DECODER_NORM] = SAE_DECODER_NORM_BEFORE_STEP;
    options[SAE_OPT_PROJECT_GRADIENT] = 1;
    options[SAE_OPT_GRADIENTS] = SAE_GRADIENTS_NONE;
    return options;
}

namespace {

/* Fields of a step's statistics, the losses left out: inputs are random. */
std::string statistics(const double (&stats)[SAE_STAT_COUNT]) {
    constexpr std::array<const char *, 10> kNames = {"steps", "loss", "reconstruction", "aux",    "l0",
                                                     "dead",  "fvu",  "gradient_norm",  "listed", "overflowed"};
    std::string fields;
    for (size_t i = SAE_STAT_L0; i < std::min<size_t>(kNames.size(), SAE_STAT_COUNT); i++) {
        fields += field(kNames[i], stats[i]);
    }
    return fields;
}

void create_buffer(void *context, int64_t bytes, void **buffer) {
    must(table().buffer_create(context, bytes, SAE_DEVICE, buffer), "buffer_create");
}

} // namespace

Subject::Subject(const Timer &timer, const Shape &shape, const std::string &options, int32_t flags)
    : timer_(timer), shape_(shape), batches_(4 * kBatches * shape.rows * shape.d_in) {
    const std::string all = "stream=" + std::to_string(reinterpret_cast<int64_t>(timer.stream())) + ";" + options;
    must(table().context_open(all.c_str(), &context_), "context_open");
    int64_t bytes = 0;
    must(table().params_create(context_, shape.d_in, shape.d_in, shape.d_sae, SAE_SUBTRACT_B_DEC | flags, &params_,
                               &bytes),
         "params_create");
    write_parameters();
    create_buffer(context_, 4 * shape.rows * shape.d_in, &x_);
    create_buffer(context_, 4 * (shape.rows + 1), &offsets_);
    create_buffer(context_, 4 * room(), &indices_);
    create_buffer(context_, 4 * room(), &values_);
    create_buffer(context_, 4 * shape.rows * shape.d_in, &x_hat_);
    fill_normal(batches_.as<float>(), kBatches * shape.rows * shape.d_in, 7, timer.stream());
    next_batch();
}

Subject::~Subject() {
    for (void *buffer : {x_, offsets_, indices_, values_, x_hat_}) {
        table().buffer_close(buffer);
    }
    table().params_close(params_);
    table().context_close(context_);
}

void Subject::write_parameters() {
    const int64_t count = shape_.d_in * shape_.d_sae;
    const int64_t window = std::min(count, kPool / 2);
    std::vector<float> part(static_cast<size_t>(window));
    for (const int32_t tensor : {SAE_W_ENC, SAE_W_DEC}) {
        const double scale = std::sqrt(tensor == SAE_W_ENC ? 6 / shape_.m() : 3 / shape_.d());
        int64_t chunk = tensor == SAE_W_ENC ? 0 : 1000;
        for (int64_t first = 0; first < count; first += window, chunk++) {
            const int64_t here = std::min(window, count - first);
            const float *from = pool().data() + chunk * kShift % (kPool - window);
            std::transform(from, from + here, part.begin(),
                           [&](float value) { return static_cast<float>(scale) * value; });
            must(table().params_write(params_, tensor, first, part.data(), here), "params_write");
        }
    }
}

/* Puts the next batch into x. */
void Subject::next_batch() {
    const int64_t bytes = 4 * shape_.rows * shape_.d_in;
    must(cudaMemcpyAsync(reinterpret_cast<void *>(table().buffer_address(x_)),
                         batches_.as<unsigned char>() + batch_++ % kBatches * bytes, static_cast<size_t>(bytes),
                         cudaMemcpyDeviceToDevice, timer_.stream()),
         "copying a batch");
}

Work Subject::encode_work() const {
    return
        [this] { must(encode_topk(&table(), params_, x_, shape_.rows, shape_.k, indices_, values_), "encode_topk"); };
}

void Subject::encode(const std::string &id, const Anchors &anchors) {
    silence(false);
    const Times api = timer_.calls(encode_work());
    const Times times = timer_.launches(encode_work());
    print_times(id, shape_, times, 4 * shape_.b() * shape_.d() + 4 * shape_.m() * shape_.d(),
                anchors.gemm_tf > 0 ? 2 * shape_.b() * shape_.m() * shape_.d() / anchors.gemm_tf / 1e6 : 0,
                "2 B m d / bf16 product", field("api_us", api.median()));
}

void Subject::encode_phases(const std::string &id) {
    silence(false);
    print_phases(id, timer_.phases(encode_work()));
}

void Subject::decode(const std::string &id, const Anchors &anchors) {
    silence(false);
    encode_work()();
    const Work work = [&] {
        must(decode_topk(&table(), params_, indices_, values_, shape_.rows, shape_.k, x_hat_), "decode");
    };
    const Times api = timer_.calls(work);
    const Times times = timer_.launches(work);
    const double gathered = 2 * shape_.b() * shape_.active() * shape_.d();
    print_times(id, shape_, times, 2 * gathered + 4 * shape_.b() * shape_.d(), gathered / anchors.l2_gb / 1e3,
                "2 B k d bytes / L2 read", field("api_us", api.median()));
}

/* Afterwards three of four latents are seldom positive and almost never among the largest k; or all are as at the
 * start. */
void Subject::silence(bool most) {
    if (most != silent_) {
        const double deviation = std::sqrt(2 * shape_.d() / shape_.m()); // of a pre-activation
        std::vector<float> bias(static_cast<size_t>(shape_.d_sae), 0.0f);
        for (size_t latent = 0; latent < bias.size(); latent++) {
            bias[latent] = most && latent % 4 != 0 ? static_cast<float>(-2.1 * deviation) : 0.0f;
        }
        must(table().params_write(params_, SAE_B_ENC, 0, bias.data(), shape_.d_sae), "params_write");
        silent_ = most;
    }
}

void *Subject::start_training(Step kind) {
    silence(kind == Step::kDead);
    void *trainer = nullptr;
    int64_t bytes = 0;
    must(table().trainer_create(params_, step_options(shape_, kind).data(), &trainer, &bytes), "trainer_create");
    for (int step = 0; step < kSteps; step++) {
        next_batch();
        must(table().train_step(trainer, x_, nullptr, shape_.rows, kLr), "train_step");
    }
    return trainer;
}

void Subject::step(const std::string &id, Step kind, const Anchors &anchors) {
    void *trainer = start_training(kind);
    const Work work = [&] { must(table().train_step(trainer, x_, nullptr, shape_.rows, kLr), "train_step"); };
    const Times times = timer_.launches(
        work, [&] { next_batch(); }, 0);
    const int count = static_cast<int>(std::clamp(1e6 / times.median(), kLeastPace, 50.0));
    const double api = timer_.pace(work, count);
    double stats[SAE_STAT_COUNT];
    must(table().trainer_stats(trainer, stats), "trainer_stats");
    table().trainer_close(trainer);

    const double b = shape_.b(), d = shape_.d(), m = shape_.m(), k = shape_.active();
    const bool aux = kind == Step::kAux || kind == Step::kDead;
    const double gather = 2 * b * k * d, parameters = 2 * m * d, dead = aux ? stats[SAE_STAT_DEAD] : 0;
    const double products = 2 * m + (2 + 2 * kDeadProducts) * dead; // scores of all and of the dead
    const double encode = anchors.gemm_tf > 0 ? products * b * d / anchors.gemm_tf / 1e6 : 0;
    const double decode = std::max(gather / anchors.l2_gb, (2 * m * d + 4 * b * d + 8 * b * k) / anchors.copy_gb) / 1e3;
    const double update =
        std::max(26 * parameters / anchors.copy_gb, (2 * gather + 26 * parameters) / anchors.l2_gb) / 1e3;
    print_times(id, shape_, times, 24 * parameters + 16 * b * k * d, encode > 0 ? encode + decode + update : 0,
                "(2 m + 10 dead) B d / bf16 product + max(2 B k d / L2, W_dec / HBM) + max(26 P / HBM, (4 B k d + 26 "
                "P) / L2)",
                field("api_us", api) + field("tokens_per_s", 1e6 * b / api) + statistics(stats));
}

void Subject::step_phases(const std::string &id, Step kind) {
    void *trainer = start_training(kind);
    print_phases(id,
                 timer_.phases([&] { must(table().train_step(trainer, x_, nullptr, shape_.rows, kLr), "train_step"); },
                               [&] { next_batch(); }));
    table().trainer_close(trainer);
}

void Subject::profile_step() {
    void *trainer = start_training(Step::kAux);
    timer_.finish();
#ifndef SAE_CUDA_ON_CPU_H
    must(cudaProfilerStart(), "starting the profiler");
#endif
    must(table().train_step(trainer, x_, nullptr, shape_.rows, kLr), "train_step");
    timer_.finish();
#ifndef SAE_CUDA_ON_CPU_H
    must(cudaProfilerStop(), "stopping the profiler");
#endif
    table().trainer_close(trainer);
}

} // namespace bench
