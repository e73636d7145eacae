package io.faithfulsae.models.tokens;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.SaeFormatException;
import io.faithfulsae.models.Tokenizer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/** Documents of a file of JSON lines. */
final class JsonLines {
  private static final JsonMapper JSON = JsonMapper.builder().build();

  private JsonLines() {}

  @SuppressWarnings("StreamResourceLeak") // the caller closes the stream, and the file with it
  static Stream<int[]> open(Path file, Tokenizer tokenizer) throws IOException {
    AtomicLong number = new AtomicLong();
    return Files.lines(file)
        .map(
            line ->
                line.isBlank()
                    ? new int[0]
                    : document(file, number.incrementAndGet(), line, tokenizer));
  }

  private static int[] document(Path file, long number, String line, Tokenizer tokenizer) {
    try {
      JsonNode json = JSON.readTree(line);
      JsonNode ids = json.path("token_ids");
      if (ids.isArray()) {
        return withBos(
            IntStream.range(0, ids.size()).map(i -> ids.get(i).asInt(-1)).toArray(), tokenizer);
      }
      if (json.path("text").isTextual()) {
        return withBos(tokenizer.encode(json.path("text").textValue()), tokenizer);
      }
    } catch (JsonProcessingException e) {
      throw problem(file, number, "got: " + e.getOriginalMessage());
    }
    throw problem(file, number, "got neither");
  }

  private static UncheckedIOException problem(Path file, long number, String got) {
    return new UncheckedIOException(
        new SaeFormatException(
            file,
            "document " + number,
            "expected a JSON object with token_ids or text, "
                + got
                + "; mend: write one object a line"));
  }

  /** Where EOS is the BOS of the next document as well, it stands once. */
  private static int[] withBos(int[] tokens, Tokenizer tokenizer) {
    int bos = tokenizer.bosToken();
    int end = tokens.length;
    if (bos == tokenizer.eosToken() && end > 1 && tokens[end - 1] == bos) {
      end--;
    }
    boolean begun = end > 0 && tokens[0] == bos;
    int[] document = new int[begun ? end : end + 1];
    document[0] = bos;
    System.arraycopy(tokens, begun ? 1 : 0, document, 1, document.length - 1);
    return document;
  }
}
