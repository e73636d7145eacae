package io.faithfulsae.models;

import io.faithfulsae.HookPoint;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.models.runtime.Binding;
import io.faithfulsae.models.runtime.OnnxSession;
import io.faithfulsae.models.runtime.Tensor;
import io.faithfulsae.models.spi.Architecture.Dimensions;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.ToIntFunction;
import org.jspecify.annotations.Nullable;

/** Runs a model's graphs over whole sequences. Inputs that every graph may have are reused. */
final class WholeSequences {
  private final Dimensions dims;
  private final ToIntFunction<HookPoint> width;
  private LongBuffer positions = DirectBuffers.longs(0);
  private final LongBuffer lengths = DirectBuffers.longs(1);
  private final LongBuffer queryShape = DirectBuffers.longs(3);
  private final LongBuffer keyShape = DirectBuffers.longs(3);

  /**
   * Sequences of one length.
   *
   * @param tokens {@code [count, length]}; null if the graph starts from activations
   */
  record Batch(int count, int length, @Nullable LongBuffer tokens) {
    int rows() {
      return Math.multiplyExact(count, length);
    }
  }

  /** An output {@code [rows, width]}, and where it goes. */
  record Output(String name, int width, FloatBuffer into) {}

  WholeSequences(Dimensions dims, ToIntFunction<HookPoint> width) {
    this.dims = dims;
    this.width = width;
  }

  /**
   * Runs a graph.
   *
   * @param hooks activations {@code [rows, width]} at the hook points that are inputs
   */
  void run(
      OnnxSession session,
      Batch batch,
      Map<HookPoint, FloatBuffer> hooks,
      Interventions interventions,
      List<Output> outputs) {
    int rows = batch.rows();
    hooks.forEach(
        (hook, data) -> FloatRows.requireRoom(hook.toString(), data, rows, width.applyAsInt(hook)));
    List<FloatBuffer> results = new ArrayList<>();
    for (Output output : outputs) {
      FloatBuffer into = output.into();
      FloatRows.requireRoom("into", into, rows, output.width());
      results.add(FloatRows.isUsable(into) ? into : FloatRows.allocate(rows, output.width()));
    }
    try (Binding binding = session.bind()) {
      bind(binding, session, batch);
      interventions.bindTo(binding, session.inputs());
      hooks.forEach(
          (hook, data) -> {
            int columns = width.applyAsInt(hook);
            FloatBuffer readable = FloatRows.readable(data, rows, columns);
            bind(binding, session, hook.toString(), Tensor.of(readable, rows, columns));
          });
      for (int i = 0; i < outputs.size(); i++) {
        Output output = outputs.get(i);
        binding.output(output.name(), Tensor.of(results.get(i), rows, output.width()));
      }
      binding.run();
    }
    for (int i = 0; i < outputs.size(); i++) {
      FloatBuffer into = outputs.get(i).into();
      if (!FloatRows.isUsable(into)) {
        into.put(into.position(), results.get(i), 0, rows * outputs.get(i).width());
      }
    }
  }

  /** Binds the tokens, their positions and the sizes, as far as the graph has these inputs. */
  void bind(Binding binding, OnnxSession session, Batch batch) {
    int rows = batch.rows();
    int length = batch.length();
    positions = TokenIds.ensure(positions, rows);
    for (int i = 0; i < rows; i++) {
      positions.put(i, i % length);
    }
    bind(binding, session, Graphs.POSITIONS, Tensor.of(positions, rows));
    bind(binding, session, Graphs.LENGTH, Tensor.of(lengths.put(0, length), 1));
    long width = DeviceGraphs.headWidth(dims);
    long[] query = {batch.count(), length, dims.heads() * width};
    long[] key = {batch.count(), length, dims.keyValueHeads() * width};
    bind(binding, session, DeviceGraphs.QUERY_SHAPE, Tensor.of(queryShape.put(0, query), 3));
    bind(binding, session, DeviceGraphs.KEY_SHAPE, Tensor.of(keyShape.put(0, key), 3));
    IntBuffer seen = DirectBuffers.ints(batch.count());
    for (int i = 0; i < batch.count(); i++) {
      seen.put(i, length - 1);
    }
    bind(binding, session, DeviceGraphs.SEEN, Tensor.of(seen, batch.count()));
    IntBuffer longest = DirectBuffers.ints(1).put(0, length);
    bind(binding, session, DeviceGraphs.LONGEST, Tensor.of(longest, 1));
    LongBuffer tokens = batch.tokens();
    if (tokens != null) {
      bind(binding, session, Graphs.TOKENS, Tensor.of(tokens, rows));
    }
  }

  /** Binds an input if the graph has it: graphs have no unused inputs. */
  private static void bind(Binding binding, OnnxSession session, String name, Tensor value) {
    if (session.inputs().contains(name)) {
      binding.input(name, value);
    }
  }
}
