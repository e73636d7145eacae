package io.faithfulsae.metrics.internal.probe;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import de.bwaldvogel.liblinear.Feature;
import de.bwaldvogel.liblinear.Model;
import io.faithfulsae.metrics.Probing.Pooling;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Compared with scikit-learn and PyTorch: golden/make_probing_goldens.py. */
class ProbesTest {
  private static final int WIDTH = 8;
  private JsonNode golden;

  @BeforeEach
  void read() throws IOException {
    try (InputStream in = ProbesTest.class.getResourceAsStream("/golden/probing.json")) {
      golden = new JsonMapper().readTree(in);
    }
  }

  @Test
  void logisticRegressionAgreesWithScikitLearn() {
    for (JsonNode given : golden.path("logistic")) {
      List<FeatureRow> rows = rows(given.path("x"));
      int[] labels = ints(given.path("y"));
      Feature[][] features =
          rows.stream().map(row -> LogisticProbe.features(row, 1)).toArray(Feature[][]::new);
      Model model =
          LogisticProbe.train(features, labels, WIDTH, given.path("cost").asDouble(), 1e-8);
      JsonNode weights = given.path("weights");
      for (int c = 0; c < weights.size(); c++) {
        int[] order = model.getLabels();
        for (int i = 0; i <= WIDTH; i++) {
          double expected = weights.get(c).get(i).asDouble();
          double found =
              weights.size() == 1
                  // liblinear's single vector favors the label it saw first
                  ? model.getFeatureWeights()[i] * (order[0] == 1 ? 1 : -1)
                  : model.getFeatureWeights()[i * order.length + indexOf(order, c)];
          assertEquals(expected, found, 2e-5 * (1 + Math.abs(expected)), "class " + c + ", " + i);
        }
      }
      double[] norms = LogisticProbe.norms(model, WIDTH);
      for (int i = 0; i < WIDTH; i++) {
        double squares = 0;
        for (JsonNode ofClass : weights) {
          squares += Math.pow(ofClass.get(i).asDouble(), 2);
        }
        assertEquals(Math.sqrt(squares), norms[i], 1e-4 * (1 + Math.sqrt(squares)), "norm " + i);
      }
    }
  }

  @Test
  void scalingTheVectorsChangesNothing() {
    JsonNode given = golden.path("logistic").get(1);
    List<FeatureRow> rows = rows(given.path("x"));
    List<FeatureRow> larger =
        rows.stream()
            .map(
                row -> {
                  float[] values = row.values().clone();
                  for (int i = 0; i < values.length; i++) {
                    values[i] *= 1024;
                  }
                  return new FeatureRow(row.indices(), values);
                })
            .toList();
    LogisticProbe probe = new LogisticProbe(List.of(1.0, 100.0), 0.2);
    int[] labels = ints(given.path("y"));
    Probe.Predictions expected = probe.fit(rows, labels, rows, WIDTH, 3);
    Probe.Predictions found = probe.fit(larger, labels, larger, WIDTH, 3);
    assertArrayEquals(expected.predicted(), found.predicted());
    assertEquals(expected.cost(), found.cost());
  }

  @Test
  void softmaxLayerAgreesWithPyTorch() {
    JsonNode given = golden.path("softmax");
    double[] weights = doubles(given.path("initial"));
    SoftmaxProbe.fit(weights, rows(given.path("x")), ints(given.path("y")), WIDTH, 3);
    assertArrayEquals(doubles(given.path("trained")), weights, 1e-9);
  }

  @Test
  void scoresAgreeWithScikitLearn() {
    for (JsonNode given : golden.path("scores")) {
      Confusion confusion = new Confusion(given.path("classes").asInt());
      int[] labels = ints(given.path("labels"));
      int[] predictions = ints(given.path("answers"));
      for (int i = 0; i < labels.length; i++) {
        confusion.add(labels[i], predictions[i]);
      }
      assertEquals(given.path("accuracy").asDouble(), confusion.accuracy(), 1e-12);
      assertEquals(given.path("macroF1").asDouble(), confusion.macroF1(), 1e-12);
    }
  }

  @Test
  void poolingMatchesHandComputedValues() {
    float[][] rows = {{1, -2, 0}, {3, -4, 0}, {-1, 0, 0}};
    assertArrayEquals(new float[] {1, -2, 0}, dense(Pooling.MEAN, rows), 1e-6f);
    assertArrayEquals(new float[] {3, 0, 0}, dense(Pooling.MAX, rows));
    assertArrayEquals(new float[] {-1, 0, 0}, dense(Pooling.LAST, rows));
    assertArrayEquals(
        new float[3], dense(Pooling.MEAN), "a text of which the filter keeps nothing");
  }

  @Test
  void sparsePoolingMatchesHandComputedValues() {
    for (Pooling pooling : Pooling.values()) {
      Pool pool = new Pool(pooling, 6);
      for (int text = 0; text < 2; text++) { // the first must leave no trace in the second
        pool.row();
        pool.add(4, 2);
        pool.add(1, 3);
        pool.row();
        pool.add(4, 1);
        pool.add(0, 5);
        FeatureRow row = pool.sparse();
        boolean last = pooling == Pooling.LAST;
        assertArrayEquals(last ? new int[] {0, 4} : new int[] {0, 1, 4}, row.indices());
        assertArrayEquals(
            switch (pooling) {
              case MEAN -> new float[] {2.5f, 1.5f, 1.5f};
              case MAX -> new float[] {5, 3, 2};
              case LAST -> new float[] {5, 1};
            },
            row.values());
      }
    }
  }

  private static float[] dense(Pooling pooling, float[]... rows) {
    Pool pool = new Pool(pooling, 3);
    for (float[] row : rows) {
      pool.row();
      for (int i = 0; i < row.length; i++) {
        pool.add(i, row[i]);
      }
    }
    return pool.dense().values();
  }

  private static List<FeatureRow> rows(JsonNode x) {
    int[] all = IntStream.range(0, WIDTH).toArray();
    List<FeatureRow> rows = new ArrayList<>();
    for (JsonNode row : x) {
      float[] values = new float[WIDTH];
      for (int i = 0; i < WIDTH; i++) {
        values[i] = row.get(i).floatValue();
      }
      rows.add(new FeatureRow(all, values));
    }
    return rows;
  }

  private static int indexOf(int[] order, int label) {
    return IntStream.range(0, order.length)
        .filter(i -> order[i] == label)
        .findFirst()
        .orElseThrow();
  }

  private static int[] ints(JsonNode array) {
    return IntStream.range(0, array.size()).map(i -> array.get(i).asInt()).toArray();
  }

  private static double[] doubles(JsonNode array) {
    return IntStream.range(0, array.size()).mapToDouble(i -> array.get(i).asDouble()).toArray();
  }
}
