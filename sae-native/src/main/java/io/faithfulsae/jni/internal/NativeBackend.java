package io.faithfulsae.jni.internal;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.BackendException;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.BackendUnavailableException;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.SaeShape;
import java.nio.charset.StandardCharsets;
import java.util.function.IntSupplier;
import java.util.function.LongToIntFunction;
import java.util.function.ToIntFunction;

/** A {@link Backend} on the other side of sae_abi.h. */
final class NativeBackend implements Backend {
  private static final int TEXT_BYTES = 4096;

  private final Handle handle;
  private final Info info;

  private NativeBackend(Handle handle, Info info) {
    this.handle = handle;
    this.info = info;
  }

  /**
   * Opens a context.
   *
   * @param name the backend's name
   * @param library path of a backend library; empty: the CPU backend
   * @param options as sae_context_open takes them
   * @throws BackendUnavailableException with the native error text, if it cannot be opened
   */
  static NativeBackend open(String name, String library, String options) {
    NativeLibrary.load();
    long[] context = new long[1];
    if (SaeAbi.sae_context_open(library, options, context) != SaeAbi.SAE_OK) {
      throw new BackendUnavailableException(name + ": " + NativeLibrary.lastError());
    }
    Handle handle =
        new Handle(
            "backend " + name, context[0], 0, SaeAbi::sae_context_close, null, MadeAt.here());
    byte[] text = new byte[TEXT_BYTES];
    int status = SaeAbi.sae_context_describe(context[0], text, text.length);
    if (status != SaeAbi.SAE_OK) {
      String error = NativeLibrary.lastError();
      handle.close();
      throw new BackendUnavailableException(name + ": " + error);
    }
    String details = text(text);
    NativeBackend backend = new NativeBackend(handle, new Info(name, device(details), details));
    handle.freeAfter(backend);
    return backend;
  }

  /** The text that a native function wrote, up to its terminating null. */
  static String text(byte[] bytes) {
    int end = 0;
    while (end < bytes.length && bytes[end] != 0) {
      end++;
    }
    return new String(bytes, 0, end, StandardCharsets.UTF_8);
  }

  private static String device(String details) {
    try {
      JsonNode device = new ObjectMapper().readTree(details).path("device");
      return device.asText("unnamed");
    } catch (JsonProcessingException e) {
      throw new LinkageError(
          Expected.message(
              "one JSON object from sae_context_describe",
              details,
              "keep only one version of sae-native on the class path"),
          e);
    }
  }

  @Override
  public Info info() {
    return info;
  }

  @Override
  public DeviceBuffer allocate(long bytes) {
    return allocate(bytes, NativeBuffer.Place.HOST);
  }

  @Override
  public DeviceBuffer allocateOnDevice(long bytes) {
    return allocate(bytes, NativeBuffer.Place.DEVICE);
  }

  NativeBuffer allocate(long bytes, NativeBuffer.Place place) {
    BackendChecks.bytes(bytes);
    BufferMemory memory = new BufferMemory(bytes);
    long[] address = new long[1];
    Handle buffer =
        make(
            "allocate",
            "buffer of " + bytes + " bytes",
            handle,
            out -> {
              int status = SaeAbi.sae_buffer_create(handle.value(), bytes, place.ordinal(), out);
              return status == SaeAbi.SAE_OK ? SaeAbi.sae_buffer_address(out[0], address) : status;
            },
            memory::close);
    return new NativeBuffer(this, buffer, memory, address[0], bytes, place, null);
  }

  /** A buffer over the caller's memory, which {@code keep} keeps reachable. */
  NativeBuffer wrap(long address, long bytes, NativeBuffer.Place place, Object keep) {
    BackendChecks.bytes(bytes);
    BufferMemory memory = new BufferMemory(0);
    Handle buffer =
        make(
            "wrap",
            "buffer over " + bytes + " bytes of the caller's memory",
            handle,
            out -> SaeAbi.sae_buffer_wrap(handle.value(), address, bytes, place.ordinal(), out),
            memory::close);
    return new NativeBuffer(this, buffer, memory, address, bytes, place, keep);
  }

  @Override
  public long stream() {
    long[] stream = new long[1];
    call("stream", () -> SaeAbi.sae_context_stream(handle.value(), stream), handle);
    return stream[0];
  }

  /** Orders this backend and another stream; direction is one of {@code SAE_ORDER_*}. */
  void order(long stream, int direction) {
    call("order", () -> SaeAbi.sae_context_order(handle.value(), stream, direction), handle);
  }

  @Override
  public BackendSae createSae(SaeShape shape) {
    int flags =
        (shape.subtractDecoderBias() ? SaeAbi.SAE_SUBTRACT_B_DEC : 0)
            | (shape.has(Tensor.THRESHOLD) ? SaeAbi.SAE_THRESHOLDS : 0)
            | (shape.has(Tensor.R_MAG) ? SaeAbi.SAE_GATED : 0)
            | (shape.has(Tensor.W_SKIP) ? SaeAbi.SAE_SKIP : 0);
    Handle params =
        make(
            "createSae",
            "SAE [" + shape.dSae() + ", " + shape.dIn() + "]",
            handle,
            out ->
                SaeAbi.sae_params_create(
                    handle.value(), shape.dIn(), shape.dOut(), shape.dSae(), flags, out),
            SaeAbi::sae_params_close);
    return new NativeSae(this, params, shape);
  }

