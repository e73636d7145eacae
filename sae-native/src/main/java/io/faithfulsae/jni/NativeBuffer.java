package io.faithfulsae.jni;

import io.faithfulsae.spi.DeviceBuffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;

/** Host memory of a native backend, seen as a direct {@link ByteBuffer}. */
final class NativeBuffer implements DeviceBuffer {
  private final NativeBackend backend;
  private final Handle handle;
  private final long bytes;

  /** Every view that is handed out keeps this one reachable, and with it the memory. */
  private final ByteBuffer memory;

  NativeBuffer(NativeBackend backend, Handle handle, long address, long bytes) {
    this.backend = backend;
    this.handle = handle;
    this.bytes = bytes;
    this.memory = new At(address, bytes).asByteBuffer().order(ByteOrder.nativeOrder());
    handle.freeAfter(memory);
  }

  /** An address that JavaCPP did not allocate and does not free. */
  private static final class At extends BytePointer {
    At(long address, long bytes) {
      super((Pointer) null);
      this.address = address;
      this.limit = bytes;
      this.capacity = bytes;
    }
  }

  boolean isOf(NativeBackend other) {
    return backend == other;
  }

  Handle handle() {
    return handle;
  }

  @Override
  public long bytes() {
    return bytes;
  }

  @Override
  public ByteBuffer host() {
    handle.requireOpen();
    return memory.duplicate().order(ByteOrder.nativeOrder());
  }

  @Override
  public void close() {
    handle.close();
  }
}
