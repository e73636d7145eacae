/*
 * bench.h: what gpu_bench's files share: device memory, timing, and rows of results.
 *
 *   kernels.cu      fills, reads and waits on the device
 *   timer.cpp       how a time is taken
 *   hooks.cpp       looks at the backend's launches and copies from outside: nothing else here knows its inside,
 *   own_kernels.cpp except this, for the matrix product and the top-k alone
 *   anchors.cpp     the bandwidths and the product of cuBLAS that floors are computed from
 *   subject.cpp     one SAE on the backend: encode, decode, steps
 *   family.cpp      the same of activations other than TopK
 *   smoke.cpp       small and ragged shapes against exact results
 *   gpu_bench.cpp   the rows, and the command line
 *
 * The backend is called through backend_table.h. The same files run over the emulated GPU of the tests (cuda_runtime.h
 * in src/test/native/cuda/on_cpu), where times mean nothing.
 */
#ifndef SAE_GPU_BENCH_H
#define SAE_GPU_BENCH_H

#include <cuda_runtime.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "../common/backend_table.h"

#ifdef SAE_CUDA_ON_CPU_H
#include <chrono>
#endif

namespace bench {

struct Shape {
    const char *name;
    int64_t rows, d_in, d_sae, k;

    double b() const { return static_cast<double>(rows); }
    double d() const { return static_cast<double>(d_in); }
    double m() const { return static_cast<double>(d_sae); }
    double active() const { return static_cast<double>(k); } // latents a row
};

const sae_backend_table &table();
std::string &row_in_progress(); // its id; empty: none
/* End the program with a message, and with a row that says so, unless the call succeeded. */
void must(cudaError_t error, const char *what);
void must(sae_status status, const char *what);

class Device {
  public:
    explicit Device(int64_t bytes) { must(cudaMalloc(&address_, static_cast<size_t>(bytes)), "cudaMalloc"); }
    Device(const Device &) = delete;
    Device &operator=(const Device &) = delete;
    ~Device() { cudaFree(address_); }
    template <typename T>
    T *as() const {
        return static_cast<T *>(address_);
    }

  private:
    void *address_ = nullptr;
};

/* ---- kernels.cu ---- */

void fill_normal(float *out, int64_t count, unsigned seed, cudaStream_t stream);
void fill_bf16(uint16_t *out, int64_t count, unsigned seed, cudaStream_t stream); // standard normal too
/* Reads `bytes` from L2 this many times. */
void read_l2(const float *from, int64_t bytes, int rounds, float *out, cudaStream_t stream);
/* Keeps the stream busy, so that the host can queue what follows before it starts. */
void wait_on_device(double microseconds, cudaStream_t stream);

/* ---- timer.cpp ---- */

/* A point in a stream's work. */
class Mark {
  public:
    Mark() = default;
    Mark(const Mark &) = delete;
    Mark &operator=(const Mark &) = delete;
    ~Mark();
    void create(); // beforehand, since it takes the host some time
    void record(cudaStream_t stream);
    static double microseconds(const Mark &from, const Mark &to);

  private:
#ifdef SAE_CUDA_ON_CPU_H
    std::chrono::steady_clock::time_point at_;
#else
    cudaEvent_t event_ = nullptr;
#endif
};

struct Times {
    std::vector<double> us; // sorted
    double median() const { return us[us.size() / 2]; }
    double quantile(double q) const { return us[static_cast<size_t>(q * static_cast<double>(us.size() - 1))]; }
};

struct Phase { // all launches of one kernel
    std::string kernel;
    int launches;
    double us;
};

using Work = std::function<void()>;

/*
 * Times work on one stream: at least 5 runs, at most 50 or 2 seconds of them, after `warm_up` that are not counted.
 * Before each run 256 MiB are written, so that L2 holds nothing of the last one.
 */
class Timer {
  public:
    explicit Timer(cudaStream_t stream);

    /* Device time from the first launch to the first copy to the host, or to the end if there is none: the launches
     * alone, queued while the device is kept busy, so that neither the host's pace nor its waits are in it. */
    Times launches(const Work &work, const Work &prepare = {}, int warm_up = 3) const;
    /* Host time of a call: what its caller waits. */
    Times calls(const Work &work, const Work &prepare = {}, int warm_up = 1) const;
    /* Host time of one of `count` calls in a row, up to the end of the last one's work: a loop's pace. */
    double pace(const Work &work, int count) const;
    /* Where the time of one run goes, most first. Copies and fills count for the kernel before them. */
    std::vector<Phase> phases(const Work &work, const Work &prepare = {}) const;

