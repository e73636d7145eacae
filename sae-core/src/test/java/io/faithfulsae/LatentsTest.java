package io.faithfulsae;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.Activation.AbsTopK;
import io.faithfulsae.Activation.BatchTopK;
import io.faithfulsae.Activation.JumpRelu;
import io.faithfulsae.Activation.Relu;
import io.faithfulsae.Latents.Active;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Ragged latents: what fires in each row, whatever the number. Every backend's test extends it. */
public abstract class LatentsTest {
  private Backend backend;

  /** Opens the backend under test. */
  protected abstract Backend open();

  @BeforeEach
  void openBackend() {
    backend = open();
  }

  @AfterEach
  void closeBackend() {
    try {
      assertEquals(0, backend.liveBytes(), "bytes left by this case");
    } finally {
      backend.close();
    }
  }

  /** An SAE of width 1: latent j has pre-activation {@code weights[j] · x}. */
  private Sae sae(Activation activation, float... weights) {
    Sae sae =
        Sae.create(
            new SaeConfig(1, weights.length, activation, false, Normalization.NONE), backend);
    sae.parameters()
        .write(Tensor.W_ENC, 0, DirectBuffers.floats(weights.length).put(weights).flip());
    return sae;
  }

  private ActivationBatch batch(float... values) {
    ActivationBatch x = ActivationBatch.allocate(backend, values.length, 1);
    x.data().put(values);
    x.rows(values.length);
    return x;
  }

  @Test
  void aRowHasAsManyEntriesAsItNeeds() {
    try (Sae sae = sae(new Relu(), 1, -1, 2, 2);
        ActivationBatch x = batch(1, 0, -3, 2);
        Latents z = sae.encode(x)) {
      assertTrue(z.isRagged());
      assertEquals(4, z.rows());
      assertArrayEquals(new int[] {0, 3, 3, 4, 7}, z.starts());
      assertEquals(7, z.entries());
      assertEquals(3, z.start(1));
      assertEquals(3, z.end(1));
      assertEquals(4, z.end(2));
      assertEquals(7, z.start(4));
      // Memory is by latent index, row() by value.
      int[] index = new int[7];
      z.indices().get(index);
      assertArrayEquals(new int[] {0, 2, 3, 1, 0, 2, 3}, index);
      assertEquals(List.of(new Active(2, 2), new Active(3, 2), new Active(0, 1)), z.row(0));
      assertEquals(List.of(), z.row(1));
      assertEquals(List.of(new Active(1, 3)), z.row(2));
      assertThrows(IllegalArgumentException.class, () -> z.row(4));
      String said = String.valueOf(assertThrows(IllegalStateException.class, z::k).getMessage());
      assertTrue(said.matches("expected rows of k latents, got ragged rows; .+"), said);
    }
  }

  @Test
  void rowsOfKHaveTheSameView() {
    try (Sae sae = sae(new AbsTopK(2), 1, -3, 2);
        ActivationBatch x = batch(1, -1);
        Latents z = sae.encode(x)) {
      assertFalse(z.isRagged());
      assertArrayEquals(new int[] {0, 2, 4}, z.starts());
      assertEquals(4, z.entries());
      assertEquals(2, z.start(1));
      assertEquals(4, z.end(1));
      assertEquals(List.of(new Active(1, -3), new Active(2, 2)), z.row(0));
      assertEquals(List.of(new Active(1, 3), new Active(2, -2)), z.row(1));
    }
  }

  @Test
  void allocatedForAnSaeTheyGrow() {
    float[] ones = new float[1000];
    Arrays.fill(ones, 1);
    float[] many = new float[20];
    Arrays.fill(many, 5);
    try (Sae sae = sae(new Relu(), ones);
        ActivationBatch one = batch(7);
        ActivationBatch x = batch(many);
        Latents z = Latents.allocate(sae, 20)) {
      sae.encode(one, z);
      assertEquals(1000, z.entries());
      long before = z.buffers().room();
      sae.encode(x, z); // far more than there was room for
      assertEquals(20_000, z.entries());
      assertTrue(z.buffers().room() > before);
      assertEquals(5, z.values().get(19_999));
      assertEquals(999, z.indices().get(19_999));
      assertEquals(19_000, z.start(19));
      sae.encode(one, z); // the room stays, the rows do not
      assertEquals(1, z.rows());
      assertEquals(1000, z.entries());
      assertEquals(7, z.values().get(999));
    }
  }

  @Test
  void allocatedWithARoomTheySayHowMuchTheyLack() {
    try (Sae sae = sae(new Relu(), 1, 1, 1);
        ActivationBatch x = batch(1, 2);
        ActivationBatch little = batch(1, -2);
        Latents z = Latents.allocateRagged(backend, 2, 5)) {
      sae.encode(little, z);
      assertEquals(3, z.entries());
      String said =
          String.valueOf(
              assertThrows(IllegalArgumentException.class, () -> sae.encode(x, z)).getMessage());
      assertTrue(said.matches("expected room for 6 active latents, got 5; .+"), said);
      assertEquals(0, z.rows(), "nothing of use");
      assertEquals(0, z.entries());
      assertArrayEquals(new int[] {0}, z.starts());
      sae.encode(little, z);
      assertEquals(List.of(new Active(0, 1), new Active(1, 1), new Active(2, 1)), z.row(0));
    }
  }

