package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.onnx.proto.OnnxMl.ModelProto;
import ai.onnx.proto.OnnxMl.NodeProto;
import ai.onnx.proto.OnnxMl.TensorProto;
import ai.onnx.proto.OnnxMl.TypeProto;
import ai.onnx.proto.OnnxMl.ValueInfoProto;
import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationFilter;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.HookPoint;
import io.faithfulsae.LanguageModel;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.io.Safetensors;
import io.faithfulsae.models.tokens.TokenSources;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Decoders exported by make_onnx_goldens.py, read by tensor name. */
class OnnxFileTest {
  /** float32 on both sides, with sums in another order. */
  private static final float TOLERANCE = 1e-4f;

  @TempDir Path temp;

  @ParameterizedTest
  @ValueSource(strings = {"onnx-plain", "onnx-fused"})
  void tensorsAreWhatTransformersComputes(String name) throws IOException {
    OnnxFile file = OnnxModel.of(GoldenModels.folder(name).resolve("model.onnx"));
    try (Safetensors expected = expected(name)) {
      for (int layer = 0; layer < 3; layer++) {
        HookPoint hook = HookPoint.residPre(layer);
        String tensor = expected.metadata().get("tensor." + layer);
        try (LanguageModel tap = file.tap(tensor, hook)) {
          assertEquals((int) expected.entry("residual.a.0").dim(2), tap.dModel());
          assertEquals("model.onnx:" + tensor, tap.name());
          for (String batch : new String[] {"a", "b", "c"}) {
            int[][] tokens = GoldenModels.ints(expected, "tokens." + batch);
            int rows = tokens.length * tokens[0].length;
            FloatBuffer direct = FloatRows.allocate(rows, tap.dModel());
            tap.activations(hook, tokens, direct);
            float[] residual = GoldenModels.floats(expected, "residual." + batch + "." + layer);
            assertClose(residual, direct);
            FloatBuffer heap = FloatBuffer.allocate(rows * tap.dModel());
            tap.activations(hook, tokens, heap);
            assertEquals(direct, heap);
            FloatBuffer logits = FloatRows.allocate(rows, tap.vocabularySize());
            tap.logits(tokens, logits);
            assertClose(GoldenModels.floats(expected, "logits." + batch), logits);
          }
        }
      }
    }
  }

  @Test
  void aTapIsASourceOfActivations() throws IOException {
    String name = "onnx-fused";
    OnnxFile file = OnnxModel.of(GoldenModels.folder(name).resolve("model.onnx"));
    try (Safetensors expected = expected(name);
        LanguageModel tap = file.tap(expected.metadata().get("tensor.1"));
        Backend backend = new ReferenceBackend()) {
      int[][] tokens = GoldenModels.ints(expected, "tokens.a");
      // The second sequence is shorter: it is padded at its end, where no token attends to it.
      int[][] text = {tokens[0], Arrays.copyOf(tokens[1], 3)};
      ActivationSource source =
          ActivationSources.ofModel(
              tap,
              tap.hookPoints().get(0),
              TokenSources.ofSequences("tokens", text),
              ActivationFilter.NONE,
              2);
      assertTrue(source.description().contains(expected.metadata().get("tensor.1")));
      float[] residual = GoldenModels.floats(expected, "residual.a.1");
      try (ActivationReader reader = source.open(0);
          ActivationBatch batch = ActivationBatch.allocate(backend, 10, tap.dModel())) {
        while (reader.read(batch) > 0) {
          assertTrue(batch.rows() <= 10);
        }
        assertEquals(10, batch.rows());
        assertClose(Arrays.copyOf(residual, 10 * tap.dModel()), batch.data());
      }
    }
  }

  @Test
  void onlyWhatTheTensorNeedsIsRun() throws IOException {
    OnnxFile file = OnnxModel.of(GoldenModels.folder("onnx-plain").resolve("model.onnx"));
    try (Safetensors expected = expected("onnx-plain")) {
      String first = expected.metadata().get("tensor.0");
      ModelProto cut = ModelProto.parseFrom(TokenFedGraph.build(file.model(), first, "model.onnx"));
      assertTrue(
          cut.getGraph().getNodeList().stream().noneMatch(n -> n.getOpType().equals("Softmax")));
      assertTrue(cut.getGraph().getInitializerCount() < 15);
      String later = expected.metadata().get("tensor.2");
      ModelProto two = ModelProto.parseFrom(TokenFedGraph.build(file.model(), later, "model.onnx"));
      assertEquals(
          2,
          two.getGraph().getNodeList().stream()
              .filter(n -> n.getOpType().equals("Softmax"))
              .count());
      assertEquals(1, two.getGraph().getInputCount());
    }
  }

