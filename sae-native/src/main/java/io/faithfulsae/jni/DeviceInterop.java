package io.faithfulsae.jni;

import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.jni.NativeBuffer.Place;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.ByteBuffer;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;

/**
 * Device memory and streams shared with other programs on the same GPU, as JavaCPP pointers: what
 * {@code org.bytedeco:cuda} and every other JavaCPP preset hands out can be handed in, and the
 * other way round, without a copy and without a wait of the host.
 *
 * <pre>{@code
 * FloatPointer rows = new FloatPointer();
 * cudart.cudaMalloc(rows, bytes);                          // org.bytedeco:cuda
 * try (DeviceBuffer x = DeviceInterop.wrap(backend, rows, bytes)) {
 *   DeviceInterop.runAfter(backend, producersStream);      // x is filled there
 *   trainer.step(x, rows, 3e-4);
 *   DeviceInterop.runBefore(backend, producersStream);     // and refilled after the step
 * }
 * }</pre>
 *
 * <p>Nothing of the presets is needed to load this class. On the CPU backend memory of the device
 * is the host's, {@link #stream} is a null pointer, and ordering has nothing to do.
 */
public final class DeviceInterop {
  private DeviceInterop() {}

  /**
   * Opens the CUDA backend on a stream of the caller's, so that its operations are ordered with
   * whatever else is queued there. <b>Closed by</b> the caller, before the stream is destroyed.
   *
   * @param device ordinal of the device that the stream belongs to
   * @param stream a {@code CUstream_st}, not null
   * @throws io.faithfulsae.BackendUnavailableException if the CUDA backend cannot run here
   */
  public static Backend openOn(int device, Pointer stream) {
    if (Pointer.isNull(stream)) {
      throw new IllegalArgumentException(
          "expected a stream, got null; mend: Backends.open(\"cuda\") makes one of its own");
    }
    return new CudaBackendProvider().open("device=" + device + ";stream=" + stream.address());
  }

  /**
   * The stream that the backend queues its operations on (a {@code CUstream_st}); a null pointer
   * where operations are done when their call returns. Valid until the backend is closed.
   */
  public static Pointer stream(Backend backend) {
    return new Address(of(backend).stream());
  }

  /** Operations of the backend from now on start after all that {@code stream} was given so far. */
  public static void runAfter(Backend backend, Pointer stream) {
    of(backend).order(stream.address(), SaeAbi.SAE_ORDER_AFTER);
  }

  /** What {@code stream} is given from now on starts after all operations of the backend so far. */
  public static void runBefore(Backend backend, Pointer stream) {
    of(backend).order(stream.address(), SaeAbi.SAE_ORDER_BEFORE);
  }

  /**
   * Allocates zeroed memory of the device itself. Every operation takes it where it takes host
   * memory, and moves nothing over the bus. {@link DeviceBuffer#host()} of it throws. <b>Closed
   * by</b> the caller.
   *
   * @param bytes size, at least 1
   */
  public static DeviceBuffer allocate(Backend backend, long bytes) {
    return of(backend).allocate(bytes, Place.DEVICE);
  }

  /**
   * A buffer over memory of the device that stays the caller's: closing the buffer does not free
   * it, and it must not be freed before.
   *
   * @param memory where it starts, its position counted; 64-byte aligned, of the backend's device
   * @param bytes how much of it, at least 1
   * @throws IllegalArgumentException if the memory is not the device's or not aligned
   */
  public static DeviceBuffer wrap(Backend backend, Pointer memory, long bytes) {
    long start = memory.address() + memory.position() * memory.sizeof();
    return of(backend).wrap(start, bytes, Place.DEVICE, memory);
  }

  /**
   * Where a buffer's memory is. The memory stays there while the pointer is reachable, also when
   * the buffer is closed meanwhile; an address that is taken from it is good until the buffer is
   * closed.
   */
  public static Pointer pointer(DeviceBuffer buffer) {
    return of(buffer).pointer();
  }

  /**
   * Copies from the host, waiting for operations on the buffer before.
   *
   * @param offset in bytes, from the buffer's start
   * @param from a direct buffer; its position is not changed
   */
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

  /**
   * Copies to the host, waiting for operations on the buffer before.
   *
   * @param offset in bytes, from the buffer's start
   * @param into a direct buffer, filled from its position to its limit; its position is not changed
   */
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
        "expected a backend of sae-native, got "
            + backend.info().name()
            + "; mend: open it with Backends.open");
  }

  private static NativeBuffer of(DeviceBuffer buffer) {
    if (buffer instanceof NativeBuffer own) {
      return own;
    }
    throw new IllegalArgumentException(
        "expected a buffer of sae-native, got "
            + buffer.getClass().getName()
            + "; mend: allocate it on a backend of Backends.open");
  }

  /** An address and nothing else. */
  private static final class Address extends Pointer {
    Address(long address) {
      super((Pointer) null);
      this.address = address;
    }
  }
}
