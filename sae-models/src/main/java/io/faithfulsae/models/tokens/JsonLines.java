package io.faithfulsae.models.tokens;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** Documents from a JSON lines file. */
final class JsonLines {
  private static final JsonMapper JSON = JsonMapper.builder().build();

  private final Path file;
  private final TextOptions options;
  private final Encoder encoder;
  private final AtomicLong number = new AtomicLong();

  private JsonLines(Path file, TextOptions options, Encoder encoder) {
    this.file = file;
    this.options = options;
    this.encoder = encoder;
  }

  static Stream<int[]> open(Path file, TextOptions options, Encoder encoder) throws IOException {
    BufferedReader lines = new BufferedReader(new BoundedLines(file, TextFiles.reader(file)));
    return lines
        .lines()
        .map(new JsonLines(file, options, encoder)::document)
        .onClose(
            () -> {
              try {
                lines.close();
              } catch (IOException e) {
                throw new UncheckedIOException(e);
              }
            });
  }

  private int[] document(String line) {
    if (line.isBlank()) {
      return new int[0];
    }
    number.incrementAndGet();
    try {
      JsonNode json = JSON.readTree(line);
      JsonNode ids = json.path("token_ids");
      if (options.isDefaultColumn() && ids.isArray()) {
        return encoder.withBos(
            IntStream.range(0, ids.size()).map(i -> ids.get(i).asInt(-1)).toArray());
      }
      JsonNode text = json.path(options.column());
      if (text.isTextual()) {
        return encoder.document(text.textValue());
      }
    } catch (JsonProcessingException e) {
      throw problem(e.getOriginalMessage());
    }
    throw problem(options.isDefaultColumn() ? "neither" : "none");
  }

  private UncheckedIOException problem(String got) {
    return new UncheckedIOException(
        new SaeFormatException(
            file,
            "document " + number,
            Expected.message(
                "a JSON object with "
                    + (options.isDefaultColumn() ? "token_ids or text" : options.column()),
                got,
                "write one object per line")));
  }
}
