package io.faithfulsae.models.iobinding;

import static org.bytedeco.onnxruntime.global.onnxruntime.ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16;
import static org.bytedeco.onnxruntime.global.onnxruntime.ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE;
import static org.bytedeco.onnxruntime.global.onnxruntime.ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
import static org.bytedeco.onnxruntime.global.onnxruntime.ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
import static org.bytedeco.onnxruntime.global.onnxruntime.ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
import static org.bytedeco.onnxruntime.global.onnxruntime.ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;

import io.faithfulsae.models.runtime.Binding;
import io.faithfulsae.models.runtime.Tensor;
import io.faithfulsae.spi.DeviceBuffer;
import java.util.HashMap;
import java.util.Map;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.onnxruntime.IoBinding;
import org.bytedeco.onnxruntime.MemoryInfo;
import org.bytedeco.onnxruntime.RunOptions;
import org.bytedeco.onnxruntime.Session;
import org.bytedeco.onnxruntime.Value;
import org.jspecify.annotations.Nullable;

/** Inputs and outputs of a graph, bound in place. */
final class IoBindingBinding implements Binding {
  private final IoBindingRuntime runtime;
  private final Session session;
  private final IoBinding binding;
  private final RunOptions options;
  private final Map<String, Bound> inputs = new HashMap<>();
  private final Map<String, Bound> outputs = new HashMap<>();
  private boolean closed;

  /**
   * A tensor, its native counterpart, and the loan that keeps a backend's memory in place for it.
   */
  private record Bound(Tensor tensor, Value value, DeviceBuffer.@Nullable Loan loan) {
    void close() {
      value.close();
      if (loan != null) {
        loan.close();
      }
    }
  }

  IoBindingBinding(IoBindingRuntime runtime, Session session, Map<String, String> runSettings) {
    this.runtime = runtime;
    this.session = session;
    this.binding = new IoBinding(session);
    this.options = runtime.runOptions(runSettings);
  }

  @Override
  public Binding input(String name, Tensor value) {
    Bound bound = put(inputs, name, value);
    if (!refreshed(bound)) {
      bindInput(name, bound);
    }
    return this;
  }

  @Override
  public Binding output(String name, Tensor value) {
    Bound bound = put(outputs, name, value);
    return runtime.call(
        "binding " + name,
        () -> {
          binding.BindOutput(name, bound.value());
          return this;
        });
  }

  private void bindInput(String name, Bound bound) {
    runtime.call(
        "binding " + name,
        () -> {
          binding.BindInput(name, bound.value());
          return this;
        });
  }

  /**
   * Whether an input is rebound before each run: ONNX Runtime copies host memory to the GPU when it
   * is bound, not when the graph runs.
   */
  private boolean refreshed(Bound bound) {
    return runtime.onGpu() && !bound.tensor().onDevice();
  }

  private Bound put(Map<String, Bound> to, String name, Tensor tensor) {
    Bound bound = bound(name, tensor);
    Bound before = to.put(name, bound);
    if (before != null) {
      before.close();
    }
    return bound;
  }

  private Bound bound(String name, Tensor tensor) {
    if (!tensor.ofBackend()) {
      return runtime.call(
          "binding " + name,
          () -> {
            try (Pointer memory = new Pointer(tensor.host())) {
              return new Bound(tensor, value(tensor, memory), null);
            }
          });
    }
    DeviceBuffer.Loan loan = tensor.lend();
    try {
      return runtime.call(
          "binding " + name,
          () -> {
            long start = loan.address() + tensor.offset();
            try (Pointer memory = new IoBindingRuntime.Address(start)) {
              return new Bound(tensor, value(tensor, memory), loan);
            }
          });
    } catch (RuntimeException e) {
      loan.close();
      throw e;
    }
  }

  private Value value(Tensor tensor, Pointer memory) {
    MemoryInfo where = tensor.onDevice() ? runtime.device() : runtime.host();
    long[] shape = tensor.shape();
    return Value.CreateTensor(
        where.asOrtMemoryInfo(),
        memory,
        tensor.bytes(),
        shape,
        shape.length,
        elementType(tensor.type()));
  }

  private static int elementType(Tensor.Type type) {
    return switch (type) {
      case FLOAT32 -> ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
      case FLOAT64 -> ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE;
      case FLOAT16 -> ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
      case BFLOAT16 -> ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16;
      case INT32 -> ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
      case INT64 -> ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
    };
  }

  @Override
  public void run() {
    inputs.forEach(
        (name, bound) -> {
          if (refreshed(bound)) {
            bindInput(name, bound);
          }
        });
    runtime.call(
        "running a graph",
        () -> {
          session.Run(options, binding);
          if (runtime.onGpu() && outputs.values().stream().anyMatch(o -> !o.tensor().onDevice())) {
            binding.SynchronizeOutputs();
          }
          return this;
        });
  }

  @Override
  public void close() {
    if (closed) {
      return;
    }
    closed = true;
    binding.close();
    options.close();
    inputs.values().forEach(Bound::close);
    outputs.values().forEach(Bound::close);
  }
}
