package io.faithfulsae.models;

import io.faithfulsae.HookPoint;
import io.faithfulsae.io.Expected;
import io.faithfulsae.models.runtime.Binding;
import io.faithfulsae.models.runtime.Tensor;
import io.faithfulsae.models.spi.Graph;
import java.nio.FloatBuffer;
import org.jspecify.annotations.Nullable;

/** The input through which a step of decoding is steered: one row that is added to every row. */
final class SteeringInput {
  private static final String NAME = "steering";

  private final int width;
  private final @Nullable FloatBuffer added;

  /**
   * @param hook where the graph adds it; null if the graph has no such input
   */
  SteeringInput(@Nullable HookPoint hook, int width) {
    this.width = width;
    this.added = hook == null ? null : FloatRows.allocate(width); // zeros
  }

  /** Gives a graph the input, before the model's blocks are built. */
  static void declare(Graph graph, @Nullable HookPoint hook, int width) {
    if (hook != null) {
      graph.addAt(hook, graph.floatInput(NAME, 1, width));
    }
  }

  void bindTo(Binding binding) {
    if (added != null) {
      binding.input(NAME, Tensor.of(added, 1, width));
    }
  }

  void set(float[] vector, double coefficient) {
    FloatBuffer into = added;
    if (into == null) {
      throw new IllegalStateException(
          Expected.message(
              "a decoder that was opened with a hook point to steer at",
              "one without",
              "pass the hook point when you open the decoder"));
    }
    if (vector.length != width) {
      throw new IllegalArgumentException(
          Expected.message(
              "a steering vector of " + width + " numbers",
              vector.length,
              "use a direction of an SAE that was trained on this model"));
    }
    float[] product = new float[width];
    for (int i = 0; i < width; i++) {
      product[i] = (float) (coefficient * vector[i]);
      if (!Float.isFinite(product[i])) {
        throw new IllegalArgumentException(
            Expected.message(
                "a finite coefficient * vector",
                coefficient + " * " + vector[i] + " at index " + i,
                "use a smaller coefficient"));
      }
    }
    into.put(0, product);
  }
}
