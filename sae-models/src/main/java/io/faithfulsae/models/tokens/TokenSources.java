package io.faithfulsae.models.tokens;

import io.faithfulsae.TokenSource;
import io.faithfulsae.io.Expected;
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
 * Token sequences from files. Documents, each with a BOS, are concatenated and split into sequences
 * of {@code contextLength} tokens; the remainder is dropped. If BOS and EOS are the same token, it
 * appears once between two documents. {@link TextOptions#withinDocuments} splits each document
 * separately.
 *
 * <p>Files are streamed, so they may be larger than memory, also decompressed: text in pieces that
 * end at a line end, or after about 2^18 characters without one; JSON lines of at most 2^26
 * characters each. The tokenizer must stay open while the source is in use.
 */
public final class TokenSources {
  private TokenSources() {}

  /** Opens a file's documents; a piece without a BOS continues the previous document. */
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
   * Reads a file according to its extension: JSON lines as {@link #ofJsonLines}; CSV, TSV and
   * Parquet as a {@link TableFile} with a header, one document per row; anything else as {@link
   * #ofText}. All may be compressed as {@code .gz} or {@code .zst}. For a folder, reads all files
   * of one format in it, sorted by name, as data sets on the Hugging Face Hub are laid out; for a
   * pattern such as {@code train-*.parquet}, all matching files.
   *
   * @throws SaeFormatException if a file does not have the format of its extension, the column is
   *     missing, or there is too little text for one sequence
   */
  public static TokenSource ofFile(
      Path file, TextOptions options, Tokenizer tokenizer, int contextLength) throws IOException {
    List<Path> files = TextFiles.of(file);
    for (Path each : files) {
      if (isTable(each)) {
        TableFile.of(each, true).rows(List.of(options.column())).close(); // reports errors early
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
   * A UTF-8 text file, optionally compressed. Documents are separated by {@code <|endoftext|>} or
   * the text of the tokenizer's EOS; a file without either is one document.
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
   * JSON lines, optionally compressed, one document per line: an object with {@code token_ids}, as
   * in a faithful data set, or else with a {@code text}.
   *
   * @throws SaeFormatException if a line has neither, or there is too little for one sequence
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
   * A text's documents in full, each with a BOS, for uses that look at whole documents. Reads the
   * formats of {@link #ofFile}. Token ids of a faithful data set keep a sampled EOS even if it is
   * the same token as BOS: a record whose first token was EOS is {@code [BOS, EOS]}. Plain text
   * does not record an EOS: an empty document is {@code [BOS]}.
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
   * Sequences in memory, used as they are. Not modified, not copied.
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
      Expected.atLeast("contextLength", contextLength, 2, "predict at least one token");
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
              ? Expected.message("text", "none", "choose a file with text")
              : Expected.message(
                  "at least one sequence of " + contextLength + " tokens",
                  tokens,
                  "use a longer text or a shorter context"));
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

  /**
   * Concatenates pieces and splits them into sequences of one length, shorter at document ends if
   * so chosen.
   */
  private static final class Chunks implements Iterator<int[]> {
    /** Instead of the token that starts a document, if sequences may span documents. */
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

    /** Moves to the next piece when this one is used up; false if a sequence or the text ends. */
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
