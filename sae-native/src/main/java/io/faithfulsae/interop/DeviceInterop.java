package io.faithfulsae.interop;

import io.faithfulsae.jni.internal.Interop;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.ByteBuffer;
import org.bytedeco.javacpp.Pointer;

/**
 * Device memory and streams shared with other programs on the same GPU, as JavaCPP pointers: what
 * {@code org.bytedeco:cuda} and every other JavaCPP preset hands out can be handed in, and the
 * other way round, without a copy and without a wait of the host.
 * <!-- assumes: Backend backend, BackendTrainer trainer, FloatPointer filled, Pointer theirStream -->
 *
 * <pre>{@code
 * int rows = 1024;
 * long bytes = 4L * rows * 768; // of memory that cudaMalloc gave to another program
 * try (DeviceBuffer x = DeviceInterop.wrap(backend, filled, bytes)) {
 *   DeviceInterop.runAfter(backend, theirStream); // it is filled there
 *   trainer.step(x, rows, 3e-4);
 *   DeviceInterop.runBefore(backend, theirStream); // and refilled after the step
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
   * @throws io.faithfulsae.spi.BackendUnavailableException if the CUDA backend cannot run here
   */
  public static Backend openOn(int device, Pointer stream) {
    return Interop.openOn(device, stream);
  }

  /**
   * The stream that the backend queues its operations on (a {@code CUstream_st}); a null pointer
   * where operations are done when their call returns. Valid until the backend is closed.
   */
  public static Pointer stream(Backend backend) {
    return Interop.stream(backend);
  }

  /** Operations of the backend from now on start after all that {@code stream} was given so far. */
  public static void runAfter(Backend backend, Pointer stream) {
    Interop.runAfter(backend, stream);
  }

  /** What {@code stream} is given from now on starts after all operations of the backend so far. */
  public static void runBefore(Backend backend, Pointer stream) {
    Interop.runBefore(backend, stream);
  }

  /**
   * Allocates zeroed memory of the device itself. Every operation takes it where it takes host
   * memory, and moves nothing over the bus. {@link DeviceBuffer#host()} of it throws. <b>Closed
   * by</b> the caller.
   *
   * @param bytes size, at least 1
   */
  public static DeviceBuffer allocate(Backend backend, long bytes) {
    return Interop.allocate(backend, bytes);
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
    return Interop.wrap(backend, memory, bytes);
  }

  /**
   * Where a buffer's memory is. The memory stays there while the pointer is reachable, also when
   * the buffer is closed meanwhile; an address that is taken from it is good until the buffer is
   * closed.
   */
  public static Pointer pointer(DeviceBuffer buffer) {
    return Interop.pointer(buffer);
  }

  /**
   * Copies from the host, waiting for operations on the buffer before.
   *
   * @param offset in bytes, from the buffer's start
   * @param from a direct buffer; its position is not changed
   */
  public static void write(DeviceBuffer buffer, long offset, ByteBuffer from) {
    Interop.write(buffer, offset, from);
  }

  /**
   * Copies to the host, waiting for operations on the buffer before.
   *
   * @param offset in bytes, from the buffer's start
   * @param into a direct buffer, filled from its position to its limit; its position is not changed
   */
  public static void read(DeviceBuffer buffer, long offset, ByteBuffer into) {
    Interop.read(buffer, offset, into);
  }
}
