/*
 * gates.cu: what a step of a gated SAE has of its own. With p = (x - b_dec) W_enc, of every latent whose gate is open
 * (g = p + b_enc > 0):
 *
 *   z = ReLU(exp(r_mag) p + b_mag), the gate's reconstruction g W_dec + b_dec, its error e_g, and
 *   L += s sum e_g^2 + c mean sum_j g_j n_j
 *   dL/dg = <2 s e_g, W_dec> + c n;  dL/dz = <dL/dx_hat, W_dec> where z > 0           (losses times the rows)
 *   dL/dp = dL/dg + exp(r_mag) dL/dz;  db_enc: dL/dg;  db_mag: dL/dz;  dr_mag: exp(r_mag) p dL/dz
 *
 * in and out: as gates.h says. The gate's step has no gradient. Bytes: 20 an entry read, 16 to 20 written.
 * Launch: a block of 256 threads per row.
 * Sources: Rajamanoharan et al. 2024, "Improving dictionary learning with gated sparse autoencoders"; SAELens 6.54
 * gated_sae.py; dictionary_learning 0.1.0 trainers/gdm.py.
 * Deterministic: double sums in a fixed tree. Not yet run on a GPU.
 */
#include "gates.h"

#include "../device/reduce.cuh"

namespace sae::cuda {
namespace {

__global__ void __launch_bounds__(kThreads) gates_kernel(Gates of) {
    const int64_t row = blockIdx.x;
    const double c = of.l1 ? of.ragged->penalty : 0.0;
    double terms = 0.0;
    for (int64_t i = of.batch.starts[row] + threadIdx.x; i < of.batch.starts[row + 1]; i += kThreads) {
        const int latent = of.batch.indices[i];
        const double gate = of.gate[i];
        const double n = of.norms == nullptr ? 1.0 : of.norms[latent];
        const double gain = exp(static_cast<double>(of.r_mag[latent]));
        const double dz = of.batch.values[i] > 0.0f ? of.dz[i] : 0.0;
        const double dgate = of.dgate[i] + c * n;
        terms += c * gate * n;
        if (of.norms != nullptr) {
            of.dnorm[i] = static_cast<float>(c * gate);
        }
        of.dgate[i] = static_cast<float>(dgate);
        of.dmag[i] = static_cast<float>(dz);
        of.dr[i] = static_cast<float>(gain * (gate - of.b_enc[latent]) * dz);
        of.dz[i] = static_cast<float>(dgate + gain * dz);
    }
    terms = block_sum(terms);
    if (threadIdx.x == 0) {
        of.terms[row] = terms;
    }
}

} // namespace

cudaError_t launch_gates(const Gates &of, cudaStream_t stream) {
    return launch(gates_kernel, of.batch.rows, stream, of);
}

} // namespace sae::cuda
