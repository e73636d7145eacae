package io.faithfulsae.models.tokens;

import io.faithfulsae.io.Expected;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;

/**
 * A DuckDB database in memory that can read one file and nothing else.
 *
 * <p>DuckDB interprets a path as a pattern, as a URL and for column names ({@code name=value/}). It
 * therefore never sees the file's path, only that of a link in a temporary folder, and can access
 * nothing else.
 *
 * <p><b>Threads</b>: one. Must be closed.
 */
final class OneFileDatabase implements AutoCloseable {
  /** Prefix of the temporary folder's name. */
  static final String FOLDER = "sae-table-";

  private final Path folder;
  private final Path link;
  private final Connection connection;

  private OneFileDatabase(Path folder, Path link, Connection connection) {
    this.folder = folder;
    this.link = link;
    this.connection = connection;
  }

  /**
   * Opens a database.
   *
   * @param file the only file that it can read
   * @param ending file name extension, from which DuckDB infers the compression
   * @throws IOException if the temporary folder cannot be created
   */
  static OneFileDatabase open(Path file, String ending) throws IOException, SQLException {
    requireDriver();
    Path folder = Files.createTempDirectory(FOLDER);
    OneFileDatabase database = null;
    try {
      Path link = folder.resolve("table" + ending);
      Files.createSymbolicLink(link, file.toAbsolutePath());
      database = new OneFileDatabase(folder, link, connect());
      database.lock();
      return database;
    } catch (IOException | SQLException | RuntimeException e) {
      if (database == null) {
        delete(folder.resolve("table" + ending), folder);
      } else {
        database.close();
      }
      throw e;
    }
  }

  private static void requireDriver() {
    try {
      Class.forName("org.duckdb.DuckDBDriver");
    } catch (ClassNotFoundException e) {
      throw new IllegalStateException(
          Expected.message(
              "DuckDB's JDBC driver", "none", "add org.duckdb:duckdb_jdbc to the class path"),
          e);
    }
  }

  /** Rows are read in file order. */
  private static Connection connect() throws SQLException {
    Properties settings = new Properties();
    settings.setProperty("jdbc_stream_results", "true");
    settings.setProperty("threads", "1");
    settings.setProperty("preserve_insertion_order", "true");
    settings.setProperty("autoinstall_known_extensions", "false");
    settings.setProperty("autoload_known_extensions", "false");
    settings.setProperty("allow_community_extensions", "false");
    return DriverManager.getConnection("jdbc:duckdb:", settings);
  }

  private void lock() throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute("SET allowed_paths = [" + path() + "]");
      statement.execute("SET enable_external_access = false");
      statement.execute("SET lock_configuration = true");
    }
  }

  /** The file's path as an SQL literal. */
  String path() {
    return "'" + link.toString().replace("'", "''") + "'";
  }

  /** Runs a query; closing the database closes its result. */
  ResultSet query(String sql) throws SQLException {
    return connection.createStatement().executeQuery(sql);
  }

  @Override
  public void close() {
    try {
      connection.close();
    } catch (SQLException e) {
      throw new IllegalStateException("cannot close a database in memory", e);
    } finally {
      delete(link, folder);
    }
  }

  private static void delete(Path... paths) {
    for (Path path : paths) {
      try {
        Files.deleteIfExists(path);
      } catch (IOException e) {
        System.getLogger(OneFileDatabase.class.getName())
            .log(System.Logger.Level.WARNING, "cannot delete " + path, e);
      }
    }
  }
}
