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

  private final int dModel;
  private final @Nullable FloatBuffer added;

  /**
   * @param hook where the graph adds it; null if the graph has no such input
   */
  SteeringInput(@Nullable HookPoint hook, int dModel) {
    this.dModel = dModel;
    this.added = hook == null ? null : FloatRows.allocate(dModel); // zeros
  }

  /** Gives a graph the input, before the model's blocks are built. */
  static void declare(Graph graph, @Nullable HookPoint hook, int dModel) {
    if (hook != null) {
      graph.addAt(hook, graph.floatInput(NAME, 1, dModel));
    }
  }

  void bindTo(Binding binding) {
    if (added != null) {
      binding.input(NAME, Tensor.of(added, 1, dModel));
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
    if (vector.length != dModel) {
      throw new IllegalArgumentException(
          Expected.message(
              "a steering vector of dModel = " + dModel + " numbers",
              vector.length,
              "use a direction of an SAE that was trained on this model"));
    }
    float[] product = new float[dModel];
    for (int i = 0; i < dModel; i++) {
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
