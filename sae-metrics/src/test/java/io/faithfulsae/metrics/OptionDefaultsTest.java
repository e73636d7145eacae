package io.faithfulsae.metrics;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.faithfulsae.metrics.LatentDescription.Snippets;
import io.faithfulsae.metrics.SharedFeatures.Directions;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** The default options of a metric are the defaults of its command. */
class OptionDefaultsTest {
  @Test
  void areTheDefaultsOfTheCommands() {
    assertEquals(
        new KCurve.Options(List.of(4, 8), 32, 100_000, 20_000, Optional.empty()),
        KCurve.Options.of(List.of(4, 8)));
    assertEquals(
        new FeatureSubsets.Options(List.of(10), 32, 100_000, 20_000),
        FeatureSubsets.Options.of(List.of(10)));
    assertEquals(
        new LatentDescription.Options(2_000, 10, 5, 10), LatentDescription.Options.defaults());
    assertEquals(new Snippets.Options(2_000, 32, 10, 42), Snippets.Options.defaults());
    assertEquals(
        new LatentCorrelations.Options(100_000, 0.7, List.of(), 0),
        LatentCorrelations.Options.defaults());
    assertEquals(0.7, SharedFeatures.Options.defaults().threshold());
    assertEquals(Directions.DECODER, SharedFeatures.Options.defaults().directions());
  }

  @Test
  void areChecked() {
    assertThrows(IllegalArgumentException.class, () -> KCurve.Options.of(List.of()));
    assertThrows(IllegalArgumentException.class, () -> FeatureSubsets.Options.of(List.of(-1)));
  }
}
