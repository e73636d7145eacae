package io.faithfulsae.benchmarks;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.Tensor;
import io.faithfulsae.spi.BackendTrainer;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Writes the data that the other libraries are timed on, and our backend's losses on it, so that
 * their script can first check that both compute the same thing.
 *
 * <p>For each shape: {@code SHAPE.safetensors} with {@code activations}, {@code encoder} and {@code
 * decoder}; and {@code ours.json} with the device and the losses of the first steps of each recipe.
 */
public final class PeerData {
  private static final int STEPS = 5;

  private PeerData() {}

  /**
   * Writes the files.
   *
   * @param args the folder, then shapes as {@link Workload#parse} reads them
   */
  public static void main(String[] args) throws IOException {
    if (args.length < 2) {
      throw new IllegalArgumentException(
          Expected.message(
              "DIR SHAPE...", args.length + " arguments", "name a folder and at least one shape"));
    }
    Path dir = Files.createDirectories(Path.of(args[0]));
    Map<String, Object> shapes = new LinkedHashMap<>();
    String device = "";
    for (String shape : List.of(args).subList(1, args.length)) {
      Workload workload = Workload.parse(shape);
      write(dir.resolve(workload + ".safetensors"), workload);
      Map<String, List<Double>> losses = new LinkedHashMap<>();
      for (Recipe recipe : Recipe.values()) {
        try (LoadedSae loaded = new LoadedSae(workload)) {
          device = loaded.backend.info().details();
          losses.put(recipe.name(), losses(loaded, recipe));
        }
      }
      shapes.put(workload.toString(), losses);
    }
    new ObjectMapper()
        .writerWithDefaultPrettyPrinter()
        .writeValue(dir.resolve("ours.json").toFile(), Map.of("device", device, "losses", shapes));
  }

  private static void write(Path file, Workload w) throws IOException {
    Safetensors.write(
        file,
        Map.of(),
        List.of(
            Tensor.ofFloats("activations", FloatBuffer.wrap(w.activations()), w.rows(), w.dIn()),
            Tensor.ofFloats("encoder", FloatBuffer.wrap(w.encoder()), w.dSae(), w.dIn()),
            Tensor.ofFloats("decoder", FloatBuffer.wrap(w.decoder()), w.dSae(), w.dIn())));
  }

  private static List<Double> losses(LoadedSae loaded, Recipe recipe) {
    Workload w = loaded.workload;
    List<Double> losses = new ArrayList<>();
    try (BackendTrainer trainer = loaded.sae.parameters().trainer(w.k(), recipe.config())) {
      for (int step = 0; step < STEPS; step++) {
        trainer.step(loaded.x.buffer(), w.rows(), recipe.learningRate(w));
        losses.add(trainer.stats().loss());
      }
    }
    return losses;
  }
}
