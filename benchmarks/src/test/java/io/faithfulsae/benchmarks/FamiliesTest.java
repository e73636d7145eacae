package io.faithfulsae.benchmarks;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.Latents;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.BackendTrainer.StepStats;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class FamiliesTest {
  private static final Workload WORKLOAD = new Workload(50, 12, 64, 3);

  static List<String> families() {
    return Families.ALL;
  }

  @ParameterizedTest
  @MethodSource("families")
  void kLatentsOfARowFireOnAverage(String family) {
    try (LoadedSae loaded = Families.load(WORKLOAD, family, true);
        Latents z = loaded.sae.encode(loaded.x)) {
      double perRow = (double) z.entries() / WORKLOAD.rows();
      if (family.equals("relu")) {
        assertEquals(WORKLOAD.dSae() / 2.0, perRow, WORKLOAD.dSae() / 8.0);
      } else {
        assertEquals(WORKLOAD.k(), perRow, 1e-9);
      }
    }
  }

  static List<Arguments> trainers() {
    List<Arguments> all = new ArrayList<>();
    for (Recipe recipe : List.of(Recipe.SAELENS, Recipe.DICTIONARY_LEARNING)) {
      Families.ALL.forEach(family -> all.add(Arguments.of(recipe, family)));
    }
    return all;
  }

  @ParameterizedTest
  @MethodSource("trainers")
  void stepsThatAreTimedChangeNothing(Recipe recipe, String family) {
    TrainStepBenchmark benchmark = new TrainStepBenchmark();
    benchmark.shape = WORKLOAD.toString();
    benchmark.recipe = recipe;
    benchmark.activation = family;
    benchmark.load();
    StepStats first = benchmark.step();
    StepStats last = first;
    for (int step = 0; step < 5; step++) {
      last = benchmark.step();
    }
    assertEquals(first.l0(), last.l0());
    assertEquals(first.reconstruction(), last.reconstruction(), 1e-5 * first.reconstruction());
    assertTrue(first.reconstruction() > 0);
    benchmark.close();
  }

  @ParameterizedTest
  @MethodSource("trainers")
  void theyLearnAtAnOrdinaryRate(Recipe recipe, String family) {
    try (LoadedSae loaded = recipe.load(WORKLOAD, family)) {
      FloatBuffer before = encoder(loaded);
      List<Double> losses = PeerData.losses(loaded, recipe, family, 1e-3, 3);
      assertTrue(losses.get(2) < losses.get(0), losses.toString());
      assertTrue(before.mismatch(encoder(loaded)) >= 0);
    }
  }

  private static FloatBuffer encoder(LoadedSae loaded) {
    FloatBuffer weights = DirectBuffers.floats((long) WORKLOAD.dSae() * WORKLOAD.dIn());
    loaded.sae.parameters().read(Tensor.W_ENC, 0, weights);
    return weights;
  }

  @Test
  void recipesOfTopKAloneRefuseOthers() {
    IllegalArgumentException refused =
        assertThrows(
            IllegalArgumentException.class, () -> Recipe.SPARSIFY.load(WORKLOAD, "batchtopk"));
    assertTrue(String.valueOf(refused.getMessage()).contains("batchtopk"), refused.getMessage());
  }

  @Test
  void anUnknownFamilyIsNamed() {
    IllegalArgumentException refused =
        assertThrows(
            IllegalArgumentException.class, () -> Families.load(WORKLOAD, "softmax", true));
    assertTrue(String.valueOf(refused.getMessage()).contains("softmax"), refused.getMessage());
  }
}
