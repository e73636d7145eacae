package io.faithfulsae.metrics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.faithfulsae.ActivationFilter;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.TokenSource;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.io.Goldens;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CrossEntropyTest {
  private static final HookPoint HOOK = HookPoint.residPre(1);

  private final Backend backend = new ReferenceBackend();
  @TempDir Path folder;
  private Safetensors golden;
  private JsonNode expected;
  private TinyModel model;

  @BeforeEach
  void open() throws IOException {
    golden = Given.tensors(folder);
    expected = Given.expected(folder).get("crossEntropy");
    model =
        new TinyModel(
            12,
            Goldens.floats(golden, "embedding"),
            List.of(Goldens.floats(golden, "block0"), Goldens.floats(golden, "block1")),
            Goldens.floats(golden, "unembedding"));
  }

  @AfterEach
  void close() {
    golden.close();
    assertEquals(0, backend.liveBytes());
    backend.close();
  }

  @Test
  void agreesWithPyTorch() throws IOException {
    ActivationFilter filter =
        new ActivationFilter(
            expected.get("skipPositions").intValue(),
            Set.of(expected.get("excludedToken").intValue()),
            expected.get("maxNorm").doubleValue());
    try (Sae sae = Given.goldenSae(golden, backend)) {
      JsonNode seen =
          new ObjectMapper()
              .valueToTree(Metrics.crossEntropy(sae, on(text(), filter), Long.MAX_VALUE));
      for (String count :
          List.of("sequences", "tokensPredicted", "positionsReplaced", "positionsKept")) {
        assertEquals(expected.get(count).longValue(), seen.get(count).longValue(), count);
      }
      for (String loss :
          List.of("clean", "replaced", "zeroAblated", "difference", "klDivergence")) {
        // float32 residuals and logits against float64
        assertEquals(expected.get(loss).doubleValue(), seen.get(loss).doubleValue(), 2e-6, loss);
      }
      assertEquals(
          expected.get("lossRecovered").doubleValue(),
          seen.get("lossRecovered").doubleValue(),
          1e-5);
      assertEquals("blocks.1.hook_resid_pre", seen.get("hook").textValue());
    }
  }

  /**
   * The golden's filter excludes position 0, a token and large norms; the mean is over the rest.
   */
  @Test
  void meanAblationUsesTheMeanOfTheReplacedRows() throws IOException {
    ActivationFilter filter = new ActivationFilter(1, Set.of(3), Double.POSITIVE_INFINITY);
    int[][] tokens = {{0, 5, 3, 7, 2, 9, 1}, {0, 4, 4, 8, 3, 2, 6}, {0, 1, 9, 5, 5, 3, 7}};
    double[] sums = new double[12];
    int kept = 0;
    FloatBuffer x = FloatBuffer.allocate(3 * 7 * 12);
    model.activations(HOOK, tokens, x);
    for (int i = 0; i < 21; i++) {
      if (filter.keeps(i % 7, tokens[i / 7][i % 7])) {
        kept++;
        for (int j = 0; j < 12; j++) {
          sums[j] += x.get(i * 12 + j);
        }
      }
    }
    for (int i = 0; i < 21; i++) {
      for (int j = 0; j < 12 && filter.keeps(i % 7, tokens[i / 7][i % 7]); j++) {
        x.put(i * 12 + j, (float) (sums[j] / kept));
      }
    }
    int vocabulary = model.vocabularySize();
    FloatBuffer logits = FloatBuffer.allocate(21 * vocabulary);
    model.logitsFrom(HOOK, x, 3, 7, logits);
    double loss = 0;
    for (int i = 0; i < 21; i++) {
      if (i % 7 < 6) {
        double sum = 0;
        for (int v = 0; v < vocabulary; v++) {
          sum += Math.exp(logits.get(i * vocabulary + v));
        }
        loss += Math.log(sum) - logits.get(i * vocabulary + tokens[i / 7][i % 7 + 1]);
      }
    }
    try (Sae sae = Given.goldenSae(golden, backend)) {
      CrossEntropy seen = Metrics.crossEntropy(sae, on(Given.text(tokens), filter), 1000);
      assertEquals(kept, seen.positionsReplaced());
      assertEquals(loss / 18, seen.meanAblated(), 1e-6);
      assertNotEquals(seen.zeroAblated(), seen.meanAblated(), 1e-3);
      assertEquals(
          (seen.meanAblated() - seen.replaced()) / (seen.meanAblated() - seen.clean()),
          seen.lossRecoveredOverMean(),
          1e-9);
    }
  }

  @Test
  void hasTheExpectedIntervals() throws IOException {
    try (Sae sae = Given.goldenSae(golden, backend)) {
      CrossEntropy seen =
          Metrics.crossEntropy(sae, on(text(), ActivationFilter.NONE), Long.MAX_VALUE);
      for (BootstrapInterval interval :
          List.of(
              seen.differenceInterval(),
              seen.lossRecoveredInterval(),
              seen.lossRecoveredOverMeanInterval(),
              seen.klDivergenceInterval())) {
        assertEquals(0, interval.resamples(), "too few sequences to resample");
        assertTrue(
            interval.low() < interval.estimate() && interval.estimate() < interval.high(),
            interval.toString());
      }
      assertEquals(seen.difference(), seen.differenceInterval().estimate());
      assertEquals(seen.sequences(), seen.blocks().size());
      assertEquals(
          seen.replaced() * seen.tokensPredicted(),
          seen.blocks().stream().mapToDouble(CrossEntropy.Losses::replaced).sum(),
          1e-9);
      CrossEntropy one = Metrics.crossEntropy(sae, on(text(), ActivationFilter.NONE), 1);
      assertEquals(
          one.differenceInterval().low(),
          one.differenceInterval().high(),
          "one sequence says nothing about others");
    }
  }

  @Test
  void costsNothingIfTheReconstructionIsPerfect() throws IOException {
    try (Sae sae = Given.perfect(backend, 12)) {
      CrossEntropy seen =
          Metrics.crossEntropy(sae, on(text(), ActivationFilter.NONE), Long.MAX_VALUE);
      assertEquals(0, seen.difference());
      assertEquals(0, seen.klDivergence(), 1e-15);
      assertEquals(1, seen.lossRecovered());
      assertEquals(1, seen.lossRecoveredOverMean());
      assertTrue(seen.meanAblated() > seen.clean(), seen.toString());
      assertEquals(0, seen.positionsKept());
      assertTrue(seen.zeroAblated() > seen.clean() + 0.1, seen.toString());
    }
  }

  @Test
  void costsAsMuchAsZeroAblationIfTheReconstructionIsZero() throws IOException {
    try (Sae nothing = Sae.create(SaeConfig.topK(12, 5, 2), backend)) {
      CrossEntropy seen = Metrics.crossEntropy(nothing, on(text(), ActivationFilter.NONE), 1000);
      assertEquals(seen.zeroAblated(), seen.replaced());
      assertEquals(0, seen.lossRecovered());
    }
  }

  @Test
  void changesNothingIfTheFilterKeepsNothing() throws IOException {
    ActivationFilter none = new ActivationFilter(1000, Set.of(), Double.POSITIVE_INFINITY);
    try (Sae sae = Given.goldenSae(golden, backend)) {
      CrossEntropy seen = Metrics.crossEntropy(sae, on(text(), none), Long.MAX_VALUE);
      assertEquals(0, seen.positionsReplaced());
      assertEquals(seen.clean(), seen.replaced());
      assertEquals(seen.clean(), seen.zeroAblated());
      assertEquals(seen.clean(), seen.meanAblated());
      assertEquals(0, seen.lossRecoveredOverMean());
      assertEquals(0, seen.lossRecovered());
    }
  }

  @Test
  void stopsAfterTheSequenceThatReachesTheLimit() throws IOException {
    try (Sae sae = Given.goldenSae(golden, backend)) {
      for (Map.Entry<Integer, Integer> e :
          Map.of(1, 8, 8, 8, 9, 16, 17, 22, 23, 33, 10_000, 55).entrySet()) {
        CrossEntropy seen =
            Metrics.crossEntropy(sae, on(text(), ActivationFilter.NONE), e.getKey());
        assertEquals(e.getValue().longValue(), seen.tokensPredicted(), e.toString());
      }
    }
  }

  @Test
  void rejectsInvalidInput() {
    try (Sae sae = Given.goldenSae(golden, backend);
        Sae narrow = Sae.create(SaeConfig.topK(7, 9, 2), backend)) {
      assertRejected(sae, HOOK, Given.text(new int[] {4}), "at least one sequence of two tokens");
      assertRejected(narrow, HOOK, text(), "d_in = 12, the width of tiny at " + HOOK + ", got 7");
      assertRejected(sae, HookPoint.residPre(9), text(), "blocks.L.SITE with L in [0, 2)");
    } catch (IOException e) {
      throw new java.io.UncheckedIOException(e);
    }
  }

  private void assertRejected(Sae sae, HookPoint hook, TokenSource text, String part) {
    String message =
        assertThrows(
                IllegalArgumentException.class,
                () ->
                    Metrics.crossEntropy(
                        sae, new ModelActivations(model, hook, text, ActivationFilter.NONE), 10))
            .getMessage();
    assertTrue(message.contains(part), message);
  }

  private ModelActivations on(TokenSource text, ActivationFilter filter) {
    return new ModelActivations(model, HOOK, text, filter);
  }

  private TokenSource text() {
    return Given.text(new ObjectMapper().convertValue(expected.get("text"), int[][].class));
  }
}
