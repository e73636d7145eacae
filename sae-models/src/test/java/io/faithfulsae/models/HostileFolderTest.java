package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.spi.Weights;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Model folders that someone made to do harm: each is refused with a message that names a file. */
class HostileFolderTest {
  private static final String SHARD = "model-00002-of-00005.safetensors";

  @TempDir Path temp;

  @ParameterizedTest
  @ValueSource(strings = {"../elsewhere/stolen", "/etc/hostname", "a/../../x", "", "x\\u0000y"})
  void anIndexNamesFilesOfItsFolderOnly(String name) throws IOException {
    Path folder = GoldenModels.copy("llama-untied-fp16-sharded", temp);
    Files.createDirectories(temp.resolve("elsewhere"));
    Files.copy(folder.resolve(SHARD), temp.resolve("elsewhere/stolen"));
    GoldenModels.edit(folder.resolve("model.safetensors.index.json"), SHARD, name);
    assertRefused(
        () -> Weights.open(folder), "weight_map.", "expected a file in the same folder, got");
  }

  @Test
  void aLinkToTheFileOfADownloadCacheIsFollowed() throws IOException {
    Path folder = GoldenModels.copy("llama-untied-fp16-sharded", temp);
    Files.createDirectories(temp.resolve("blobs"));
    Files.move(folder.resolve(SHARD), temp.resolve("blobs/1234"));
    Files.createSymbolicLink(folder.resolve(SHARD), Path.of("../blobs/1234"));
    assertEquals(temp.toRealPath(), Weights.open(folder).root());
  }

  @ParameterizedTest
  @ValueSource(strings = {"model.safetensors", "config.json", "tokenizer.json"})
  void aPipeIsRefusedRatherThanWaitedFor(String name) throws Exception {
    Path folder = GoldenModels.copy("gpt2-tied", temp);
    Files.delete(folder.resolve(name));
    assertEquals(
        0, new ProcessBuilder("mkfifo", folder.resolve(name).toString()).start().waitFor());
    assertTimeoutPreemptively(
        Duration.ofMinutes(1),
        () ->
            assertRefused(
                name.startsWith("tokenizer")
                    ? () -> Tokenizer.open(folder)
                    : () -> OnnxModel.open(folder),
                name,
                "expected a regular file, got a pipe"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"gemma2-window", "gemma3-window", "llama-tied-bias", "gpt2-tied"})
  void moreLayersThanAnyWeightsTakeNoMemory(String name) throws IOException {
    Path folder = GoldenModels.copy(name, temp);
    Path config = folder.resolve("config.json");
    String text = Files.readString(config);
    Files.writeString(
        config,
        text.replaceFirst("\"(num_hidden_layers|n_layer)\": \\d+", "\"$1\": " + Integer.MAX_VALUE)
            .replaceFirst("\"layer_types\": \\[[^]]*]", "\"layer_types\": null"));
    assertRefused(() -> OnnxModel.open(folder), "model.safetensors", "expected a tensor of shape");
  }

  private static void assertRefused(Executable opening, String where, String problem) {
    String said = assertThrows(SaeFormatException.class, opening).getMessage();
    assertTrue(said.contains(where) && said.contains(problem), said);
  }
}
