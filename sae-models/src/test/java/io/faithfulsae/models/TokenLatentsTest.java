package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.Activation;
import io.faithfulsae.Activation.Relu;
import io.faithfulsae.HookPoint;
import io.faithfulsae.Latents.Active;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class TokenLatentsTest {
  private static final HookPoint HOOK = HookPoint.residPre(1);
  private static final String TEXT = "the dog ran";

  private final ReferenceBackend backend = new ReferenceBackend();
  private OnnxModel model;
  private Tokenizer tokenizer;

  @BeforeEach
  void open() throws IOException {
    Path folder = GoldenModels.folder("gpt2-tied");
    model = OnnxModel.open(folder);
    tokenizer = Tokenizer.open(folder);
  }

  @AfterEach
  void close() {
    tokenizer.close();
    model.close();
    backend.close();
  }

  /** Latent i reads the activation's element i, latent dModel + i its negative. */
  @Test
  void namesTheLargestElementsOfEachActivation() {
    int d = model.dModel();
    float[][] directions = new float[2 * d][d];
    for (int i = 0; i < d; i++) {
      directions[i][i] = 1;
      directions[d + i][i] = -1;
    }
    int[] tokens = tokenizer.encode(TEXT);
    int[] withBos =
        IntStream.concat(IntStream.of(model.bosToken()), IntStream.of(tokens)).toArray();
    float[] x = new float[withBos.length * d];
    model.activations(HOOK, new int[][] {withBos}, FloatBuffer.wrap(x));
    SaeConfig shape = SaeConfig.topK(d, 2 * d, 3);
    for (Activation activation : List.of(shape.activation(), new Relu())) {
      int most = activation.latentsPerRow().orElse(d);
      List<TokenLatents> found;
      try (Sae sae = Sae.ofDirections(shape.withActivation(activation), directions, backend)) {
        found = TokenLatents.of(sae, model, HOOK, tokenizer, TEXT);
      }
      assertArrayEquals(tokens, found.stream().mapToInt(TokenLatents::token).toArray());
      for (int t = 0; t < tokens.length; t++) {
        int first = (t + 1) * d;
        List<Active> largest =
            IntStream.range(0, d)
                .mapToObj(i -> new Active(x[first + i] > 0 ? i : d + i, Math.abs(x[first + i])))
                .sorted(Comparator.comparing(Active::value).reversed())
                .limit(most)
                .toList();
        assertEquals(largest, found.get(t).latents());
        assertEquals(tokenizer.decode(tokens[t]), found.get(t).text());
      }
    }
  }

  @Test
  void takesTheHookPointOfTheSaeAndLeavesOutWhatDoesNotFire() {
    SaeConfig shape = SaeConfig.topK(model.dModel(), 8, 2);
    try (Sae silent = Sae.create(shape, Map.of("hook_name", HOOK.toString()), backend)) {
      List<TokenLatents> found = TokenLatents.of(silent, model, tokenizer, TEXT);
      assertEquals(tokenizer.encode(TEXT).length, found.size());
      assertTrue(found.stream().allMatch(token -> token.latents().isEmpty()));
    }
    try (Sae homeless = Sae.create(shape, backend)) {
      assertTrue(
          assertThrows(
                  IllegalStateException.class,
                  () -> TokenLatents.of(homeless, model, tokenizer, TEXT))
              .getMessage()
              .startsWith(
                  "expected an SAE whose metadata name its hook point (hook_name), got []"));
    }
  }

  @Test
  void theModelExplainsWithItsOwnTokenizer() throws IOException {
    SaeConfig shape = SaeConfig.topK(model.dModel(), 8, 2);
    FloatBuffer weights = DirectBuffers.floats(8L * model.dModel());
    for (int i = 0; i < 8; i++) {
      weights.put(i * model.dModel() + i, i % 2 == 0 ? 1 : -1);
    }
    try (Sae sae = Sae.create(shape, Map.of("hook_name", HOOK.toString()), backend)) {
      sae.parameters().write(Tensor.W_ENC, 0, weights);
      List<TokenLatents> explained = model.explain(sae, TEXT);
      assertEquals(TokenLatents.of(sae, model, HOOK, tokenizer, TEXT), explained);
      assertTrue(explained.stream().anyMatch(token -> !token.latents().isEmpty()));
      assertSame(model.tokenizer(), model.tokenizer());
      model.close();
      assertThrows(IllegalStateException.class, () -> model.explain(sae, TEXT));
    }
  }

  @Test
  void rejectsTextThatTheModelCannotRead() {
    try (Sae sae = Sae.create(SaeConfig.topK(model.dModel(), 8, 2), backend)) {
      int most = model.contextLength() - 1;
      for (String text : List.of("", "dog ".repeat(most + 1))) {
        String said =
            assertThrows(
                    IllegalArgumentException.class,
                    () -> TokenLatents.of(sae, model, HOOK, tokenizer, text))
                .getMessage();
        assertTrue(said.startsWith("expected a text of 1 to " + most + " tokens, got "), said);
      }
    }
  }
}
