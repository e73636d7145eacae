package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.HookPoint;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** NaN and infinity in a model's output are reported before anything uses them. */
class NotFiniteTest {
  @TempDir Path dir;

  @ParameterizedTest
  @CsvSource({
    "gpt2-tied, model.safetensors, transformer.h.1.mlp.c_fc.bias, 3, 0x7fc00000",
    "gpt2-tied, model.safetensors, transformer.wte.weight, 100, 0xff800000",
    "gpt2-untied-bf16, model.safetensors, lm_head.weight, 7, 0x7f80"
  })
  void weightsAreNamedWhenTheModelIsOpened(
      String model, String name, String like, int at, String bits) throws IOException {
    Path folder = GoldenModels.copy(model, dir);
    Path file = folder.resolve(name);
    String tensor = like;
    try (Safetensors tensors = Safetensors.open(file)) {
      if (!tensors.entries().containsKey(like)) {
        tensor = like.substring("transformer.".length());
      }
    }
    poke(file, tensor, at, Integer.parseUnsignedInt(bits.substring(2), 16));
    String said =
        assertThrows(SaeFormatException.class, () -> OnnxModel.open(folder).close()).getMessage();
    assertTrue(
        said.contains(
            name
                + ": "
                + tensor
                + ": expected finite weights, got NaN or infinity in element "
                + at),
        said);
  }

  @Test
  void activationsAndLogitsAreNamedWhereTheyOverflow() throws IOException {
    Path folder = GoldenModels.copy("gpt2-tied", dir);
    Path file = folder.resolve("model.safetensors");
    int[][] tokens = {{0, 5}, {0, 9, 7}};
    String embedding;
    try (Safetensors tensors = Safetensors.open(file)) {
      embedding =
          tensors.entries().keySet().stream()
              .filter(n -> n.endsWith("wte.weight"))
              .findFirst()
              .orElseThrow();
    }
    int width;
    try (OnnxModel model = OnnxModel.open(folder)) {
      width = model.dModel();
    }
    poke(file, embedding, 7 * width + 2, Float.floatToIntBits(3e38f));
    poke(file, embedding, 7 * width + 3, Float.floatToIntBits(-3e38f));
    try (OnnxModel model = OnnxModel.open(folder)) {
      FloatBuffer logits = FloatBuffer.allocate(6 * model.vocabularySize());
      says(
          assertThrows(IllegalArgumentException.class, () -> model.logits(tokens, logits)),
          "expected finite logits from gpt2-tied, got NaN at sequence 1, position ");
      FloatBuffer rows = FloatBuffer.allocate(6 * width);
      HookPoint hook = HookPoint.residPre(1);
      says(
          assertThrows(IllegalArgumentException.class, () -> model.activations(hook, tokens, rows)),
          "expected finite "
              + hook
              + " activations from gpt2-tied, got NaN at sequence 1, position ");
      model.activations(hook, new int[][] {{0, 5}}, rows);
      try (Decoder decoder = model.decoder(2, 4)) {
        decoder.start(2);
        decoder.step(new int[] {0, 0});
        says(
            assertThrows(IllegalArgumentException.class, () -> decoder.step(new int[] {5, 7})),
            "expected finite logits from gpt2-tied, got NaN at sequence 1, position 1, token 0");
      }
    }
  }

  private static void says(Exception e, String part) {
    assertTrue(String.valueOf(e.getMessage()).contains(part), String.valueOf(e.getMessage()));
  }

  private static void poke(Path file, String name, int element, int bits) throws IOException {
    long at;
    int size;
    try (Safetensors tensors = Safetensors.open(file)) {
      size = tensors.entry(name).dtype().bytes();
      at = tensors.entry(name).offset() + (long) element * size;
    }
    ByteBuffer value = ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN).putInt(0, bits);
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
      channel.write(value.limit(size), at);
    }
  }
}
