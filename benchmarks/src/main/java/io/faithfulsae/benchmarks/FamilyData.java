package io.faithfulsae.benchmarks;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Writes what {@code peers/families.py} times the peers' trainers on: for each shape {@code
 * SHAPE.safetensors} as {@link PeerData} does, and {@code families.json} with the device, the
 * number that {@link Families} sets thresholds to, and our losses of the first steps of each
 * trainer, so that the script can first check that both sides compute the same thing.
 */
public final class FamilyData {
  private static final int STEPS = 3;

  /** Large enough that the losses change. */
  private static final double LEARNING_RATE = 1e-3;

  private FamilyData() {}

  /**
   * Writes the files.
   *
   * @param args the folder, then shapes as {@link Workload#parse} reads them
   */
  public static void main(String[] args) throws IOException {
    Map<String, Object> shapes = new LinkedHashMap<>();
    String device = "";
    for (Workload workload : PeerData.writeShapes(args)) {
      Map<String, Object> losses = new LinkedHashMap<>();
      for (Recipe recipe : List.of(Recipe.SAELENS, Recipe.DICTIONARY_LEARNING)) {
        Map<String, List<Double>> ofRecipe = new LinkedHashMap<>();
        for (String family : Families.ALL) {
          try (LoadedSae loaded = recipe.load(workload, family)) {
            device = loaded.backend.info().details();
            ofRecipe.put(family, PeerData.losses(loaded, recipe, family, LEARNING_RATE, STEPS));
          }
        }
        losses.put(recipe.name(), ofRecipe);
      }
      shapes.put(
          workload.toString(),
          Map.of("threshold", Families.justBelowKept(workload), "losses", losses));
    }
    PeerData.writeJson(
        args,
        "families.json",
        Map.of("device", device, "learning_rate", LEARNING_RATE, "shapes", shapes));
  }
}
