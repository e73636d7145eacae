/* adam_step.cuh: Adam's step of one parameter, in double and in float32; the formula is in adam.cu. */
#ifndef SAE_CUDA_ADAM_STEP_CUH
#define SAE_CUDA_ADAM_STEP_CUH

#include "../device/vectors.cuh"
#include "step_state.h"

namespace sae::cuda {

/* Returns the new parameter; reads and writes its moments, which `seed` and `element` round if they are bfloat16. */
template <typename Moment>
__device__ inline float adam_step(float parameter, double gradient, const AdamOptions &options, const StepSums &sums,
                                  Moment *first, Moment *second, uint32_t seed, int64_t element) {
    float old_m[1];
    float old_v[1];
    load(first + element, old_m);
    load(second + element, old_v);
    const double m = options.beta1 * old_m[0] + (1.0 - options.beta1) * gradient;
    const double v = options.beta2 * old_v[0] + (1.0 - options.beta2) * gradient * gradient;
    put_moments<1>(first + element, second + element, {static_cast<float>(m)}, {static_cast<float>(v)}, seed, element);
    return static_cast<float>(parameter - sums.step_size * m / (sqrt(v) * sums.second_correction + options.eps));
}

/* Adam's numbers of this step in float32. */
struct AdamScalars {
    float beta1, rest1, beta2, rest2, step_size, second_correction, eps, clip;

    __device__ inline AdamScalars(const AdamOptions &options, const StepSums &sums)
        : beta1(static_cast<float>(options.beta1)), rest1(static_cast<float>(1.0 - options.beta1)),
          beta2(static_cast<float>(options.beta2)), rest2(static_cast<float>(1.0 - options.beta2)),
          step_size(static_cast<float>(sums.step_size)), second_correction(static_cast<float>(sums.second_correction)),
          eps(static_cast<float>(options.eps)), clip(static_cast<float>(sums.clip)) {}

    __device__ inline float step(float parameter, float gradient, float &first, float &second) const {
        first = fmaf(beta1, first, rest1 * gradient);
        second = fmaf(beta2, second, rest2 * gradient * gradient);
        return parameter - step_size * first / (sqrtf(second) * second_correction + eps);
    }
};

} // namespace sae::cuda
#endif
