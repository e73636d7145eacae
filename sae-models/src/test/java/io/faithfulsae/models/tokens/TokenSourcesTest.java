package io.faithfulsae.models.tokens;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.github.luben.zstd.ZstdOutputStream;
import io.faithfulsae.TokenSource;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.GoldenModels;
import io.faithfulsae.models.Tokenizer;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TokenSourcesTest {
  @TempDir Path temp;
  private Tokenizer tokenizer;

  @BeforeEach
  void open() throws IOException {
    tokenizer = Tokenizer.open(GoldenModels.folder("gpt2-tied"));
  }

  @AfterEach
  void close() {
    tokenizer.close();
  }

  @Test
  void wholeDocumentsKeepTheEndThatWasSampled() throws IOException {
    Path file =
        Files.writeString(
            temp.resolve("a.jsonl"),
            """
            {"text": "", "token_ids": [0, 0]}
            {"text": "a", "token_ids": [0, 5, 0]}
            {"text": "b", "token_ids": [0, 7]}
            {"text": ""}
            """);
    assertEquals(0, tokenizer.bosToken());
    assertEquals(0, tokenizer.eosToken());
    List<int[]> documents = read(TokenSources.documents(file, tokenizer), 0);
    int[][] expected = {{0, 0}, {0, 5, 0}, {0, 7}, {0}};
    assertArrayEquals(expected, documents.toArray());
    // When concatenated, the EOS of one document is the BOS of the next.
    List<int[]> chunks = read(TokenSources.ofFile(file, tokenizer, 6), 0);
    assertArrayEquals(new int[][] {{0, 0, 5, 0, 7, 0}}, chunks.toArray());
  }

  @Test
  void documentsBeginWithBosAndStandEndToEnd() throws IOException {
    Path file =
        Files.writeString(
            temp.resolve("a.txt"),
            "The cat sat.\n<|endoftext|>\nOne day<|endoftext|>  \n<|endoftext|>the sun");
    List<Integer> all = new ArrayList<>();
    for (String text : new String[] {"The cat sat.\n", "One day", "the sun"}) {
      all.add(0);
      IntStream.of(tokenizer.encode(text)).forEach(all::add);
    }
    int[] flat = all.stream().mapToInt(i -> i).toArray();
    List<int[]> chunks = read(TokenSources.ofText(file, tokenizer, 5), 0);
    assertEquals(flat.length / 5, chunks.size(), "the remainder is dropped");
    for (int i = 0; i < chunks.size(); i++) {
      assertArrayEquals(java.util.Arrays.copyOfRange(flat, 5 * i, 5 * i + 5), chunks.get(i));
    }
  }

  @Test
  void aSourceReadsTheSameFromAnywhere() throws IOException {
    Path file = Files.writeString(temp.resolve("a.txt"), "the sun and the cat ".repeat(400));
    TokenSource source = TokenSources.ofFile(file, tokenizer, 16);
    List<int[]> all = read(source, 0);
    List<int[]> rest = read(source, 7);
    assertEquals(all.size() - 7, rest.size());
    assertArrayEquals(all.get(7), rest.get(0));
    assertArrayEquals(all.get(all.size() - 1), rest.get(rest.size() - 1));
    assertTrue(
        source.description().matches("a\\.txt \\(sha256 [0-9a-f]{64}\\), sequences of 16 tokens"));
  }

  @Test
  void theSameDocumentsInAnyFormatHaveTheSameTokens() throws IOException, SQLException {
    Path text =
        Files.writeString(temp.resolve("a.txt"), "The cat sat.<|endoftext|>One day, \"so\"");
    List<int[]> expected = read(TokenSources.ofFile(text, tokenizer, 4), 0);
    assertTrue(expected.size() >= 2);
    Path hub = Files.createDirectories(temp.resolve("hub/data"));
    try (Connection database = DriverManager.getConnection("jdbc:duckdb:");
        Statement statement = database.createStatement()) {
      String rows = "SELECT * FROM (VALUES (1, 'The cat sat.'), (2, 'One day, \"so\"')) t(n, text)";
      for (String target :
          List.of("a.csv", "a.csv.gz", "a.tsv", "a.parquet", "a.jsonl.gz", "a.jsonl.zst")) {
        String path = temp.resolve(target).toString();
        statement.execute(
            target.endsWith("tsv")
                ? "COPY (%s) TO '%s' (FORMAT csv, DELIMITER '\t', QUOTE '')".formatted(rows, path)
                : "COPY (%s) TO '%s'%s"
                    .formatted(rows, path, target.contains("jsonl") ? " (FORMAT json)" : ""));
      }
      for (int part : new int[] {1, 2}) { // a split in two files, as on the hub
        statement.execute(
            "COPY (SELECT * FROM (%s) WHERE n = %d) TO '%s'"
                .formatted(rows, part, hub.resolve("train-0000%d.parquet".formatted(part))));
      }
    }
    try (OutputStream gz = new GZIPOutputStream(Files.newOutputStream(temp.resolve("a.txt.gz")))) {
      gz.write(Files.readAllBytes(text));
    }
    try (OutputStream zst =
        new ZstdOutputStream(Files.newOutputStream(temp.resolve("a.txt.zst")))) {
      zst.write(Files.readAllBytes(text));
    }
    Path lines = Files.createDirectories(temp.resolve("lines"));
    Files.copy(temp.resolve("a.jsonl.zst"), lines.resolve("part-0.jsonl.zst"));
    Files.writeString(lines.resolve("README.txt"), "not part of the text");
    Files.writeString(Files.createDirectories(lines.resolve(".cache")).resolve("b.csv"), "no");
    for (String name :
        List.of(
            "a.csv",
            "a.csv.gz",
            "a.tsv",
            "a.parquet",
            "a.jsonl.gz",
            "a.jsonl.zst",
            "a.txt.gz",
            "a.txt.zst",
            "hub",
            "hub/data/train-*.parquet",
            "lines")) {
      List<int[]> found = read(TokenSources.ofFile(temp.resolve(name), tokenizer, 4), 0);
      assertEquals(expected.size(), found.size(), name);
      for (int i = 0; i < expected.size(); i++) {
        assertArrayEquals(expected.get(i), found.get(i), name);
      }
    }
    SaeFormatException missing =
        assertThrows(
            SaeFormatException.class,
            () ->
                TokenSources.ofFile(
                    temp.resolve("a.csv"),
                    TextOptions.DEFAULT.withColumn("sentence"),
                    tokenizer,
                    4));
    assertTrue(missing.getMessage().contains("[n, text]"), missing.getMessage());
    Files.copy(temp.resolve("a.csv"), hub.resolve("extra.csv"));
    assertSays(hub, 4, "expected files of one format, got [.csv, .parquet]");
    assertThrows(
        NoSuchFileException.class,
        () -> TokenSources.ofFile(hub.resolve("test-*.parquet"), tokenizer, 4));
  }

  @Test
  void sequencesMayEndWhereDocumentsDo() throws IOException {
    Path file =
        Files.writeString(
            temp.resolve("a.txt"), "The cat sat.\n<|endoftext|>\nOne day the sun<|endoftext|>the");
    List<int[]> expected = new ArrayList<>();
    for (String text : new String[] {"The cat sat.\n", "One day the sun", "the"}) {
      int[] tokens = tokenizer.encode(text);
      int[] document = new int[tokens.length + 1];
      System.arraycopy(tokens, 0, document, 1, tokens.length);
      for (int at = 0; at < document.length; at += 5) {
        int end = Math.min(document.length, at + 5);
        if (end - at > 1) {
          expected.add(java.util.Arrays.copyOfRange(document, at, end));
        }
      }
    }
    assertTrue(expected.stream().anyMatch(sequence -> sequence.length < 5));
    TokenSource source =
        TokenSources.ofFile(file, TextOptions.DEFAULT.withinDocuments(), tokenizer, 5);
    for (int first : new int[] {0, 2}) {
      List<int[]> found = read(source, first);
      assertEquals(expected.size() - first, found.size());
      for (int i = 0; i < found.size(); i++) {
        assertArrayEquals(expected.get(first + i), found.get(i), "sequence " + i);
      }
    }
    assertTrue(source.description().contains("within documents"), source.description());
  }

  @Test
  void theColumnIsAFieldOfJsonLinesToo() throws IOException {
    Path file =
        Files.writeString(
            temp.resolve("a.jsonl"),
            "{\"content\": \"THE CAT\", \"text\": \"sun\", \"token_ids\": [0, 1, 2, 3]}\n");
    TextOptions options = TextOptions.DEFAULT.withColumn("content").withLowerCase(true);
    int[] tokens = tokenizer.encode("the cat");
    int[] found = read(TokenSources.ofFile(file, options, tokenizer, 1 + tokens.length), 0).get(0);
    assertEquals(0, found[0]);
    assertArrayEquals(tokens, java.util.Arrays.copyOfRange(found, 1, found.length));
    SaeFormatException none =
        assertThrows(
            SaeFormatException.class,
            () -> TokenSources.ofFile(file, TextOptions.DEFAULT.withColumn("body"), tokenizer, 4));
    assertTrue(none.getMessage().contains("expected a JSON object with body, got none"));
  }

  @Test
  void saysWhatIsWrongWithAPackedFile() throws IOException {
    byte[] text = "The cat sat in the sun. ".repeat(200).getBytes(StandardCharsets.UTF_8);
    Path whole = temp.resolve("whole.txt.zst");
    try (OutputStream zst = new ZstdOutputStream(Files.newOutputStream(whole))) {
      zst.write(text);
    }
    byte[] packed = Files.readAllBytes(whole);
    assertSays(
        Files.write(temp.resolve("cut.txt.zst"), java.util.Arrays.copyOf(packed, 30)),
        4,
        "expected UTF-8, compressed as the file name says");
    assertSays(Files.write(temp.resolve("no.txt.gz"), text), 4, "Not in GZIP format");
    assertSays(
        Files.write(temp.resolve("latin.txt"), new byte[] {'a', (byte) 0xe9, 'b'}), 4, "not UTF-8");
  }

  @Test
  void aLongDocumentInPiecesHasTheSameTokens() throws IOException {
    String text = "The cat liked to sit in the sun.\n".repeat(18_000); // more than two pieces
    Path file = Files.writeString(temp.resolve("long.txt"), text);
    int[] whole = tokenizer.encode(text);
    List<int[]> chunks = read(TokenSources.ofText(file, tokenizer, 1000), 0);
    assertEquals((whole.length + 1) / 1000, chunks.size());
    for (int i = 0; i < chunks.size(); i++) {
      for (int j = 0; j < 1000; j++) {
        int at = 1000 * i + j;
        assertEquals(at == 0 ? 0 : whole[at - 1], chunks.get(i)[j], "token " + at);
      }
    }
  }

  @Test
  void jsonLinesHoldIdsOrText() throws IOException {
    Path file =
        Files.writeString(
            temp.resolve("a.jsonl"),
            """
            {"token_ids": [0, 11, 12, 0], "text": "is not read"}
            {"token_ids": [13]}

            {"text": "The cat"}
            """);
    List<Integer> all = new ArrayList<>(List.of(0, 11, 12, 0, 13, 0));
    IntStream.of(tokenizer.encode("The cat")).forEach(all::add);
    List<int[]> chunks = read(TokenSources.ofFile(file, tokenizer, 2), 0);
    for (int i = 0; i < chunks.size(); i++) {
      assertArrayEquals(new int[] {all.get(2 * i), all.get(2 * i + 1)}, chunks.get(i));
    }
    assertEquals(all.size() / 2, chunks.size());
  }

  @Test
  void saysWhatIsWrongWithAFile() throws IOException {
    for (String nothing : new String[] {"", "  \n\n", "<|endoftext|>\n<|endoftext|>"}) {
      Path file = Files.writeString(temp.resolve("nothing.txt"), nothing);
      assertSays(file, 8, "expected text, got none; choose a file with text");
    }
    assertSays(
        Files.writeString(temp.resolve("short.txt"), "a"), 8, "one sequence of 8 tokens, got 2");
    assertSays(
        Files.writeString(temp.resolve("b.jsonl"), "{\"text\": \"a\"}\nnot json\n"),
        8,
        "document 2: expected a JSON");
    assertSays(Files.writeString(temp.resolve("c.jsonl"), "{\"words\": \"a\"}\n"), 8, "document 1");
    IllegalArgumentException e =
        assertThrows(
            IllegalArgumentException.class,
            () ->
                TokenSources.ofText(Files.writeString(temp.resolve("d.txt"), "abc"), tokenizer, 1));
    assertTrue(e.getMessage().contains("contextLength >= 2"), e.getMessage());
  }

  @Test
  void aLaterFaultIsToldWhenItIsReached() throws IOException {
    Path file =
        Files.writeString(
            temp.resolve("e.jsonl"), "{\"token_ids\": [0, 1, 2, 3]}\n".repeat(3) + "oops\n");
    TokenSource source = TokenSources.ofFile(file, tokenizer, 4);
    String message = assertThrows(UncheckedIOException.class, () -> read(source, 0)).getMessage();
    assertTrue(message.contains("document 4"), message);
  }

  private void assertSays(Path file, int contextLength, String part) {
    String message =
        assertThrows(
                SaeFormatException.class, () -> TokenSources.ofFile(file, tokenizer, contextLength))
            .getMessage();
    assertTrue(message.contains(part) && message.contains(file.getFileName().toString()), message);
  }

  private static List<int[]> read(TokenSource source, long first) throws IOException {
    try (Stream<int[]> sequences = source.open(first)) {
      return sequences.toList();
    }
  }
}
