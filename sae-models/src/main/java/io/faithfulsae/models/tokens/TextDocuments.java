package io.faithfulsae.models.tokens;

import io.faithfulsae.models.Tokenizer;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.Reader;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Iterator;
import java.util.Locale;
import java.util.NoSuchElementException;
import java.util.Queue;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import java.util.zip.GZIPInputStream;

/** Documents of a text file, in pieces of bounded size. */
final class TextDocuments implements Iterator<int[]> {
  /**
   * A longer document is tokenized in pieces, cut behind a line end, so that a file may be larger
   * than memory.
   */
  private static final int PIECE = 1 << 18;

  private final Reader reader;
  private final Tokenizer tokenizer;
  private final Pattern separator;
  private final StringBuilder text = new StringBuilder();
  private final char[] block = new char[1 << 16];
  private final Queue<int[]> ready = new ArrayDeque<>();
  private boolean documentBegins = true;
  private boolean ended;

  private TextDocuments(Reader reader, Tokenizer tokenizer) {
    this.reader = reader;
    this.tokenizer = tokenizer;
    this.separator =
        Pattern.compile(
            Pattern.quote("<|endoftext|>")
                + "|"
                + Pattern.quote(tokenizer.decode(tokenizer.eosToken())));
  }

  static Stream<int[]> open(Path file, Tokenizer tokenizer) throws IOException {
    Reader reader =
        file.toString().toLowerCase(Locale.ROOT).endsWith(".gz")
            ? new InputStreamReader(
                new GZIPInputStream(Files.newInputStream(file)), StandardCharsets.UTF_8)
            : Files.newBufferedReader(file);
    Iterator<int[]> documents = new TextDocuments(reader, tokenizer);
    return StreamSupport.stream(
            Spliterators.spliteratorUnknownSize(documents, Spliterator.ORDERED), false)
        .onClose(
            () -> {
              try {
                reader.close();
              } catch (IOException e) {
                throw new UncheckedIOException(e);
              }
            });
  }

  @Override
  public boolean hasNext() {
    while (ready.isEmpty() && !ended) {
      readBlock();
    }
    return !ready.isEmpty();
  }

  @Override
  public int[] next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    return ready.remove();
  }

  private void readBlock() {
    try {
      int count = reader.read(block);
      if (count < 0) {
        ended = true;
      } else {
        text.append(block, 0, count);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    int done = 0;
    Matcher matcher = separator.matcher(text);
    while (matcher.find()) {
      take(text.substring(done, matcher.start()));
      documentBegins = true;
      done = matcher.end();
    }
    text.delete(0, done);
    int cut = ended ? text.length() : text.length() < PIECE ? 0 : text.lastIndexOf("\n") + 1;
    if (cut > 0) {
      take(text.substring(0, cut));
      text.delete(0, cut);
    }
  }

  private void take(String piece) {
    if (piece.isBlank()) {
      return;
    }
    int[] tokens = tokenizer.encode(documentBegins ? piece.stripLeading() : piece);
    if (documentBegins) {
      int[] withBos = new int[tokens.length + 1];
      withBos[0] = tokenizer.bosToken();
      System.arraycopy(tokens, 0, withBos, 1, tokens.length);
      tokens = withBos;
      documentBegins = false;
    }
    ready.add(tokens);
  }
}
