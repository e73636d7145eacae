package io.faithfulsae.models.tokens;

import com.github.luben.zstd.ZstdInputStream;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.RegularFile;
import io.faithfulsae.io.SaeFormatException;
import java.io.BufferedInputStream;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.regex.PatternSyntaxException;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.zip.GZIPInputStream;

/** Finds a text's files and reads their characters. */
final class TextFiles {
  private static final int BUFFER = 1 << 16;

  private TextFiles() {}

  /**
   * The files that a path refers to, sorted by name: the file itself; all matches, if the last part
   * is a pattern such as {@code train-*.parquet} and not the name of a file; for a folder, all its
   * files of one format, with tables taking precedence over plain text, so that a data set's
   * description is not read as its text.
   *
   * @throws SaeFormatException if a folder contains no text, or tables of several formats, or it is
   *     a pipe or a device
   */
  static List<Path> of(Path path) throws IOException {
    if (Files.isDirectory(path)) {
      return inFolder(path);
    }
    String name = String.valueOf(path.getFileName());
    if (!Files.exists(path) && name.chars().anyMatch(c -> "*?[{".indexOf(c) >= 0)) {
      return matching(path, name);
    }
    return List.of(RegularFile.require(path));
  }

  private static List<Path> matching(Path path, String pattern) throws IOException {
    Path folder = path.toAbsolutePath().getParent();
    List<Path> found = new ArrayList<>();
    if (folder != null && Files.isDirectory(folder)) {
      try (DirectoryStream<Path> matches = Files.newDirectoryStream(folder, pattern)) {
        matches.forEach(found::add);
      } catch (PatternSyntaxException e) {
        throw new SaeFormatException(
            path,
            "name",
            Expected.message(
                "a file, or a pattern", "neither: " + e.getDescription(), "correct the path"));
      }
      found.removeIf(each -> !Files.isRegularFile(each));
    }
    if (found.isEmpty()) {
      throw new NoSuchFileException(path.toString());
    }
    return found.stream().sorted().toList();
  }

  private static List<Path> inFolder(Path folder) throws IOException {
    List<Path> files;
    try (Stream<Path> all = Files.walk(folder)) {
      files =
          all.filter(Files::isRegularFile)
              .filter(file -> !isHidden(folder.relativize(file)))
              .sorted()
              .toList();
    }
    List<Path> tables = files.stream().filter(TableFile::isTable).toList();
    Set<String> formats = tables.stream().map(TableFile::ending).collect(Collectors.toSet());
    if (formats.size() > 1) {
      throw new SaeFormatException(
          folder,
          "folder",
          Expected.message(
              "files of one format",
              formats.stream().sorted().toList(),
              "choose one format, such as "
                  + folder.resolve("*" + formats.stream().sorted().toList().get(0))));
    }
    List<Path> chosen =
        tables.isEmpty()
            ? files.stream().filter(file -> plainName(file).endsWith(".txt")).toList()
            : tables;
    if (chosen.isEmpty()) {
      throw new SaeFormatException(
          folder,
          "folder",
          Expected.message(
              ".parquet, .jsonl, .csv, .tsv or .txt files, optionally with .gz or .zst",
              "none",
              "choose a file"));
    }
    return chosen;
  }

  private static boolean isHidden(Path relative) {
    for (Path part : relative) {
      if (part.toString().startsWith(".")) {
        return true;
      }
    }
    return false;
  }

  /** A file's name in lower case, without the extension of the compression. */
  static String plainName(Path file) {
    return file.toString().toLowerCase(Locale.ROOT).replaceFirst("\\.(gz|zst)$", "");
  }

  /**
   * The characters of a UTF-8 file, decompressed if its name ends in {@code .gz} or {@code .zst}.
   */
  static BufferedReader reader(Path file) throws IOException {
    InputStream bytes = new BufferedInputStream(Files.newInputStream(file), BUFFER);
    try {
      // A decoder rather than a charset, so that invalid UTF-8 is an error.
      return new BufferedReader(
          new InputStreamReader(unpacked(file, bytes), StandardCharsets.UTF_8.newDecoder()),
          BUFFER);
    } catch (IOException e) {
      bytes.close();
      throw problem(file, e);
    }
  }

  private static InputStream unpacked(Path file, InputStream bytes) throws IOException {
    String name = file.toString().toLowerCase(Locale.ROOT);
    if (name.endsWith(".gz")) {
      return new GZIPInputStream(bytes, BUFFER);
    }
    if (!name.endsWith(".zst")) {
      return bytes;
    }
    try {
      return new ZstdInputStream(bytes);
    } catch (NoClassDefFoundError e) {
      throw new IllegalStateException(
          Expected.message("zstd-jni to read " + file, "none", "add com.github.luben:zstd-jni"), e);
    }
  }

  /** The error for a failure while reading a file's characters. */
  static SaeFormatException problem(Path file, IOException e) {
    return new SaeFormatException(
        file,
        "text",
        Expected.message(
            "UTF-8, compressed as the file name says",
            e instanceof CharacterCodingException ? "bytes that are not UTF-8" : e,
            "fetch it again"));
  }
}
