package io.faithfulsae.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BFloat16Test {
  @TempDir Path folder;

  @Test
  void roundsAsPyTorchDoes() throws IOException {
    try (Safetensors golden = Safetensors.open(Goldens.copy("bfloat16.safetensors", folder))) {
      float[] values = Goldens.floats(golden, "values");
      ByteBuffer expected = ByteBuffer.allocate(2 * values.length).order(ByteOrder.LITTLE_ENDIAN);
      golden.readBytes("rounded", 0, expected);
      ByteBuffer bulk = ByteBuffer.allocate(2 * values.length).order(ByteOrder.LITTLE_ENDIAN);
      BFloat16.round(FloatBuffer.wrap(values), bulk);
      float[] widened = Goldens.floats(golden, "rounded");
      assertTrue(values.length > 2_000);
      for (int i = 0; i < values.length; i++) {
        String what = "0x" + Integer.toHexString(Float.floatToRawIntBits(values[i]));
        assertEquals(expected.getShort(2 * i), BFloat16.round(values[i]), what);
        assertEquals(expected.getShort(2 * i), bulk.getShort(2 * i), what);
        assertEquals(
            expected.getShort(2 * i) << 16, Float.floatToRawIntBits(widened[i]), what + " back");
      }
    }
  }

  @Test
  void keepsNaN() {
    for (int bits : new int[] {0x7fc00000, 0x7f800001, 0xff800001, 0x7fffffff, 0xffffffff}) {
      short rounded = BFloat16.round(Float.intBitsToFloat(bits));
      assertTrue(Float.isNaN(Float.intBitsToFloat(rounded << 16)), Integer.toHexString(bits));
    }
  }
}
