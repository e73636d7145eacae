package io.faithfulsae.metrics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.Activation;
import io.faithfulsae.Activation.BatchTopK;
import io.faithfulsae.Activation.Gated;
import io.faithfulsae.Activation.GroupMax;
import io.faithfulsae.Activation.JumpRelu;
import io.faithfulsae.Activation.Relu;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.TokenSource;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.io.Goldens;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.metrics.FakeFeatures.Options;
import io.faithfulsae.metrics.LatentDescription.Snippets;
import io.faithfulsae.metrics.ProbeTask.Example;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Metrics of other activations equal those of a TopK SAE that fires on the same latents with the
 * same values: with few positive pre-activations per row, TopK keeps them all, as ReLU does.
 */
class ActivationsTest {
  private static final int D_IN = 12;
  private static final int D_SAE = 40;
  private static final int K = 30; // above what fires on any row, below D_SAE
  private static final HookPoint HOOK = HookPoint.residPre(1);
  private static final ActivationFilter BEHIND_FIRST =
      new ActivationFilter(1, Set.of(), Double.POSITIVE_INFINITY);

  private static final Map<String, Object> ofTopK = new LinkedHashMap<>(); // measured once

  private final Backend backend = new ReferenceBackend();
  @TempDir Path folder;
  private Safetensors golden;
  private ModelActivations activations;
  private ActivationSource rows;
  private TokenSource text;
  private Sae topK;

  @BeforeEach
  void open() throws IOException {
    golden = Given.tensors(folder);
    text =
        Given.text(
            new ObjectMapper()
                .convertValue(
                    Given.expected(folder).path("crossEntropy").path("text"), int[][].class));
    activations = new ModelActivations(Given.goldenModel(golden), HOOK, text, BEHIND_FIRST);
    rows = ActivationSources.ofArray(Goldens.floats(golden, "x"), D_IN);
    topK = sae(new TopK(K));
  }

  @AfterEach
  void close() {
    topK.close();
    golden.close();
    assertEquals(0, backend.liveBytes());
    backend.close();
  }

  /** The golden SAE with lower biases, so that fewer latents fire. */
  private Sae sae(Activation activation) throws IOException {
    return sae(new SaeConfig(D_IN, D_SAE, activation, true, Normalization.NONE));
  }

  private Sae sae(SaeConfig config) throws IOException {
    Sae sae = Sae.create(config, backend);
    float[] biases = Goldens.floats(golden, "b_enc");
    for (int i = 0; i < biases.length; i++) {
      biases[i] -= 0.5f;
    }
    Given.write(sae, Tensor.W_ENC, Goldens.floats(golden, "W_enc"));
    Given.write(sae, Tensor.B_ENC, biases);
    Given.write(sae, Tensor.W_DEC, Goldens.floats(golden, "W_dec"));
    Given.write(sae, Tensor.B_DEC, Goldens.floats(golden, "b_dec"));
    if (config.activation() instanceof Gated) {
      Given.write(sae, Tensor.B_MAG, biases); // r_mag = 0: the same magnitude as the gate
    }
    return sae;
  }

  static Stream<Activation> alike() {
    return Stream.of(
        new Relu(),
        new JumpRelu(),
        new Gated(),
        new BatchTopK(K, null),
        new BatchTopK(1, 0f), // room for one latent per row, which must grow
        new GroupMax(D_SAE));
  }

  @ParameterizedTest
  @MethodSource("alike")
  void metricsEqualThoseOfTopK(Activation activation) throws IOException {
    try (Sae sae = sae(activation);
        Sae second = Given.secondSae(Given.curves(folder), golden, backend)) {
      if (ofTopK.isEmpty()) {
        ofTopK.putAll(measure(topK, second));
      }
      Map<String, Object> seen = measure(sae, second);
      for (Map.Entry<String, Object> each : ofTopK.entrySet()) {
        assertAlike(each.getKey(), tree(each.getValue()), tree(seen.get(each.getKey())));
      }
    }
  }

