package io.faithfulsae.study;

import io.faithfulsae.TokenSource;
import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.io.Expected;
import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.stream.LongStream;
import java.util.stream.Stream;

/**
 * Token sequences of equal length in a file, as big-endian int32 without a header, so that a text
 * is tokenized once rather than in each epoch.
 *
 * @param file the file
 * @param length tokens per sequence
 * @param description for provenance; it is part of step keys, so it must change whenever the tokens
 *     do
 */
record TokenFile(Path file, int length, String description) implements TokenSource {
  private static final int BUFFER = 1 << 16;

  /** Writes sequences to a temporary file, then renames it. */
  static void write(Path file, Iterator<int[]> sequences) throws IOException {
    AtomicFile.write(
        file,
        channel -> {
          while (sequences.hasNext()) {
            int[] ids = sequences.next();
            ByteBuffer bytes = ByteBuffer.allocate(ids.length * Integer.BYTES);
            bytes.asIntBuffer().put(ids);
            while (bytes.hasRemaining()) {
              channel.write(bytes);
            }
          }
        });
  }

  @Override
  public Stream<int[]> open(long first) throws IOException {
    long sequenceBytes = (long) length * Integer.BYTES;
    long count = Files.size(file) / sequenceBytes;
    FileChannel channel = FileChannel.open(file);
    InputStream in = Channels.newInputStream(channel.position(first * sequenceBytes));
    DataInputStream data = new DataInputStream(new BufferedInputStream(in, BUFFER));
    return LongStream.range(first, Math.max(first, count))
        .mapToObj(i -> next(data))
        .onClose(() -> close(channel));
  }

  private int[] next(DataInputStream data) {
    int[] ids = new int[length];
    try {
      for (int i = 0; i < length; i++) {
        ids[i] = data.readInt();
      }
    } catch (EOFException e) {
      throw new UncheckedIOException(
          Expected.message(
              "whole sequences of " + length + " tokens in " + file,
              "a part",
              "delete the step's folder to redo it"),
          e);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return ids;
  }

  private static void close(FileChannel channel) {
    try {
      channel.close();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
