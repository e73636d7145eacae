package io.faithfulsae.conformance;

import io.faithfulsae.spi.Backend;

/** What the groups of cases share: the backend under test, opened for each case. */
interface ConformanceCases {
  Backend backend();
}
