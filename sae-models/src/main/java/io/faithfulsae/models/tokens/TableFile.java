package io.faithfulsae.models.tokens;

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
 * A table of text: CSV, TSV, JSON lines or Parquet, plain or (all but Parquet, which compresses
 * itself) as {@code .gz} or {@code .zst}. Read as a stream, in the order of the file, so that it
 * may be larger than memory.
 *
 * <p>CSV has commas and double quotes; TSV has tabs and no quoting at all. A path names one file,
 * whatever characters it has; nothing else is read. Reading is DuckDB's: {@code
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
   * Names a table; nothing is read yet.
   *
   * @param header whether the first line of a CSV or TSV names the columns; without, they are named
   *     {@code 1}, {@code 2} and so on
   * @throws SaeFormatException if the name says no format
   */
  public static TableFile of(Path file, boolean header) throws SaeFormatException {
    Format format = formatOf(file);
    if (format == null) {
      throw new SaeFormatException(
          file,
          "name",
          "expected .csv, .tsv, .jsonl or .parquet, perhaps with .gz or .zst behind it;"
              + " rename it so that it says its format");
    }
    return new TableFile(file, header, format);
  }

  /** Whether a file's name is that of a table. */
  public static boolean isTable(Path file) {
    return formatOf(file) != null;
  }

  /** How the name of a table ends, without what says how it is compressed. */
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
   * The names of the columns.
   *
   * @throws SaeFormatException if the file is not what its name says
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
   * The rows, as text; what a row lacks is empty. Close the stream.
   *
   * @param chosen names of columns, in the order in which a row shall have them
   * @throws SaeFormatException if a column is missing or the file is not what its name says; inside
   *     an {@link UncheckedIOException} once the stream is read
   */
  public Stream<List<String>> rows(List<String> chosen) throws IOException {
    List<String> there = columns();
    for (String name : chosen) {
      if (!there.contains(name)) {
        throw new SaeFormatException(
            file,
            "column " + name,
            "expected one of " + there + ", got " + name + "; name one that is there");
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

  /** The table function that reads the file, everything as text where the format has no types. */
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

  /** The database knows the file's format by its name, in lower case. */
  private OneFileDatabase open() throws IOException, SQLException {
    String name = file.toString().toLowerCase(Locale.ROOT);
    String packed = name.endsWith(".gz") ? ".gz" : name.endsWith(".zst") ? ".zst" : "";
    return OneFileDatabase.open(file, format.ending + packed);
  }

  private void requireFile() throws SaeFormatException {
    if (!Files.isRegularFile(file)) {
      throw new SaeFormatException(file, "file", "expected a file, got none; correct the path");
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
        file,
        "table",
        "expected " + format.ending.substring(1) + ", got: " + message + "; check the file");
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
