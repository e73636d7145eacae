package io.faithfulsae.io;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteOrder;
import org.junit.jupiter.api.Test;

class DirectBuffersTest {
  @Test
  void areDirectInNativeOrderAndAsLargeAsAskedFor() {
    assertTrue(DirectBuffers.bytes(3).isDirect());
    assertTrue(DirectBuffers.longs(3).isDirect());
    assertEquals(ByteOrder.nativeOrder(), DirectBuffers.bytes(3).order());
    assertEquals(ByteOrder.nativeOrder(), DirectBuffers.floats(3).order());
    assertEquals(ByteOrder.nativeOrder(), DirectBuffers.doubles(3).order());
    assertEquals(3, DirectBuffers.bytes(3).capacity());
    assertEquals(3, DirectBuffers.floats(3).capacity());
    assertEquals(3, DirectBuffers.doubles(3).capacity());
    assertEquals(3, DirectBuffers.ints(3).capacity());
    assertEquals(3, DirectBuffers.longs(3).capacity());
    assertEquals(0, DirectBuffers.longs(0).capacity());
  }

  @Test
  void rejectsWhatNoBufferHolds() {
    String message =
        String.valueOf(
            assertThrows(IllegalArgumentException.class, () -> DirectBuffers.floats(1L << 29))
                .getMessage());
    assertTrue(message.contains("0 to 536870911 elements of 4 bytes, got 536870912"), message);
    assertThrows(IllegalArgumentException.class, () -> DirectBuffers.floats(1L << 62));
    assertThrows(IllegalArgumentException.class, () -> DirectBuffers.bytes(-1));
  }
}
