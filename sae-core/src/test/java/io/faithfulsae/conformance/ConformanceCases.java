package io.faithfulsae.conformance;

import io.faithfulsae.spi.Backend;

/** Shared by all groups of cases: the backend under test, opened for each case. */
interface ConformanceCases {
  Backend backend();
}
