package io.faithfulsae.models.tokens;

import io.faithfulsae.TokenSource;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.models.Tokenizer;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.List;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * Token sequences from files. Documents, each behind a BOS, are put end to end and cut every {@code
 * contextLength} tokens; what is left at the end is dropped. Where BOS and EOS are one token, it
 * stands once between two documents. {@link TextOptions#withinDocuments} cuts each on its own.
 *
 * <p>Files are read as they are needed, so they may be larger than memory. The tokenizer must stay
 * open as long as the source is used.
 */
public final class TokenSources {
  private TokenSources() {}

  /**
   * Opens a file's documents; a piece that does not begin with a BOS continues the document before
   * it.
   */
  @FunctionalInterface
  interface Documents {
    Stream<int[]> open() throws IOException;
  }

  /** As {@link #ofFile(Path, TextOptions, Tokenizer, int)} with {@link TextOptions#DEFAULT}. */
  public static TokenSource ofFile(Path file, Tokenizer tokenizer, int contextLength)
      throws IOException {
    return ofFile(file, TextOptions.DEFAULT, tokenizer, contextLength);
  }

  /**
   * Reads a file as its name says: JSON lines as {@link #ofJsonLines}; CSV, TSV and Parquet as a
   * {@link TableFile} with a header, a document in each row; anything else as {@link #ofText}. All
   * may be packed as {@code .gz} or {@code .zst}. A folder is read as all files of one format in
   * it, in the order of their names, as data sets on the hub have them, and a name such as {@code
   * train-*.parquet} as all that match it.
   *
   * @throws SaeFormatException if a file is not what its name says, the column is missing, or there
   *     is too little text for one sequence
   */
  public static TokenSource ofFile(
      Path file, TextOptions options, Tokenizer tokenizer, int contextLength) throws IOException {
    List<Path> files = TextFiles.of(file);
    for (Path each : files) {
      if (isTable(each)) {
        TableFile.of(each, true).rows(List.of(options.column())).close(); // says what is wrong
      }
    }
    Encoder encoder = new Encoder(tokenizer, options.lowerCase(), false);
    return new ChunkedFile(
        file,
        files,
        () -> FileByFile.stream(files, each -> open(each, options, encoder)),
        options,
        tokenizer,
        contextLength);
  }

  private static boolean isTable(Path file) {
    return TableFile.isTable(file) && !isJsonLines(file);
  }

  private static Stream<int[]> open(Path file, TextOptions options, Encoder encoder)
      throws IOException {
    if (isJsonLines(file)) {
      return JsonLines.open(file, options, encoder);
    }
    return TableFile.isTable(file)
        ? TableFile.of(file, true)
            .rows(List.of(options.column()))
            .map(row -> row.get(0))
            .filter(text -> !text.isBlank())
            .map(encoder::document)
        : TextDocuments.open(file, encoder);
  }

  /**
   * A text file in UTF-8, packed or not. Documents are separated by {@code <|endoftext|>} or the
   * tokenizer's EOS, written out; a file without either is one document.
   *
   * @throws SaeFormatException if the file has no text, or too little for one sequence
   */
  public static TokenSource ofText(Path file, Tokenizer tokenizer, int contextLength)
      throws IOException {
    Encoder encoder = new Encoder(tokenizer, false, false);
    return new ChunkedFile(
        file,
        List.of(file),
        () -> TextDocuments.open(file, encoder),
        TextOptions.DEFAULT,
        tokenizer,
        contextLength);
  }

  /**
   * JSON lines, packed or not, a document each: an object with the ids of its tokens as {@code
   * token_ids}, as a faithful data set has them, or else with its {@code text}.
   *
   * @throws SaeFormatException if a line is neither, or there is too little for one sequence
   */
  public static TokenSource ofJsonLines(Path file, Tokenizer tokenizer, int contextLength)
      throws IOException {
    Encoder encoder = new Encoder(tokenizer, false, false);
    return new ChunkedFile(
        file,
        List.of(file),
        () -> JsonLines.open(file, TextOptions.DEFAULT, encoder),
        TextOptions.DEFAULT,
        tokenizer,
        contextLength);
  }

  /** As {@link #documents(Path, TextOptions, Tokenizer)} with {@link TextOptions#DEFAULT}. */
  public static TokenSource documents(Path file, Tokenizer tokenizer) throws IOException {
    return documents(file, TextOptions.DEFAULT, tokenizer);
  }

  /**
   * A text's documents, each behind a BOS and as long as it is, for what looks at whole documents.
   * Reads what {@link #ofFile} reads. Token ids of a faithful data set keep the EOS that was
   * sampled, also where it is the BOS: a record whose first token was EOS is {@code [BOS, EOS]}.
   * Text says nothing of an EOS: an empty one is {@code [BOS]}.
   */
  public static TokenSource documents(Path file, TextOptions options, Tokenizer tokenizer)
      throws IOException {
    List<Path> files = TextFiles.of(file);
    Encoder encoder = new Encoder(tokenizer, options.lowerCase(), true);
    String description = "%s (sha256 %s), documents".formatted(file.getFileName(), sha256(files));
    return new TokenSource() {
      @Override
      public String description() {
        return description;
      }

      @Override
      public Stream<int[]> open(long first) {
        return FileByFile.stream(files, each -> TokenSources.open(each, options, encoder))
            .filter(document -> document.length > 0)
            .skip(first);
      }
    };
  }

  private static boolean isJsonLines(Path file) {
    return TextFiles.plainName(file).endsWith(".jsonl");
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
    private final int newDocument;
    private final String description;

    ChunkedFile(
        Path file,
        List<Path> files,
        Documents documents,
        TextOptions options,
        Tokenizer tokenizer,
        int contextLength)
        throws IOException {
      if (contextLength < 2) {
        throw new IllegalArgumentException(
            "expected contextLength >= 2, got " + contextLength + "; predict at least one token");
      }
      this.documents = documents;
      this.contextLength = contextLength;
      this.newDocument = options.acrossDocuments() ? Chunks.NOTHING : tokenizer.bosToken();
      this.description =
          "%s (sha256 %s), %s%s%ssequences of %d tokens"
              .formatted(
                  file.getFileName(),
                  sha256(files),
                  options.isDefaultColumn() ? "" : "column " + options.column() + ", ",
                  options.lowerCase() ? "lower case, " : "",
                  options.acrossDocuments() ? "" : "within documents, ",
                  contextLength);
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
              ? "expected text, got none; name a file with text"
              : "expected at least one sequence of "
                  + contextLength
                  + " tokens, got "
                  + tokens
                  + "; name a longer text or a shorter context");
    }

    @Override
    public String description() {
      return description;
    }

    @Override
    public Stream<int[]> open(long first) throws IOException {
      Stream<int[]> pieces = documents.open();
      Chunks chunks = new Chunks(pieces.iterator(), contextLength, newDocument);
      int traits = Spliterator.ORDERED | Spliterator.NONNULL;
      return StreamSupport.stream(Spliterators.spliteratorUnknownSize(chunks, traits), false)
          .onClose(pieces::close)
          .skip(first);
    }
  }

  /** Puts pieces end to end and cuts them to one length, or shorter where a document ends. */
  private static final class Chunks implements Iterator<int[]> {
    /** In place of the token that begins a document: they run on into each other. */
    static final int NOTHING = -1;

    private final Iterator<int[]> pieces;
    private final int length;
    private final int newDocument;
    private int[] piece = {};
    private int at;
    private int[] chunk;
    private int filled;
    private boolean ready;

    Chunks(Iterator<int[]> pieces, int length, int newDocument) {
      this.pieces = pieces;
      this.length = length;
      this.newDocument = newDocument;
      this.chunk = new int[length];
    }

    @Override
    public boolean hasNext() {
      while (!ready && takePiece()) {
        int count = Math.min(length - filled, piece.length - at);
        System.arraycopy(piece, at, chunk, filled, count);
        filled += count;
        at += count;
        ready = filled == length;
      }
      return ready;
    }

    /** Goes to the next piece if this one is used up; false where a sequence or all text ends. */
    private boolean takePiece() {
      while (at == piece.length) {
        boolean more = pieces.hasNext();
        piece = more ? pieces.next() : new int[0];
        at = 0;
        boolean documentEnds =
            newDocument != NOTHING && (!more || (piece.length > 0 && piece[0] == newDocument));
        if (documentEnds && filled > 1) { // one token alone predicts nothing
          ready = true;
          return false;
        }
        if (documentEnds) {
          filled = 0;
        }
        if (!more) {
          return false;
        }
      }
      return true;
    }

    @Override
    public int[] next() {
      if (!hasNext()) {
        throw new java.util.NoSuchElementException();
      }
      int[] sequence = filled == length ? chunk : Arrays.copyOf(chunk, filled);
      chunk = new int[length];
      filled = 0;
      ready = false;
      return sequence;
    }
  }

  private static String sha256(List<Path> files) throws IOException {
    MessageDigest digest;
    try {
      digest = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
    for (Path each : files) {
      try (InputStream in = new DigestInputStream(Files.newInputStream(each), digest)) {
        in.transferTo(java.io.OutputStream.nullOutputStream());
      }
    }
    return HexFormat.of().formatHex(digest.digest());
  }
}
