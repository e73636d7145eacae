package io.faithfulsae.benchmarks;

import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.metrics.Assignment;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

/**
 * Times the exact matching of two SAEs' latents on a matrix of cosines; {@code run-matching.sh}
 * compares it with SciPy. It times the first run in a JVM, which is what a user waits for.
 */
public final class MatchingSpeed {
  private MatchingSpeed() {}

  /** Arguments: d_sae, a file of float32 {@code [d_sae, d_sae]}, and the file to write. */
  public static void main(String[] args) throws IOException {
    int latents = Integer.parseInt(args[0]);
    float[][] cosines = read(Path.of(args[1]), latents);
    long start = System.nanoTime();
    int[] partner = Assignment.maximumSum(cosines);
    double seconds = (System.nanoTime() - start) * 1e-9;
    double sum = 0;
    for (int i = 0; i < latents; i++) {
      sum += cosines[i][partner[i]];
    }
    Files.writeString(
        Path.of(args[2]),
        String.format(
            Locale.ROOT,
            "{\"seconds\": %.4f, \"sum\": %.9f, \"peak_mib\": %d}%n",
            seconds,
            sum,
            PeakMemory.mib()));
  }

  private static float[][] read(Path file, int latents) throws IOException {
    float[][] rows = new float[latents][latents];
    ByteBuffer bytes =
        DirectBuffers.bytes((long) latents * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    try (FileChannel channel = FileChannel.open(file)) {
      for (float[] row : rows) {
        bytes.clear();
        while (bytes.hasRemaining()) {
          if (channel.read(bytes) < 0) {
            throw new EOFException(file + " is shorter than " + latents + " rows");
          }
        }
        bytes.flip().asFloatBuffer().get(row);
      }
    }
    return rows;
  }
}
