package io.faithfulsae.javabackend.internal;

import io.faithfulsae.spi.DeviceBuffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;

/**
 * A direct buffer, whose memory lives as long as any view of it: the garbage collector sees to
 * that.
 */
final class JavaMemory extends Resource implements DeviceBuffer {
  static final int ALIGNMENT = 64;

  private final ByteBuffer data;

  JavaMemory(JavaBackend backend, int bytes) {
    super(backend);
    this.data =
        ByteBuffer.allocateDirect(bytes + 2 * ALIGNMENT).alignedSlice(ALIGNMENT).slice(0, bytes);
  }

  @Override
  long ownBytes() {
    return data.capacity();
  }

  @Override
  public long bytes() {
    return data.capacity();
  }

  @Override
  public ByteBuffer host() {
    synchronized (backend) {
      requireOpen();
      return data.duplicate().order(ByteOrder.nativeOrder());
    }
  }

  FloatBuffer floats() {
    return host().asFloatBuffer();
  }

  @Override
  public Loan lend() {
    ByteBuffer lent = host();
    return new Loan() {
      @Override
      public ByteBuffer bytes() {
        return lent;
      }

      @Override
      public long address() {
        return JavaMemory.this.address();
      }

      @Override
      public void close() {}
    };
  }
}
