package io.faithfulsae.benchmarks;

import com.fasterxml.jackson.databind.ObjectMapper;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.Tensor;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.BackendTrainer.Gradients;
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
    Map<String, Object> shapes = new LinkedHashMap<>();
    String device = "";
    for (Workload workload : writeShapes(args)) {
      Map<String, List<Double>> losses = new LinkedHashMap<>();
      for (Recipe recipe : List.of(Recipe.SPARSIFY, Recipe.STUDY)) {
        try (LoadedSae loaded = recipe.load(workload, "topk")) {
          device = loaded.backend.info().details();
          losses.put(
              recipe.name(), losses(loaded, recipe, "topk", recipe.learningRate(workload), STEPS));
        }
      }
      shapes.put(workload.toString(), losses);
    }
    writeJson(args, "ours.json", Map.of("device", device, "losses", shapes));
  }

  /**
   * Writes {@code SHAPE.safetensors} for each shape.
   *
   * @param args the folder, which is made, then shapes
   */
  static List<Workload> writeShapes(String[] args) throws IOException {
    if (args.length < 2) {
      throw new IllegalArgumentException(
          Expected.message(
              "DIR SHAPE...", args.length + " arguments", "name a folder and at least one shape"));
    }
    Path dir = Files.createDirectories(Path.of(args[0]));
    List<Workload> workloads = new ArrayList<>();
    for (String shape : List.of(args).subList(1, args.length)) {
      Workload workload = Workload.parse(shape);
      write(dir.resolve(workload + ".safetensors"), workload);
      workloads.add(workload);
    }
    return workloads;
  }

  static void writeJson(String[] args, String name, Map<String, Object> content)
      throws IOException {
    new ObjectMapper()
        .writerWithDefaultPrettyPrinter()
        .writeValue(Path.of(args[0]).resolve(name).toFile(), content);
  }

  private static void write(Path file, Workload w) throws IOException {
    Safetensors.write(
        file,
        Map.of(),
        List.of(
            Tensor.ofFloats(
                "activations",
                FloatBuffer.wrap(WorkloadArrays.of(w).activations()),
                w.rows(),
                w.dIn()),
            Tensor.ofFloats(
                "encoder", FloatBuffer.wrap(WorkloadArrays.of(w).encoder()), w.dSae(), w.dIn()),
            Tensor.ofFloats(
                "decoder", FloatBuffer.wrap(WorkloadArrays.of(w).decoder()), w.dSae(), w.dIn())));
  }

  /** Losses of the first steps on the workload's batch. */
  static List<Double> losses(
      LoadedSae loaded, Recipe recipe, String family, double learningRate, int steps) {
    Workload w = loaded.workload;
    List<Double> losses = new ArrayList<>();
    try (BackendTrainer trainer =
        loaded
            .sae
            .parameters()
            .trainer(
                loaded.sae.config().activation().selection(),
                recipe.config(family, w),
                Gradients.NONE)) {
      for (int step = 0; step < steps; step++) {
        trainer.step(loaded.x.buffer(), w.rows(), learningRate);
        losses.add(trainer.stats().loss());
      }
    }
    return losses;
  }
}
