package io.faithfulsae;

import io.faithfulsae.internal.SaeFolder;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What the files of an SAE say about it, without its weights.
 *
 * @param writer the library whose format it is in: {@link SaeFormat#name()}
 * @param config its shape and activation, as {@link Sae#load} would give them
 * @param metadata see {@link Sae#metadata()}
 * @param weights the file with the weights
 * @param bytes size of that file
 * @param sparsity how often its latents fired; null if no file says it
 */
public record SaeInfo(
    String writer,
    SaeConfig config,
    Map<String, String> metadata,
    Path weights,
    long bytes,
    @Nullable Sparsity sparsity) {
  private static final double NEVER = 1e-9; // SAELens adds 1e-10 before it takes the logarithm

  /** Copies the metadata. */
  public SaeInfo {
    metadata = Collections.unmodifiableMap(new LinkedHashMap<>(metadata));
  }

  /**
   * How often latents fired where the SAE was trained (SAELens: {@code sparsity.safetensors}).
   *
   * @param l0 active latents per token, on average
   * @param neverFired latents that did not fire
   */
  public record Sparsity(double l0, int neverFired) {}

  /** As {@link Sae#targetHook}. */
  public @Nullable String targetHook() {
    return targetHook(metadata);
  }

  static @Nullable String targetHook(Map<String, String> metadata) {
    String written = metadata.get("hook_name_out"); // SAELens' name
    return written == null || written.equals(metadata.get("hook_name")) ? null : written;
  }

  /**
   * Reads it from what {@link Sae#load} opens.
   *
   * @throws SaeFormatException as there
   */
  public static SaeInfo read(Path path) throws IOException {
    SaeFolder folder = SaeFolder.open(path);
    return new SaeInfo(
        folder.writer(),
        folder.config(),
        folder.metadata(),
        folder.weights(),
        Files.size(folder.weights()),
        sparsity(folder.logFrequencies()));
  }

  private static @Nullable Sparsity sparsity(float[] logFrequencies) {
    if (logFrequencies.length == 0) {
      return null;
    }
    double l0 = 0;
    int never = 0;
    for (float log : logFrequencies) {
      double frequency = Math.pow(10, log);
      l0 += frequency;
      never += frequency < NEVER ? 1 : 0;
    }
    return new Sparsity(l0, never);
  }
}
