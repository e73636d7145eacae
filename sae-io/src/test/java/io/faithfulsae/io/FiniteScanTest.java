package io.faithfulsae.io;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.faithfulsae.io.Safetensors.DType;
import io.faithfulsae.io.Safetensors.Tensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class FiniteScanTest {
  @TempDir Path dir;

  /** Every 16-bit number is finite if and only if its float is, in both halves of a word. */
  @ParameterizedTest
  @EnumSource(names = {"F16", "BF16"})
  void findsWhatIsNotFiniteIn16Bits(DType type) throws IOException {
    for (int bits = 0; bits < 1 << 16; bits += bits % 0x400 == 0x3ff ? 1 : 31) {
      short one = (short) bits;
      boolean finite =
          Float.isFinite(type == DType.F16 ? Float16.widen(one) : Float.intBitsToFloat(bits << 16));
      if (finite && bits % 97 != 0) {
        continue;
      }
      int at = bits % 5;
      assertEquals(
          finite ? -1 : at,
          scan(type, 5, (i, chunk) -> chunk.putShort(i == at ? one : (short) 0x3bff)),
          "bits " + Integer.toHexString(bits));
    }
  }

  @Test
  void findsTheFirstInManyPieces() throws IOException {
    int count = (9 << 20) / 4 + 1;
    SplittableRandom random = new SplittableRandom(3);
    for (float value : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
      int at = random.nextInt(count);
      assertEquals(
          at,
          scan(
              DType.F32,
              count,
              (i, chunk) -> chunk.putFloat(i >= at && i % 2 == at % 2 ? value : Float.MAX_VALUE)));
    }
    assertEquals(-1, scan(DType.F32, count, (i, chunk) -> chunk.putFloat(-Float.MIN_VALUE)));
    assertEquals(-1, scan(DType.F32, 0, (i, chunk) -> chunk.putFloat(Float.NaN)));
  }

  @Test
  void findsTheFirstInABuffer() {
    FloatBuffer values = FloatBuffer.allocate(3001).position(1);
    assertEquals(-1, Finite.firstOther(values));
    values.put(2900, Float.NaN).put(2002, Float.NEGATIVE_INFINITY);
    assertEquals(2001, Finite.firstOther(values));
    values.put(0, Float.NaN);
    assertEquals(2001, Finite.firstOther(values), "before the position");
    assertEquals(-1, Finite.firstOther(FloatBuffer.wrap(new float[] {Float.MAX_VALUE, -3e38f})));
  }

  private interface Element {
    void put(long number, ByteBuffer chunk);
  }

  private long scan(DType type, long count, Element element) throws IOException {
    Path file = dir.resolve("a.safetensors");
    Tensor tensor =
        new Tensor(
            "x",
            type,
            List.of(count),
            (first, chunk) -> {
              for (long i = first; chunk.hasRemaining(); i++) {
                element.put(i, chunk);
              }
            });
    Safetensors.write(file, Map.of(), List.of(tensor));
    try (Safetensors tensors = Safetensors.open(file)) {
      return FiniteScan.firstOther(file, tensors.entry("x"));
    }
  }
}
