package io.faithfulsae.models.tokens;

import io.faithfulsae.models.Tokenizer;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Spliterator;
import java.util.Spliterators;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;

/**
 * Documents of tables, one in each row. One table is open at a time ({@code Stream.flatMap} would
 * read a whole one into memory).
 */
final class TableDocuments implements Iterator<String> {
  private final Iterator<Path> files;
  private final String column;
  private Stream<List<String>> open = Stream.empty();
  private Iterator<List<String>> rows = open.iterator();

  private TableDocuments(List<Path> files, String column) {
    this.files = files.iterator();
    this.column = column;
  }

  static Stream<int[]> open(List<Path> files, String column, Tokenizer tokenizer)
      throws IOException {
    for (Path file : files) {
      TableFile.of(file, true).rows(List.of(column)).close(); // says at once what is wrong
    }
    TableDocuments texts = new TableDocuments(files, column);
    return StreamSupport.stream(
            Spliterators.spliteratorUnknownSize(texts, Spliterator.ORDERED), false)
        .onClose(() -> texts.open.close())
        .filter(text -> !text.isBlank())
        .map(text -> withBos(tokenizer.encode(text), tokenizer.bosToken()));
  }

  @Override
  public boolean hasNext() {
    while (!rows.hasNext() && files.hasNext()) {
      open.close();
      try {
        open = TableFile.of(files.next(), true).rows(List.of(column));
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
      rows = open.iterator();
    }
    return rows.hasNext();
  }

  @Override
  public String next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    return rows.next().get(0);
  }

  private static int[] withBos(int[] tokens, int bos) {
    int[] document = new int[tokens.length + 1];
    document[0] = bos;
    System.arraycopy(tokens, 0, document, 1, tokens.length);
    return document;
  }
}