  /** With few latents too: what a view silences must not count. */
  @ParameterizedTest
  @MethodSource("alike")
  void viewsOfSomeLatentsEqualThoseOfTopK(Activation activation) throws IOException {
    List<Integer> some = List.of(1, 2, 3, 5, 8, 13, 21, 34);
    try (Sae sae = sae(activation)) {
      List<Reconstruction> expected =
          Metrics.reconstruction(List.of(topK.only(some), topK), rows, 200);
      List<Reconstruction> seen = Metrics.reconstruction(List.of(sae.only(some), sae), rows, 200);
      assertAlike("views", tree(expected), tree(seen));
      assertAlike(
          "alone", tree(expected.get(0)), tree(Metrics.reconstruction(sae.only(some), rows, 200)));
      assertTrue(seen.get(0).l0() < seen.get(1).l0(), seen.toString());
    }
  }

  private Map<String, Object> measure(Sae sae, Sae second) throws IOException {
    List<Integer> chosen = List.of(3, 11, 17);
    Options fake =
        Options.tokens(8).noiseTokens(150).filter(BEHIND_FIRST).resamples(50).text(text, 7).build();
    Map<String, Object> all = new LinkedHashMap<>();
    Reconstruction reconstruction = Metrics.reconstruction(sae, rows, 200);
    assertTrue(reconstruction.l0() > 2, "latents fire: " + reconstruction.l0());
    all.put("reconstruction", reconstruction);
    all.put("crossEntropy", Metrics.crossEntropy(sae, activations, 50));
    all.put("fakeFeatures", Metrics.fakeFeatures(sae, activations.on(), fake));
    all.put("statistics", Metrics.latentStatistics(List.of(sae), rows, 200));
    all.put(
        "correlations",
        Metrics.latentCorrelations(
            sae, second, rows, new LatentCorrelations.Options(200, 0.5, chosen, 3)));
    all.put(
        "descriptions",
        Metrics.describe(sae, chosen, activations, new LatentDescription.Options(9, 3, 3, 3)));
    all.put(
        "snippets", Metrics.snippets(sae, chosen, activations, new Snippets.Options(9, 2, 3, 1)));
    all.put(
        "subsets",
        Metrics.featureSubsets(
            sae,
            List.of(List.of(7, 3, 11)),
            activations,
            new FeatureSubsets.Options(List.of(0, 2), 2, 40, 30)));
    all.put(
        "matching",
        Metrics.sharedFeatures(
            sae, second, new SharedFeatures.Options(SharedFeatures.Directions.DECODER, 0.5)));
    all.put(
        "probing",
        Metrics.probe(List.of(sae), activations.on(), task(), Probing.Options.clean(), n -> {}));
    return all;
  }

  /** Whether a text has token 7. */
  private static ProbeTask task() {
    Random random = new Random(4);
    List<Example> examples = new ArrayList<>();
    for (int i = 0; i < 80; i++) {
      int[] tokens = {0, 8 + random.nextInt(8), i % 2 == 0 ? 7 : 16, 8 + random.nextInt(8)};
      examples.add(new Example(tokens, i % 2));
    }
    return new ProbeTask(
        "seven", List.of("yes", "no"), examples.subList(0, 50), examples.subList(50, 80));
  }

  private static JsonNode tree(Object value) {
    return new ObjectMapper().valueToTree(value);
  }

  /** The order of a row's latents decides the rounding of x̂, so that numbers may differ by it. */
  private static void assertAlike(String place, JsonNode expected, JsonNode seen) {
    assertEquals(expected.getNodeType(), seen.getNodeType(), place);
    if (expected.isNumber()) {
      double value = expected.doubleValue();
      assertEquals(value, seen.doubleValue(), 1e-5 * Math.max(1, Math.abs(value)), place);
    } else if (expected instanceof ObjectNode fields) {
      for (Map.Entry<String, JsonNode> field : fields.properties()) {
        if (!Set.of("k", "activation").contains(field.getKey())) {
          assertAlike(place + "." + field.getKey(), field.getValue(), seen.get(field.getKey()));
        }
      }
    } else {
      assertEquals(expected.size(), seen.size(), place);
      for (int i = 0; i < expected.size(); i++) {
        assertAlike(place + "[" + i + "]", expected.get(i), seen.get(i));
      }
      if (!expected.isArray()) {
        assertEquals(expected, seen, place);
      }
    }
  }

