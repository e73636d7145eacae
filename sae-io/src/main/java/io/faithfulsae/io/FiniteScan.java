package io.faithfulsae.io;

import io.faithfulsae.io.Safetensors.DType;
import io.faithfulsae.io.Safetensors.Entry;
import java.io.IOException;
import java.nio.ByteOrder;
import java.nio.IntBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.stream.IntStream;

/** Looks for NaN and infinity in a tensor on disk, using all cores. */
public final class FiniteScan {
  private static final int PIECE_BYTES = 4 << 20;
  private static final int BLOCK_INTS = 1 << 12;

  /**
   * A value that is not finite has an exponent of all ones, so adding one to the exponent carries
   * into the sign bit, which is masked out first. 16-bit numbers are checked two at a time.
   */
  private enum Kind {
    F32(0x7f800000, 0x00800000, 0x80000000, 32),
    BF16(0x7f807f80, 0x00800080, 0x80008000, 16),
    F16(0x7c007c00, 0x04000400, 0x80008000, 16);

    private final int exponents;
    private final int one;
    private final int carries;
    private final int bits;

    Kind(int exponents, int one, int carries, int bits) {
      this.exponents = exponents;
      this.one = one;
      this.carries = carries;
      this.bits = bits;
    }

    int carried(int word) {
      return ((word & exponents) + one) & carries;
    }
  }

  private FiniteScan() {}

  /**
   * Index of the first element that is not finite, -1 if there is none.
   *
   * @param entry of type F32, F16 or BF16
   */
  public static long firstOther(Path file, Entry entry) throws IOException {
    Kind kind =
        switch (entry.dtype()) {
          case F32 -> Kind.F32;
          case BF16 -> Kind.BF16;
          case F16 -> Kind.F16;
          default ->
              throw new IllegalArgumentException(
                  Expected.message("floats", entry.dtype(), "scan tensors of floats only"));
        };
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
      for (long from = 0; from < entry.bytes(); from += Safetensors.WINDOW) {
        long length = Math.min(Safetensors.WINDOW, entry.bytes() - from);
        MappedByteBuffer window =
            channel.map(FileChannel.MapMode.READ_ONLY, entry.offset() + from, length);
        int pieces = (int) ((length + PIECE_BYTES - 1) / PIECE_BYTES);
        int found =
            IntStream.range(0, pieces)
                .parallel()
                .map(
                    piece -> {
                      int at = piece * PIECE_BYTES;
                      int bytes = (int) Math.min(PIECE_BYTES, length - at);
                      int other = firstOther(window, at, bytes, kind, entry.dtype());
                      return other < 0 ? Integer.MAX_VALUE : at / entry.dtype().bytes() + other;
                    })
                .min()
                .orElse(Integer.MAX_VALUE);
        if (found < Integer.MAX_VALUE) {
          return from / entry.dtype().bytes() + found;
        }
      }
      return -1;
    }
  }

  private static int firstOther(
      MappedByteBuffer window, int from, int bytes, Kind kind, DType dtype) {
    IntBuffer words =
        window.slice(from, bytes / 4 * 4).order(ByteOrder.LITTLE_ENDIAN).asIntBuffer();
    int[] block = new int[BLOCK_INTS];
    int perWord = 32 / kind.bits;
    for (int at = 0; at < words.limit(); at += block.length) {
      int length = Math.min(block.length, words.limit() - at);
      words.get(at, block, 0, length);
      int carried = 0;
      for (int i = 0; i < length; i++) {
        carried |= kind.carried(block[i]);
      }
      if (carried != 0) {
        int i = 0;
        while (kind.carried(block[i]) == 0) {
          i++;
        }
        boolean low = perWord == 2 && (kind.carried(block[i]) & 0x8000) != 0;
        return (at + i) * perWord + (perWord == 1 || low ? 0 : 1);
      }
    }
    if (bytes % 4 != 0) { // an odd 16-bit number at the end
      int last = window.order(ByteOrder.LITTLE_ENDIAN).getShort(from + bytes - 2) & 0xffff;
      return kind.carried(last) == 0 ? -1 : bytes / dtype.bytes() - 1;
    }
    return -1;
  }
}
