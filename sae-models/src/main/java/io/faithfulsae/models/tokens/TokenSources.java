package io.faithfulsae.models.tokens;

import io.faithfulsae.SaeFormatException;
import io.faithfulsae.TokenSource;
import io.faithfulsae.models.Tokenizer;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * Token sequences from files. Documents, each behind a BOS, are put end to end and cut every {@code
 * contextLength} tokens; what is left at the end is dropped. Where BOS and EOS are one token, it
 * stands once between two documents.
 *
 * <p>Files are read as they are needed, so they may be larger than memory. The tokenizer must stay
 * open as long as the source is used.
 */
public final class TokenSources {
  private static final String TEXT = "text";

  private TokenSources() {}

  /**
   * Opens a file's documents; a piece that does not begin with a BOS goes on with the document
   * before it.
   */
  @FunctionalInterface
  interface Documents {
    Stream<int[]> open() throws IOException;
  }

  /** As {@link #ofFile(Path, String, Tokenizer, int)}, of tables the column {@code text}. */
  public static TokenSource ofFile(Path file, Tokenizer tokenizer, int contextLength)
      throws IOException {
    return ofFile(file, TEXT, tokenizer, contextLength);
  }

  /**
   * Reads a file as its name says: JSON lines as {@link #ofJsonLines}; CSV, TSV, Parquet and
   * compressed JSON lines as a {@link TableFile} with a header, a document in each row; {@code .gz}
   * of anything else as compressed text; else as {@link #ofText}. A folder is read as all Parquet
   * files in it, in the order of their names, as data sets on the hub have them.
   *
   * @param column of a table, with the text
   * @throws SaeFormatException if the file is not what its name says, the column is missing, or
   *     there is too little text for one sequence
   */
  public static TokenSource ofFile(Path file, String column, Tokenizer tokenizer, int contextLength)
      throws IOException {
    return new ChunkedFile(file, () -> open(file, column, tokenizer), contextLength);
  }

  private static Stream<int[]> open(Path file, String column, Tokenizer tokenizer)
      throws IOException {
    if (Files.isDirectory(file)) {
      return TableDocuments.open(parquetFiles(file), column, tokenizer);
    }
    if (isJsonLines(file)) {
      return JsonLines.open(file, tokenizer);
    }
    return TableFile.isTable(file)
        ? TableDocuments.open(List.of(file), column, tokenizer)
        : TextDocuments.open(file, tokenizer);
  }

  private static List<Path> parquetFiles(Path folder) throws IOException {
    try (Stream<Path> files = Files.walk(folder)) {
      List<Path> found =
          files
              .filter(f -> f.toString().toLowerCase(Locale.ROOT).endsWith(".parquet"))
              .sorted()
              .toList();
      if (found.isEmpty()) {
        throw new SaeFormatException(
            folder, "folder", "expected .parquet files, got none; mend: name a file");
      }
      return found;
    }
  }

  /**
   * A text file in UTF-8. Documents are separated by {@code <|endoftext|>} or the tokenizer's EOS,
   * written out; a file without either is one document.
   *
   * @throws SaeFormatException if the file has no text, or too little for one sequence
   */
  public static TokenSource ofText(Path file, Tokenizer tokenizer, int contextLength)
      throws IOException {
    return new ChunkedFile(file, () -> TextDocuments.open(file, tokenizer), contextLength);
  }

  /**
   * JSON lines, a document each: an object with the ids of its tokens as {@code token_ids}, as a
   * faithful data set has them, or else with its {@code text}.
   *
   * @throws SaeFormatException if a line is neither, or there is too little for one sequence
   */
  public static TokenSource ofJsonLines(Path file, Tokenizer tokenizer, int contextLength)
      throws IOException {
    return new ChunkedFile(file, () -> JsonLines.open(file, tokenizer), contextLength);
  }

  /**
   * A file's documents, each behind a BOS and as long as it is, for what looks at whole documents.
   * Reads what {@link #ofFile} reads.
   */
  public static TokenSource documents(Path file, Tokenizer tokenizer) throws IOException {
    return documents(file, TEXT, tokenizer);
  }

