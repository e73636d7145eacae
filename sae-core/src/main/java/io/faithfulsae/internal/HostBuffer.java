package io.faithfulsae.internal;

import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Host memory for rows that no backend computes on; freed by the garbage collector. */
public final class HostBuffer implements DeviceBuffer {
  private final ByteBuffer memory;

  /** Zeroed memory, at most 2 GiB. */
  public HostBuffer(int bytes) {
    memory = DirectBuffers.bytes(bytes);
  }

  @Override
  public long bytes() {
    return memory.capacity();
  }

  @Override
  public ByteBuffer host() {
    return memory.duplicate().clear().order(ByteOrder.nativeOrder());
  }

  @Override
  public void close() {}
}
