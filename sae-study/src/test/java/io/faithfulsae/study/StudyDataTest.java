package io.faithfulsae.study;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.models.OnnxModel;
import io.faithfulsae.models.Tokenizer;
import io.faithfulsae.study.StudyConfig.DataSet;
import io.faithfulsae.study.provenance.Json;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Texts of a study in any format, and how they are identified. */
final class StudyDataTest {
  private static final StudyConfig CONFIG =
      StudyFile.defaults().models().values().iterator().next();

  @TempDir Path dir;

  /** Completed steps must remain valid: the inputs of their keys are fixed. */
  @Test
  void plainTextIsKnownByTheHashOfItsText() throws IOException {
    // Long enough for several blocks; with capitals whose lower case depends on their context.
    String text = "Once ΟΔΥΣΣΕΥΣ, İSTANBUL 😀\n and THE CAT ".repeat(9_000);
    StudyData data = new StudyData(CONFIG, null, null, 24);
    for (String name : new String[] {"a.txt", "a.jsonl", "a.md"}) {
      Path file = Files.writeString(dir.resolve(name), text);
      for (boolean lower : new boolean[] {true, false}) {
        DataSet set = new DataSet("web", null, file.toString(), null, lower, 100L, null, null);
        String known = lower ? text.toLowerCase(Locale.ROOT) : text;
        assertEquals(
            "[{\"name\":\"web\",\"file\":\"%s\",\"lowerCase\":%s,\"tokens\":100},24,0.1,6,\"%s\"]"
                .formatted(file, lower, Json.sha256(known.getBytes(StandardCharsets.UTF_8))),
            Json.line(inputs(data, set)));
        Path copy =
            new StudyText(set, null, lower)
                .write(Files.createDirectories(dir.resolve(name + lower)));
        assertEquals(name.endsWith(".jsonl") ? "text.jsonl" : "text.txt", "" + copy.getFileName());
        assertEquals(known, Files.readString(copy));
      }
    }
  }

  @Test
  void packedTablesGiveTheSameTokensAsPlainText() throws IOException {
    StringBuilder plain = new StringBuilder();
    StringBuilder table = new StringBuilder("n,story\n");
    for (int i = 0; i < 300; i++) {
      String story = "Once upon a time cat number " + i + " sat in the sun";
      plain.append(story).append("<|endoftext|>");
      table.append(i).append(',').append(story).append('\n');
    }
    Path text = Files.writeString(dir.resolve("a.txt"), plain);
    Path folder = Files.createDirectories(dir.resolve("hub/data"));
    Path csv = folder.resolve("train-0.csv.gz");
    pack(table.toString(), csv);
    Path model = EmbeddedModel.unpack(dir.resolve("model"));
    try (OnnxModel open = OnnxModel.open(model);
        Tokenizer tokenizer = Tokenizer.open(model)) {
      StudyData data = new StudyData(CONFIG, open, tokenizer, 24);
      StudyData.Prepared expected = prepare(data, set(text, null), "plain");
      for (Path given : new Path[] {csv, dir.resolve("hub"), folder.resolve("train-*.csv.gz")}) {
        DataSet set = set(given, "story");
        StudyData.Prepared found = prepare(data, set, "step" + given.hashCode());
        assertEquals(expected.hash(), found.hash(), given.toString());
        assertEquals(41, found.sequences(), "at most the token limit");
        assertTrue(Json.line(inputs(data, set)).contains("column story, lower case"));
        assertFalse(Files.exists(dir.resolve("step" + given.hashCode()).resolve("text.txt")));
      }
      String before = Json.line(inputs(data, set(csv, "story")));
      pack(table + "300,one more\n", csv);
      assertNotEquals(before, Json.line(inputs(data, set(csv, "story"))));
    }
  }

  private static void pack(String text, Path file) throws IOException {
    try (OutputStream gz = new GZIPOutputStream(Files.newOutputStream(file))) {
      gz.write(text.getBytes(StandardCharsets.UTF_8));
    }
  }

  private StudyData.Prepared prepare(StudyData data, DataSet set, String step) throws IOException {
    return data.prepare(data.given(set, null), Files.createDirectories(dir.resolve(step)));
  }

  private static Object inputs(StudyData data, DataSet set) throws IOException {
    return data.inputs(set, data.known(data.given(set, null)));
  }

  private static DataSet set(Path file, String column) {
    return new DataSet("web", null, file.toString(), null, null, 1_000L, column, null);
  }
}
