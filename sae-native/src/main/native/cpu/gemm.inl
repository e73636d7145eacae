/*
 * gemm.inl: c (+)= a b, used when no BLAS is given. Blocks of a and b are packed into panels of kRows rows and kColumns
 * columns (any strides, so transposes are free); each pair of panels is multiplied with kRows x kColumns sums in
 * registers.
 *
 * FLOPs 2 m n k; c is read and written k / kDepth times. Deterministic: the order of the sums depends on k only.
 */

#if defined(__AVX512F__)
constexpr int kRows = 12; /* 24 sums + 2 of b + 1 of a of 32 registers */
#elif defined(__AVX2__)
constexpr int kRows = 6; /* 12 + 2 + 1 of 16 */
#else
constexpr int kRows = 4; /* 8 + 2 + 1 of 16 */
#endif
constexpr int kColumns = 2 * kWidth;
constexpr int64_t kDepth = 256;            /* of k in a packed block */
constexpr int64_t kBlockRows = 16 * kRows; /* of a: in L2 */
constexpr int64_t kBlockColumns = 512;     /* of b: in L2 */
constexpr int64_t kGemmScratch = kDepth * (kBlockRows + kBlockColumns + kColumns);

int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Panels of `panel` lines, each [depth][panel]; missing lines are 0. Element (line, d) at from[line * line_step + d *
 * depth_step]. */
void pack(const float *from, int64_t line_step, int64_t depth_step, int64_t lines, int64_t depth, int64_t panel,
          float *to) {
    for (int64_t start = 0; start < lines; start += panel, to += depth * panel) {
        const int64_t used = least(panel, lines - start);
        const float *source = from + start * line_step;
        for (int64_t d = 0; d < depth; d++) {
            float *target = to + d * panel;
            for (int64_t line = 0; line < used; line++) {
                target[line] = source[line * line_step + d * depth_step];
            }
            for (int64_t line = used; line < panel; line++) {
                target[line] = 0;
            }
        }
    }
}

void multiply_panels(const float *a, const float *b, int64_t depth, float *c, int64_t c_row, int64_t rows,
                     int64_t columns, bool accumulate) {
    Vec sums[kRows][2];
    for (int i = 0; i < kRows; i++) {
        sums[i][0] = zero();
        sums[i][1] = zero();
    }
    for (int64_t d = 0; d < depth; d++) {
        const Vec b0 = load(b + d * kColumns);
        const Vec b1 = load(b + d * kColumns + kWidth);
        for (int i = 0; i < kRows; i++) {
            const Vec each = all(a[d * kRows + i]);
            sums[i][0] = fma(each, b0, sums[i][0]);
            sums[i][1] = fma(each, b1, sums[i][1]);
        }
    }
    for (int64_t i = 0; i < kRows; i++) {
        for (int64_t half = 0; half < 2 && i < rows; half++) {
            float *to = c + i * c_row + half * kWidth;
            const int64_t left = least(columns - half * kWidth, kWidth);
            if (left == kWidth) {
                store(to, accumulate ? add(load(to), sums[i][half]) : sums[i][half]);
            } else if (left > 0) {
                store_first(to, accumulate ? add(load_first(to, left), sums[i][half]) : sums[i][half], left);
            }
        }
    }
}

void gemm(const Gemm &t, float *scratch) {
    float *packed_a = scratch;
    float *packed_b = scratch + kDepth * kBlockRows;
    for (int64_t column = 0; column < t.n; column += kBlockColumns) {
        const int64_t columns = least(kBlockColumns, t.n - column);
        for (int64_t from = 0; from < t.k; from += kDepth) {
            const int64_t depth = least(kDepth, t.k - from);
            pack(t.b + from * t.b_row + column * t.b_column, t.b_column, t.b_row, columns, depth, kColumns, packed_b);
            for (int64_t row = 0; row < t.m; row += kBlockRows) {
                const int64_t rows = least(kBlockRows, t.m - row);
                pack(t.a + row * t.a_row + from * t.a_column, t.a_row, t.a_column, rows, depth, kRows, packed_a);
                for (int64_t j = 0; j < columns; j += kColumns) {
                    for (int64_t i = 0; i < rows; i += kRows) {
                        multiply_panels(packed_a + i * depth, packed_b + j * depth, depth,
                                        t.c + (row + i) * t.c_row + column + j, t.c_row, rows - i, columns - j,
                                        t.accumulate || from > 0);
                    }
                }
            }
        }
    }
}
