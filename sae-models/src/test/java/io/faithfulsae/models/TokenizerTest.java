package io.faithfulsae.models;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TokenizerTest {
  @TempDir Path temp;

  @Test
  void encodesAsThePythonLibraryAndBack() throws IOException {
    Path folder = GoldenModels.folder("gpt2-tied");
    JsonNode cases =
        JsonMapper.builder().build().readTree(Files.readString(folder.resolve("tokenized.json")));
    assertEquals(5, cases.size());
    try (Tokenizer tokenizer = Tokenizer.open(folder)) {
      for (JsonNode one : cases) {
        int[] ids =
            IntStream.range(0, one.path("ids").size())
                .map(i -> one.path("ids").get(i).asInt())
                .toArray();
        assertArrayEquals(ids, tokenizer.encode(one.path("text").asText()), one.toString());
        assertEquals(one.path("text").asText(), tokenizer.decode(ids));
      }
      assertEquals(0, tokenizer.bosToken());
      assertEquals(0, tokenizer.eosToken());
      assertEquals("<|endoftext|>", tokenizer.decode(tokenizer.eosToken()));
    }
  }

  @Test
  void specialTokensFromIdsThenFromNames() throws IOException {
    Path folder = GoldenModels.copy("gpt2-tied", temp);
    GoldenModels.edit(
        folder.resolve("config.json"), "\"bos_token_id\": 0", "\"bos_token_id\": null");
    GoldenModels.edit(
        folder.resolve("config.json"), "\"eos_token_id\": 0", "\"eos_token_id\": null");
    try (Tokenizer byName = Tokenizer.open(folder)) {
      assertEquals(0, byName.eosToken());
    }
    Files.writeString(folder.resolve("generation_config.json"), "{\"eos_token_id\": [7, 8]}");
    GoldenModels.edit(folder.resolve("tokenizer_config.json"), "\"bos_token\"", "\"unk_token\"");
    try (Tokenizer byId = Tokenizer.open(folder)) {
      assertEquals(7, byId.eosToken());
      assertEquals(7, byId.bosToken(), "without a BOS, the EOS begins a text");
    }
  }

  @Test
  void theHostsSettingsOfDjlStayAsTheyWere() throws IOException {
    Map<Object, Object> before = djlProperties();
    Tokenizer.open(GoldenModels.folder("gpt2-tied")).close();
    assertEquals(before, djlProperties());
    System.setProperty("OPT_OUT_TRACKING", "false");
    try {
      Tokenizer.open(GoldenModels.folder("gpt2-tied")).close();
      assertEquals("false", System.getProperty("OPT_OUT_TRACKING"));
    } finally {
      System.clearProperty("OPT_OUT_TRACKING");
    }
    assertEquals(Map.of(), before, "no property was set before");
  }

  private static Map<Object, Object> djlProperties() {
    Map<Object, Object> found = new HashMap<>(System.getProperties());
    found
        .keySet()
        .removeIf(key -> !key.toString().matches("ai\\.djl\\..*|offline|OPT_OUT.*|RUST_.*|DJL_.*"));
    return found;
  }

  @Test
  void rejectsWhatIsNoTokenizer() throws IOException {
    String missing =
        assertThrows(NoSuchFileException.class, () -> Tokenizer.open(temp)).getMessage();
    assertTrue(missing.contains("tokenizer.json"), missing);
    Path folder = GoldenModels.copy("gpt2-tied", temp);
    Files.writeString(folder.resolve("tokenizer.json"), "{}");
    String damaged =
        assertThrows(SaeFormatException.class, () -> Tokenizer.open(folder)).getMessage();
    assertTrue(damaged.contains("expected a Hugging Face tokenizer"), damaged);
  }
}
