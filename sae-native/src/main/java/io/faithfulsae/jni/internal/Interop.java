package io.faithfulsae.jni.internal;

import io.faithfulsae.io.Expected;
import io.faithfulsae.jni.internal.NativeBuffer.Place;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.ByteBuffer;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;

/** The implementation of {@code DeviceInterop}, in the package that can see the native objects. */
public final class Interop {
  private Interop() {}

  /** As its namesake in {@code DeviceInterop}. */
  public static Backend openOn(int device, Pointer stream) {
    if (Pointer.isNull(stream)) {
      throw new IllegalArgumentException(
          Expected.message(
              "a stream", "null", "use Backends.open(\"cuda\"), which creates its own"));
    }
    return new CudaBackendProvider().open("device=" + device + ";stream=" + stream.address());
  }

  /** As its namesake in {@code DeviceInterop}. */
  public static Pointer stream(Backend backend) {
    return new Address(of(backend).stream());
  }

  /** As its namesake in {@code DeviceInterop}. */
  public static void runAfter(Backend backend, Pointer stream) {
    of(backend).order(stream.address(), SaeAbi.SAE_ORDER_AFTER);
  }

  /** As its namesake in {@code DeviceInterop}. */
  public static void runBefore(Backend backend, Pointer stream) {
    of(backend).order(stream.address(), SaeAbi.SAE_ORDER_BEFORE);
  }

  /** As its namesake in {@code DeviceInterop}. */
  public static DeviceBuffer allocate(Backend backend, long bytes) {
    return of(backend).allocate(bytes, Place.DEVICE);
  }

  /** As its namesake in {@code DeviceInterop}. */
  public static DeviceBuffer wrap(Backend backend, Pointer memory, long bytes) {
    long start = memory.address() + memory.position() * memory.sizeof();
    return of(backend).wrap(start, bytes, Place.DEVICE, memory);
  }

  /** As its namesake in {@code DeviceInterop}. */
  public static Pointer pointer(DeviceBuffer buffer) {
    return of(buffer).pointer();
  }

  /** As its namesake in {@code DeviceInterop}. */
  public static void write(DeviceBuffer buffer, long offset, ByteBuffer from) {
    NativeBuffer to = of(buffer);
    BackendChecks.direct(from);
    try (BytePointer source = new BytePointer(from)) {
      to.backend()
          .call(
              "write",
              () -> SaeAbi.sae_buffer_write(to.handle().value(), offset, source, from.remaining()),
              to.handle());
    }
  }

  /** As its namesake in {@code DeviceInterop}. */
  public static void read(DeviceBuffer buffer, long offset, ByteBuffer into) {
    NativeBuffer from = of(buffer);
    BackendChecks.direct(into);
    try (BytePointer target = new BytePointer(into)) {
      from.backend()
          .call(
              "read",
              () -> SaeAbi.sae_buffer_read(from.handle().value(), offset, target, into.remaining()),
              from.handle());
    }
  }

  private static NativeBackend of(Backend backend) {
    if (backend instanceof NativeBackend own) {
      return own;
    }
    throw new IllegalArgumentException(
        Expected.message(
            "a backend of sae-native", backend.info().name(), "open it with Backends.open"));
  }

  private static NativeBuffer of(DeviceBuffer buffer) {
    if (buffer instanceof NativeBuffer own) {
      return own;
    }
    throw new IllegalArgumentException(
        Expected.message(
            "a buffer of sae-native",
            buffer.getClass().getName(),
            "allocate it on a backend from Backends.open"));
  }

  /** A bare address. */
  private static final class Address extends Pointer {
    Address(long address) {
      super((Pointer) null);
      this.address = address;
    }
  }
}
