package io.faithfulsae.io;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.zip.CRC32C;

/**
 * A CRC-32C that detects damage to a file. Processors have an instruction for it, so it costs less
 * than reading the file.
 */
public final class Checksum {
  /** Its key in the metadata of a safetensors file, where it is the first entry. */
  static final String KEY = "crc32c";

  /** Placeholder while the checksum is computed. */
  static final String ZEROS = "00000000";

  private static final String BEFORE = "{\"__metadata__\":{\"" + KEY + "\":\"";

  /** Its offset in a safetensors file, which starts with the length of the header. */
  static final int PLACE = Long.BYTES + BEFORE.length();

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
    return of(file, false);
  }

  /**
   * Verifies a file's checksum.
   *
   * @param expected as {@link #of}
   * @param where the checksum was recorded, for the message
   * @throws SaeFormatException if it does not match
   */
  public static void check(Path file, String expected, String where) throws IOException {
    require(file, expected, where, of(file));
  }

  /** The same for a file written by {@link Safetensors#writeChecked}. */
  static void checkOwn(Path file, String expected) throws IOException {
    require(file, expected, "the header", of(file, true));
  }

  private static void require(Path file, String expected, String where, String found)
      throws SaeFormatException {
    if (!found.equals(expected)) {
      throw new SaeFormatException(
          file,
          CheckedJson.FIELD,
          Expected.message(
              expected + " as " + where + " says",
              found,
              "the file is damaged; write it again, or fetch it again"));
    }
  }

  private static String of(Path file, boolean checked) throws IOException {
    Checksum sum = new Checksum();
    try (FileChannel channel =
        FileChannel.open(RegularFile.require(file), StandardOpenOption.READ)) {
      if (checked) { // leave out the checksum itself
        ByteBuffer start = ByteBuffer.allocate(PLACE + ZEROS.length());
        while (start.hasRemaining() && channel.read(start) >= 0) {}
        for (int i = PLACE; i < start.position(); i++) {
          start.put(i, (byte) '0');
        }
        sum.add(start.flip());
      }
      ByteBuffer chunk = DirectBuffers.bytes(Math.min(CHUNK_BYTES, channel.size() + 1));
      while (channel.read(chunk.clear()) >= 0) {
        sum.add(chunk.flip());
      }
    }
    return sum.hex();
  }
}
