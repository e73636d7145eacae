/* muon.h: launches of Muon's step of a matrix; formula and cost are in muon.cu. */
#ifndef SAE_CUDA_MUON_H
#define SAE_CUDA_MUON_H

#include <algorithm>
#include <vector>

#include "newton_schulz.h"

namespace sae::cuda {

struct MuonScratch {
    NewtonSchulzScratch products;
    double *row_squares; // [rows]
    double *squares;     // [1]

    /* For each of these matrices, one after the other. */
    MuonScratch(Carver &carver, const std::vector<MuonShape> &shapes) {
        int64_t elements = 0, shorter = 0, partials = 0, rows = 0;
        for (const MuonShape &shape : shapes) {
            elements = std::max(elements, shape.elements());
            shorter = std::max(shorter, shape.shorter());
            partials = std::max(partials, newton_schulz_partials(shape));
            rows = std::max(rows, shape.rows);
        }
        products = {carver.take<float>(elements), carver.take<float>(shorter * shorter),
                    carver.take<float>(shorter * shorter), carver.take<float>(partials)};
        row_squares = carver.take<double>(rows);
        squares = carver.take<double>(1);
    }
};

struct MuonMatrix {
    MuonShape shape;
    float *gradient; // becomes scratch
    float *momentum;
    float *w;
    bool of_decoder; // W_dec, whose rows are normalized and projected as the options say
};
cudaError_t launch_muon(const Context &context, const MuonMatrix &of, const AdamOptions &options, const StepSums *sums,
                        const StepStatus *status, const MuonScratch &scratch);

} // namespace sae::cuda
#endif
