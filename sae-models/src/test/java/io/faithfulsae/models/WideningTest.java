package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.faithfulsae.HookPoint;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.io.Safetensors.DType;
import io.faithfulsae.io.Safetensors.Tensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** 16-bit matrices that are widened while a graph runs: their values, and what stays in memory. */
class WideningTest {
  private static final int[][] TOKENS = {{1, 2, 3}, {4, 5, 6}};
  private static final int ROWS = 6;
  private static final OnnxModel.Options ONE_THREAD = new OnnxModel.Options(1);

  @TempDir Path temp;

  /** A Llama with a tied unembedding; every matrix is too large to be widened at load time. */
  private record Shape(int layers, int width, int inner, int vocabulary) {
    long matrices() {
      return layers * (4L * width * width + 3L * width * inner) + (long) vocabulary * width;
    }

    Path write(Path folder, DType type) throws IOException {
      List<Tensor> tensors = new ArrayList<>();
      tensors.add(tensor("model.embed_tokens", type, vocabulary, width));
      tensors.add(tensor("model.norm", type, width));
      for (int layer = 0; layer < layers; layer++) {
        String name = "model.layers." + layer + ".";
        tensors.add(tensor(name + "input_layernorm", type, width));
        tensors.add(tensor(name + "post_attention_layernorm", type, width));
        for (String projection : List.of("q_proj", "k_proj", "v_proj", "o_proj")) {
          tensors.add(tensor(name + "self_attn." + projection, type, width, width));
        }
        tensors.add(tensor(name + "mlp.gate_proj", type, inner, width));
        tensors.add(tensor(name + "mlp.up_proj", type, inner, width));
        tensors.add(tensor(name + "mlp.down_proj", type, width, inner));
      }
      Files.createDirectories(folder);
      Safetensors.write(folder.resolve("model.safetensors"), Map.of(), tensors);
      Files.writeString(
          folder.resolve("config.json"),
          """
          {"model_type": "llama", "hidden_size": %d, "intermediate_size": %d, "num_hidden_layers": %d,
           "num_attention_heads": 4, "vocab_size": %d, "tie_word_embeddings": true,
           "bos_token_id": 1, "eos_token_id": 2}
          """
              .formatted(width, inner, layers, vocabulary));
      return folder;
    }

    /** Multiples of 1/1024 below 1/4, which all three types represent exactly. */
    private static Tensor tensor(String name, DType type, long... shape) {
      Random random = new Random(name.hashCode());
      return new Tensor(
          name + ".weight",
          type,
          Arrays.stream(shape).boxed().toList(),
          (first, chunk) -> {
            while (chunk.hasRemaining()) {
              put((random.nextInt(511) - 255) / 1024f, type, chunk);
            }
          });
    }

    private static void put(float value, DType type, ByteBuffer into) {
      int bits = Float.floatToIntBits(value);
      switch (type) {
        case F32 -> into.putInt(bits);
        case BF16 -> into.putShort((short) (bits >>> 16));
        case F16 -> into.putShort(value == 0 ? 0 : half(bits));
        default -> throw new IllegalArgumentException(type.name());
      }
    }

    /** Sign, exponent with the other bias, the first ten bits of the fraction. */
    private static short half(int bits) {
      int exponent = (bits >>> 23 & 0xff) - 112;
      return (short) ((bits >>> 16 & 0x8000) | (exponent << 10) | (bits >>> 13 & 0x3ff));
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"F16", "BF16"})
  void whatIsComputedIsWhatTheSameWeightsInFloat32Give(DType type) throws IOException {
    Shape shape = new Shape(2, 160, 208, 512);
    try (OnnxModel wide = OnnxModel.open(shape.write(temp.resolve("wide"), DType.F32), ONE_THREAD);
        OnnxModel narrow = OnnxModel.open(shape.write(temp.resolve("narrow"), type), ONE_THREAD)) {
      for (HookPoint hook : wide.hookPoints()) {
        FloatBuffer activations = activations(wide, hook);
        assertEquals(activations, activations(narrow, hook), hook.toString());
        assertTrue(size(activations) > 0.01, hook + " is too small for a meaningful comparison");
      }
      FloatBuffer logits = logits(wide);
      assertEquals(logits, logits(narrow));
      assertTrue(size(logits) > 0.1, "the logits are too small for a meaningful comparison");
      FloatBuffer steps = step(wide);
      assertEquals(steps, step(narrow));
    }
  }

  @Test
  void noGraphForWholeSequencesKeepsWidenedMatrices() throws Exception {
    assumeTrue(Files.exists(Path.of("/proc/self/status")), "only Linux reports memory by kind");
    Shape shape = new Shape(12, 512, 1024, 32_768);
    Path large = shape.write(temp.resolve("large"), DType.BF16);
    // Loads the runtime and the Java classes that a run needs.
    Shape small = new Shape(2, 160, 208, 512);
    try (OnnxModel model = OnnxModel.open(small.write(temp.resolve("small"), DType.BF16))) {
      activations(model, HookPoint.residPre(1));
      logits(model);
    }
    try (OnnxModel model = OnnxModel.open(large)) {
      long before = anonymousBytes();
      for (int run = 0; run < 2; run++) {
        activations(model, HookPoint.parse("blocks.11.hook_resid_post"));
        logits(model);
      }
      long kept = anonymousBytes() - before;
      long widened = shape.matrices() * Float.BYTES;
      assertTrue(kept < widened / 4, kept + " bytes are kept, all matrices are " + widened);
    }
  }

  private static FloatBuffer activations(OnnxModel model, HookPoint hook) {
    FloatBuffer into = FloatRows.allocate(ROWS, model.width(hook));
    model.activations(hook, TOKENS, into);
    return into;
  }

  private static FloatBuffer logits(OnnxModel model) {
    FloatBuffer into = FloatRows.allocate(ROWS, model.vocabularySize());
    model.logits(TOKENS, into);
    return into;
  }

  private static FloatBuffer step(OnnxModel model) {
    try (Decoder decoder = model.decoder(2, 4)) {
      decoder.step(new int[] {1, 4});
      decoder.step(new int[] {2, 5});
      return FloatRows.allocate(2, model.vocabularySize()).put(decoder.logits()).flip();
    }
  }

  private static double size(FloatBuffer values) {
    double sum = 0;
    for (int i = 0; i < values.capacity(); i++) {
      sum += Math.abs(values.get(i));
    }
    return sum / values.capacity();
  }

  /** Without Java garbage, such as the buffers used to write files. */
  private static long anonymousBytes() throws Exception {
    System.gc();
    Thread.sleep(200);
    return Files.readAllLines(Path.of("/proc/self/status")).stream()
        .filter(line -> line.startsWith("RssAnon:"))
        .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", "")) << 10)
        .findFirst()
        .orElseThrow();
  }
}