  /** As {@link #documents(Path, Tokenizer)}, with the text in another column of a table. */
  public static TokenSource documents(Path file, String column, Tokenizer tokenizer)
      throws IOException {
    String description = "%s (sha256 %s), documents".formatted(file.getFileName(), sha256(file));
    return new TokenSource() {
      @Override
      public String description() {
        return description;
      }

      @Override
      public Stream<int[]> open(long first) throws IOException {
        return TokenSources.open(file, column, tokenizer)
            .filter(document -> document.length > 0)
            .skip(first);
      }
    };
  }

  private static boolean isJsonLines(Path file) {
    return file.toString().toLowerCase(Locale.ROOT).endsWith(".jsonl");
  }

  /**
   * Sequences that lie in memory, as they are. Not modified, not copied.
   *
   * @param description for provenance
   */
  public static TokenSource ofSequences(String description, int[]... sequences) {
    return new TokenSource() {
      @Override
      public String description() {
        return description;
      }

      @Override
      public Stream<int[]> open(long first) {
        return Stream.of(sequences).skip(first);
      }
    };
  }

  private static final class ChunkedFile implements TokenSource {
    private final Documents documents;
    private final int contextLength;
    private final String description;

    ChunkedFile(Path file, Documents documents, int contextLength) throws IOException {
      if (contextLength < 2) {
        throw new IllegalArgumentException(
            "expected contextLength >= 2, got "
                + contextLength
                + "; mend: predict at least one token");
      }
      this.documents = documents;
      this.contextLength = contextLength;
      this.description =
          "%s (sha256 %s), sequences of %d tokens"
              .formatted(file.getFileName(), sha256(file), contextLength);
      checkNotEmpty(file);
    }

    private void checkNotEmpty(Path file) throws IOException {
      try (Stream<int[]> sequences = open(0)) {
        if (sequences.findFirst().isPresent()) {
          return;
        }
      } catch (UncheckedIOException e) {
        throw e.getCause();
      }
      long tokens;
      try (Stream<int[]> all = documents.open()) {
        tokens = all.mapToLong(piece -> piece.length).sum();
      }
      throw new SaeFormatException(
          file,
          "text",
          tokens == 0
              ? "expected text, got none; mend: name a file with text"
              : "expected at least one sequence of "
                  + contextLength
                  + " tokens, got "
                  + tokens
                  + "; mend: name a longer text or a shorter context");
    }

    @Override
    public String description() {
      return description;
    }

    @Override
    public Stream<int[]> open(long first) throws IOException {
      Stream<int[]> pieces = documents.open();
      Chunks chunks = new Chunks(pieces.iterator(), contextLength);
      int traits = Spliterator.ORDERED | Spliterator.NONNULL;
      return StreamSupport.stream(Spliterators.spliteratorUnknownSize(chunks, traits), false)
          .onClose(pieces::close)
          .skip(first);
    }
  }

  /** Puts pieces end to end and cuts them to one length. */
  private static final class Chunks implements Iterator<int[]> {
    private final Iterator<int[]> pieces;
    private final int length;
    private int[] piece = {};
    private int at;
    private int[] chunk;
    private int filled;

    Chunks(Iterator<int[]> pieces, int length) {
      this.pieces = pieces;
      this.length = length;
      this.chunk = new int[length];
    }

    @Override
    public boolean hasNext() {
      while (filled < length) {
        if (at == piece.length) {
          if (!pieces.hasNext()) {
            return false;
          }
          piece = pieces.next();
          at = 0;
        }
        int count = Math.min(length - filled, piece.length - at);
        System.arraycopy(piece, at, chunk, filled, count);
        filled += count;
        at += count;
      }
      return true;
    }

    @Override
    public int[] next() {
      if (!hasNext()) {
        throw new java.util.NoSuchElementException();
      }
      int[] full = chunk;
      chunk = new int[length];
      filled = 0;
      return full;
    }
  }

  /** Of a folder, over its Parquet files in order. */
  private static String sha256(Path file) throws IOException {
    MessageDigest digest;
    try {
      digest = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
    for (Path each : Files.isDirectory(file) ? parquetFiles(file) : List.of(file)) {
      try (InputStream in = new DigestInputStream(Files.newInputStream(each), digest)) {
        in.transferTo(java.io.OutputStream.nullOutputStream());
      }
    }
    return HexFormat.of().formatHex(digest.digest());
  }
}
