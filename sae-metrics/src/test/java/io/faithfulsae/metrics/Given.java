package io.faithfulsae.metrics;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.TokenSource;
import io.faithfulsae.io.Goldens;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;

/** Fixtures for the tests of the metrics. */
final class Given {
  private Given() {}

  /** Expected values from PyTorch and SciPy. */
  static JsonNode expected(Path folder) throws IOException {
    return JsonMapper.builder().build().readTree(Goldens.copy("metrics.json", folder).toFile());
  }

  /**
   * Expected values from PyTorch, NumPy and SciPy with another k, fewer latents and a second SAE.
   */
  static JsonNode curves(Path folder) throws IOException {
    return JsonMapper.builder().build().readTree(Goldens.copy("curves.json", folder).toFile());
  }

  /** The second SAE of {@link #curves}. */
  static Sae secondSae(JsonNode curves, Safetensors golden, Backend on) throws IOException {
    JsonNode given = curves.path("other");
    Sae sae = Sae.create(SaeConfig.topK(12, 40, given.path("k").intValue()), on);
    write(sae, Tensor.W_ENC, floats(given.path("W_enc")));
    write(sae, Tensor.W_DEC, floats(given.path("W_dec")));
    write(sae, Tensor.B_DEC, Goldens.floats(golden, "b_dec"));
    return sae;
  }

  private static float[] floats(JsonNode numbers) {
    float[] values = new float[numbers.size()];
    for (int i = 0; i < values.length; i++) {
      values[i] = numbers.get(i).floatValue();
    }
    return values;
  }

  /** Normally distributed. */
  static float[] gaussian(int n, long seed) {
    Random random = new Random(seed);
    float[] values = new float[n];
    for (int i = 0; i < n; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  static TinyModel goldenModel(Safetensors golden) throws IOException {
    return new TinyModel(
        12,
        Goldens.floats(golden, "embedding"),
        List.of(Goldens.floats(golden, "block0"), Goldens.floats(golden, "block1")),
        Goldens.floats(golden, "unembedding"));
  }

  static Safetensors tensors(Path folder) throws IOException {
    return Safetensors.open(Goldens.copy("metrics.safetensors", folder));
  }

  static Sae goldenSae(Safetensors golden, Backend on) throws IOException {
    Sae sae = Sae.create(SaeConfig.topK(12, 40, 4), on);
    write(sae, Tensor.W_ENC, Goldens.floats(golden, "W_enc"));
    write(sae, Tensor.B_ENC, Goldens.floats(golden, "b_enc"));
    write(sae, Tensor.W_DEC, Goldens.floats(golden, "W_dec"));
    write(sae, Tensor.B_DEC, Goldens.floats(golden, "b_dec"));
    return sae;
  }

  /** An SAE with these rows as encoder and decoder directions, without biases. */
  static Sae sae(Backend on, int k, float[]... directions) {
    int dIn = directions[0].length;
    Sae sae = Sae.create(SaeConfig.topK(dIn, directions.length, k), on);
    float[] rows = new float[directions.length * dIn];
    for (int i = 0; i < directions.length; i++) {
      System.arraycopy(directions[i], 0, rows, i * dIn, dIn);
    }
    write(sae, Tensor.W_ENC, rows);
    write(sae, Tensor.W_DEC, rows);
    return sae;
  }

  /** The unit vector e_i, scaled. */
  static float[] axis(int dIn, int i, float scale) {
    float[] row = new float[dIn];
    row[i] = scale;
    return row;
  }

  /** Reconstructs every row exactly: latents read and write the axes, in both directions. */
  static Sae perfect(Backend on, int dIn) {
    float[][] rows = new float[2 * dIn][];
    for (int i = 0; i < dIn; i++) {
      rows[i] = axis(dIn, i, 1);
      rows[dIn + i] = axis(dIn, i, -1);
    }
    return sae(on, dIn, rows);
  }

  static void write(Sae sae, Tensor tensor, float[] values) {
    FloatBuffer direct =
        ByteBuffer.allocateDirect(values.length * Float.BYTES)
            .order(ByteOrder.nativeOrder())
            .asFloatBuffer();
    sae.parameters().write(tensor, 0, direct.put(values).flip());
  }

  static TokenSource text(int[]... sequences) {
    return new TokenSource() {
      @Override
      public String description() {
        return sequences.length + " given sequences";
      }

      @Override
      public Stream<int[]> open(long first) {
        return Arrays.stream(sequences).skip(first);
      }
    };
  }
}