  @Test
  void resultsSayWhatChoseTheLatents() throws IOException {
    Reconstruction own = Metrics.reconstruction(topK, rows, 50);
    assertEquals(K, own.k());
    assertNull(own.activation());
    try (Sae relu = sae(new Relu());
        Sae batch = sae(new BatchTopK(5, 0.5f))) {
      Reconstruction ofRelu = Metrics.reconstruction(relu, rows, 50);
      assertNull(ofRelu.k());
      assertEquals("ReLU", ofRelu.activation());
      Reconstruction ofBatch = Metrics.reconstruction(batch, rows, 50);
      assertEquals(5, ofBatch.k());
      assertEquals("BatchTopK, k = 5 (threshold)", ofBatch.activation());
    }
  }

  @Test
  void viewsThatCannotShareAnEncodingAreMeasuredAsAlone() throws IOException {
    SaeConfig normalized =
        new SaeConfig(D_IN, D_SAE, new BatchTopK(6, 0.5f), true, Normalization.UNIT_NORM);
    try (Sae learned = sae(normalized);
        Sae batch = sae(new BatchTopK(4, null));
        Sae groups = sae(new GroupMax(8));
        Sae relu = sae(new Relu())) {
      List<Sae> all =
          List.of(
              learned,
              learned.withK(3),
              batch.withK(2),
              groups.withK(4),
              relu,
              batch,
              groups,
              learned.withK(3).only(List.of(1, 2, 3, 5, 7)),
              groups.only(List.of(2, 3, 5, 7)).withK(20));
      List<Reconstruction> together = Metrics.reconstruction(all, rows, 300);
      for (int i = 0; i < all.size(); i++) {
        assertEquals(Metrics.reconstruction(all.get(i), rows, 300), together.get(i), "" + i);
        assertEquals(i, together.indexOf(together.get(i)), "all differ");
      }
      assertEquals(3, together.get(1).l0(), 1e-9, "3 per row on average");
    }
  }

  @Test
  void curvesOverKNeedAK() throws IOException {
    KCurve.Options options = KCurve.Options.of(List.of(2, 4));
    try (Sae relu = sae(new Relu());
        Sae batch = sae(new BatchTopK(8, 0.5f))) {
      assertRejected(
          () -> Metrics.kCurves(List.of(topK, relu), activations, options),
          "expected an SAE with a k, such as TopK, to evaluate with another k, got ReLU");
      KCurve curve = Metrics.kCurves(List.of(batch), activations, options).get(0);
      assertEquals(8, curve.ownK());
      assertEquals(
          Metrics.reconstruction(batch.withK(4), activations.source(32), 100_000),
          curve.points().get(1).reconstruction());
      assertNotEquals(
          curve.points().get(0).reconstruction().l0(), curve.points().get(1).reconstruction().l0());
    }
  }

  @Test
  void groupsOfAnotherKCannotBeSelected() throws IOException {
    try (Sae groups = sae(new GroupMax(8));
        ActivationBatch x = ActivationBatch.allocate(backend, 5, D_IN)) {
      x.data().put(0, Goldens.floats(golden, "x"), 0, 5 * D_IN);
      x.rows(5);
      try (Latents eight = groups.encode(x);
          Latents four = Latents.allocate(backend, 5, 4)) {
        assertRejected(
            () -> groups.withK(4).select(eight, four),
            "expected latents of one k, as groups depend on it, got k = 8 and 4");
      }
    }
  }

  private static void assertRejected(org.junit.jupiter.api.function.Executable call, String part) {
    String message = assertThrows(IllegalArgumentException.class, call).getMessage();
    assertTrue(message.contains(part), message);
  }

  /** Rows with each latent's number of firings, for a check that does not use the metrics. */
  @Test
  void firingsAreWhatEncodingGives() throws IOException {
    try (Sae relu = sae(new Relu());
        ActivationBatch x = ActivationBatch.allocate(backend, 50, D_IN)) {
      x.data().put(0, Goldens.floats(golden, "x"), 0, 50 * D_IN);
      x.rows(50);
      try (Latents latents = relu.encode(x)) {
        int fired = IntStream.range(0, 50).map(row -> latents.row(row).size()).sum();
        int most = IntStream.range(0, 50).map(row -> latents.row(row).size()).max().orElse(0);
        assertEquals(fired / 50.0, Metrics.reconstruction(relu, rows, 50).l0(), 1e-12);
        assertTrue(most < K, "TopK keeps all that fire: " + most);
      }
    }
  }
}
