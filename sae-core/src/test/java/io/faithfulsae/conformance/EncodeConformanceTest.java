package io.faithfulsae.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.faithfulsae.spi.Backend;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.TestInstance;

/**
 * The contract of every encode implementation of a {@link Backend}. A subclass opens the backend;
 * each case gets a new one and must leave no live bytes.
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
