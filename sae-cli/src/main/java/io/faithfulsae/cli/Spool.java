package io.faithfulsae.cli;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** A temporary file for data that is written once and read again, little-endian. */
final class Spool implements AutoCloseable {
  private final FileChannel file;

  private Spool(FileChannel file) {
    this.file = file;
  }

  /**
   * Makes one in the folder of another file: there must be room for that one too. It is deleted as
   * soon as it is open where the system can, so that a killed process leaves nothing.
   */
  static Spool beside(Path target) throws IOException {
    Path folder = target.toAbsolutePath().getParent();
    if (folder == null) {
      throw new IOException("expected a file to write, got " + target);
    }
    Files.createDirectories(folder);
    Path path = Files.createTempFile(folder, "." + target.getFileName() + ".", ".spool");
    FileChannel file =
        FileChannel.open(
            path,
            StandardOpenOption.READ,
            StandardOpenOption.WRITE,
            StandardOpenOption.DELETE_ON_CLOSE);
    try {
      Files.deleteIfExists(path);
    } catch (IOException e) {
      // On Windows an open file stays; DELETE_ON_CLOSE takes care of it.
      System.getLogger(Spool.class.getName())
          .log(System.Logger.Level.DEBUG, path + " is deleted when it is closed", e);
    }
    return new Spool(file);
  }

  /** Bytes written so far. */
  long size() throws IOException {
    return file.position();
  }

  /** Writes the rest of a buffer at the end. */
  void append(ByteBuffer bytes) throws IOException {
    while (bytes.hasRemaining()) {
      file.write(bytes);
    }
  }

  /** Reads 4-byte elements. */
  ByteBuffer read(long at, int elements) throws IOException {
    ByteBuffer bytes = TensorBlocks.allocate(elements);
    while (bytes.hasRemaining()) {
      if (file.read(bytes, at + bytes.position()) < 0) {
        throw new EOFException("a temporary file was shortened by another program");
      }
    }
    return bytes.flip();
  }

  @Override
  public void close() throws IOException {
    file.close();
  }
}