  @Test
  void saysWhatIsWrong() throws IOException {
    Path model = GoldenModels.folder("onnx-fused").resolve("model.onnx");
    OnnxFile file = OnnxModel.of(model);
    assertSays(
        () -> file.tap("/model/transformer/h.1/Add_1_output"),
        "/transformer/h.1/Add_1_output_0",
        "got /model/transformer/h.1/Add_1_output;");
    String scores =
        file.tensors().stream().filter(tensor -> tensor.contains("Softmax")).findFirst().get();
    assertSays(() -> file.tap(scores), "expected a tensor [batch, length, d]", scores);

    Path folder = GoldenModels.copy("onnx-fused", temp);
    Path copy = folder.resolve("model.onnx");
    ModelProto whole = ModelProto.parseFrom(Files.readAllBytes(copy));
    String tensor = expectedTensor("onnx-fused");
    ModelProto.Builder edited = whole.toBuilder();
    edited
        .getGraphBuilder()
        .addInput(
            ValueInfoProto.newBuilder()
                .setName("pixel_values")
                .setType(
                    TypeProto.newBuilder()
                        .setTensorType(
                            TypeProto.Tensor.newBuilder()
                                .setElemType(TensorProto.DataType.FLOAT_VALUE))))
        .addNode(
            NodeProto.newBuilder()
                .setOpType("Add")
                .addInput(tensor)
                .addInput("pixel_values")
                .addOutput("seen"));
    Files.write(copy, edited.build().toByteArray());
    assertSays(
        () -> OnnxModel.of(copy).tap("seen"),
        "that can be made of token ids",
        "got pixel_values FLOAT");
    OnnxModel.of(copy).tap(tensor).close(); // which does not need it

    Files.writeString(copy, "not a model");
    assertThrows(SaeFormatException.class, () -> OnnxModel.of(copy));
    Files.write(copy, whole.toByteArray());
    Files.delete(folder.resolve("config.json"));
    assertThrows(NoSuchFileException.class, () -> OnnxModel.of(copy));
  }

  @Test
  void rejectsTokensAndHooksThatItDoesNotHave() throws IOException {
    OnnxFile file = OnnxModel.of(GoldenModels.folder("onnx-fused").resolve("model.onnx"));
    LanguageModel tap = file.tap(expectedTensor("onnx-fused"));
    HookPoint hook = tap.hookPoints().get(0);
    FloatBuffer into = FloatBuffer.allocate(100);
    assertSays(() -> tap.activations(hook, new int[][] {{61}}, into), "tokens in [0, 61), got 61");
    assertSays(() -> tap.activations(hook, new int[1][17], into), "1 to 16 tokens");
    assertSays(() -> tap.activations(HookPoint.residPre(7), new int[1][2], into), "hook_tensor");
    assertThrows(UnsupportedOperationException.class, () -> tap.logitsFrom(hook, into, 1, 2, into));
    tap.close();
    assertThrows(IllegalStateException.class, () -> tap.activations(hook, new int[1][2], into));
  }

  private interface Action {
    Object run() throws IOException;
  }

  private static void assertSays(Runnable action, String part) {
    String message = assertThrows(IllegalArgumentException.class, action::run).getMessage();
    assertTrue(message.contains(part), message);
  }

  private static void assertSays(Action action, String... parts) {
    String message = assertThrows(IllegalArgumentException.class, action::run).getMessage();
    for (String part : parts) {
      assertTrue(message.contains(part), message);
    }
  }

  private static String expectedTensor(String name) throws IOException {
    try (Safetensors expected = expected(name)) {
      return expected.metadata().get("tensor.1");
    }
  }

  private static Safetensors expected(String name) throws IOException {
    return Safetensors.open(GoldenModels.folder(name).resolve("expected.safetensors"));
  }

  private static void assertClose(float[] expected, FloatBuffer actual) {
    double size = 0;
    for (int i = 0; i < expected.length; i++) {
      assertEquals(expected[i], actual.get(i), TOLERANCE, "element " + i);
      size += Math.abs(expected[i]);
    }
    assertTrue(
        size / expected.length > 0.05, "the values are too small for a meaningful comparison");
  }
}
