package io.faithfulsae.conformance;

import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.LatentBuffers;
import io.faithfulsae.spi.SaeShape;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.Selection.Rule;
import java.util.EnumMap;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

/** An SAE of any shape and activation, to load into several backends. */
record AnySae(SaeShape shape, Map<Tensor, float[]> tensors) {

  /** Every activation but TopK. */
  enum Kind {
    ABS_TOP_K(Rule.ABS_TOP_K),
    GROUP_MAX(Rule.GROUP_MAX),
    BATCH_TOP_K(Rule.BATCH_TOP_K),
    RELU(Rule.THRESHOLD),
    JUMP_RELU(Rule.THRESHOLD),
    GATED(Rule.THRESHOLD);

    final Rule rule;

    Kind(Rule rule) {
      this.rule = rule;
    }

    /** The tensors needed beyond the usual four. */
    Set<Tensor> tensors() {
      return switch (this) {
        case JUMP_RELU -> Set.of(Tensor.THRESHOLD);
        case GATED -> Set.of(Tensor.R_MAG, Tensor.B_MAG);
        default -> Set.of();
      };
    }

    Selection selection(int k) {
      return new Selection(rule, rule == Rule.THRESHOLD ? 0 : k);
    }

    SaeShape shape(int dIn, int dSae, boolean subtract) {
      return new SaeShape(dIn, dIn, dSae, subtract, tensors());
    }
  }

  /**
   * Small integers everywhere, but a gain of exp(0) = 1: exact in float32, with many ties and many
   * values that equal their threshold.
   */
  static AnySae integers(long seed, SaeShape shape) {
    Map<Tensor, float[]> tensors = new EnumMap<>(Tensor.class);
    for (Tensor tensor : shape.tensors()) {
      int n = Math.toIntExact(shape.elements(tensor));
      float[] values =
          tensor == Tensor.R_MAG ? new float[n] : Data.integers(seed + tensor.ordinal(), n);
      tensors.put(tensor, values);
    }
    return new AnySae(shape, tensors);
  }

  /** Values of the sizes that a trained SAE has. */
  static AnySae gaussian(long seed, SaeShape shape) {
    Map<Tensor, float[]> tensors = new EnumMap<>(Tensor.class);
    for (Tensor tensor : shape.tensors()) {
      float[] values = Data.gaussian(seed + tensor.ordinal(), (int) shape.elements(tensor));
      double scale =
          switch (tensor) {
            case W_ENC, W_SKIP -> 1 / Math.sqrt(shape.dIn());
            case W_DEC -> 1 / Math.sqrt(shape.dOut());
            case THRESHOLD, R_MAG -> 0.5;
            default -> 0.1;
          };
      for (int i = 0; i < values.length; i++) {
        values[i] *= (float) scale;
      }
      tensors.put(tensor, values);
    }
    return new AnySae(shape, tensors);
  }

  float[] tensor(Tensor tensor) {
    return Objects.requireNonNull(tensors.get(tensor));
  }

  BackendSae on(Backend backend) {
    BackendSae sae = backend.createSae(shape);
    tensors.forEach((tensor, values) -> sae.write(tensor, 0, Data.direct(values)));
    return sae;
  }

  /** z_pre without b_enc. */
  double product(float[] x, int row, int latent) {
    double sum = 0;
    for (int i = 0; i < shape.dIn(); i++) {
      sum += input(x, row, i) * weight(latent, i);
    }
    return sum;
  }

  /**
   * The most by which a float32 z_pre may be wrong: see the tolerance of {@link EncodeCases}, of
   * which this is the same.
   */
  double tolerance(float[] x, int row, int latent) {
    double magnitude = Math.abs(tensor(Tensor.B_ENC)[latent]);
    for (int i = 0; i < shape.dIn(); i++) {
      double bias = shape.subtractDecoderBias() ? Math.abs(tensor(Tensor.B_DEC)[i]) : 0;
      magnitude += (Math.abs(x[row * shape.dIn() + i]) + bias) * Math.abs(weight(latent, i));
    }
    return (shape.dIn() + 2) * Data.EPS * magnitude;
  }

  private double input(float[] x, int row, int i) {
    double value = x[row * shape.dIn() + i];
    return shape.subtractDecoderBias() ? value - tensor(Tensor.B_DEC)[i] : value;
  }

  private double weight(int latent, int i) {
    return tensor(Tensor.W_ENC)[latent * shape.dIn() + i];
  }

  /** Encoded rows: row r has the entries {@code [starts[r], starts[r + 1])}. */
  @SuppressWarnings("ArrayRecordComponent") // never compared as a whole
  record Rows(int[] starts, int[] indices, float[] values) {

    int rows() {
      return starts.length - 1;
    }

    /** A row, dense. */
    float[] dense(int row, int dSae) {
      float[] z = new float[dSae];
      for (int at = starts[row]; at < starts[row + 1]; at++) {
        z[indices[at]] = values[at];
      }
      return z;
    }
  }

  /** Encodes with as much room as it takes. */
  static Rows encode(Backend backend, BackendSae sae, Selection selection, float[] x, int rows) {
    try (DeviceBuffer in = Data.upload(backend, x)) {
      if (!selection.rule().isRagged()) {
        return encodeRows(backend, sae, selection, in, rows);
      }
      try (DeviceBuffer offsets = backend.allocate(Integer.BYTES * (rows + 1L))) {
        long entries;
        try (DeviceBuffer one = backend.allocate(Integer.BYTES);
            DeviceBuffer another = backend.allocate(Float.BYTES)) {
          entries = sae.encode(selection, in, rows, LatentBuffers.ragged(offsets, one, another));
        }
        int room = Math.max(1, Math.toIntExact(entries));
        try (DeviceBuffer indices = backend.allocate((long) room * Integer.BYTES);
            DeviceBuffer values = backend.allocate((long) room * Float.BYTES)) {
          LatentBuffers into = LatentBuffers.ragged(offsets, indices, values);
          if (sae.encode(selection, in, rows, into) != entries) {
            throw new AssertionError("the same rows have another number of entries");
          }
          return download(backend, into, rows, (int) entries);
        }
      }
    }
  }

  private static Rows encodeRows(
      Backend backend, BackendSae sae, Selection selection, DeviceBuffer x, int rows) {
    int k = selection.k();
    try (DeviceBuffer indices = backend.allocate((long) rows * k * Integer.BYTES);
        DeviceBuffer values = backend.allocate((long) rows * k * Float.BYTES)) {
      LatentBuffers into = LatentBuffers.ofK(indices, values, k);
      if (sae.encode(selection, x, rows, into) != (long) rows * k) {
        throw new AssertionError("rows of k have rows x k entries");
      }
      return download(backend, into, rows, rows * k);
    }
  }

  static Rows download(Backend backend, LatentBuffers from, int rows, int entries) {
    backend.synchronize();
    int[] starts = new int[rows + 1];
    for (int row = 0; row <= rows; row++) {
      starts[row] =
          from.offsets() == null ? row * from.k() : from.offsets().host().asIntBuffer().get(row);
    }
    int[] indices = new int[entries];
    from.indices().host().asIntBuffer().get(indices);
    return new Rows(starts, indices, Data.download(backend, from.values(), entries));
  }
}
