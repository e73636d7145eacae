/* newton_schulz.h: launches of Muon's products; formulas and cost are in newton_schulz.cu. */
#ifndef SAE_CUDA_NEWTON_SCHULZ_H
#define SAE_CUDA_NEWTON_SCHULZ_H

#include <algorithm>

#include "step_state.h"

namespace sae::cuda {

/* A matrix [rows, columns] as it is stored. X is the matrix, or its transpose, so that X has no more rows than columns. */
struct MuonShape {
    int64_t rows, columns;

    bool flat() const { return rows <= columns; } // X is the matrix
    int64_t shorter() const { return std::min(rows, columns); }
    int64_t longer() const { return std::max(rows, columns); }
    int64_t elements() const { return rows * columns; }
};

/* Of the largest matrix; one after the other uses it. */
struct NewtonSchulzScratch {
    float *moved;      // [rows, columns]
    float *gram;       // [shorter, shorter]
    float *polynomial; // [shorter, shorter]
    float *partials;   // [parts, shorter, shorter]; unused where there is one part
};
/* Elements of partials. */
int64_t newton_schulz_partials(const MuonShape &shape);

struct NewtonSchulz {
    MuonShape shape;
    float *matrix;         // becomes scratch
    const double *squares; // [1] |matrix|^2
    float *w;              // [rows, columns]
    const StepSums *sums;
    const StepStatus *status;
};
/* w -= lr 0.2 sqrt(longer) (what five steps make of the matrix), unless the status has a bad row. */
cudaError_t launch_newton_schulz(const Context &context, const NewtonSchulz &of, const NewtonSchulzScratch &scratch);

} // namespace sae::cuda
#endif
