package io.faithfulsae.internal;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.zip.CRC32C;

/**
 * A CRC-32C, by which damage to a file is found. Processors have an instruction for it, so that it
 * costs less than reading the file.
 */
public final class Checksum {
  private static final int CHUNK_BYTES = 4 << 20;

  private final CRC32C crc = new CRC32C();

  /** Adds what remains of a buffer, whose position is not changed. */
  void add(ByteBuffer bytes) {
    crc.update(bytes.duplicate());
  }

  /** Eight hexadecimal digits. */
  String hex() {
    return String.format("%08x", crc.getValue());
  }

  /** The checksum of a whole file. */
  public static String of(Path file) throws IOException {
    Checksum sum = new Checksum();
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
      ByteBuffer chunk = ByteBuffer.allocateDirect((int) Math.min(CHUNK_BYTES, channel.size() + 1));
      while (channel.read(chunk.clear()) >= 0) {
        sum.add(chunk.flip());
      }
    }
    return sum.hex();
  }
}