    cudaStream_t stream() const { return stream_; }
    void finish() const;

  private:
    void flush(int value) const;

    cudaStream_t stream_;
    Device flushed_;
};

/* ---- hooks.cpp ---- */

namespace hooks {
/* Records `mark` at the next copy to the host or wait of it on this stream. */
void arm(Mark *mark, cudaStream_t stream);
/* False if that has happened. Disarms. */
bool disarm();
/* Between the two calls every launch is preceded by a mark; device time between one and the next, by kernel. */
void trace(cudaStream_t stream);
std::vector<Phase> traced(cudaStream_t stream);
} // namespace hooks

/* ---- own_kernels.cpp ---- */

/* The backend's matrix product alone, of rows [rows, d_in] in bf16 with all of W_enc, into float32 scores. */
Times own_product(const Timer &timer, const Shape &shape, void *params);
/* Its top-k alone, of float32 scores [rows, d_sae] that are not in L2. */
Times own_topk(const Timer &timer, const Shape &shape);

/* ---- anchors.cpp ---- */

struct Anchors {
    double copy_gb = 0, l2_gb = 0, gemm_tf = 0; // gemm_tf of the current shape; 0: no cuBLAS
};

void measure_bandwidths(const Timer &timer, Anchors &anchors);
/* 0 if libcublas.so.13 cannot be opened. */
double measure_cublas(const Timer &timer, const Shape &shape);

/* ---- subject.cpp ---- */

enum class Step {
    kPlain,    // no auxiliary loss
    kAux,      // with it; nobody, or almost, is dead
    kDead,     // with it, and three of four latents dead
    kClipping, // no auxiliary loss; the gradient is clipped, so that its norm has to be measured first
};

/* The study's options. */
std::vector<double> step_options(const Shape &shape, Step kind);

/* ---- family.cpp ---- */

struct Family { // an activation
    const char *name;
    int32_t rule, flags; // SAE_TOPK ...; of its parameters
    int sparsity;        // SAE_SPARSITY_* that it trains with
};
const std::vector<Family> &families();

/* One SAE on the backend, initialized as the study's trainer does, and batches of standard normal rows. */
class Subject {
  public:
    /* flags: of the parameters, besides SAE_SUBTRACT_B_DEC */
    Subject(const Timer &timer, const Shape &shape, const std::string &options, int32_t flags);
    Subject(const Subject &) = delete;
    Subject &operator=(const Subject &) = delete;
    ~Subject();

    void encode(const std::string &id, const Anchors &anchors);
    void encode_phases(const std::string &id);
    /* Of what an encode returns. */
    void decode(const std::string &id, const Anchors &anchors);
    void step(const std::string &id, Step kind, const Anchors &anchors);
    void step_phases(const std::string &id, Step kind);
    /* Of a subject with the family's flags. */
    void family_encode(const std::string &id, const Family &family, const Anchors &anchors);
    void family_step(const std::string &id, const Family &family);
    /* Three steps, of which a profiler sees the last. */
    void profile_step();

    void *params() const { return params_; }

  private:
    void write_parameters();
    void set_bars(const Family &family);
    int64_t room() const { return 2 * shape_.rows * shape_.k; } // entries of ragged rows
    void silence(bool most);
    void next_batch();
    Work encode_work() const;
    void *start_training(Step kind);

    const Timer &timer_;
    const Shape shape_;
    void *context_ = nullptr, *params_ = nullptr;
    void *x_ = nullptr, *offsets_ = nullptr, *indices_ = nullptr, *values_ = nullptr, *x_hat_ = nullptr; // buffers
    Device batches_;
    int64_t batch_ = 0;
    bool silent_ = false;
};

/* ---- smoke.cpp ---- */

/* Whether these kernels (plain, sm80, sm90) choose exactly the right latents, and train as the plain ones do. */
bool smoke(const std::string &kernels);

/* ---- gpu_bench.cpp ---- */

/* A row of results; `more` is appended to it and starts with a comma. */
void print_times(const std::string &id, const Shape &shape, const Times &times, double bytes, double floor_us,
                 const char *floor, const std::string &more = "");
void print_phases(const std::string &id, const std::vector<Phase> &phases);
/* `,"name":value` */
std::string field(const char *name, double value);

} // namespace bench
#endif
