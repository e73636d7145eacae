/* gates.h: the launch of a gated SAE's own gradients; definition and cost are in gates.cu. */
#ifndef SAE_CUDA_GATES_H
#define SAE_CUDA_GATES_H

#include "ragged_batch.h"

namespace sae::cuda {

struct Gates {
    RaggedBatch batch;
    bool l1;                  // SAE_SPARSITY_L1
    const float *norms;       // [m]; null: 1
    const float *r_mag;       // [m]
    const float *b_enc;       // [m]
    const RaggedSums *ragged; // c
    const float *gate;        // [entries] g = z_pre
    float *dz;                // [entries] from dL/dz through the decoder to dL/dp
    float *dgate;             // [entries] from dL/dg through the decoder to dL/dg
    float *dmag;              // [entries] dL/db_mag
    float *dr;                // [entries] dL/dr_mag
    float *dnorm;             // [entries] dL/dn; null together with norms
    double *terms;            // [rows] the row's sparsity term
};
cudaError_t launch_gates(const Gates &of, cudaStream_t stream);

} // namespace sae::cuda
#endif
