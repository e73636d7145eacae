/* activation_cases.h: every activation but TopK, ragged rows, and SAEs that write another width than they read. */
#ifndef SAE_TEST_ACTIVATION_CASES_H
#define SAE_TEST_ACTIVATION_CASES_H

#include "sae_abi.h"

namespace test {

/* Integers, so that float32 is exact: every rule but TopK against its definition, with buffers that just fit. */
void test_activations(sae_handle context, int64_t d, int64_t m, int64_t k, int64_t rows, bool gated);
/* Ragged rows decoded into another width, with and without a skip connection. */
void test_transcoder(sae_handle context, int64_t d_in, int64_t d_out, int64_t m, int64_t rows);
void test_activation_refusals(sae_handle context, sae_handle other);

} // namespace test
#endif
