/* reference.h: every operation in plain double precision. Slow, only for the driver. */
#ifndef SAE_TEST_REFERENCE_H
#define SAE_TEST_REFERENCE_H

#include <cstdint>
#include <map>
#include <vector>

namespace reference {

using Matrix = std::vector<double>;

struct Weights {
    int64_t d, m;
    bool subtract;
    Matrix w_enc, b_enc, w_dec, b_dec;

    double pre_activation(const float *x, int64_t latent) const;
};

/* The k largest of ReLU(p) among those allowed: value descending, then lower index. */
std::vector<int64_t> top(const Matrix &p, const std::vector<bool> &allowed, int64_t k);

/* One run of training; options by SAE_OPT_*, complete. */
class Trainer {
  public:
    Trainer(Weights start, std::map<int, double> options);
    void step(const std::vector<float> &x, int64_t rows, double lr);

    Weights weights;
    double loss = 0, reconstruction = 0, aux = 0, l0 = 0, dead = 0, fvu = 0, gradient_norm = 0;

  private:
    void adam(Matrix &w, const Matrix &gradient, int tensor, double lr);
    void normalise_decoder();

    std::map<int, double> option;
    Matrix first[4], second[4];
    std::vector<int64_t> idle_batches, idle_rows;
    int64_t steps = 0;
};

} // namespace reference
#endif
