package io.faithfulsae.models.tokens;

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
 * The contents of several files, one after the other. Opens one file at a time ({@code
 * Stream.flatMap} would read a whole file into memory).
 */
final class FileByFile<T> implements Iterator<T> {
  private final Iterator<Path> files;
  private final Opener<T> opener;
  private Stream<T> open = Stream.empty();
  private Iterator<T> each = open.iterator();

  /** Opens one file. */
  interface Opener<T> {
    Stream<T> open(Path file) throws IOException;
  }

  private FileByFile(List<Path> files, Opener<T> opener) {
    this.files = files.iterator();
    this.opener = opener;
  }

  /** A stream over all files; closing it closes the one that is open. */
  static <T> Stream<T> stream(List<Path> files, Opener<T> opener) {
    FileByFile<T> all = new FileByFile<>(files, opener);
    return StreamSupport.stream(
            Spliterators.spliteratorUnknownSize(all, Spliterator.ORDERED), false)
        .onClose(() -> all.open.close());
  }

  @Override
  public boolean hasNext() {
    while (!each.hasNext() && files.hasNext()) {
      open.close();
      try {
        open = opener.open(files.next());
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
      each = open.iterator();
    }
    return each.hasNext();
  }

  @Override
  public T next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    return each.next();
  }
}
