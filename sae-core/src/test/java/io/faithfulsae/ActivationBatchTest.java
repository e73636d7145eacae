package io.faithfulsae;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.Latents.Active;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.spi.Backend;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Ways to fill a batch, and the mistakes that used to pass. */
class ActivationBatchTest {
  private final Backend backend = new ReferenceBackend();
  private ActivationBatch x;
  private Sae sae;

  /** Latents 0 and 1 are the two elements of a row. */
  @BeforeEach
  void open() {
    x = ActivationBatch.allocate(backend, 2, 2);
    sae = Sae.ofDirections(SaeConfig.topK(2, 2, 2), new float[][] {{1, 0}, {0, 1}}, backend);
  }

  @AfterEach
  void close() {
    sae.close();
    x.close();
    assertEquals(0, backend.liveBytes());
    backend.close();
  }

  @Test
  void rowsAreAppended() {
    float[] first = {3, 4};
    x.add(first).add(new float[] {6, 5});
    first[0] = -1; // not retained
    float[] all = new float[4];
    x.data().get(all);
    assertArrayEquals(new float[] {3, 4, 6, 5}, all);
    try (Latents z = sae.encode(x)) {
      assertEquals(List.of(new Active(1, 4), new Active(0, 3)), z.row(0));
      assertEquals(List.of(new Active(0, 6), new Active(1, 5)), z.row(1));
    }
    try (Latents z = sae.encode(x.clear().add(new float[] {1, 2}))) {
      assertEquals(1, z.rows());
      assertEquals(List.of(new Active(1, 2), new Active(0, 1)), z.row(0));
    }
  }

  @Test
  void aRowOfAnotherLengthAndARowTooManyAreRejected() {
    for (int length : new int[] {0, 1, 3, 4}) {
      assertEquals(
          "expected a row of 2 values, got "
              + length
              + "; use activations of the width that the batch was allocated for",
          assertThrows(IllegalArgumentException.class, () -> x.add(new float[length]))
              .getMessage());
    }
    assertEquals(0, x.rows());
    x.add(new float[2]).add(new float[2]);
    String full = assertThrows(IllegalStateException.class, () -> x.add(new float[2])).getMessage();
    assertTrue(full.startsWith("expected room for another row, got a batch full with 2"), full);
    assertEquals(2, x.rows());
  }

  @Test
  void encodingABatchWhoseRowsNobodyCountedSaysWhatIsMissing() {
    x.data().put(new float[] {1, 2});
    try (Latents z = Latents.allocate(sae, 2)) {
      for (Runnable encode : List.<Runnable>of(() -> sae.encode(x), () -> sae.encode(x, z))) {
        assertEquals(
            "expected a batch with rows to encode, got none of 2; append rows with add(row), or"
                + " call rows(n) after writing n rows to data()",
            assertThrows(IllegalArgumentException.class, encode::run).getMessage());
      }
    }
  }

  @Test
  void aClosedBatchTakesNoRows() {
    x.close();
    assertThrows(IllegalStateException.class, () -> x.add(new float[2]));
    assertEquals(0, x.rows());
  }
}
