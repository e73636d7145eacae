package io.faithfulsae.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.faithfulsae.spi.Backend;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.TestInstance;

/**
 * What every way to encode of a {@link Backend} must do. A subclass says which backend; each case
 * gets a fresh one and must leave no live bytes behind.
 */
@TestInstance(TestInstance.Lifecycle.PER_METHOD)
public abstract class EncodeConformanceTest implements EncodeCases {
  private @Nullable Backend backend;

  /** Opens the backend under test. */
  protected abstract Backend open();

  @Override
  public Backend backend() {
    if (backend == null) {
      throw new IllegalStateException("no case is running");
    }
    return backend;
  }

  @BeforeEach
  void openBackend() {
    backend = open();
  }

  @AfterEach
  void closeBackend() {
    if (backend == null) {
      return;
    }
    try {
      assertEquals(0, backend.liveBytes(), "bytes left by this case");
    } finally {
      backend.close();
    }
  }
}
