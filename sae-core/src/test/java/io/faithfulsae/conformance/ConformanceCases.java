package io.faithfulsae.conformance;

import static org.junit.jupiter.api.Assumptions.abort;

import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendUnavailableException;
import io.faithfulsae.spi.SaeShape;
import io.faithfulsae.spi.Selection;

/** Shared by all groups of cases: the backend under test, opened for each case. */
interface ConformanceCases {
  Backend backend();

  /** Whether it may say of an activation, or a part of an SAE, that it does not have it. */
  default boolean mayLackActivations() {
    return false;
  }

  /** Skips the case, with the reason, if the backend says that it lacks this. */
  default void assumeHas(SaeShape shape, Selection selection) {
    if (!mayLackActivations()) {
      return;
    }
    try (BackendSae sae = backend().createSae(shape)) {
      AnySae.encode(backend(), sae, selection, new float[shape.dIn()], 1);
    } catch (BackendUnavailableException e) {
      abort(e.getMessage());
    }
  }
}
