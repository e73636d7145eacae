package io.faithfulsae.interop;

import io.faithfulsae.jni.internal.Interop;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.DeviceBuffer;
import java.nio.ByteBuffer;
import org.bytedeco.javacpp.Pointer;

/**
 * Device memory and streams shared with other programs on the same GPU, as JavaCPP pointers: what
 * {@code org.bytedeco:cuda} or any other JavaCPP preset hands out can be passed in, and vice versa,
 * without a copy and without blocking the host.
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
 * <p>Loading this class does not require the presets. On the CPU backend device memory is host
 * memory, {@link #stream} is a null pointer, and ordering does nothing.
 */
public final class DeviceInterop {
  private DeviceInterop() {}

  /**
   * Opens the CUDA backend on the caller's stream, so that its operations are ordered with whatever
   * else is queued there. <b>Closed by</b> the caller, before the stream is destroyed.
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
   * where operations have finished when their call returns. Valid until the backend is closed.
   */
  public static Pointer stream(Backend backend) {
    return Interop.stream(backend);
  }

  /**
   * From now on the backend's operations start after everything queued on {@code stream} so far.
   */
  public static void runAfter(Backend backend, Pointer stream) {
    Interop.runAfter(backend, stream);
  }

  /**
   * Work queued on {@code stream} from now on starts after all of the backend's operations so far.
   */
  public static void runBefore(Backend backend, Pointer stream) {
    Interop.runBefore(backend, stream);
  }

  /**
   * Allocates zeroed memory on the device. Every operation accepts it in place of host memory and
   * moves nothing over the bus. {@link DeviceBuffer#host()} throws. <b>Closed by</b> the caller.
   *
   * @param bytes size, at least 1
   */
  public static DeviceBuffer allocate(Backend backend, long bytes) {
    return Interop.allocate(backend, bytes);
  }

  /**
   * A buffer over device memory that the caller still owns: closing the buffer does not free the
   * memory, and the memory must outlive the buffer.
   *
   * @param memory start of the memory, including the pointer's position; 64-byte aligned, on the
   *     backend's device
   * @param bytes size, at least 1
   * @throws IllegalArgumentException if the memory is not on the device or not aligned
   */
  public static DeviceBuffer wrap(Backend backend, Pointer memory, long bytes) {
    return Interop.wrap(backend, memory, bytes);
  }

  /**
   * A pointer to a buffer's memory. The memory stays valid while the pointer is reachable, even if
   * the buffer is closed in the meantime; a raw address taken from it is valid until the buffer is
   * closed.
   */
  public static Pointer pointer(DeviceBuffer buffer) {
    return Interop.pointer(buffer);
  }

  /**
   * Copies from the host, after waiting for earlier operations on the buffer.
   *
   * @param offset in bytes, from the buffer's start
   * @param from a direct buffer; its position is not changed
   */
  public static void write(DeviceBuffer buffer, long offset, ByteBuffer from) {
    Interop.write(buffer, offset, from);
  }

  /**
   * Copies to the host, after waiting for earlier operations on the buffer.
   *
   * @param offset in bytes, from the buffer's start
   * @param into a direct buffer, filled from its position to its limit; its position is not changed
   */
  public static void read(DeviceBuffer buffer, long offset, ByteBuffer into) {
    Interop.read(buffer, offset, into);
  }
}
