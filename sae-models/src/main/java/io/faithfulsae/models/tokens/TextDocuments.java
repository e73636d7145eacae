package io.faithfulsae.models.tokens;

import io.faithfulsae.models.Tokenizer;
import java.io.IOException;
import java.io.Reader;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Queue;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/** Documents of a text file, in pieces of bounded size. */
final class TextDocuments implements Iterator<int[]> {
  /**
   * Longer documents are tokenized in pieces, split at line ends, or else at a space, or else
   * anywhere, so that a file may be larger than memory.
   */
  private static final int PIECE = 1 << 18;

  /** What stays behind a split inside a line, so that it does not split a separator. */
  private static final int KEPT = 256;

  private final Path file;
  private final Reader reader;
  private final Encoder encoder;
  private final Pattern separator;
  private final StringBuilder text = new StringBuilder();
  private final char[] block = new char[1 << 16];
  private final Queue<int[]> ready = new ArrayDeque<>();
  private boolean documentBegins = true;
  private boolean ended;

  private TextDocuments(Path file, Reader reader, Encoder encoder) {
    this.file = file;
    this.reader = reader;
    this.encoder = encoder;
    Tokenizer tokenizer = encoder.tokenizer();
    this.separator =
        Pattern.compile(
            Pattern.quote("<|endoftext|>")
                + "|"
                + Pattern.quote(tokenizer.decode(tokenizer.eosToken())));
  }

  static Stream<int[]> open(Path file, Encoder encoder) throws IOException {
    Reader reader = TextFiles.reader(file);
    Iterator<int[]> documents = new TextDocuments(file, reader, encoder);
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
      throw new UncheckedIOException(TextFiles.problem(file, e));
    }
    int done = 0;
    Matcher matcher = separator.matcher(text);
    while (matcher.find()) {
      take(text.substring(done, matcher.start()));
      documentBegins = true;
      done = matcher.end();
    }
    text.delete(0, done);
    int cut = ended ? text.length() : text.length() < PIECE ? 0 : cut();
    if (cut > 0) {
      take(text.substring(0, cut));
      text.delete(0, cut);
    }
  }

  private int cut() {
    int lineEnd = text.lastIndexOf("\n") + 1;
    if (lineEnd > 0) {
      return lineEnd;
    }
    int most = text.length() - KEPT;
    int space = text.lastIndexOf(" ", most); // which begins a token in most vocabularies
    if (space > 0) {
      return space;
    }
    return Character.isLowSurrogate(text.charAt(most)) ? most - 1 : most;
  }

  private void take(String piece) {
    if (piece.isBlank()) {
      return;
    }
    if (!documentBegins) {
      ready.add(encoder.encode(piece));
      return;
    }
    int[] tokens = encoder.encode(piece.stripLeading());
    int[] withBos = new int[tokens.length + 1];
    withBos[0] = encoder.tokenizer().bosToken();
    System.arraycopy(tokens, 0, withBos, 1, tokens.length);
    documentBegins = false;
    ready.add(withBos);
  }
}
