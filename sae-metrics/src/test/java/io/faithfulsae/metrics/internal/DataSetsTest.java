package io.faithfulsae.metrics.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.TokenSource;
import io.faithfulsae.metrics.DataSetStatistics;
import io.faithfulsae.metrics.DataSetStatistics.Growth;
import io.faithfulsae.metrics.FirstTokens;
import io.faithfulsae.metrics.FirstTokens.Share;
import io.faithfulsae.metrics.Metrics;
import java.io.IOException;
import java.io.InputStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Compared with NumPy and SciPy: golden/make_dataset_goldens.py. */
class DataSetsTest {
  private static final double TOLERANCE = 1e-9;
  private JsonNode golden;

  @BeforeEach
  void read() throws IOException {
    try (InputStream in = DataSetsTest.class.getResourceAsStream("/golden/dataset.json")) {
      golden = new JsonMapper().readTree(in);
    }
  }

  @Test
  void countsAgreeWithNumPy() throws IOException {
    DataSetStatistics counted = Metrics.dataSet(sequences("data"), Long.MAX_VALUE);
    JsonNode computed = new JsonMapper().valueToTree(counted);
    golden
        .path("statistics")
        .properties()
        .forEach(
            expected -> {
              JsonNode value = computed.path(expected.getKey());
              if (expected.getValue().isArray()) {
                assertEquals(4, value.size());
                for (int n = 0; n < 4; n++) {
                  assertEquals(
                      expected.getValue().get(n).asDouble(), value.get(n).asDouble(), TOLERANCE);
                }
              } else if (computed.has(expected.getKey())) {
                assertEquals(
                    expected.getValue().asDouble(), value.asDouble(), TOLERANCE, expected.getKey());
              }
            });
    int types = golden.path("statistics").path("types_of_first_64").asInt();
    assertTrue(counted.growth().contains(new Growth(64, types)), counted.growth().toString());
    Growth last = counted.growth().get(counted.growth().size() - 1);
    assertEquals(new Growth(counted.tokens(), counted.distinctTokens()), last);
  }

  @Test
  void coverageAgreesWithSets() throws IOException {
    for (int n = 1; n <= 3; n++) {
      assertEquals(
          golden.path("coverage").get(n - 1).asDouble(),
          Metrics.coverage(sequences("data"), sequences("other"), n, Long.MAX_VALUE),
          TOLERANCE);
    }
  }

  @Test
  void firstTokensAgreeWithSciPy() throws IOException {
    float[] logits = new float[golden.path("logits").size()];
    for (int i = 0; i < logits.length; i++) {
      logits[i] = (float) golden.path("logits").get(i).asDouble();
    }
    long[] counts = new long[logits.length];
    try (Stream<int[]> data = sequences("data").open(0)) {
      data.forEach(sequence -> counts[sequence[1]]++);
    }
    FirstTokens first = DataSets.compare(counts, 0, logits);
    JsonNode expected = golden.path("firstTokens");
    double toModel = expected.path("klDataFromModel").asDouble();
    double toData = expected.path("klModelFromData").asDouble();
    assertEquals(toModel, first.klDataFromModel(), TOLERANCE);
    assertEquals(toData, first.klModelFromData(), TOLERANCE);
    assertEquals((toModel + toData) / 2, first.halfJeffreys(), TOLERANCE);
    assertEquals(expected.path("jensenShannon").asDouble(), first.jensenShannon(), TOLERANCE);
    assertEquals(expected.path("crossEntropy").asDouble(), first.crossEntropy(), TOLERANCE);
    for (int i = 0; i < 10; i++) {
      assertEquals(expected.path("topOfModel").get(i).asInt(), first.topOfModel().get(i).token());
      assertEquals(expected.path("topOfData").get(i).asInt(), first.topOfData().get(i).token());
    }
    Share likeliest = first.topOfModel().get(0);
    assertEquals(first.sortedModel().get(0), likeliest.model());
  }

  @Test
  void aDataSetWithoutTokensIsRejected() {
    TokenSource nothing = source("nothing", new int[0][]);
    String message =
        assertThrows(IllegalArgumentException.class, () -> Metrics.dataSet(nothing, 10))
            .getMessage();
    assertTrue(message.contains("got none"), message);
    assertThrows(
        IllegalArgumentException.class,
        () -> DataSets.compare(new long[3], 0, new float[] {1, 2, 3}));
    assertThrows(
        IllegalArgumentException.class,
        () -> Metrics.coverage(sequences("data"), source("short", new int[][] {{1}}), 2, 10));
  }

  private TokenSource sequences(String name) {
    JsonNode all = golden.path(name);
    int[][] sequences = new int[all.size()][];
    for (int i = 0; i < sequences.length; i++) {
      sequences[i] = new int[all.get(i).size()];
      for (int at = 0; at < sequences[i].length; at++) {
        sequences[i][at] = all.get(i).get(at).asInt();
      }
    }
    return source(name, sequences);
  }

  private static TokenSource source(String name, int[][] sequences) {
    return new TokenSource() {
      @Override
      public String description() {
        return name;
      }

      @Override
      public Stream<int[]> open(long first) {
        return Stream.of(sequences).skip(first);
      }
    };
  }
}
