package io.faithfulsae.models;

import io.faithfulsae.models.runtime.Binding;
import io.faithfulsae.models.runtime.Tensor;
import io.faithfulsae.models.spi.Architecture.Dimensions;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * Keys and values in host memory. The graph sees as many slots of each row as the longest sequence
 * needs, and returns the newest token's, which {@link #append} writes to their slots.
 */
final class HostCache {
  /**
   * Slots by which the visible part grows: with fewer, it would be copied too often; with more, too
   * many would be empty.
   */
  private static final int GROWTH = 32;

  private final Dimensions dims;
  private final List<CacheTensor> keys = new ArrayList<>();
  private final List<CacheTensor> values = new ArrayList<>();
  private int capacity = GROWTH;

  HostCache(Dimensions dims, int maxRows, int maxLength) {
    this.dims = dims;
    int slots = roundUp(maxLength);
    for (int layer = 0; layer < dims.layers(); layer++) {
      keys.add(new CacheTensor(maxRows, slots, dims.keyValueHeads() * dims.headDim(), 1));
      values.add(new CacheTensor(maxRows, slots, dims.keyValueHeads(), dims.headDim()));
    }
  }

  private static int roundUp(int slots) {
    return (slots + GROWTH - 1) / GROWTH * GROWTH;
  }

  /** Forgets all tokens. */
  void clear() {
    capacity = GROWTH;
  }

  /**
   * Makes room for one more token; shrinks if much is unused, since empty slots cost time too.
   *
   * @return whether it has to be bound again
   */
  boolean fit(int rows, int longest) {
    int wanted = roundUp(longest + 1);
    if (wanted <= capacity && wanted > capacity / 2) {
      return false;
    }
    forEach(tensor -> tensor.resize(rows, capacity, wanted, longest));
    capacity = wanted;
    return true;
  }

  /** Writes each row's newest token to a slot of that row. */
  void append(int rows, int[] slots) {
    forEach(tensor -> tensor.append(rows, capacity, slots));
  }

  /** Copies one row over another. */
  void move(int from, int to) {
    forEach(tensor -> tensor.move(from, to, capacity));
  }

  void bindTo(Binding binding, int rows) {
    long kv = dims.keyValueHeads();
    long width = dims.headDim();
    for (int layer = 0; layer < dims.layers(); layer++) {
      CacheTensor key = keys.get(layer);
      CacheTensor value = values.get(layer);
      binding.input(Graphs.cached("key", layer), Tensor.of(key.kept(), rows, kv, width, capacity));
      binding.input(
          Graphs.cached("value", layer), Tensor.of(value.kept(), rows, kv, capacity, width));
      binding.output(Graphs.fresh("key", layer), Tensor.of(key.fresh(), rows, kv, 1, width));
      binding.output(Graphs.fresh("value", layer), Tensor.of(value.fresh(), rows, kv, 1, width));
    }
  }

  private void forEach(Consumer<CacheTensor> action) {
    keys.forEach(action);
    values.forEach(action);
  }
}
