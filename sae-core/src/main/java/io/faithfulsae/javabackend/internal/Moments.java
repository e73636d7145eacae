package io.faithfulsae.javabackend.internal;

import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.BackendTrainer.State;
import io.faithfulsae.spi.SaeShape;
import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

/** What an optimizer keeps of the parameters between steps. */
final class Moments {
  private static final float[] NONE = {};

  private final Map<State, Matrix> tensors = new EnumMap<>(State.class);

  /** Zeros. */
  Moments(SaeShape shape, Set<State> states) {
    for (Tensor tensor : shape.tensors()) {
      for (State state : new State[] {first(tensor), second(tensor)}) {
        if (states.contains(state)) {
          tensors.put(state, JavaSae.like(tensor, shape));
        }
      }
    }
  }

  long bytes() {
    return tensors.values().stream().mapToLong(Matrix::bytes).sum();
  }

  Matrix of(State state) {
    return Objects.requireNonNull(tensors.get(state));
  }

  float[] first(Tensor tensor, int row) {
    return row(first(tensor), row);
  }

  /** Empty if the optimizer keeps none. */
  float[] second(Tensor tensor, int row) {
    return row(second(tensor), row);
  }

  private static State second(Tensor tensor) {
    return switch (tensor) {
      case W_ENC -> State.V_W_ENC;
      case B_ENC -> State.V_B_ENC;
      case W_DEC -> State.V_W_DEC;
      case B_DEC -> State.V_B_DEC;
      case THRESHOLD -> State.V_THRESHOLD;
      case R_MAG -> State.V_R_MAG;
      case B_MAG -> State.V_B_MAG;
      case W_SKIP -> State.V_W_SKIP;
    };
  }

  private static State first(Tensor tensor) {
    return switch (tensor) {
      case W_ENC -> State.M_W_ENC;
      case B_ENC -> State.M_B_ENC;
      case W_DEC -> State.M_W_DEC;
      case B_DEC -> State.M_B_DEC;
      case THRESHOLD -> State.M_THRESHOLD;
      case R_MAG -> State.M_R_MAG;
      case B_MAG -> State.M_B_MAG;
      case W_SKIP -> State.M_W_SKIP;
    };
  }

  private float[] row(State state, int row) {
    Matrix tensor = tensors.get(state);
    return tensor == null ? NONE : tensor.rows[row];
  }

  /** Makes the first moments the parameters themselves. */
  void start(JavaSae sae) {
    for (Tensor tensor : sae.shape().tensors()) {
      Matrix first = tensors.get(first(tensor));
      if (first != null) {
        first.copy(sae.tensor(tensor));
      }
    }
  }
}
