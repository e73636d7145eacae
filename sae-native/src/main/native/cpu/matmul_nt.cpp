/*
 * matmul_nt.cpp: c [m, n] = a [m, inner] x transpose(b [n, inner]), float32; 2 m n inner FLOPs.
 * Tiles are independent products of the BLAS (or of gemm.inl). Deterministic.
 */
#include "operations.h"

namespace sae::cpu {

void matmul_nt(Context &context, const float *a, int64_t m, const float *b, int64_t n, int64_t inner, float *c) {
    constexpr int64_t kTileRows = 256;
    constexpr int64_t kTileColumns = 2048;
    const int64_t across = context.parts(n, kTileColumns);
    context.pool.run(context.parts(m, kTileRows) * across, [&](int64_t part, int worker) {
        const int64_t row = part / across * kTileRows;
        const int64_t column = part % across * kTileColumns;
        context.multiply({std::min(kTileRows, m - row), std::min(kTileColumns, n - column), inner, a + row * inner,
                          inner, 1, b + column * inner, 1, inner, c + row * n + column, n, false},
                         worker);
    });
}

} // namespace sae::cpu
