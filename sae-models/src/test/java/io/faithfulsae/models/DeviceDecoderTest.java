package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import io.faithfulsae.io.Safetensors;
import io.faithfulsae.models.generate.HostSampler;
import io.faithfulsae.spi.Backend;
import java.nio.FloatBuffer;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Decoding in backend memory that the host cannot address, also emulated by the CPU backend. */
class DeviceDecoderTest {
  @ParameterizedTest
  @MethodSource("io.faithfulsae.models.GoldenModels#all")
  void rowsThatBeganAtDifferentTimesAreTheWholeForwardPass(String name) throws Exception {
    SharedMemory.assume();
    try (Backend backend = SharedMemory.backend();
        OnnxModel model =
            OnnxModel.open(GoldenModels.folder(name), SharedMemory.options(), backend);
        Safetensors expected =
            Safetensors.open(GoldenModels.folder(name).resolve("expected.safetensors"))) {
      int[][] tokens = GoldenModels.ints(expected, "tokens.b");
      float[] logits = GoldenModels.floats(expected, "logits.b");
      int rows = tokens.length;
      int length = tokens[0].length;
      int vocabulary = model.vocabularySize();
      try (DeviceDecoder decoder = model.deviceDecoder(rows, length, 1)) {
        FloatBuffer kept = decoder.keep(Graphs.LOGITS);
        int[] next = new int[rows];
        for (int step = 0; step < length + rows; step++) {
          for (int row = 0; row < rows; row++) {
            if (step == row) {
              decoder.restart(row); // row r starts at step r, after r steps of another sequence
            }
            next[row] = tokens[row][decoder.length(row) % length];
            if (decoder.length(row) == length) {
              decoder.restart(row);
            }
          }
          decoder.step(next, new double[rows], new int[rows]);
          for (int row = 0; row < rows; row++) {
            int from = (row * length + decoder.length(row) - 1) * vocabulary;
            for (int i = 0; i < vocabulary; i++) {
              assertEquals(
                  logits[from + i],
                  kept.get(row * vocabulary + i),
                  SharedMemory.tolerance(),
                  name + " row " + row + " step " + step + " logit " + i);
            }
          }
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("io.faithfulsae.models.GoldenModels#all")
  void drawsWhatTheHostDraws(String name) throws Exception {
    SharedMemory.assume();
    for (double topP : new double[] {1, 0.8}) {
      try (Backend backend = SharedMemory.backend();
          OnnxModel model =
              OnnxModel.open(GoldenModels.folder(name), SharedMemory.options(), backend);
          DeviceDecoder onDevice = model.deviceDecoder(3, 12, topP)) {
        onDevice.temperature(0.7);
        FloatBuffer probabilities = onDevice.keep(Graphs.PROBABILITIES);
        Random random = new Random(9);
        int[] next = {1, 2, 3};
        for (int step = 0; step < 12; step++) {
          double[] uniform = random.doubles(3).toArray();
          onDevice.step(next, uniform, next);
          assertArrayEquals(
              HostSampler.draw(probabilities, model.vocabularySize(), topP, uniform),
              next,
              name + " topP " + topP + " step " + step);
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("io.faithfulsae.models.GoldenModels#all")
  void samplesWhatTheDecoderOfTheHostSamples(String name) throws Exception {
    SharedMemory.assume();
    assumeFalse(SharedMemory.onGpu(), "the host computes in float32");
    for (double topP : new double[] {1, 0.8}) {
      try (Backend backend = SharedMemory.backend();
          OnnxModel model =
              OnnxModel.open(GoldenModels.folder(name), SharedMemory.options(), backend);
          Decoder onHost = model.decoder(3, 12);
          DeviceDecoder onDevice = model.deviceDecoder(3, 12, topP)) {
        onHost.temperature(0.7);
        onDevice.temperature(0.7);
        Random random = new Random(11);
        int[] next = {1, 2, 3};
        for (int step = 0; step < 12; step++) {
          double[] uniform = random.doubles(3).toArray();
          onHost.step(next);
          int[] expected =
              HostSampler.draw(onHost.probabilities(), model.vocabularySize(), topP, uniform);
          onDevice.step(next, uniform, next);
          assertArrayEquals(expected, next, name + " topP " + topP + " step " + step);
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("io.faithfulsae.models.GoldenModels#all")
  void aRejectedStepChangesNothing(String name) throws Exception {
    SharedMemory.assume();
    try (Backend backend = SharedMemory.backend();
        OnnxModel model =
            OnnxModel.open(GoldenModels.folder(name), SharedMemory.options(), backend);
        DeviceDecoder decoder = model.deviceDecoder(2, 4, 1)) {
      decoder.step(new int[] {1, 2}, new double[2], new int[2]);
      int[] bad = {1, model.vocabularySize()};
      assertThrows(
          IllegalArgumentException.class, () -> decoder.step(bad, new double[2], new int[2]));
      assertEquals(1, decoder.length(0));
      assertEquals(1, decoder.length(1));
    }
  }

  @ParameterizedTest
  @MethodSource("io.faithfulsae.models.GoldenModels#all")
  void rejectsBadCalls(String name) throws Exception {
    SharedMemory.assume();
    try (Backend backend = SharedMemory.backend();
        OnnxModel model =
            OnnxModel.open(GoldenModels.folder(name), SharedMemory.options(), backend)) {
      long before = backend.liveBytes();
      DeviceDecoder decoder = model.deviceDecoder(1, 2, 1);
      assertTrue(backend.liveBytes() > before, "the cache is in backend memory");
      int[] token = {1};
      decoder.step(token, new double[1], new int[1]);
      decoder.step(token, new double[1], new int[1]);
      IllegalStateException full =
          assertThrows(
              IllegalStateException.class, () -> decoder.step(token, new double[1], new int[1]));
      assertTrue(full.getMessage().contains("2 tokens"), full.getMessage());
      decoder.close();
      assertEquals(before, backend.liveBytes());
      assertThrows(
          IllegalStateException.class, () -> decoder.step(token, new double[1], new int[1]));
    }
    try (OnnxModel alone = OnnxModel.open(GoldenModels.folder(name), new OnnxModel.Options(1))) {
      IllegalStateException message =
          assertThrows(IllegalStateException.class, () -> alone.deviceDecoder(1, 2, 1));
      assertTrue(message.getMessage().contains("open it with"), message.getMessage());
    }
  }
}
