package io.faithfulsae.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.Activation;
import io.faithfulsae.Activation.BatchTopK;
import io.faithfulsae.Activation.Gated;
import io.faithfulsae.Activation.JumpRelu;
import io.faithfulsae.Activation.Relu;
import io.faithfulsae.Activation.TopK;
import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Backends;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.cli.EncodeCommand.Encoded;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.study.work.WorkListener;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What {@code sae encode} writes for SAEs whose activations decide how many latents fire. */
final class EncodeActivationsTest {
  private static final int ROWS = 10;
  private static final int D_IN = 6;
  private static final int D_SAE = 20;

  @TempDir Path dir;

  static Stream<Activation> ragged() {
    return Stream.of(new Relu(), new JumpRelu(), new Gated(), new BatchTopK(3, 0.1f));
  }

  private static void write(Sae sae, Tensor tensor, float shift, long seed) {
    FloatBuffer values = DirectBuffers.floats(sae.config().shape().elements(tensor));
    Random random = new Random(seed);
    while (values.hasRemaining()) {
      values.put((float) random.nextGaussian() + shift);
    }
    sae.parameters().write(tensor, 0, values.flip());
  }

  private static Sae sae(Activation activation, int dOut, boolean skip, Backend backend) {
    Sae sae =
        Sae.create(
            new SaeConfig(D_IN, dOut, D_SAE, activation, false, Normalization.NONE, skip), backend);
    write(sae, Tensor.W_ENC, 0, 1);
    write(sae, Tensor.B_ENC, -3, 2); // few latents fire
    write(sae, Tensor.W_DEC, 0, 3);
    if (activation instanceof Gated) {
      write(sae, Tensor.B_MAG, 0, 4);
    }
    if (skip) {
      write(sae, Tensor.W_SKIP, 0, 5);
    }
    return sae;
  }

  private EncodeCommand command(int batch) {
    EncodeCommand command = new EncodeCommand();
    command.sae = dir.resolve("sae");
    command.activations = dir.resolve("x.safetensors");
    command.out = dir.resolve("encoded.safetensors");
    command.batch = batch;
    command.dense = true;
    return command;
  }

  private Encoded encode(EncodeCommand command, Sae sae) throws IOException {
    Tiny.activations(command.activations, ROWS, D_IN);
    try (Safetensors input = Safetensors.open(command.activations)) {
      return command.encode(sae, input, WorkListener.NONE);
    }
  }

  @ParameterizedTest
  @MethodSource("ragged")
  void rowsFollowEachOtherWithOffsets(Activation activation) throws IOException {
    try (Backend backend = Backends.open("cpu");
        Sae sae = sae(activation, D_IN, false, backend);
        ActivationBatch x = ActivationBatch.allocate(backend, ROWS, D_IN);
        ActivationBatch decoded = ActivationBatch.allocate(backend, ROWS, D_IN)) {
      EncodeCommand command = command(3);
      Encoded encoded = encode(command, sae);
      x.data().put(0, Tiny.floats(command.activations, "activations"));
      x.rows(ROWS);
      try (Latents latents = sae.encode(x);
          Safetensors written = Safetensors.open(command.out)) {
        sae.decode(latents, decoded);
        int entries = latents.entries();
        assertTrue(entries > ROWS && entries < ROWS * D_SAE / 2, "some fire: " + entries);
        assertEquals(entries, encoded.latents());
        assertNull(encoded.k());
        assertEquals(List.of(ROWS + 1L), written.entry("offsets").shape());
        assertArrayEquals(latents.starts(), ints(written, "offsets", ROWS + 1));
        int[] indices = new int[entries];
        latents.indices().get(indices);
        assertArrayEquals(indices, ints(written, "indices", entries));
        float[] values = new float[entries];
        latents.values().get(values);
        assertArrayEquals(values, Tiny.floats(command.out, "values"), 1e-6f);
        float[] dense = new float[ROWS * D_SAE];
        for (int row = 0; row < ROWS; row++) {
          for (int i = latents.start(row); i < latents.end(row); i++) {
            dense[row * D_SAE + indices[i]] = values[i];
          }
        }
        assertArrayEquals(dense, Tiny.floats(command.out, "latents"), 1e-6f);
        float[] reconstruction = new float[ROWS * D_IN];
        decoded.data().get(0, reconstruction);
        assertArrayEquals(reconstruction, Tiny.floats(command.out, "reconstruction"), 1e-5f);
      }
    }
  }

  private static int[] ints(Safetensors file, String tensor, int count) throws IOException {
    int[] values = new int[count];
    file.readInts(tensor, 0, IntBuffer.wrap(values));
    return values;
  }

  @Test
  void nothingFires() throws IOException {
    try (Backend backend = Backends.open("cpu");
        Sae sae = sae(new Relu(), D_IN, false, backend)) {
      write(sae, Tensor.B_ENC, -1000, 2);
      EncodeCommand command = command(4);
      assertEquals(0, encode(command, sae).latents());
      try (Safetensors written = Safetensors.open(command.out)) {
        assertArrayEquals(new int[ROWS + 1], ints(written, "offsets", ROWS + 1));
        assertEquals(List.of(0L), written.entry("values").shape());
      }
      assertArrayEquals(new float[ROWS * D_SAE], Tiny.floats(command.out, "latents"));
    }
  }

  @Test
  void transcodersWriteTheirOwnWidth() throws IOException {
    try (Backend backend = Backends.open("cpu");
        Sae sae = sae(new TopK(4), 3, true, backend);
        ActivationBatch x = ActivationBatch.allocate(backend, ROWS, D_IN);
        ActivationBatch decoded = ActivationBatch.allocate(backend, ROWS, 3)) {
      EncodeCommand command = command(4);
      Encoded encoded = encode(command, sae);
      assertEquals(4, encoded.k());
      assertNull(encoded.latents());
      x.data().put(0, Tiny.floats(command.activations, "activations"));
      x.rows(ROWS);
      try (Latents latents = sae.encode(x)) {
        sae.decode(latents, x, decoded);
      }
      float[] expected = new float[ROWS * 3];
      decoded.data().get(0, expected);
      assertArrayEquals(expected, Tiny.floats(command.out, "reconstruction"), 1e-5f);
    }
  }
}
