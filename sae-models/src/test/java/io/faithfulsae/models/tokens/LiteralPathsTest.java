package io.faithfulsae.models.tokens;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.github.luben.zstd.ZstdOutputStream;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.GoldenModels;
import io.faithfulsae.models.Tokenizer;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import java.util.stream.Stream;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** An existing path means that file and nothing else, whatever its characters mean elsewhere. */
class LiteralPathsTest {
  private static final List<String> ENDINGS =
      List.of(".csv", ".tsv", ".jsonl", ".csv.gz", ".tsv.gz", ".csv.zst", ".jsonl.gz", ".parquet");

  /** Folder and name without extension; each has a neighbor that a pattern would match. */
  private static final String[][] NAMES = {
    {"", "data[12]", "data1"},
    {"", "part?", "part1"},
    {"", "*", "every"},
    {"", "{a,b}", "a"},
    {"", "[!x]", "y"},
    {"", "back\\slash[1]", "backslash1"},
    {"", "it's \"quoted\" [12]", "it's \"quoted\" 1"},
    {"", "line\nend", "line"},
    {"", "schnee ☃ ü", "schnee"},
    {"text=hello/n=7", "hive", "other"},
    {"a[b]*/d?", "x[1]", "x1"},
    {"http:/localhost:9", "table", "other"},
    {"s3:/bucket", "table", "other"},
    {"", "' , hive_partitioning = true) --", "other"},
  };

  @TempDir Path dir;

  @Test
  void everyFormatReadsTheFileThatIsNamed() throws IOException, SQLException {
    Path made = Files.createDirectories(dir.resolve("made"));
    for (String ending : ENDINGS) {
      write(made.resolve("one" + ending), ending, "the one");
      write(made.resolve("other" + ending), ending, "another");
    }
    for (int i = 0; i < NAMES.length; i++) {
      String[] name = NAMES[i];
      Path folder = Files.createDirectories(dir.resolve(name[0]));
      for (int j = 0;
          j < 3;
          j++) { // each format with several names, each name with several formats
        String ending = ENDINGS.get((i + 3 * j) % ENDINGS.size());
        Path named = folder.resolve(name[1] + ending);
        Files.copy(made.resolve("one" + ending), named);
        Files.copy(made.resolve("other" + ending), folder.resolve(name[2] + ending));
        assertEquals(List.of(named), TextFiles.of(named));
        TableFile table = TableFile.of(named, true);
        assertEquals(List.of("text", "n"), table.columns(), named.toString());
        try (Stream<List<String>> rows = table.rows(List.of("text", "n"))) {
          assertEquals(List.of(List.of("the one", "1")), rows.toList(), named.toString());
        }
      }
    }
  }

  @Test
  void aRelativePathThatLooksLikeAnAddressIsAFileThatIsMissing() throws IOException {
    for (String address : new String[] {"http://localhost:9/a.csv", "s3://bucket/a.parquet"}) {
      Path path = Path.of(address);
      String said =
          assertThrows(SaeFormatException.class, () -> TableFile.of(path, true).columns())
              .getMessage();
      assertTrue(said.contains("expected a file, got none"), said);
    }
  }

