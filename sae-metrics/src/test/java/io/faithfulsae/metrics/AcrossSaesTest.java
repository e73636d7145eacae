package io.faithfulsae.metrics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.io.Goldens;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.metrics.LatentCorrelations.OfLatent;
import io.faithfulsae.metrics.LatentCorrelations.Options;
import io.faithfulsae.metrics.LatentCorrelations.Partner;
import io.faithfulsae.metrics.SharedFeatures.Agreement;
import io.faithfulsae.metrics.SharedFeatures.Directions;
import io.faithfulsae.metrics.SharedFeatures.Neurons;
import io.faithfulsae.metrics.SharedFeatures.Rank;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Comparisons of two SAEs, checked against NumPy and SciPy. */
class AcrossSaesTest {
  private final Backend backend = new ReferenceBackend();
  @TempDir Path folder;
  private Safetensors golden;
  private JsonNode curves;
  private ActivationSource rows;
  private Sae a;
  private Sae b;

  @BeforeEach
  void open() throws IOException {
    golden = Given.tensors(folder);
    curves = Given.curves(folder);
    rows = ActivationSources.ofArray(Goldens.floats(golden, "x"), 12);
    a = Given.goldenSae(golden, backend);
    b = Given.secondSae(curves, golden, backend);
  }

  @AfterEach
  void close() {
    b.close();
    a.close();
    golden.close();
    assertEquals(0, backend.liveBytes());
    backend.close();
  }

  @Test
  void correlationsAgreeWithNumPy() throws IOException {
    JsonNode expected = curves.path("correlation");
    List<Integer> shown = new ArrayList<>();
    expected.path("latents").forEach(latent -> shown.add(latent.intValue()));
    LatentCorrelations seen =
        Metrics.latentCorrelations(a, b, rows, new Options(700, 0.5, shown, 40));
    assertEquals(700, seen.rows());
    assertEquals(expected.path("liveA").intValue(), seen.liveA());
    assertEquals(expected.path("liveB").intValue(), seen.liveB());
    assertBest(expected.path("bestOfA"), seen.liveA(), seen.meanBestA(), seen.shareAboveA());
    assertBest(expected.path("bestOfB"), seen.liveB(), seen.meanBestB(), seen.shareAboveB());
    for (int c = 0; c < shown.size(); c++) {
      OfLatent of = seen.latents().get(c);
      assertEquals(shown.get(c), of.latent());
      JsonNode correlations = expected.path("matrix").get(c);
      long partners =
          StreamSupport.stream(correlations.spliterator(), false)
              .filter(value -> !value.isNull())
              .count();
      assertEquals(partners, of.correlated().size());
      assertTrue(partners > 3 && partners < 40, "some fire together, some do not");
      for (Partner each : of.correlated()) {
        int j = each.latent();
        assertEquals(correlations.get(j).doubleValue(), each.correlation(), 1e-5);
        assertEquals(expected.path("jaccard").get(c).get(j).doubleValue(), each.jaccard(), 1e-12);
        assertEquals(expected.path("cosine").get(c).get(j).doubleValue(), each.cosine(), 1e-6);
      }
      List<Double> order = of.correlated().stream().map(Partner::correlation).toList();
      assertEquals(order.stream().sorted(Comparator.reverseOrder()).toList(), order);
      double nearest =
          StreamSupport.stream(expected.path("cosine").get(c).spliterator(), false)
              .mapToDouble(JsonNode::doubleValue)
              .max()
              .orElseThrow();
      assertEquals(nearest, of.nearest().get(0).cosine(), 1e-6);
      assertEquals(40, of.nearest().size());
    }
  }

  private static void assertBest(JsonNode best, int live, double mean, double share) {
    double sum = 0;
    int above = 0;
    for (JsonNode each : best) {
      double value = each.doubleValue();
      sum += value > -2 ? value : 0; // -2: no partner, which counts as 0
      above += value > 0.5 ? 1 : 0;
    }
    assertEquals(sum / live, mean, 1e-6);
    assertEquals((double) above / live, share, 1e-12);
  }

