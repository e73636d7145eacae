package io.faithfulsae.cli;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Backends;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.DType;
import io.faithfulsae.io.Safetensors.Tensor;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.work.WorkListener;
import io.faithfulsae.study.work.WorkProgress;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code sae encode}: computes the latents of stored activations. */
@Command(
    name = "encode",
    description = {
      "Encodes 'activations' [N, d] of a safetensors file.",
      "Writes 'indices' [N, k] int32 and 'values' [N, k] (by value, then index) and"
          + " 'reconstruction' [N, d].",
      "Where activations decide how many latents fire, as with ReLU or JumpReLU, those of all rows"
          + " follow each other (by index), and row r has those from 'offsets'[r] to"
          + " 'offsets'[r + 1] ([N + 1] int64, CSR)."
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
      description =
          "Rows per batch (default: ${DEFAULT-VALUE}). Latents depend on it only for BatchTopK"
              + " without a threshold.")
  int batch;

  /**
   * What was written.
   *
   * @param out the file
   * @param rows number of rows
   * @param k active latents per row; null where rows differ
   * @param latents active latents of all rows together; null where each row has k
   */
  record Encoded(String out, long rows, @Nullable Integer k, @Nullable Long latents) {}

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
      Encoded encoded = encode(loaded, input, common.listener());
      common.print(encoded, summary(encoded, loaded));
    }
    return 0;
  }

  /** Encodes a file with any SAE. */
  Encoded encode(Sae loaded, Safetensors input, WorkListener listener) throws IOException {
    SaeConfig config = loaded.config();
    long rows = rows(input, config.dIn());
    int capacity = (int) Math.max(1, Math.min(batch, rows));
    try (ActivationBatch x = ActivationBatch.allocate(loaded.backend(), capacity, config.dIn());
        ActivationBatch decoded =
            ActivationBatch.allocate(loaded.backend(), capacity, config.dOut());
        Latents z = Latents.allocate(loaded, capacity);
        EncodedRows encoded = new EncodedRows(z, out)) {
      try (WorkProgress progress = listener.begin("encode", "rows", 0, rows)) {
        for (long first = 0; first < rows; first += capacity) {
          encode(loaded, input, first, rows, x, z);
          encoded.add(z);
          progress.at(first + z.rows());
        }
      }
      List<Tensor> tensors = new ArrayList<>(encoded.tensors());
      // Encoded again: if the SAE normalizes rows, only freshly encoded latents know how to undo
      // it.
      tensors.add(
          TensorBlocks.tensor(
              "reconstruction",
              DType.F32,
              List.of(rows, (long) config.dOut()),
              i -> {
                encode(loaded, input, (long) i * capacity, rows, x, z);
                loaded.decode(z, x, decoded);
                ByteBuffer bytes = TensorBlocks.allocate(decoded.rows() * decoded.dIn());
                bytes.asFloatBuffer().put(decoded.data().slice(0, decoded.rows() * decoded.dIn()));
                return bytes;
              }));
      if (dense) {
        tensors.add(encoded.dense(config.dSae()));
      }
      Safetensors.write(out, Map.of("sae", sae.toString()), tensors);
      return z.isRagged()
          ? new Encoded(out.toString(), rows, null, encoded.entries())
          : new Encoded(out.toString(), rows, z.k(), null);
    }
  }

  private static String summary(Encoded encoded, Sae loaded) {
    Long latents = encoded.latents();
    String active =
        latents == null
            ? loaded.config().activation().label()
            : String.format(
                Locale.ROOT,
                "%s, %.1f latents per row",
                loaded.config().activation().label(),
                (double) latents / Math.max(1, encoded.rows()));
    return encoded.rows() + " rows, " + active + "\n" + encoded.out();
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
}
