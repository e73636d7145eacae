package io.faithfulsae.models.tokens;

import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.NoSuchElementException;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.jspecify.annotations.Nullable;

/**
 * A table of text: CSV, TSV, JSON lines or Parquet, plain or (except Parquet, which has its own
 * compression) as {@code .gz} or {@code .zst}. Streamed in file order, so that the file may be
 * larger than memory.
 *
 * <p>CSV has commas and double quotes; TSV has tabs and no quoting. A path always means one file,
 * even if it contains pattern characters; nothing else is read. Reading is done by DuckDB: {@code
 * org.duckdb:duckdb_jdbc} must be on the class path.
 */
public final class TableFile {
  private final Path file;
  private final boolean header;
  private final Format format;

  private enum Format {
    CSV(".csv"),
    TSV(".tsv"),
    JSON_LINES(".jsonl"),
    PARQUET(".parquet");

    private final String ending;

    Format(String ending) {
      this.ending = ending;
    }
  }

  private TableFile(Path file, boolean header, Format format) {
    this.file = file;
    this.header = header;
    this.format = format;
  }

  /**
   * Describes a table; nothing is read yet.
   *
   * @param header whether the first line of a CSV or TSV names the columns; if not, they are named
   *     {@code 1}, {@code 2} and so on
   * @throws SaeFormatException if the file name has no known extension
   */
  public static TableFile of(Path file, boolean header) throws SaeFormatException {
    Format format = formatOf(file);
    if (format == null) {
      throw new SaeFormatException(
          file,
          "name",
          Expected.message(
              ".csv, .tsv, .jsonl or .parquet, optionally followed by .gz or .zst",
              file.getFileName(),
              "add the extension of its format"));
    }
    return new TableFile(file, header, format);
  }

  /** Whether a file has the name of a table. */
  public static boolean isTable(Path file) {
    return formatOf(file) != null;
  }

  /** A table's extension, without that of the compression. */
  static String ending(Path file) {
    Format format = formatOf(file);
    return format == null ? "" : format.ending;
  }

  private static @Nullable Format formatOf(Path file) {
    String name = file.toString().toLowerCase(Locale.ROOT);
    String plain = TextFiles.plainName(file);
    return Arrays.stream(Format.values())
        .filter(f -> (f == Format.PARQUET ? name : plain).endsWith(f.ending))
        .findFirst()
        .orElse(null);
  }

  /**
   * The column names.
   *
   * @throws SaeFormatException if the file does not have the format of its extension
   */
  public List<String> columns() throws IOException {
    requireFile();
    try (OneFileDatabase database = open()) {
      ResultSet described = database.query("DESCRIBE SELECT * FROM " + table(database));
      List<String> names = new ArrayList<>();
      while (described.next()) {
        names.add(described.getString(1));
      }
      return isNumbered()
          ? Stream.iterate(1, i -> i + 1).limit(names.size()).map(String::valueOf).toList()
          : names;
    } catch (SQLException e) {
      throw problem(e);
    }
  }

  /**
   * The rows, as text; missing values are empty. Close the stream.
   *
   * @param chosen column names, in the order of the values in each row
   * @throws SaeFormatException if a column is missing or the file does not have the format of its
   *     extension; wrapped in an {@link UncheckedIOException} while the stream is read
   */
  public Stream<List<String>> rows(List<String> chosen) throws IOException {
    List<String> there = columns();
    for (String name : chosen) {
      if (!there.contains(name)) {
        throw new SaeFormatException(
            file,
            "column " + name,
            Expected.message("one of " + there, name, "choose one of these"));
      }
    }
    OneFileDatabase database = null;
    try {
      database = open();
      OneFileDatabase used = database;
      ResultSet result =
          database.query("SELECT " + selection(chosen, there) + " FROM " + table(database));
      return StreamSupport.stream(
              Spliterators.spliteratorUnknownSize(
                  new Rows(result, chosen.size()), Spliterator.ORDERED),
              false)
          .onClose(used::close);
    } catch (SQLException e) {
      if (database != null) {
        database.close();
      }
      throw problem(e);
    }
  }

  private String selection(List<String> chosen, List<String> there) {
    return chosen.stream()
        .map(name -> isNumbered() ? "#" + (there.indexOf(name) + 1) : quoted(name))
        .map(column -> "coalesce(CAST(" + column + " AS VARCHAR), '')")
        .collect(Collectors.joining(", "));
  }

  private boolean isNumbered() {
    return !header && (format == Format.CSV || format == Format.TSV);
  }

  /**
   * The SQL table function that reads the file, with all columns as text if the format is untyped.
   */
  private String table(OneFileDatabase database) {
    String path = database.path() + ", hive_partitioning = false";
    String first = "header = " + header + ", all_varchar = true, auto_detect = true";
    return switch (format) {
      case CSV ->
          "read_csv(%s, %s, delim = ',', quote = '\"', escape = '\"', max_line_size = 67108864)"
              .formatted(path, first);
      case TSV ->
          "read_csv(%s, %s, delim = '\t', quote = '', escape = '', max_line_size = 67108864)"
              .formatted(path, first);
      case JSON_LINES ->
          "read_json(%s, format = 'newline_delimited', maximum_object_size = 268435456)"
              .formatted(path);
      case PARQUET -> "read_parquet(%s)".formatted(path);
    };
  }

  private static String quoted(String name) {
    return "\"" + name.replace("\"", "\"\"") + "\"";
  }

  /** The database infers the format from the extension, in lower case. */
  private OneFileDatabase open() throws IOException, SQLException {
    String name = file.toString().toLowerCase(Locale.ROOT);
    String packed = name.endsWith(".gz") ? ".gz" : name.endsWith(".zst") ? ".zst" : "";
    return OneFileDatabase.open(file, format.ending + packed);
  }

  private void requireFile() throws SaeFormatException {
    if (!Files.isRegularFile(file)) {
      throw new SaeFormatException(
          file, "file", Expected.message("a file", "none", "correct the path"));
    }
  }

  private SaeFormatException problem(SQLException e) {
    String message =
        String.valueOf(e.getMessage())
            .lines()
            .findFirst()
            .orElse("")
            .replaceAll("(/[^/\"]*)*/" + OneFileDatabase.FOLDER + "\\w+/table", "table");
    return new SaeFormatException(
        file, "table", Expected.message(format.ending.substring(1), message, "check the file"));
  }

  private final class Rows implements Iterator<List<String>> {
    private final ResultSet result;
    private final int width;
    private boolean read;
    private boolean more;

    Rows(ResultSet result, int width) {
      this.result = result;
      this.width = width;
    }

    @Override
    public boolean hasNext() {
      try {
        if (!read) {
          more = result.next();
          read = true;
        }
        return more;
      } catch (SQLException e) {
        throw new UncheckedIOException(problem(e));
      }
    }

    @Override
    public List<String> next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      read = false;
      try {
        List<String> row = new ArrayList<>(width);
        for (int c = 1; c <= width; c++) {
          row.add(result.getString(c));
        }
        return List.copyOf(row);
      } catch (SQLException e) {
        throw new UncheckedIOException(problem(e));
      }
    }
  }
}
