package io.faithfulsae.models.generate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.models.Decoder;
import io.faithfulsae.models.GoldenModels;
import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FaithfulDatasetTest {
  private static final JsonMapper JSON = JsonMapper.builder().build();

  @TempDir Path temp;
  private OnnxModel model;
  private Tokenizer tokenizer;

  @BeforeEach
  void open() throws IOException {
    Path folder = GoldenModels.folder("gpt2-tied");
    model = OnnxModel.open(folder, new OnnxModel.Options(1));
    tokenizer = Tokenizer.open(folder);
  }

  @AfterEach
  void close() {
    tokenizer.close();
    model.close();
  }

  private FaithfulDataset.Result write(GenerationConfig config, String name) throws IOException {
    return FaithfulDataset.write(model, tokenizer, config, temp.resolve(name), progress -> true);
  }

  private List<JsonNode> records(String name) throws IOException {
    List<JsonNode> records = new ArrayList<>();
    for (String line : Files.readAllLines(temp.resolve(name))) {
      records.add(JSON.readTree(line));
    }
    return records;
  }

  @Test
  void recordsSayAllThatIsNeeded() throws IOException {
    FaithfulDataset.Result result =
        write(new GenerationConfig(300, 12, 0.8, 0.95, 7, 4), "a.jsonl");
    List<JsonNode> records = records("a.jsonl");
    long tokens = 0;
    long changed = 0;
    for (int i = 0; i < records.size(); i++) {
      JsonNode record = records.get(i);
      assertEquals(i, record.path("id").asInt());
      assertEquals(7, record.path("seed").asInt());
      assertEquals(0.8, record.path("temp").asDouble());
      assertEquals(0.95, record.path("top_p").asDouble());
      int[] ids = ids(record);
      assertEquals(record.path("tokens").asInt(), ids.length);
      assertTrue(ids.length >= 2 && ids.length <= 12);
      assertEquals(model.bosToken(), ids[0]);
      int end = ids.length;
      for (int j = 1; j < ids.length; j++) {
        if (ids[j] == model.eosToken()) {
          assertEquals(ids.length - 1, j, "nothing follows EOS");
          end = j;
        }
      }
      assertTrue(end < ids.length || ids.length == 12, "a record ends with EOS or at the limit");
      int[] inner = java.util.Arrays.copyOfRange(ids, 1, end);
      assertEquals(tokenizer.decode(inner), record.path("text").asText());
      changed +=
          java.util.Arrays.equals(inner, tokenizer.encode(record.path("text").asText())) ? 0 : 1;
      tokens += ids.length;
    }
    assertEquals(tokens, result.tokens());
    assertEquals(records.size(), result.records());
    assertEquals((double) changed / records.size(), result.retokenizedDifferently());
    assertTrue(
        tokens >= 300 && tokens < 300 + 12, "it ends with the record that reaches the budget");
    assertTrue(result.complete());
  }

  @Test
  void theFirstTokenFollowsTheModelsOwnDistribution() throws IOException {
    write(new GenerationConfig(4000, 2, 1.5, 1, 3, 50), "a.jsonl");
    int[] counts = new int[model.vocabularySize()];
    records("a.jsonl").forEach(record -> counts[ids(record)[1]]++);
    try (Decoder decoder = model.decoder(1, 1)) {
      decoder.temperature(1.5);
      decoder.step(new int[] {model.bosToken()});
      double statistic = 0;
      int categories = 0;
      double restExpected = 0;
      double restSeen = 0;
      for (int token = 0; token < counts.length; token++) {
        double expected = 2000 * decoder.probabilities().get(token);
        if (expected >= 5) {
          statistic += Math.pow(counts[token] - expected, 2) / expected;
          categories++;
        } else {
          restExpected += expected;
          restSeen += counts[token];
        }
      }
      statistic += Math.pow(restSeen - restExpected, 2) / Math.max(restExpected, 5);
      // Mean `categories`, standard deviation sqrt(2 categories): more than four deviations mean
      // another distribution.
      assertTrue(
          statistic < categories + 4 * Math.sqrt(2.0 * categories),
          statistic + " for " + categories);
      assertTrue(categories > 5, "too few categories for the test");
    }
  }

  @Test
  void aStoppedRunGoesOnAndGivesTheSameBytes() throws IOException {
    GenerationConfig config = new GenerationConfig(600, 16, 1, 1, 42, 8);
    write(config, "whole.jsonl");
    write(config, "stopped.jsonl");
    byte[] whole = Files.readAllBytes(temp.resolve("whole.jsonl"));
    // As left by a run that was killed in the middle of a line in the middle of a batch.
    Path part = temp.resolve("stopped.jsonl.part");
    Files.delete(temp.resolve("stopped.jsonl"));
    for (int keep : new int[] {0, 1, whole.length / 3, whole.length / 2 + 1, whole.length - 1}) {
      Files.write(part, java.util.Arrays.copyOf(whole, keep));
      FaithfulDataset.Result result = write(config, "stopped.jsonl");
      assertEquals(
          -1,
          Files.mismatch(temp.resolve("whole.jsonl"), temp.resolve("stopped.jsonl")),
          "kept " + keep);
      assertTrue(result.complete());
      assertFalse(Files.exists(part));
      Files.delete(temp.resolve("stopped.jsonl"));
    }
  }

  @Test
  void recordsAreTheSameWhateverRunsBesideThem() throws IOException {
    write(new GenerationConfig(3_000, 20, 1, 0.97, 42, 1), "alone.jsonl");
    byte[] alone = Files.readAllBytes(temp.resolve("alone.jsonl"));
    for (int batch : new int[] {2, 7, 64, 500}) {
      String name = batch + ".jsonl";
      write(new GenerationConfig(3_000, 20, 1, 0.97, 42, batch), name);
      assertEquals(-1, Files.mismatch(temp.resolve("alone.jsonl"), temp.resolve(name)), name);
    }
    // Killed repeatedly, and resumed each time with another batch size.
    Path part = temp.resolve("7.jsonl.part");
    Files.delete(temp.resolve("7.jsonl"));
    for (int batch = 1; batch < 10; batch++) {
      Files.write(part, java.util.Arrays.copyOf(alone, alone.length * batch / 10));
      write(new GenerationConfig(3_000, 20, 1, 0.97, 42, batch), "7.jsonl");
      assertEquals(-1, Files.mismatch(temp.resolve("alone.jsonl"), temp.resolve("7.jsonl")));
      Files.delete(temp.resolve("7.jsonl"));
    }
  }

  /** A change would resume data sets that were started with other random numbers. */
  @Test
  void theRecordsOfASeedStay() throws IOException, NoSuchAlgorithmException {
    write(new GenerationConfig(20_000, 24, 0.9, 1, 9, 16), "a.jsonl");
    byte[] hash =
        MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(temp.resolve("a.jsonl")));
    assertEquals(
        "a04a2ca8eae46397e3b1374909535e8c9a6d41565ae7218f967b2a97764d136d",
        HexFormat.of().formatHex(hash));
  }

  /** Records of Well19937c(seed, id) were correlated; a file must not mix them with others. */
  @Test
  void doesNotResumeRecordsOfAnotherGenerator() throws IOException {
    GenerationConfig config = new GenerationConfig(50, 16, 1, 1, 1, 8);
    write(config, "a.jsonl");
    Path settings = temp.resolve("a.jsonl.settings.json");
    String mine = Files.readString(settings);
    assertTrue(mine.contains("\"random\" : \"philox4x64-10(seed, record)\""), mine);
    String old = mine.replace("philox4x64-10(seed, record)", "Well19937c(seed, id)");
    String none = mine.replaceFirst(",\\s+\"random\" : \"[^\"]+\"", "");
    assertFalse(none.contains("random"), none);
    for (String name : new String[] {"a.jsonl", "a.jsonl.part"}) {
      if (name.endsWith(".part")) {
        Files.move(temp.resolve("a.jsonl"), temp.resolve(name));
      }
      byte[] before = Files.readAllBytes(temp.resolve(name));
      for (long budget : new long[] {50, 500}) {
        GenerationConfig more = new GenerationConfig(budget, 16, 1, 1, 1, 8);
        Files.writeString(settings, old);
        assertRejected(more, "got Well19937c(seed, id)");
        Files.writeString(settings, none);
        assertRejected(more, "got no generator in its settings");
      }
      assertArrayEquals(before, Files.readAllBytes(temp.resolve(name)));
    }
    Files.writeString(settings, mine);
    assertTrue(write(config, "a.jsonl").complete());
  }

  private void assertRejected(GenerationConfig config, String got) {
    String message =
        assertThrows(IllegalArgumentException.class, () -> write(config, "a.jsonl")).getMessage();
    assertTrue(message.contains(got), message);
    assertTrue(message.contains("delete the file and generate it again"), message);
    assertTrue(message.contains("do not follow the model's distribution"), message);
  }

  @Test
  void aLargerBudgetMakesTheFileLonger() throws IOException {
    write(new GenerationConfig(100, 16, 1, 1, 42, 8), "grown.jsonl");
    String small = Files.readString(temp.resolve("grown.jsonl"));
    write(new GenerationConfig(500, 16, 1, 1, 42, 8), "grown.jsonl");
    write(new GenerationConfig(500, 16, 1, 1, 42, 8), "whole.jsonl");
    String grown = Files.readString(temp.resolve("grown.jsonl"));
    assertTrue(grown.startsWith(small) && grown.length() > small.length());
    assertEquals(Files.readString(temp.resolve("whole.jsonl")), grown);
    FaithfulDataset.Result again = write(new GenerationConfig(500, 16, 1, 1, 42, 8), "grown.jsonl");
    assertEquals(grown, Files.readString(temp.resolve("grown.jsonl")));
    assertEquals(0, again.tokensPerSecond(), "nothing was left to do");
  }

  @Test
  void seedsDifferAndRecordsDiffer() throws IOException {
    write(new GenerationConfig(200, 16, 1, 1, 1, 8), "one.jsonl");
    write(new GenerationConfig(200, 16, 1, 1, 2, 8), "two.jsonl");
    List<JsonNode> one = records("one.jsonl");
    assertNotEquals(one.get(0).path("text"), records("two.jsonl").get(0).path("text"));
    assertNotEquals(one.get(0).path("text"), one.get(1).path("text"));
  }

  @Test
  void aCancelledRunKeepsWhatIsWritten() throws IOException {
    GenerationConfig config = new GenerationConfig(Long.MAX_VALUE, 24, 1, 1, 42, 8);
    FaithfulDataset.Result stopped =
        FaithfulDataset.write(
            model, tokenizer, config, temp.resolve("a.jsonl"), progress -> progress.records() < 8);
    assertFalse(stopped.complete());
    assertTrue(stopped.file().endsWith("a.jsonl.part") && stopped.records() >= 8);
    assertFalse(Files.exists(temp.resolve("a.jsonl")));
    write(new GenerationConfig(stopped.tokens() + 100, 24, 1, 1, 42, 8), "a.jsonl");
    assertTrue(records("a.jsonl").size() > stopped.records());
  }

  @Test
  void doesNotMixSettings() throws IOException {
    write(new GenerationConfig(50, 16, 1, 1, 1, 8), "a.jsonl");
    String message =
        assertThrows(
                IllegalArgumentException.class,
                () -> write(new GenerationConfig(50, 16, 0.5, 1, 1, 8), "a.jsonl"))
            .getMessage();
    assertTrue(
        message.contains("\"temp\":0.5") && message.contains("; choose another file"), message);
    message =
        assertThrows(
                IllegalArgumentException.class,
                () -> write(new GenerationConfig(50, 25, 1, 1, 1, 8), "b.jsonl"))
            .getMessage();
    assertTrue(message.contains("maxLength <= 24") && message.contains("got 25"), message);
    for (double topP : new double[] {0, 1.1, Double.NaN}) {
      assertThrows(
          IllegalArgumentException.class, () -> new GenerationConfig(50, 16, 1, topP, 1, 8));
    }
    assertThrows(IllegalArgumentException.class, () -> new GenerationConfig(50, 16, 0, 1, 1, 8));
    assertThrows(IllegalArgumentException.class, () -> new GenerationConfig(0, 16, 1, 1, 1, 8));
  }

  private static int[] ids(JsonNode record) {
    return java.util.stream.IntStream.range(0, record.path("token_ids").size())
        .map(i -> record.path("token_ids").get(i).asInt())
        .toArray();
  }
}
