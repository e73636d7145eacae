package io.faithfulsae.cli;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Backends;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.cli.console.Progress;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.DType;
import io.faithfulsae.io.Safetensors.Tensor;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code sae encode}: computes the latents of stored activations. */
@Command(
    name = "encode",
    description = {
      "Encodes 'activations' [N, d] of a safetensors file.",
      "Writes 'indices' [N, k] int32 and 'values' [N, k] (by value, then index) and"
          + " 'reconstruction' [N, d]."
    })
final class EncodeCommand implements Callable<Integer>, WritesFiles {
  private static final String INPUT = "activations";

  @Mixin CommonOptions common;
  @Mixin OverwriteOption overwriting;
  @Mixin ModelMatch match;

  @Option(
      names = "--sae",
      paramLabel = "DIR",
      required = true,
      description = "SAE folder (cfg.json, sae_weights.safetensors).")
  Path sae;

  @Option(
      names = "--activations",
      paramLabel = "FILE.safetensors",
      required = true,
      description = "File to read.")
  Path activations;

  @Option(
      names = "--out",
      paramLabel = "FILE.safetensors",
      required = true,
      description = "File to write.")
  Path out;

  @Option(names = "--dense", description = "Also write 'latents' [N, d_sae].")
  boolean dense;

  @Option(
      names = "--batch",
      paramLabel = "N",
      defaultValue = "4096",
      description = "Rows per batch (default: ${DEFAULT-VALUE}).")
  int batch;

  /**
   * What was written.
   *
   * @param out the file
   * @param rows number of rows
   * @param k active latents per row
   */
  record Encoded(String out, long rows, int k) {}

  @Override
  public List<Path> files() {
    return List.of(out);
  }

  @Override
  public OverwriteOption overwriting() {
    return overwriting;
  }

  @Override
  public Integer call() throws IOException {
    try (Backend backend = Backends.best();
        Sae loaded = Sae.load(sae, backend);
        Safetensors input = Safetensors.open(activations)) {
      match.require(sae, loaded.metadata(), input.metadata());
      SaeConfig config = loaded.config();
      long rows = rows(input, config.dIn());
      int capacity = (int) Math.max(1, Math.min(batch, rows));
      try (ActivationBatch x = ActivationBatch.allocate(backend, capacity, config.dIn());
          ActivationBatch decoded = ActivationBatch.allocate(backend, capacity, config.dIn());
          Latents z = Latents.allocate(backend, capacity, config.k())) {
        List<int[]> indices = new ArrayList<>();
        List<float[]> values = new ArrayList<>();
        try (Progress progress = Progress.start("encode", "rows", rows)) {
          for (long first = 0; first < rows; first += capacity) {
            encode(loaded, input, first, rows, x, z);
            indices.add(indices(z));
            values.add(values(z));
            progress.at(first + z.rows());
          }
        }
        List<Tensor> tensors = new ArrayList<>();
        tensors.add(
            TensorBlocks.tensor(
                "indices",
                DType.I32,
                List.of(rows, (long) config.k()),
                i -> bytes(indices.get(i))));
        tensors.add(
            TensorBlocks.tensor(
                "values", DType.F32, List.of(rows, (long) config.k()), i -> bytes(values.get(i))));
        // Encoded again: if the SAE normalizes rows, only freshly encoded latents know how to undo
        // it.
        tensors.add(
            TensorBlocks.tensor(
                "reconstruction",
                DType.F32,
                List.of(rows, (long) config.dIn()),
                i -> {
                  encode(loaded, input, (long) i * capacity, rows, x, z);
                  loaded.decode(z, decoded);
                  ByteBuffer bytes = TensorBlocks.allocate(decoded.rows() * decoded.dIn());
                  bytes
                      .asFloatBuffer()
                      .put(decoded.data().slice(0, decoded.rows() * decoded.dIn()));
                  return bytes;
                }));
        if (dense) {
          tensors.add(
              TensorBlocks.tensor(
                  "latents",
                  DType.F32,
                  List.of(rows, (long) config.dSae()),
                  i -> dense(indices.get(i), values.get(i), config)));
        }
        Safetensors.write(out, Map.of("sae", sae.toString()), tensors);
      }
      common.print(
          new Encoded(out.toString(), rows, config.k()),
          rows + " rows, k = " + config.k() + "\n" + out);
    }
    return 0;
  }

  private long rows(Safetensors input, int dIn) throws IOException {
    List<Long> shape = input.entry(INPUT).shape();
    if (shape.size() < 2 || shape.size() > 3 || shape.get(shape.size() - 1) != dIn) {
      throw new SaeFormatException(
          activations,
          INPUT,
          Expected.message(
              "shape [n, %1$d] or [sequences, length, %1$d]".formatted(dIn),
              shape,
              "use activations of the hook that this SAE was trained on"));
    }
    return input.entry(INPUT).elements() / dIn;
  }

  private void encode(
      Sae loaded, Safetensors input, long first, long rows, ActivationBatch x, Latents z)
      throws IOException {
    int count = (int) Math.min(x.capacity(), rows - first);
    input.readFloats(INPUT, first * x.dIn(), x.data().slice(0, count * x.dIn()));
    x.rows(count);
    try {
      loaded.encode(x, z);
    } catch (IllegalArgumentException e) {
      throw new SaeFormatException(
          activations, INPUT + " from row " + first, String.valueOf(e.getMessage()));
    }
  }

  private static int[] indices(Latents z) {
    int[] indices = new int[z.rows() * z.k()];
    z.indices().get(indices);
    return indices;
  }

  private static float[] values(Latents z) {
    float[] values = new float[z.rows() * z.k()];
    z.values().get(values);
    return values;
  }

  private static ByteBuffer bytes(int[] values) {
    ByteBuffer bytes = TensorBlocks.allocate(values.length);
    bytes.asIntBuffer().put(values);
    return bytes;
  }

  private static ByteBuffer bytes(float[] values) {
    ByteBuffer bytes = TensorBlocks.allocate(values.length);
    bytes.asFloatBuffer().put(values);
    return bytes;
  }

  private static ByteBuffer dense(int[] indices, float[] values, SaeConfig config) {
    ByteBuffer bytes =
        TensorBlocks.allocate(Math.multiplyExact(indices.length / config.k(), config.dSae()));
    FloatBuffer latents = bytes.asFloatBuffer();
    for (int i = 0; i < indices.length; i++) {
      latents.put(i / config.k() * config.dSae() + indices[i], values[i]);
    }
    return bytes;
  }
}