  @Test
  void foldersAndPatternsAreExpandedHere() throws IOException, SQLException {
    Path folder = Files.createDirectories(dir.resolve("text=hello"));
    write(folder.resolve("part[1].csv"), ".csv", "The cat sat on the mat. ");
    write(folder.resolve("part1.csv"), ".csv", "One day the sun came up. ");
    Files.createDirectories(folder.resolve("part2.csv"));
    try (Tokenizer tokenizer = Tokenizer.open(GoldenModels.folder("gpt2-tied"))) {
      int[] cat = first(folder.resolve("part[1].csv"), tokenizer);
      int[] day = first(folder.resolve("part1.csv"), tokenizer);
      assertArrayEquals(
          tokenizer.encode("The cat sat on the mat. "),
          java.util.Arrays.copyOfRange(cat, 1, cat.length));
      for (Path several : List.of(folder, folder.resolve("part*.csv"))) {
        try (Stream<int[]> documents = TokenSources.documents(several, tokenizer).open(0)) {
          List<int[]> all = documents.toList();
          assertEquals(2, all.size());
          assertArrayEquals(day, all.get(0));
          assertArrayEquals(cat, all.get(1));
        }
      }
    }
    assertEquals(
        List.of(folder.resolve("part1.csv").toAbsolutePath()),
        TextFiles.of(folder.resolve("part?.csv")));
    assertThrows(NoSuchFileException.class, () -> TextFiles.of(folder.resolve("none*.csv")));
    String said =
        assertThrows(SaeFormatException.class, () -> TextFiles.of(folder.resolve("x[.csv")))
            .getMessage();
    assertTrue(said.contains("expected a file, or a pattern, got neither"), said);
  }

  @Test
  void theDatabaseReadsNothingElse() throws IOException, SQLException {
    Path file = dir.resolve("a.csv");
    Path other = dir.resolve("b.csv");
    write(file, ".csv", "mine");
    write(other, ".csv", "not mine");
    for (String statement :
        List.of(
            "SELECT * FROM '" + other + "'",
            "SELECT * FROM read_text('" + other + "')",
            "COPY (SELECT 1) TO '" + dir.resolve("c.csv") + "'",
            "SELECT * FROM read_csv('http://localhost:9/a.csv')",
            "INSTALL httpfs",
            "LOAD httpfs",
            "SET enable_external_access = true")) {
      try (OneFileDatabase database = OneFileDatabase.open(file, ".csv")) {
        assertThrows(SQLException.class, () -> database.query(statement), statement);
      }
    }
  }

  @Test
  void nothingIsLeftInTheTemporaryFolder() throws IOException, SQLException {
    Path file = dir.resolve("a.csv");
    write(file, ".csv", "mine");
    Path link;
    try (OneFileDatabase database = OneFileDatabase.open(file, ".csv")) {
      link = Path.of(database.path().replace("'", ""));
      assertTrue(Files.isSymbolicLink(link));
    }
    assertTrue(Files.notExists(link.getParent()) && Files.exists(file));
    Files.writeString(file, "text\n\"open");
    String said =
        assertThrows(
                SaeFormatException.class,
                () -> TableFile.of(dir.resolve("a.csv"), true).rows(List.of("none")))
            .getMessage();
    assertTrue(!said.contains(OneFileDatabase.FOLDER), said);
  }

  private static int[] first(Path file, Tokenizer tokenizer) throws IOException {
    try (Stream<int[]> documents = TokenSources.documents(file, tokenizer).open(0)) {
      return documents.findFirst().orElseThrow();
    }
  }

  /** Columns {@code text} and {@code n}, one row. */
  private static void write(Path file, String ending, String text)
      throws IOException, SQLException {
    if (ending.equals(".parquet")) {
      try (Connection database = DriverManager.getConnection("jdbc:duckdb:");
          Statement statement = database.createStatement()) {
        Path plain = Files.createTempDirectory("plain").resolve("made.parquet");
        statement.execute(
            "COPY (SELECT '%s' AS text, 1 AS n) TO '%s' (FORMAT parquet)".formatted(text, plain));
        Files.move(plain, file);
        Files.delete(plain.getParent());
      }
      return;
    }
    String content =
        ending.startsWith(".jsonl")
            ? "{\"text\": \"" + text + "\", \"n\": 1}\n"
            : "text,n\n%s,1\n".formatted(text).replace(",", ending.startsWith(".t") ? "\t" : ",");
    try (OutputStream plain = Files.newOutputStream(file);
        OutputStream out =
            ending.endsWith(".gz")
                ? new GZIPOutputStream(plain)
                : ending.endsWith(".zst") ? new ZstdOutputStream(plain) : plain) {
      out.write(content.getBytes(StandardCharsets.UTF_8));
    }
  }
}
