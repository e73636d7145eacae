package io.faithfulsae.metrics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
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
import io.faithfulsae.metrics.LatentStatistics.Criterion;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** SAEs with another k or with silenced latents, compared with PyTorch. */
class SaeViewsTest {
  private static final HookPoint HOOK = HookPoint.residPre(1);
  private static final ActivationFilter BEHIND_FIRST =
      new ActivationFilter(1, Set.of(), Double.POSITIVE_INFINITY);

  private final Backend backend = new ReferenceBackend();
  @TempDir Path folder;
  private Safetensors golden;
  private JsonNode curves;
  private ModelActivations activations;
  private ActivationSource rows;
  private Sae sae;

  @BeforeEach
  void open() throws IOException {
    golden = Given.tensors(folder);
    curves = Given.curves(folder);
    TokenSource text =
        Given.text(
            new ObjectMapper()
                .convertValue(
                    Given.expected(folder).path("crossEntropy").path("text"), int[][].class));
    activations = new ModelActivations(Given.goldenModel(golden), HOOK, text, BEHIND_FIRST);
    rows = ActivationSources.ofArray(Goldens.floats(golden, "x"), 12);
    sae = Given.goldenSae(golden, backend);
  }

  @AfterEach
  void close() {
    sae.close();
    golden.close();
    assertEquals(0, backend.liveBytes());
    backend.close();
  }

  @Test
  void anotherKAgreesWithPyTorch() throws IOException {
    List<Sae> views = new ArrayList<>();
    List<JsonNode> expected = new ArrayList<>();
    for (Map.Entry<String, JsonNode> k : curves.path("k").properties()) {
      views.add(sae.withK(Integer.parseInt(k.getKey())));
      expected.add(k.getValue());
    }
    assertAgree(expected, views);
  }

  @Test
  void silencedLatentsAgreeWithPyTorch() throws IOException {
    List<Integer> ranking =
        Metrics.latentStatistics(List.of(sae), rows, 700).get(0).ranking(Criterion.ATTRIBUTION);
    List<Sae> views = new ArrayList<>();
    List<JsonNode> expected = new ArrayList<>();
    for (Map.Entry<String, JsonNode> subset : curves.path("subsets").properties()) {
      String[] name = subset.getKey().split(" ", -1);
      int n = Math.min(Integer.parseInt(name[1]), ranking.size());
      int from = name[0].equals("best") ? 0 : ranking.size() - n;
      views.add(sae.only(ranking.subList(from, from + n)));
      expected.add(subset.getValue());
    }
    assertAgree(expected, views);
  }

  private void assertAgree(List<JsonNode> expected, List<Sae> views) throws IOException {
    List<Reconstruction> reconstructions = Metrics.reconstruction(views, rows, 700);
    List<CrossEntropy> costs = Metrics.crossEntropy(views, activations, Long.MAX_VALUE);
    for (int i = 0; i < views.size(); i++) {
      JsonNode seen = new ObjectMapper().valueToTree(reconstructions.get(i));
      for (String each :
          List.of("l2", "l2Ratio", "cosine", "scalarExplainedVariance", "fvu", "l0")) {
        double value = expected.get(i).path(each).doubleValue();
        // float32 encoding and decoding against float64
        assertEquals(value, seen.path(each).doubleValue(), 4e-6 * Math.max(1, value), each);
      }
      JsonNode cost = new ObjectMapper().valueToTree(costs.get(i));
      for (String each : List.of("difference", "lossRecovered", "klDivergence")) {
        assertEquals(
            expected.get(i).path(each).doubleValue(), cost.path(each).doubleValue(), 1e-5, each);
      }
    }
  }

  @Test
  void latentStatisticsAgreeWithPyTorch() throws IOException {
    LatentStatistics seen = Metrics.latentStatistics(List.of(sae), rows, 700).get(0);
    JsonNode expected = curves.path("latents");
    for (int latent = 0; latent < 40; latent++) {
      assertEquals(
          expected.path("frequency").get(latent).doubleValue(), seen.frequency().get(latent), 1e-9);
      assertEquals(
          expected.path("meanActivation").get(latent).doubleValue(),
          seen.meanActivation().get(latent),
          1e-5);
      assertEquals(
          expected.path("attribution").get(latent).doubleValue(),
          seen.attribution().get(latent),
          1e-5);
    }
    List<Integer> ranking = new ArrayList<>();
    curves.path("ranking").forEach(latent -> ranking.add(latent.intValue()));
    assertEquals(ranking, seen.ranking(Criterion.ATTRIBUTION));
    assertEquals(36, seen.ranking(Criterion.FREQUENCY).size(), "every tenth is dead");
    assertThrows(IllegalArgumentException.class, () -> seen.ranking(Criterion.PROBE_WEIGHT));
    assertThrows(IllegalArgumentException.class, () -> seen.ranking(List.of(1.0)));
  }

  @Test
  void attributionIsInTheUnitsOfTheInputWhenRowsAreNormalized() throws IOException {
    // Rows (3, 4) · s become (3, 4) · sqrt(2) / 5: both axes are latents, k = 2, so x̂ = x.
    SaeConfig config =
        SaeConfig.topK(2, 2, 2).withNormalization(Normalization.CONSTANT_NORM_RESCALE);
    try (Sae scaled = Sae.create(config, backend)) {
      Given.write(scaled, Tensor.W_ENC, new float[] {1, 0, 0, 1});
      Given.write(scaled, Tensor.W_DEC, new float[] {1, 0, 0, 1});
      ActivationSource two = ActivationSources.ofArray(new float[] {3, 4, 30, 40}, 2);
      LatentStatistics seen = Metrics.latentStatistics(List.of(scaled), two, 2).get(0);
      assertEquals((9 + 900) / 2.0, seen.attribution().get(0), 1e-3);
      assertEquals((16 + 1600) / 2.0, seen.attribution().get(1), 1e-3);
      // A view undoes the normalization of the rows that its origin encoded.
      Reconstruction best = Metrics.reconstruction(List.of(scaled.withK(1)), two, 2).get(0);
      assertEquals((9 + 900) / 4.0, best.l2(), 1e-3);
    }
  }

