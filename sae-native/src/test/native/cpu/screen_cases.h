/* screen_cases.h: the low-precision products that rule out latents. */
#ifndef SAE_TEST_SCREEN_CASES_H
#define SAE_TEST_SCREEN_CASES_H

namespace test {

/* Every screen that this processor runs: its halves bit for bit, its products within the certificate's bound. */
void test_screens();

} // namespace test
#endif
