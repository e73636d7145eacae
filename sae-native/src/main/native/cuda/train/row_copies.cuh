/*
 * row_copies.cuh: a row of a weight matrix and its moments on their way to shared memory, for row_update.cu.
 *
 * A thread copies what it will read itself, so it waits for its own copies and for no barrier. Copies are asynchronous
 * (cp.async), past L1, and first to leave L2: every parameter is read once a step. Rows whose length is not a multiple of
 * 4 have no copies of 16 bytes: they are read when they are needed.
 */
#ifndef SAE_CUDA_ROW_COPIES_CUH
#define SAE_CUDA_ROW_COPIES_CUH

#include "../device/tensor_core.cuh"
#include "../device/vectors.cuh"
#include "row_update.h"

namespace sae::cuda {

/* One row of a weight matrix and its moments. */
template <typename Moment>
struct RowOf {
    float *weights;
    Moment *first;
    Moment *second;
    int64_t start; // element of the matrix
    uint32_t seed;

    __device__ inline RowOf(const MatrixState &matrix, int64_t latent, int64_t d_in, uint32_t seed_)
        : weights(matrix.weights + latent * d_in), first(static_cast<Moment *>(matrix.first) + latent * d_in),
          second(static_cast<Moment *>(matrix.second) + latent * d_in), start(latent * d_in), seed(seed_) {}
};

/* Of the columns (chunk kThreads + thread) Width. */
template <typename Moment, int Width, int Chunks>
class RowCopies {
  public:
    static constexpr bool kCopies = Width == 4;
    static constexpr int kRows = Chunks <= 4 ? 2 : 1; // at a time; 96 KiB at most
    static constexpr int kWeights = kThreads * Chunks * Width * static_cast<int>(sizeof(float)); // bytes
    static constexpr int kMoments = kThreads * Chunks * Width * static_cast<int>(sizeof(Moment));
    static constexpr int kBytes = kCopies ? kRows * (kWeights + 2 * kMoments) : 0;

    __device__ inline RowCopies(unsigned char *shared, int64_t d_in) : shared_(shared), d_in_(d_in) {}

    /* Starts to copy a row to place 0 or 1; the last user of the place has read it. */
    __device__ inline void start(int place, const RowOf<Moment> &row, bool moments) const {
        if constexpr (kCopies) {
#pragma unroll
            for (int chunk = 0; chunk < Chunks; chunk++) {
                const int64_t column = first_column() + chunk * kThreads * Width;
                if (column < d_in_) {
                    ptx::copy_streamed<Width * sizeof(float)>(weights(place, chunk), row.weights + column);
                    if (moments) {
                        ptx::copy_streamed<Width * sizeof(Moment)>(first(place, chunk), row.first + column);
                        ptx::copy_streamed<Width * sizeof(Moment)>(second(place, chunk), row.second + column);
                    }
                }
            }
            ptx::commit_copies();
        }
    }

    /* Until all but the last `later` rows are there. */
    template <int later>
    __device__ inline void wait() const {
        if constexpr (kCopies) {
            ptx::wait_copies<later>();
        }
    }

    __device__ inline void read_weights(int place, int chunk, const RowOf<Moment> &row, float (&into)[Width]) const {
        if constexpr (kCopies) {
            load(weights(place, chunk), into);
        } else {
            load_stream(row.weights + first_column() + chunk * kThreads * Width, into);
        }
    }

    __device__ inline void read_moments(int place, int chunk, const RowOf<Moment> &row, float (&m)[Width],
                                        float (&v)[Width]) const {
        if constexpr (kCopies) {
            load(first(place, chunk), m);
            load(second(place, chunk), v);
        } else {
            load_stream(row.first + first_column() + chunk * kThreads * Width, m);
            load_stream(row.second + first_column() + chunk * kThreads * Width, v);
        }
    }

  private:
    __device__ inline int64_t first_column() const { return static_cast<int64_t>(threadIdx.x) * Width; }
    __device__ inline unsigned char *place_of(int place) const { return shared_ + place * (kWeights + 2 * kMoments); }
    __device__ inline static int element(int chunk) {
        return (chunk * kThreads + static_cast<int>(threadIdx.x)) * Width;
    }
    __device__ inline float *weights(int place, int chunk) const {
        return reinterpret_cast<float *>(place_of(place)) + element(chunk);
    }
    __device__ inline Moment *first(int place, int chunk) const {
        return reinterpret_cast<Moment *>(place_of(place) + kWeights) + element(chunk);
    }
    __device__ inline Moment *second(int place, int chunk) const {
        return reinterpret_cast<Moment *>(place_of(place) + kWeights + kMoments) + element(chunk);
    }

    unsigned char *shared_;
    int64_t d_in_;
};

} // namespace sae::cuda
#endif
