package io.faithfulsae.models.tokens;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TableFileTest {
  @TempDir Path dir;

  @Test
  void csvQuotesAndTsvDoesNot() throws IOException {
    Path csv = write("a.csv", "label,text\n1,\"said \"\"yes\"\", twice\nand left\"\n2,plain\n");
    assertEquals(List.of("label", "text"), TableFile.of(csv, true).columns());
    assertEquals(
        List.of(List.of("said \"yes\", twice\nand left", "1"), List.of("plain", "2")),
        rows(csv, true, "text", "label"));
    Path tsv = write("a.tsv", "text\tlabel\n\"open quote , here\t0\nit 's\t1\n");
    assertEquals(
        List.of(List.of("\"open quote , here", "0"), List.of("it 's", "1")),
        rows(tsv, true, "text", "label"));
  }

  @Test
  void columnsWithoutNamesAreNumbered() throws IOException {
    Path tsv = write("cola.tsv", "gj04\t1\t\tA sentence.\ncj99\t0\t*\tNot one\n");
    assertEquals(List.of("1", "2", "3", "4"), TableFile.of(tsv, false).columns());
    assertEquals(
        List.of(List.of("A sentence.", "1", ""), List.of("Not one", "0", "*")),
        rows(tsv, false, "4", "2", "3"));
    Path csv = write("b.csv", "\"3\",\"Title, with comma\"\n\"4\",\"x\"\n");
    assertEquals(List.of(List.of("Title, with comma"), List.of("x")), rows(csv, false, "2"));
  }

  @Test
  void compressedAndColumnarFilesReadTheSame() throws IOException, SQLException {
    String lines = "{\"text\": \"one\", \"n\": 1}\n{\"n\": 2, \"text\": \"two \\u00e9\"}\n";
    List<List<String>> expected = List.of(List.of("one", "1"), List.of("two é", "2"));
    assertEquals(expected, rows(write("a.jsonl", lines), true, "text", "n"));
    Path gz = dir.resolve("b.jsonl.gz");
    try (OutputStream out = new GZIPOutputStream(Files.newOutputStream(gz))) {
      out.write(lines.getBytes(StandardCharsets.UTF_8));
    }
    assertEquals(expected, rows(gz, true, "text", "n"));
    try (Connection database = DriverManager.getConnection("jdbc:duckdb:");
        Statement statement = database.createStatement()) {
      for (String target :
          List.of(
              "c.parquet' (FORMAT parquet)",
              "c.csv.zst' (FORMAT csv, COMPRESSION zstd)",
              "c.jsonl.zst' (FORMAT json, COMPRESSION zstd)")) {
        statement.execute(
            "COPY (SELECT * FROM (VALUES ('one', 1), ('two é', 2)) t(text, n)) TO '"
                + dir.resolve(target));
      }
    }
    for (String name : List.of("c.parquet", "c.csv.zst", "c.jsonl.zst")) {
      assertEquals(expected, rows(dir.resolve(name), true, "text", "n"), name);
    }
  }

  @Test
  void rowsComeInTheOrderOfTheFile() throws IOException {
    StringBuilder lines = new StringBuilder("text,n\n");
    IntStream.range(0, 50_000)
        .forEach(i -> lines.append("some words here,").append(i).append('\n'));
    List<List<String>> rows = rows(write("long.csv", lines.toString()), true, "n");
    for (int i = 0; i < 50_000; i++) {
      assertEquals(String.valueOf(i), rows.get(i).get(0));
    }
  }

  @Test
  void badFilesAreNamed() throws IOException {
    Path csv = write("a.csv", "label,text\n1,x\n");
    SaeFormatException missing =
        assertThrows(SaeFormatException.class, () -> rows(csv, true, "sentence"));
    assertTrue(missing.getMessage().contains("[label, text]"), missing.getMessage());
    assertThrows(SaeFormatException.class, () -> TableFile.of(dir.resolve("a.doc"), true));
    assertFalse(TableFile.isTable(dir.resolve("a.txt")));
    Path notParquet = write("a.parquet", "no");
    SaeFormatException wrong =
        assertThrows(SaeFormatException.class, () -> rows(notParquet, true, "text"));
    assertTrue(wrong.getMessage().contains("a.parquet"), wrong.getMessage());
    SaeFormatException none =
        assertThrows(SaeFormatException.class, () -> rows(dir.resolve("none.csv"), true, "text"));
    assertTrue(none.getMessage().contains("none.csv"), none.getMessage());
  }

  private Path write(String name, String content) throws IOException {
    return Files.writeString(dir.resolve(name), content);
  }

  private static List<List<String>> rows(Path file, boolean header, String... columns)
      throws IOException {
    try (Stream<List<String>> rows = TableFile.of(file, header).rows(List.of(columns))) {
      return rows.toList();
    }
  }
}
