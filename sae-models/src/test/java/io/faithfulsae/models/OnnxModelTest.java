package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.HookPoint;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.spi.Weights;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Over 400 lines: one fixture of golden models for all cases. */
class OnnxModelTest {
  private static final OnnxModel.Options ONE_THREAD = new OnnxModel.Options(1);

  @TempDir Path temp;

  @Test
  void saysWhatItIs() throws IOException {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder("gpt2-untied-bf16"), ONE_THREAD)) {
      assertEquals("gpt2-untied-bf16", model.name());
      assertEquals(12, model.dModel());
      assertEquals(61, model.vocabularySize());
      assertEquals(16, model.contextLength());
      assertEquals(3, model.bosToken());
      assertEquals(4, model.eosToken());
      assertEquals(15, model.hookPoints().size(), "seven sites in each of two blocks");
      assertEquals(HookPoint.embed(), model.hookPoints().get(0));
      assertEquals(HookPoint.residPre(0), model.hookPoints().get(1));
      assertEquals(HookPoint.parse("blocks.1.hook_resid_post"), model.hookPoints().get(14));
      assertEquals(12, model.width(HookPoint.parse("blocks.1.attn.hook_z")));
      assertEquals(20, model.width(HookPoint.parse("blocks.1.mlp.hook_post")));
    }
  }

  @Test
  void severalHooksOfOnePassAreEachAsAlone() throws IOException {
    List<HookPoint> hooks =
        List.of(
            HookPoint.parse("blocks.1.hook_resid_mid"),
            HookPoint.parse("blocks.1.hook_mlp_out"),
            HookPoint.residPre(0));
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder("gpt2-untied-bf16"), ONE_THREAD)) {
      int[][] tokens = {{1, 5, 9}, {1, 2}};
      List<FloatBuffer> together =
          List.of(
              FloatRows.allocate(6, model.dModel()),
              FloatBuffer.allocate(6 * model.dModel()),
              FloatRows.allocate(6, model.dModel()));
      model.activations(hooks, tokens, together);
      for (int i = 0; i < hooks.size(); i++) {
        FloatBuffer alone = FloatRows.allocate(6, model.dModel());
        model.activations(hooks.get(i), tokens, alone);
        assertEquals(alone, together.get(i), hooks.get(i).toString());
      }
    }
  }

  @Test
  void heapAndDirectBuffersHoldTheSameAndPositionsAreKept() throws IOException {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder("llama-tied-bias"), ONE_THREAD)) {
      int[][] tokens = {{1, 5, 9}, {1, 2, 3}};
      FloatBuffer direct = FloatRows.allocate(6, model.dModel());
      model.activations(HookPoint.residPre(2), tokens, direct);
      FloatBuffer heap = FloatBuffer.allocate(6 * model.dModel() + 4).position(3);
      model.activations(HookPoint.residPre(2), tokens, heap);
      assertEquals(3, heap.position());
      assertEquals(0f, heap.get(2));
      assertEquals(direct, heap.slice(3, direct.capacity()));
      float[] fromDirect = new float[6 * model.vocabularySize()];
      float[] fromHeap = new float[fromDirect.length];
      model.logitsFrom(HookPoint.residPre(2), direct, 2, 3, FloatBuffer.wrap(fromDirect));
      model.logitsFrom(HookPoint.residPre(2), heap, 2, 3, FloatBuffer.wrap(fromHeap));
      assertArrayEquals(fromDirect, fromHeap);
    }
  }

  @Test
  void aReplacedResidualChangesTheLogits() throws IOException {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder("gpt2-tied"), ONE_THREAD)) {
      FloatBuffer residual = FloatRows.allocate(3, model.dModel());
      FloatBuffer logits = FloatRows.allocate(3, model.vocabularySize());
      FloatBuffer replaced = FloatRows.allocate(3, model.vocabularySize());
      int[][] tokens = {{0, 7, 8}};
      model.logits(tokens, logits);
      model.activations(HookPoint.residPre(1), tokens, residual);
      residual.put(model.dModel(), 2 + residual.get(model.dModel()));
      model.logitsFrom(HookPoint.residPre(1), residual, 1, 3, replaced);
      int vocabulary = model.vocabularySize();
      assertEquals(logits.get(0), replaced.get(0), 1e-5f, "the token before is unaffected");
      assertTrue(
          Math.abs(logits.get(vocabulary) - replaced.get(vocabulary)) > 1e-3, "the token itself");
      assertTrue(
          Math.abs(logits.get(2 * vocabulary) - replaced.get(2 * vocabulary)) > 1e-3,
          "the token after");
    }
  }

  @Test
  void aDownloadCacheKeepsFilesElsewhereUnderOtherNames() throws IOException {
    Path copy = GoldenModels.copy("llama-untied-fp16-sharded", temp.resolve("copy"));
    Path blobs = Files.createDirectories(temp.resolve("blobs"));
    Path snapshot = Files.createDirectories(temp.resolve("snapshots/abc"));
    try (var files = Files.list(copy)) {
      for (Path file : files.toList()) {
        Path blob = blobs.resolve("0" + file.getFileName().toString().hashCode());
        Files.move(file, blob);
        Files.createSymbolicLink(
            snapshot.resolve(file.getFileName()),
            Path.of("../../blobs").resolve(blob.getFileName()));
      }
    }
    assertSameLogits(snapshot, GoldenModels.folder("llama-untied-fp16-sharded"));
  }

  @Test
  void theFirstGpt2CheckpointsHaveShorterNames() throws IOException {
    Path folder = GoldenModels.copy("gpt2-tied", temp);
    Path file = folder.resolve("model.safetensors");
    // A JSON header may contain spaces, so that no offset changes.
    String renamed =
        Files.readString(file, StandardCharsets.ISO_8859_1)
            .replace("\"transformer.", " ".repeat(12) + "\"");
    Files.writeString(file, renamed, StandardCharsets.ISO_8859_1);
    assertSameLogits(folder, GoldenModels.folder("gpt2-tied"));
  }

  @Test
  void gemma3WithImagesGoesByTwoNamesAndLeavesOutWhatIsUsual() throws IOException {
    Path folder = GoldenModels.copy("gemma3-images-bf16", temp);
    Path file = folder.resolve("model.safetensors");
    String renamed =
        Files.readString(file, StandardCharsets.ISO_8859_1)
            .replace("\"language_model.model.", "\"model.language_model.");
    Files.writeString(file, renamed, StandardCharsets.ISO_8859_1);
    assertSameLogits(folder, GoldenModels.folder("gemma3-images-bf16"));

    GoldenModels.edit(folder.resolve("config.json"), ",\n    \"vocab_size\": 33", "");
    assertFormat(folder, "model.language_model.embed_tokens.weight", "[262208, 16], got [33, 16]");
  }

  @Test
  void aStrangersFamilyIsFound() throws IOException {
    Path folder = GoldenModels.copy("gpt2-tied", temp);
    GoldenModels.edit(
        folder.resolve("config.json"), "\"model_type\": \"gpt2\"", "\"model_type\": \"stranger\"");
    assertSameLogits(folder, GoldenModels.folder("gpt2-tied"));
  }

  private static void assertSameLogits(Path one, Path other) throws IOException {
    try (OnnxModel a = OnnxModel.open(one, ONE_THREAD);
        OnnxModel b = OnnxModel.open(other, ONE_THREAD)) {
      FloatBuffer ofOne = FloatRows.allocate(2, a.vocabularySize());
      FloatBuffer ofOther = FloatRows.allocate(2, b.vocabularySize());
      a.logits(new int[][] {{1, 2}}, ofOne);
      b.logits(new int[][] {{1, 2}}, ofOther);
      assertEquals(ofOther, ofOne);
    }
  }

  @Test
  void droppedSequencesLeaveTheOthersAsTheyWere() throws IOException {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder("llama-tied-bias"), ONE_THREAD);
        Decoder many = model.decoder(3, 32);
        Decoder one = model.decoder(1, 32)) {
      many.step(new int[] {1, 2, 3});
      many.step(new int[] {4, 5, 6});
      many.drop(0);
      assertEquals(2, many.rows());
      one.step(new int[] {3});
      one.step(new int[] {6});
      for (int token = 7; token < 30; token++) {
        many.step(new int[] {token, token + 1});
        one.step(new int[] {token});
        for (int i = 0; i < model.vocabularySize(); i++) {
          assertEquals(
              one.logits().get(i), many.logits().get(i), 1e-4f, "the last sequence took row 0");
        }
      }
    }
  }

  @Test
  void aSequenceIsTheSameToTheBitWhateverRunsBesideIt() throws IOException {
    Path folder = GoldenModels.copy("llama-tied-bias", temp);
    GoldenModels.edit(
        folder.resolve("config.json"),
        "\"max_position_embeddings\": 32",
        "\"max_position_embeddings\": 200");
    try (OnnxModel model = OnnxModel.open(folder, ONE_THREAD);
        Decoder many = model.decoder(5, 200);
        Decoder one = model.decoder(1, 200)) {
      many.start(2);
      for (int at = 0; at < 190; at++) {
        if (at == 150) { // the long one ends, and its room shrinks
          many.drop(0);
          assertEquals(50, many.length(0));
        } else if (at >= 100 && many.length(many.rows() - 1) % 50 == 0) {
          many.restart(many.rows() - 1);
          one.start(1);
        }
        int token = at * 7 % 53;
        many.step(new int[] {at < 150 ? at * 11 % 53 : token, token});
        one.step(new int[] {token});
        FloatBuffer last =
            many.logits().slice((many.rows() - 1) * model.vocabularySize(), model.vocabularySize());
        assertEquals(one.logits(), last, "step " + at);
      }
    }
  }

  @Test
  void theCacheGrowsBeyondItsFirstSlots() throws IOException {
    Path folder = GoldenModels.copy("llama-tied-bias", temp);
    GoldenModels.edit(
        folder.resolve("config.json"),
        "\"max_position_embeddings\": 32",
        "\"max_position_embeddings\": 90");
    int[][] tokens = new int[2][90];
    for (int i = 0; i < 90; i++) {
      tokens[0][i] = i * 7 % 53;
      tokens[1][i] = i * 11 % 53;
    }
    try (OnnxModel model = OnnxModel.open(folder, ONE_THREAD);
        Decoder decoder = model.decoder(2, 90)) {
      int vocabulary = model.vocabularySize();
      FloatBuffer whole = FloatRows.allocate(2 * 90, vocabulary);
      model.logits(tokens, whole);
      for (int at = 0; at < 90; at++) {
        decoder.step(new int[] {tokens[0][at], tokens[1][at]});
        for (int i = 0; i < vocabulary; i++) {
          assertEquals(
              whole.get(at * vocabulary + i), decoder.logits().get(i), 1e-4f, "row 0 step " + at);
          assertEquals(
              whole.get((90 + at) * vocabulary + i),
              decoder.logits().get(vocabulary + i),
              1e-4f,
              "row 1");
        }
      }
      assertThrows(IllegalStateException.class, () -> decoder.step(new int[] {1, 1}));
    }
  }

  @Test
  void rejectsBadCalls() throws IOException {
    try (OnnxModel model = OnnxModel.open(GoldenModels.folder("gpt2-untied-bf16"), ONE_THREAD)) {
      FloatBuffer into = FloatRows.allocate(4000);
      HookPoint first = HookPoint.residPre(0);
      assertSays(
          () -> model.activations(HookPoint.residPre(2), new int[][] {{1}}, into),
          "hook_embed or blocks.L.SITE with L in [0, 2) and SITE one of [hook_resid_pre, attn.hook_z,"
              + " hook_attn_out, hook_resid_mid, mlp.hook_post, hook_mlp_out, hook_resid_post], got"
              + " blocks.2.hook_resid_pre");
      assertSays(
          () -> model.activations(HookPoint.parse("blocks.0.hook_z"), new int[][] {{1}}, into),
          "got blocks.0.hook_z");
      assertSays(
          () -> model.logitsFrom(HookPoint.parse("blocks.0.hook_mlp_out"), into, 1, 2, into),
          "such as blocks.0.hook_resid_pre, got blocks.0.hook_mlp_out, which the residual stream bypasses");
      assertSays(
          () -> model.activations(first, new int[][] {{1, 61}}, into),
          "[0, 61), got 61 in sequence 0");
      assertSays(
          () -> model.activations(first, new int[][] {{1, 2}, {-1, 0}}, into),
          "got -1 in sequence 1");
      assertSays(() -> model.logits(new int[2][17], into), "1 to 16 tokens, got 2 of 17");
      assertSays(() -> model.logits(new int[0][], into), "at least one sequence");
      assertSays(
          () -> model.logits(new int[][] {{1, 2}}, FloatRows.allocate(121)),
          "[2, 61] = 122 floats, got 121");
      assertSays(
          () -> model.logitsFrom(first, FloatRows.allocate(11), 1, 1, into),
          "room in blocks.0.hook_resid_pre for [1, 12]");
      assertSays(() -> model.decoder(1, 17), "1 to 16 tokens");
      assertSays(() -> model.decoder(Integer.MAX_VALUE / 100, 16), "buffers of at most 2 GiB");
    }
    assertSays(() -> new OnnxModel.Options(0), "threads >= 1");
  }

  @Test
  void rejectsUseAfterClose() throws IOException {
    OnnxModel model = OnnxModel.open(GoldenModels.folder("gpt2-tied"), ONE_THREAD);
    Decoder decoder = model.decoder(1, 4);
    decoder.close();
    decoder.close();
    assertThrows(IllegalStateException.class, () -> decoder.step(new int[] {1}));
    model.close();
    model.close();
    assertThrows(
        IllegalStateException.class,
        () -> model.logits(new int[][] {{1}}, FloatRows.allocate(300)));
  }

  @Test
  void namesWhatIsMissingOrDamaged() throws IOException {
    assertTrue(
        assertThrows(NoSuchFileException.class, () -> OnnxModel.open(temp.resolve("nowhere")))
            .getMessage()
            .contains("config.json"));

    Path noWeights = GoldenModels.copy("gpt2-tied", temp.resolve("a"));
    Files.delete(noWeights.resolve("model.safetensors"));
    String message =
        assertThrows(NoSuchFileException.class, () -> OnnxModel.open(noWeights)).getMessage();
    assertTrue(message.contains("model.safetensors"), message);

    Path truncated = GoldenModels.copy("gpt2-tied", temp.resolve("b"));
    truncate(truncated.resolve("model.safetensors"), 10);
    assertFormat(truncated, "model.safetensors", "transformer.wte.weight", "truncated");

    Path deeper = GoldenModels.copy("gpt2-tied", temp.resolve("c"));
    GoldenModels.edit(deeper.resolve("config.json"), "\"n_layer\": 3", "\"n_layer\": 4");
    assertFormat(deeper, "model.safetensors", "transformer.h.3.ln_1.weight", "got none");

    Path wider = GoldenModels.copy("gpt2-tied", temp.resolve("d"));
    GoldenModels.edit(wider.resolve("config.json"), "\"vocab_size\": 300", "\"vocab_size\": 301");
    assertFormat(wider, "transformer.wte.weight", "[301, 20], got [300, 20]");

    Path shardGone = GoldenModels.copy("llama-untied-fp16-sharded", temp.resolve("e"));
    Files.delete(shardGone.resolve("model-00003-of-00005.safetensors"));
    message = assertThrows(NoSuchFileException.class, () -> OnnxModel.open(shardGone)).getMessage();
    assertTrue(
        message.contains("model-00003-of-00005.safetensors")
            && message.contains("model.safetensors.index.json names it for model.layers.")
            && message.contains("fetch this shard"),
        message);

    Path shardCut = GoldenModels.copy("llama-untied-fp16-sharded", temp.resolve("e2"));
    truncate(shardCut.resolve("model-00002-of-00005.safetensors"), 10);
    assertFormat(shardCut, "model-00002-of-00005.safetensors", "model.layers.", "truncated");
    truncate(shardCut.resolve("model-00002-of-00005.safetensors"), 3_000);
    assertFormat(shardCut, "model-00002-of-00005.safetensors", "truncated");
    Files.write(shardCut.resolve("model-00002-of-00005.safetensors"), new byte[0]);
    assertFormat(shardCut, "model-00002-of-00005.safetensors", "header", "truncated");
    Files.writeString(
        shardCut.resolve("model-00002-of-00005.safetensors"), "version https://git-lfs.github.com");
    assertFormat(shardCut, "model-00002-of-00005.safetensors", "not a safetensors file");

    Path noMap = GoldenModels.copy("llama-untied-fp16-sharded", temp.resolve("e3"));
    Files.writeString(noMap.resolve("model.safetensors.index.json"), "{\"weight_map\": {}}");
    assertFormat(noMap, "model.safetensors.index.json", "weight_map", "got none");
    Files.writeString(noMap.resolve("model.safetensors.index.json"), "{\"weight_map");
    assertFormat(noMap, "model.safetensors.index.json", "expected JSON");

    Path integers = GoldenModels.copy("gpt2-tied", temp.resolve("e4"));
    Path file = integers.resolve("model.safetensors");
    Files.writeString(
        file,
        Files.readString(file, StandardCharsets.ISO_8859_1).replaceFirst("\"F32\"", "\"I32\""),
        StandardCharsets.ISO_8859_1);
    assertFormat(integers, "model.safetensors", "transformer.", "F32, F16 or BF16, got I32");

    Path wrongShard = GoldenModels.copy("llama-untied-fp16-sharded", temp.resolve("f"));
    GoldenModels.edit(
        wrongShard.resolve("model.safetensors.index.json"),
        "\"model.norm.weight\": \"model-00005",
        "\"model.norm.weight\": \"model-00001");
    assertFormat(wrongShard, "model-00001-of-00005.safetensors", "model.norm.weight");

    Path noJson = GoldenModels.copy("gpt2-tied", temp.resolve("g"));
    Files.writeString(noJson.resolve("config.json"), "{\"model_type\": ");
    assertFormat(noJson, "config.json", "expected JSON");

    Path noEos = GoldenModels.copy("gpt2-untied-bf16", temp.resolve("h"));
    GoldenModels.edit(
        noEos.resolve("config.json"), "\"eos_token_id\": 4", "\"eos_token_id\": null");
    assertFormat(noEos, "eos_token_id");
  }

  private static void truncate(Path file, int bytes) throws IOException {
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
      channel.truncate(channel.size() - bytes);
    }
  }

  @Test
  void aTokenizerFitsTheVocabulary() throws IOException {
    Path folder = GoldenModels.copy("gpt2-tied", temp);
    GoldenModels.edit(folder.resolve("config.json"), "\"vocab_size\": 300", "\"vocab_size\": 280");
    String message =
        assertThrows(SaeFormatException.class, () -> Tokenizer.open(folder)).getMessage();
    assertTrue(
        message.contains("tokenizer.json")
            && message.contains("ids below vocab_size = 280")
            && message.contains("got 299")
            && message.contains("use the tokenizer of this checkpoint"),
        message);

    Path wrongEnd = GoldenModels.copy("gpt2-untied-bf16", temp);
    GoldenModels.edit(
        wrongEnd.resolve("config.json"), "\"eos_token_id\": 4", "\"eos_token_id\": 61");
    assertFormat(wrongEnd, "config.json", "eos_token_id", "below vocab_size = 61, got 61");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '\0',
      textBlock =
          """
          gpt2-tied | "model_type": "gpt2" | "model_type": "mamba" | one of the supported families [gemma2, gemma3, gemma3_text, gpt2, gpt_neox, llama, mistral, qwen2, qwen3, stranger], got "mamba"
          gpt2-tied | "add_cross_attention": false | "add_cross_attention": true | add_cross_attention
          gpt2-tied | "gelu_new" | "mish" | activation_function: expected gelu, gelu_new
          gpt2-tied | "n_head": 4 | "n_head": 3 | n_head: expected a divisor
          gpt2-tied | "n_embd": 20 | "n_embd": -1 | n_embd: expected a positive integer, got -1
          llama-untied-fp16-sharded | "rope_type": "default" | "rope_type": "yarn" | rope_parameters: expected rope_type "default", "linear" or "llama3"
          llama-tied-bias | "rope_theta": 10000.0 | "rope_theta": 1.0, "rope_scaling": {"type": "linear"} | rope_scaling: expected a number > 0 under factor
          llama-tied-bias | "hidden_act": "silu" | "hidden_act": "tanh" | hidden_act
          llama-tied-bias | "num_key_value_heads": 2 | "num_key_value_heads": 4 | num_key_value_heads
          llama-tied-bias | "head_dim": 6 | "head_dim": 5 | head_dim
          gemma3-window | "use_bidirectional_attention": false | "use_bidirectional_attention": true | use_bidirectional_attention: expected false
          gemma3-window | "attn_logit_softcapping": null | "attn_logit_softcapping": 50.0 | attn_logit_softcapping: expected null, got 50.0
          gemma3-window | "rope_type": "linear" | "rope_type": "yarn" | rope_scaling: expected rope_type
          gemma3-images-bf16 | "sliding_attention", | "chunked_attention", | text_config.layer_types: expected 3 times
          gemma3-images-bf16 | "sliding_attention": { | "other": { | text_config.rope_parameters: expected an object under sliding_attention
          gemma3-images-bf16 | "final_logit_softcapping": null | "final_logit_softcapping": 30.0 | text_config.final_logit_softcapping: expected null, got 30.0
          gemma3-images-bf16 | "text_config" | "text" | text_config: expected an object
          """)
  void rejectsWhatItDoesNotSupport(String model, String from, String to, String message)
      throws IOException {
    Path folder = GoldenModels.copy(model, temp);
    GoldenModels.edit(folder.resolve("config.json"), from, to);
    assertFormat(folder, "config.json", message);
  }

  @Test
  void knowsWhichCheckpointsCanBeUsedWhereTheyLie() throws IOException {
    assertTrue(Weights.open(GoldenModels.folder("gpt2-tied")).allFloat32());
    assertFalse(Weights.open(GoldenModels.folder("llama-untied-fp16-sharded")).allFloat32());
    assertFalse(Weights.open(GoldenModels.folder("gemma2-bf16")).allFloat32());
  }

  @Test
  void writesNothingIntoTheFolder() throws IOException {
    Path folder = GoldenModels.copy("gpt2-tied", temp);
    List<Path> before = list(folder);
    try (OnnxModel model = OnnxModel.open(folder, ONE_THREAD)) {
      model.logits(new int[][] {{1}}, FloatRows.allocate(300));
    }
    assertEquals(before, list(folder));
    assertFalse(before.isEmpty());
  }

  private static List<Path> list(Path folder) throws IOException {
    try (var files = Files.list(folder)) {
      return files.sorted().toList();
    }
  }

  private static void assertFormat(Path folder, String... parts) {
    String message =
        assertThrows(SaeFormatException.class, () -> OnnxModel.open(folder)).getMessage();
    for (String part : parts) {
      assertTrue(message.contains(part), message);
    }
  }

  private static void assertSays(Runnable call, String part) {
    String message = assertThrows(IllegalArgumentException.class, call::run).getMessage();
    assertTrue(message.contains(part), message);
  }
}