  @Test
  void withinOneSaeALatentIsNotItsOwnPartner() throws IOException {
    List<Integer> some = List.of(1, 7);
    LatentCorrelations within =
        Metrics.latentCorrelations(a, a, rows, new Options(700, 0.5, some, 3));
    for (OfLatent of : within.latents()) {
      assertTrue(of.correlated().stream().noneMatch(p -> p.latent() == of.latent()));
      assertTrue(of.nearest().stream().noneMatch(p -> p.latent() == of.latent()));
    }
    // In another SAE with the same parameters it has a twin.
    try (Sae twin = Given.goldenSae(golden, backend)) {
      LatentCorrelations twins =
          Metrics.latentCorrelations(a, twin, rows, new Options(700, 0.999, some, 3));
      assertEquals(1, twins.shareAboveA());
      assertEquals(7, twins.latents().get(1).correlated().get(0).latent());
      assertEquals(1, twins.latents().get(1).correlated().get(0).correlation(), 1e-9);
      assertTrue(within.meanBestA() < 0.9);
    }
  }

  @Test
  void matchingAgreementAgreesWithSciPy() {
    JsonNode expected = curves.path("agreement");
    Agreement seen = Metrics.matchingAgreement(a, b, 0.7);
    assertEquals(expected.path("agreeing").doubleValue(), seen.agreeing(), 1e-12);
    assertEquals(expected.path("sharedByBoth").doubleValue(), seen.sharedByBoth(), 1e-12);
    assertEquals(40, seen.pairs());
    assertEquals(seen, Metrics.matchingAgreement(b, a, 0.7));
    assertTrue(
        seen.sharedByBoth()
            <= Metrics.sharedFeatures(a, b, SharedFeatures.Options.defaults()).matched());
    assertEquals(1, Metrics.matchingAgreement(a, a, 0.99).sharedByBoth());
  }

  @Test
  void neuronsAgreeWithPyTorch() {
    for (Directions directions : Directions.values()) {
      JsonNode expected = curves.path("neurons").path(directions.name());
      Neurons seen = Metrics.sharedNeurons(a, b, new SharedFeatures.Options(directions, 0.5));
      assertEquals(12, seen.dIn());
      assertRanks(expected.path("ranksA"), seen.ranksA());
      assertRanks(expected.path("ranksB"), seen.ranksB());
    }
    assertNotEquals(
        Metrics.sharedNeurons(a, b, new SharedFeatures.Options(Directions.DECODER, 0.5)),
        Metrics.sharedNeurons(a, b, new SharedFeatures.Options(Directions.ENCODER, 0.5)));
    assertEquals(
        1,
        Metrics.sharedNeurons(a, a, new SharedFeatures.Options(Directions.DECODER, 0.5))
            .ranksA()
            .get(0)
            .shareAbove());
    try (Sae other = Sae.create(SaeConfig.topK(12, 41, 4), backend)) {
      assertThrows(
          IllegalArgumentException.class,
          () ->
              Metrics.sharedNeurons(a, other, new SharedFeatures.Options(Directions.DECODER, 0.5)));
    }
  }

  private static void assertRanks(JsonNode expected, List<Rank> seen) {
    assertEquals(4, seen.size());
    for (int rank = 0; rank < 4; rank++) {
      assertEquals(expected.get(rank).doubleValue(), seen.get(rank).mean(), 1e-6);
    }
  }

  @Test
  void invalidRequestsAreRejected() {
    assertThrows(
        IllegalArgumentException.class,
        () -> Metrics.latentCorrelations(a, b, rows, new Options(9, 0.5, List.of(40), 3)));
    assertThrows(IllegalArgumentException.class, () -> new Options(9, 1.5, List.of(), 3));
  }
}