  @Override
  public void matmulTransposed(
      DeviceBuffer a, int m, DeviceBuffer b, int n, int inner, DeviceBuffer c) {
    Handle left = handleOf("a", a);
    Handle right = handleOf("b", b);
    Handle out = handleOf("c", c);
    call(
        "matmulTransposed",
        () ->
            SaeAbi.sae_matmul_nt(
                handle.value(), left.value(), m, right.value(), n, inner, out.value()),
        () -> {
          BackendChecks.atLeastOne("m", m);
          BackendChecks.atLeastOne("n", n);
          BackendChecks.atLeastOne("inner", inner);
          BackendChecks.holds("a", a, m, inner);
          BackendChecks.holds("b", b, n, inner);
          BackendChecks.holds("c", c, m, n);
          BackendChecks.distinct("c", c, a, b);
        },
        handle,
        left,
        right,
        out);
  }

  @Override
  public void gatherRows(
      DeviceBuffer from,
      int fromRows,
      int columns,
      DeviceBuffer rows,
      int first,
      int count,
      double factor,
      DeviceBuffer into) {
    Handle source = handleOf("from", from);
    Handle numbers = handleOf("rows", rows);
    Handle target = handleOf("into", into);
    call(
        "gatherRows",
        () ->
            SaeAbi.sae_gather_rows(
                handle.value(),
                source.value(),
                fromRows,
                columns,
                numbers.value(),
                first,
                count,
                factor,
                target.value()),
        () -> {
          BackendChecks.gather(fromRows, columns, first, count);
          BackendChecks.holds("from", from, fromRows, columns);
          BackendChecks.holds("rows", rows, 1, first + count);
          BackendChecks.holds("into", into, count, columns);
          BackendChecks.distinct("into", into, from, rows);
        },
        handle,
        source,
        numbers,
        target);
  }

  @Override
  public void synchronize() {
    call("synchronize", () -> SaeAbi.sae_context_synchronize(handle.value()), handle);
  }

  @Override
  public long liveBytes() {
    long[] bytes = new long[1];
    call("liveBytes", () -> readLiveBytes(bytes), handle);
    return bytes[0];
  }

  private int readLiveBytes(long[] into) {
    return SaeAbi.sae_context_live_bytes(handle.value(), into);
  }

  @Override
  public void close() {
    handle.close();
    BufferMemory.collectIfNeeded();
  }

  /** The handle of a buffer, which must belong to this backend. */
  Handle handleOf(String name, DeviceBuffer buffer) {
    if (!(buffer instanceof NativeBuffer nativeBuffer) || !nativeBuffer.isOf(this)) {
      throw new IllegalArgumentException(
          Expected.message(
              name + " in a buffer of backend " + info.name(),
              "one of another backend",
              "allocate it on this one"));
    }
    return nativeBuffer.handle();
  }

  /**
   * Creates a native object as a child of {@code parent}; if there is no memory for it, once more
   * after freeing what nobody can use any more.
   */
  Handle make(
      String operation,
      String what,
      Handle parent,
      ToIntFunction<long[]> create,
      LongToIntFunction closer) {
    MadeAt here = MadeAt.here(); // not further down: it walks the stack
    HeldMemory.reclaimForgotten();
    try {
      return makeOnce(operation, what, parent, here, create, closer);
    } catch (BackendException e) {
      HeldMemory.collect();
      return makeOnce(operation, what, parent, here, create, closer);
    }
  }

  private Handle makeOnce(
      String operation,
      String what,
      Handle parent,
      MadeAt madeAt,
      ToIntFunction<long[]> create,
      LongToIntFunction closer) {
    long[] before = new long[1];
    long[] after = new long[1];
    long[] out = new long[1];
    Handle[] made = new Handle[1];
    call(
        operation,
        () -> {
          readLiveBytes(before); // cannot fail on an open context
          int status = create.applyAsInt(out);
          if (status == SaeAbi.SAE_OK) {
            readLiveBytes(after);
            made[0] = new Handle(what, out[0], after[0] - before[0], closer, parent, madeAt);
          }
          return status;
        },
        parent);
    return made[0];
  }

  /** Makes a native call on these handles; a status other than SAE_OK becomes an exception. */
  void call(String operation, IntSupplier nativeCall, Handle first, Handle... others) {
    call(operation, nativeCall, () -> {}, first, others);
  }

  /**
   * The same for a call with sizes. They are checked once, by sae_abi.h, which no caller can avoid;
   * {@code checks} run only if it rejects an argument, to say which in the words of all backends.
   */
  void call(
      String operation, IntSupplier nativeCall, Runnable checks, Handle first, Handle... others) {
    String[] error = {""};
    int status =
        Handle.call(
            () -> {
              int result = nativeCall.getAsInt();
              if (result != SaeAbi.SAE_OK) {
                error[0] = NativeLibrary.lastError();
              }
              return result;
            },
            first,
            others);
    switch (status) {
      case SaeAbi.SAE_OK -> {}
      case SaeAbi.SAE_INVALID_ARGUMENT -> {
        checks.run();
        throw new IllegalArgumentException(error[0]);
      }
      case SaeAbi.SAE_NONFINITE -> throw new IllegalArgumentException(error[0]);
      case SaeAbi.SAE_UNAVAILABLE ->
          throw new BackendUnavailableException(info.name() + ": " + error[0]);
      default -> throw new BackendException(operation, info.device(), error[0]);
    }
  }
}
