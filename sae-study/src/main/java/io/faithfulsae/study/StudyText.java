package io.faithfulsae.study;

import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.tokens.TextOptions;
import io.faithfulsae.study.StudyConfig.DataSet;
import io.faithfulsae.study.provenance.Json;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.Reader;
import java.io.StringReader;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The text of a data set that is given, not sampled; never held in memory as a whole. Plain text
 * and JSON lines are identified by the hash of their text and copied into the study; everything
 * else (tables, compressed files, folders, patterns) is read in place.
 *
 * @param sampled location of the text for {@code from}, if that is set
 * @param lowerCase whether the text is lower-cased
 */
record StudyText(DataSet set, @Nullable Path sampled, boolean lowerCase) {
  /** Name of JSON lines in a step's folder. */
  static final String JSON_LINES = "text.jsonl";

  private static final int BLOCK = 1 << 16;

  private interface Sink {
    void accept(ByteBuffer utf8) throws IOException;
  }

  /** Whether it is read in place. */
  boolean isReadInPlace() {
    String file = set.file();
    return file != null
        && !isEmbedded()
        && (set.column() != null
            || file.toLowerCase(Locale.ROOT).matches(".*\\.(csv|tsv|parquet|gz|zst)")
            || !Files.isRegularFile(Path.of(file)));
  }

  /** How it is read in place. */
  TextOptions options() {
    String column = set.column();
    TextOptions options = TextOptions.DEFAULT.withLowerCase(lowerCase);
    return column == null ? options : options.withColumn(column);
  }

  /** SHA-256 of the text in UTF-8, in hexadecimal. */
  String hash() throws IOException {
    MessageDigest digest = Json.sha256();
    forEachPiece(digest::update);
    return HexFormat.of().formatHex(digest.digest());
  }

  /** Copies the text into a step's folder, to a temporary file that is then renamed. */
  Path write(Path folder) throws IOException {
    boolean records = set.from() != null || String.valueOf(set.file()).endsWith(".jsonl");
    Path file = folder.resolve(records ? JSON_LINES : "text.txt");
    AtomicFile.write(
        file,
        channel ->
            forEachPiece(
                utf8 -> {
                  while (utf8.hasRemaining()) {
                    channel.write(utf8);
                  }
                }));
    return file;
  }

  private boolean isEmbedded() {
    String file = set.file();
    return file == null || file.equals("embedded");
  }

  private void forEachPiece(Sink sink) throws IOException {
    String from = set.from();
    if (from != null) {
      forEachRecord(otherModelsFile(from), sink);
      return;
    }
    try (Reader reader = reader()) {
      StringBuilder text = new StringBuilder();
      char[] block = new char[BLOCK];
      for (int count = reader.read(block); count >= 0; count = reader.read(block)) {
        text.append(block, 0, count);
        // After a space, which splits neither a character nor the context that lower-casing looks
        // at.
        int cut = text.length();
        while (cut > 0 && text.charAt(cut - 1) > ' ') {
          cut--;
        }
        sink.accept(utf8(text.substring(0, cut)));
        text.delete(0, cut);
      }
      sink.accept(utf8(text.toString()));
    }
  }

  private Reader reader() throws IOException {
    if (isEmbedded()) {
      return new StringReader(EmbeddedModel.outsideText());
    }
    Path file = Path.of(String.valueOf(set.file()));
    if (!Files.isRegularFile(file)) {
      throw new SaeFormatException(
          file, "file", Expected.message("a text", "no file", "correct the path"));
    }
    return new BufferedReader(Files.newBufferedReader(file), BLOCK);
  }

  private ByteBuffer utf8(String text) {
    return ByteBuffer.wrap(
        (lowerCase ? text.toLowerCase(Locale.ROOT) : text).getBytes(StandardCharsets.UTF_8));
  }

  private Path otherModelsFile(String from) throws IOException {
    Path file = sampled;
    if (file == null || !Files.exists(file)) {
      throw new IOException(
          Expected.message(
              "the text of " + from + " in " + file, "none", "see why that step failed"));
    }
    return file;
  }

  /** Keeps only the records' text: the other model's token ids may not be valid for this one. */
  private static void forEachRecord(Path file, Sink sink) throws IOException {
    try (Stream<String> lines = Files.lines(file)) {
      for (Iterator<String> each = lines.iterator(); each.hasNext(); ) {
        String text = Json.mapper().readTree(each.next()).path("text").asText();
        String line = Json.line(Map.of("text", text)) + "\n";
        sink.accept(ByteBuffer.wrap(line.getBytes(StandardCharsets.UTF_8)));
      }
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
  }
}