  @Test
  void moreEntriesThanABlockHoldsAreRefused() {
    try (Sae sae = sae(new Relu(), 1);
        Latents z = Latents.allocate(sae, 2)) {
      for (long entries : new long[] {1L << 29, 1L << 31, Long.MAX_VALUE}) {
        String said =
            String.valueOf(
                assertThrows(IllegalArgumentException.class, () -> z.grow(entries)).getMessage());
        assertTrue(
            said.matches("expected at most 536870911 active latents .*, got " + entries + "; .+"),
            said);
      }
      assertEquals(128, z.buffers().room(), "what there was stays usable");
    }
  }

  @Test
  void sizesOutOfRangeAreRefused() {
    try (Sae sae = sae(new Relu(), 1)) {
      for (int bad : new int[] {0, -1, Integer.MIN_VALUE}) {
        assertThrows(IllegalArgumentException.class, () -> Latents.allocate(sae, bad));
        assertThrows(IllegalArgumentException.class, () -> Latents.allocateRagged(backend, bad, 1));
        assertThrows(IllegalArgumentException.class, () -> Latents.allocateRagged(backend, 1, bad));
      }
      assertThrows(
          IllegalArgumentException.class,
          () -> Latents.allocateRagged(backend, 1, Integer.MAX_VALUE));
      try (ActivationBatch x = batch(1, 2);
          Latents rows = Latents.allocate(backend, 2, 1);
          Latents one = Latents.allocate(sae, 1)) {
        assertThrows(IllegalArgumentException.class, () -> sae.encode(x, rows));
        assertThrows(IllegalArgumentException.class, () -> sae.encode(x, one));
      }
    }
  }

  @Test
  void aViewOfSomeLatentsSilencesTheOthers() {
    try (Sae sae = sae(new JumpRelu(), 1, 2, 3, -1);
        ActivationBatch x = batch(1, 2);
        ActivationBatch decoded = ActivationBatch.allocate(backend, 2, 1);
        Latents z = Latents.allocate(sae, 2);
        Latents selected = Latents.allocateRagged(backend, 2, 6)) {
      sae.parameters().write(Tensor.THRESHOLD, 0, DirectBuffers.floats(4).put(0, 1.5f));
      sae.parameters()
          .write(Tensor.W_DEC, 0, DirectBuffers.floats(4).put(new float[] {1, 10, 100, 9}).flip());
      Sae view = sae.only(List.of(0, 2));
      view.encode(x, z);
      assertEquals(List.of(new Active(2, 3)), z.row(0));
      assertEquals(List.of(new Active(2, 6), new Active(0, 2)), z.row(1));
      view.decode(z, decoded);
      assertEquals(300, decoded.data().get(0));
      assertEquals(602, decoded.data().get(1));

      sae.encode(x, z);
      view.select(z, selected);
      assertEquals(2, selected.rows());
      assertEquals(List.of(new Active(2, 3)), selected.row(0));
      assertEquals(List.of(new Active(2, 6), new Active(0, 2)), selected.row(1));
      assertEquals(List.of(new Active(2, 3), new Active(1, 2)), z.row(0), "not modified");
      try (Latents rows = Latents.allocate(backend, 2, 1);
          Latents tight = Latents.allocateRagged(backend, 2, 4)) {
        assertThrows(IllegalArgumentException.class, () -> view.select(z, rows));
        String said =
            String.valueOf(
                assertThrows(IllegalArgumentException.class, () -> view.select(z, tight))
                    .getMessage());
        assertTrue(said.contains("room for 5 active latents, got 4"), said);
      }
    }
  }

  @Test
  void aBatchSharesItsLatentsUntilThereIsAThreshold() {
    try (Sae byBatch = sae(new BatchTopK(2, null), 1, 2, 3);
        Sae byThreshold = sae(new BatchTopK(2, 2.5f), 1, 2, 3);
        ActivationBatch x = batch(1, 3);
        Latents z = byBatch.encode(x);
        Latents alone = byThreshold.encode(x)) {
      assertArrayEquals(new int[] {0, 1, 4}, z.starts()); // of 1 2 3 3 6 9: 9 6 and the first 3s
      assertEquals(List.of(new Active(2, 3)), z.row(0));
      assertEquals(List.of(new Active(2, 9), new Active(1, 6), new Active(0, 3)), z.row(1));
      assertArrayEquals(new int[] {0, 1, 4}, alone.starts());
    }
  }

  @Test
  void noRowsHaveNoEntries() {
    try (Sae sae = sae(new Relu(), 1, 1);
        ActivationBatch x = batch(1, 2);
        Latents z = sae.encode(x)) {
      assertEquals(4, z.entries());
      z.rows(0);
      assertEquals(0, z.rows());
      assertEquals(0, z.entries());
      assertArrayEquals(new int[] {0}, z.starts());
    }
  }
}
