package io.faithfulsae.jni.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;
import org.jspecify.annotations.Nullable;

/**
 * Memory that a native backend works on: host memory, exposed as a direct {@link ByteBuffer}, or
 * device memory.
 */
final class NativeBuffer implements DeviceBuffer {

  /** Where the memory is; ordinals match {@code SAE_HOST} and {@code SAE_DEVICE}. */
  enum Place {
    HOST,
    DEVICE
  }

  private final NativeBackend backend;
  private final Handle handle;
  private final BufferMemory memory;
  private final long address;
  private final long bytes;
  private final Place place;

  /**
   * What every view, pointer and loan keeps reachable; the memory lives as long as it does. For
   * host memory it is the buffer that all views are duplicates of. Null once this is closed.
   */
  private volatile @Nullable Object anchor;

  /**
   * @param keep what must stay reachable as long as this buffer; null: nothing
   */
  NativeBuffer(
      NativeBackend backend,
      Handle handle,
      BufferMemory memory,
      long address,
      long bytes,
      Place place,
      @Nullable Object keep) {
    this.backend = backend;
    this.handle = handle;
    this.memory = memory;
    this.address = address;
    this.bytes = bytes;
    this.place = place;
    At start = new At(address, bytes, keep);
    Object root = place == Place.HOST ? start.asByteBuffer() : start;
    this.anchor = root;
    handle.freeAfter(root, memory::unreachable);
  }

  /** An address that JavaCPP neither allocated nor frees. */
  private static final class At extends BytePointer {
    @SuppressWarnings("unused") // only here to keep it reachable
    private final @Nullable Object keep;

    At(long address, long bytes, @Nullable Object keep) {
      super((Pointer) null);
      this.address = address;
      this.limit = bytes;
      this.capacity = bytes;
      this.keep = keep;
    }
  }

  private final class Lent implements Loan {
    private final Object kept;
    private boolean ended;

    Lent(Object kept) {
      this.kept = kept;
    }

    @Override
    public ByteBuffer bytes() {
      requireNotEnded();
      return view(kept);
    }

    @Override
    public long address() {
      requireNotEnded();
      return address;
    }

    private void requireNotEnded() {
      if (ended) {
        throw new IllegalStateException(
            Expected.message(
                "a loan of " + bytes + " bytes that is still open",
                "one that has ended",
                "lend the buffer again"));
      }
    }

    @Override
    public void close() {
      if (!ended) {
        ended = true;
        memory.endLoan();
      }
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

  /** The memory as a JavaCPP pointer; the memory lives as long as the pointer. */
  Pointer pointer() {
    return new At(address, bytes, sharedAnchor());
  }

  @Override
  public long bytes() {
    return bytes;
  }

  @Override
  public long address() {
    handle.requireOpen();
    return address;
  }

  @Override
  public boolean onDevice() {
    return place == Place.DEVICE;
  }

  @Override
  public ByteBuffer host() {
    return view(sharedAnchor());
  }

  @Override
  public Loan lend() {
    Object root = anchor;
    if (root == null || !memory.startLoan()) {
      throw closed();
    }
    return new Lent(root);
  }

  private Object sharedAnchor() {
    Object root = anchor;
    if (root == null || !memory.markShared()) {
      throw closed();
    }
    return root;
  }

  private IllegalStateException closed() {
    anchor = null; // closed with the backend: nothing needs to stay reachable
    return handle.closedException();
  }

  private ByteBuffer view(Object root) {
    if (root instanceof ByteBuffer all) {
      return all.duplicate().order(ByteOrder.nativeOrder());
    }
    throw new UnsupportedOperationException(
        Expected.message(
            "memory that the host can address",
            bytes + " bytes of device memory",
            "copy them with DeviceInterop.read and write"));
  }

  @Override
  public void upload(long count) {
    backend.call("upload", () -> SaeAbi.sae_buffer_upload(handle.value(), count), handle);
  }

  @Override
  public void close() {
    handle.close();
    anchor = null;
    BufferMemory.collectIfNeeded();
  }
}
