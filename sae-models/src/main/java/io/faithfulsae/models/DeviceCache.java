package io.faithfulsae.models;

import io.faithfulsae.models.runtime.Binding;
import io.faithfulsae.models.runtime.Tensor;
import io.faithfulsae.models.spi.Architecture.Dimensions;
import io.faithfulsae.models.spi.Graph.Precision;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.DeviceBuffer;
import java.util.ArrayList;
import java.util.List;

/** Keys and values in a backend's memory; the graph itself writes the newest token's. */
final class DeviceCache implements AutoCloseable {
  private final Dimensions dims;
  private final Tensor.Type type;
  private final long[] shape;
  private final List<DeviceBuffer> buffers = new ArrayList<>();

  /** Describes the memory; {@link #bindTo} allocates it. */
  DeviceCache(Dimensions dims, Precision precision, int rows, int maxLength) {
    this.dims = dims;
    this.type =
        switch (precision) {
          case FLOAT32 -> Tensor.Type.FLOAT32;
          case FLOAT16 -> Tensor.Type.FLOAT16;
          case BFLOAT16 -> Tensor.Type.BFLOAT16;
        };
    this.shape = new long[] {rows, dims.keyValueHeads(), maxLength, DeviceGraphs.headWidth(dims)};
  }

  void bindTo(Binding binding, Backend on) {
    long bytes = type.bytes() * shape[0] * shape[1] * shape[2] * shape[3];
    for (int layer = 0; layer < dims.layers(); layer++) {
      for (String what : List.of("key", "value")) {
        DeviceBuffer buffer = on.allocateOnDevice(bytes);
        buffers.add(buffer);
        Tensor tensor = Tensor.of(buffer, 0, type, shape);
        // Input and output share the buffer: the graph writes the new token's slot and nothing
        // else.
        binding.input(Graphs.cached(what, layer), tensor);
        binding.output(DeviceGraphs.grown(what, layer), tensor);
      }
    }
  }

  @Override
  public void close() {
    buffers.forEach(DeviceBuffer::close);
  }
}
