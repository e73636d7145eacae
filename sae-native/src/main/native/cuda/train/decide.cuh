/*
 * decide.cuh: a fused step's statistics, Adam's scalars, and whether the gradient norm can reach clip_norm:
 *
 *     |dW_dec|^2 <= |Z|^2 |G|^2 + |Z_a|^2 |G_a|^2                  |AB| <= |A||B|; live and dead rows are disjoint
 *     |dW_enc|^2 <= (|dZ|^2 + |G_a|^2 |W_dec|^2) |X|^2             |dZ_a| <= |G_a||W_dec|
 *     |db_enc|^2 <= B (|dZ|^2 + |G_a|^2 |W_dec|^2)                 Cauchy-Schwarz over the rows
 *     |db_dec|   <= sqrt(B) |G| + |db_enc| |W_enc|                 the second term where b_dec is subtracted
 *
 * (Frobenius norms; G output gradient, a auxiliary, X encoder's input.) While the bound, plus 1 % for rounding, stays
 * below clip_norm the clip factor is exactly 1 and the update need not wait for the norm. Otherwise needs_norm is set
 * and a first pass over the rows measures it (row_update.cu).
 */
#ifndef SAE_CUDA_DECIDE_CUH
#define SAE_CUDA_DECIDE_CUH

#include "../device/condition.cuh"
#include "decide.h"
#include "step_numbers.cuh"

namespace sae::cuda {

struct Collected { // sums of squares
    double error, residual, gradient, z, dz, z_aux;
};

/* An upper bound on the gradient norm. */
__device__ inline double norm_bound(const Collected &squares, double rows, const StepSums &sums,
                                    const ClipBound &bound) {
    const double aux_gradient = sums.aux_scale * sums.aux_scale * squares.residual;
    const double dz = squares.dz + aux_gradient * bound.weight_squares[1];
    const double decoder = bound.train_decoder ? squares.z * squares.gradient + squares.z_aux * aux_gradient : 0.0;
    const double encoder = dz * sums.input_squares;
    const double b_enc = rows * dz;
    const double b_dec =
        sqrt(rows * squares.gradient) + (bound.subtract_b_dec ? sqrt(b_enc * bound.weight_squares[0]) : 0.0);
    return sqrt(decoder + encoder + (bound.train_b_enc ? b_enc : 0.0) + b_dec * b_dec);
}

/* For one thread. */
__device__ inline void decide(const Decision &of, const Collected &squares) {
    StepSums &sums = *of.sums;
    const auto rows = static_cast<double>(of.rows);
    sums.aux_scale *= aux_share(of.loss, *of.n_dead);
    sums.squared_error = squares.error;
    sums.squared_residual = squares.residual;
    sums.active = static_cast<double>(*of.active);
    set_counts(*of.counts, &sums);
    set_statistics(totals(sums), 1.0, rows, *of.n_dead, of.status);
    sums.needs_norm = 0;
    set_condition(of.measure_norm, false);
    if (!begin_update(of.adam, &sums, of.status)) {
        return;
    }
    sums.clip = 1.0;
    const double clip_norm = of.adam.clip_norm;
    if (clip_norm > 0.0 && !(1.01 * norm_bound(squares, rows, sums, of.bound) + 1e-6 <= clip_norm)) {
        sums.needs_norm = 1; // also if the bound is NaN
        set_condition(of.measure_norm, true);
    }
}

} // namespace sae::cuda
#endif