  @Test
  void viewsMeasuredTogetherEqualViewsMeasuredAlone() throws IOException {
    try (Sae other = Given.perfect(backend, 12)) {
      List<Sae> all =
          List.of(sae.withK(2), other, sae, sae.withK(9).only(List.of(1, 2, 3)), other.withK(3));
      Options options =
          Options.tokens(8).noiseTokens(300).filter(BEHIND_FIRST).resamples(50).build();
      List<Reconstruction> reconstructions = Metrics.reconstruction(all, rows, 300);
      List<CrossEntropy> costs = Metrics.crossEntropy(all, activations, 50);
      List<FakeFeatures> fakes = Metrics.fakeFeatures(all, activations.on(), options);
      for (int i = 0; i < all.size(); i++) {
        Sae alone = all.get(i);
        assertEquals(Metrics.reconstruction(alone, rows, 300), reconstructions.get(i));
        assertEquals(Metrics.crossEntropy(alone, activations, 50), costs.get(i));
        assertEquals(Metrics.fakeFeatures(alone, activations.on(), options), fakes.get(i));
      }
    }
  }

  @Test
  void selectingIsEncoding() {
    Random random = new Random(8);
    try (ActivationBatch x = ActivationBatch.allocate(backend, 50, 12);
        Latents whole = Latents.allocate(backend, 50, 40)) {
      for (int i = 0; i < 50 * 12; i++) {
        x.data().put(i, (float) (3 * random.nextGaussian()));
      }
      x.rows(50);
      sae.encode(x, whole);
      for (Sae view : List.of(sae.withK(1), sae.withK(40), sae.withK(7).only(List.of(1, 5, 9)))) {
        try (Latents encoded = view.encode(x);
            Latents selected = Latents.allocate(backend, 50, view.config().k())) {
          view.select(whole, selected);
          assertEquals(encoded.indices(), selected.indices());
          assertEquals(encoded.values(), selected.values());
        }
      }
      try (Latents few = Latents.allocate(backend, 3, 2)) {
        assertThrows(IllegalArgumentException.class, () -> sae.select(whole, few));
      }
    }
  }

  @Test
  void viewsAreChecked() throws IOException {
    assertThrows(IllegalArgumentException.class, () -> sae.withK(0));
    assertThrows(IllegalArgumentException.class, () -> sae.withK(41));
    assertThrows(IllegalArgumentException.class, () -> sae.only(List.of(40)));
    Sae view = sae.withK(3).only(List.of(4, 5));
    assertSame(sae, view.origin());
    assertSame(sae, sae.origin());
    String rejected =
        assertThrows(IllegalStateException.class, () -> view.save(folder.resolve("view")))
            .getMessage();
    assertTrue(rejected.contains("a view of 2"), rejected);
    view.close();
    assertEquals(12, sae.decoderDirection(0).length, "its parameters are still there");
    sae.withK(7).save(folder.resolve("seven"));
    try (Sae seven = Sae.load(folder.resolve("seven"), backend)) {
      assertEquals(7, seven.config().k());
    }
  }

  @Test
  void kCurvesMeasureTheViews() throws IOException {
    Options fake = Options.tokens(8).noiseTokens(300).filter(BEHIND_FIRST).resamples(50).build();
    KCurve.Options options = new KCurve.Options(List.of(1, 4, 16), 2, 40, 30, Optional.of(fake));
    KCurve curve = Metrics.kCurves(List.of(sae), activations, options).get(0);
    assertEquals(4, curve.ownK());
    for (KCurve.Point point : curve.points()) {
      Sae view = sae.withK(point.k());
      assertEquals(Metrics.reconstruction(view, activations.source(2), 40), point.reconstruction());
      assertEquals(Metrics.crossEntropy(view, activations, 30), point.crossEntropy());
      assertEquals(Metrics.fakeFeatures(view, activations.on(), fake), point.fakeFeatures());
    }
    assertThrows(
        IllegalArgumentException.class,
        () -> new KCurve.Options(List.of(2, 2), 2, 40, 30, Optional.empty()));
  }

  @Test
  void bestAndWorstAreTheEndsOfTheRanking() throws IOException {
    List<Integer> ranking = List.of(7, 3, 11, 25, 31);
    FeatureSubsets.Options options = new FeatureSubsets.Options(List.of(0, 2, 9), 2, 40, 30);
    FeatureSubsets seen =
        Metrics.featureSubsets(sae, List.of(List.of(1), ranking), activations, options).get(1);
    assertEquals(5, seen.ranked());
    assertEquals(List.of(0, 2, 5), seen.best().stream().map(s -> s.latents()).toList());
    CrossEntropy best = Metrics.crossEntropy(sae.only(List.of(7, 3)), activations, 30);
    CrossEntropy worst = Metrics.crossEntropy(sae.only(List.of(25, 31)), activations, 30);
    assertEquals(best, seen.best().get(1).crossEntropy());
    assertEquals(worst, seen.worst().get(1).crossEntropy());
    assertEquals(Metrics.crossEntropy(sae, activations, 30), seen.whole().crossEntropy());
    assertEquals(1, seen.whole().explainedOf(seen.whole()), 0);
    assertEquals(1, seen.whole().recoveredOf(seen.whole()), 0);
  }
}
