package io.faithfulsae.jni;

import io.faithfulsae.spi.DeviceBuffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;
import org.jspecify.annotations.Nullable;

/**
 * Memory that a native backend works on: the host's, seen as a direct {@link ByteBuffer}, or the
 * device's own.
 */
final class NativeBuffer implements DeviceBuffer {

  /** Where it lies; ordinals are those of {@code SAE_HOST} and {@code SAE_DEVICE}. */
  enum Place {
    HOST,
    DEVICE
  }

  private final NativeBackend backend;
  private final Handle handle;
  private final At memory;
  private final long bytes;

  /** Every view that is handed out keeps this one reachable, and with it the memory. */
  private final @Nullable ByteBuffer view;

  /**
   * @param keep what must stay reachable as long as this; null: nothing
   */
  NativeBuffer(
      NativeBackend backend,
      Handle handle,
      long address,
      long bytes,
      Place place,
      @Nullable Object keep) {
    this.backend = backend;
    this.handle = handle;
    this.bytes = bytes;
    this.memory = new At(address, bytes, keep);
    this.view = place == Place.HOST ? memory.asByteBuffer().order(ByteOrder.nativeOrder()) : null;
    handle.freeAfter(view == null ? memory : view);
  }

  /** An address that JavaCPP did not allocate and does not free. */
  private static final class At extends BytePointer {
    @SuppressWarnings("unused") // reachable from here, which is all it is for
    private final @Nullable Object keep;

    At(long address, long bytes, @Nullable Object keep) {
      super((Pointer) null);
      this.address = address;
      this.limit = bytes;
      this.capacity = bytes;
      this.keep = keep;
    }
  }

  boolean isOf(NativeBackend other) {
    return backend == other;
  }

  NativeBackend backend() {
    return backend;
  }

  Handle handle() {
    return handle;
  }

  /** Where the memory is, as JavaCPP has it; valid until close. */
  Pointer pointer() {
    handle.requireOpen();
    return memory;
  }

  @Override
  public long bytes() {
    return bytes;
  }

  @Override
  public long address() {
    return pointer().address();
  }

  @Override
  public boolean onDevice() {
    return view == null;
  }

  @Override
  public ByteBuffer host() {
    handle.requireOpen();
    if (view == null) {
      throw new UnsupportedOperationException(
          "expected memory that the host can address, got "
              + bytes
              + " bytes of the device's own; mend: copy them with DeviceInterop.read and write");
    }
    return view.duplicate().order(ByteOrder.nativeOrder());
  }

  @Override
  public void upload(long count) {
    backend.call("upload", () -> SaeAbi.sae_buffer_upload(handle.value(), count), handle);
  }

  @Override
  public void close() {
    handle.close();
  }
}
