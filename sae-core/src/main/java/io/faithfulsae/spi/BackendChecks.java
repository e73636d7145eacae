package io.faithfulsae.spi;

import io.faithfulsae.io.Expected;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.EnumSet;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Argument checks of every backend, so that all give the same messages. They are made before memory
 * is touched; a backend whose native code checks its arguments itself calls them only to word its
 * rejections.
 */
public final class BackendChecks {
  private BackendChecks() {}

  /** Checks the size of a buffer to allocate. */
  public static void bytes(long bytes) {
    if (bytes < 1) {
      throw new IllegalArgumentException(
          Expected.message("a buffer of at least 1 byte", bytes, "ask for at least one element"));
    }
  }

  /** Checks the shape of an SAE. */
  public static void shape(int dIn, int dSae) {
    if (dIn < 1 || dSae < 1) {
      throw new IllegalArgumentException(
          Expected.message(
              "d_in >= 1 and d_sae >= 1", "d_in = " + dIn + ", d_sae = " + dSae, "give both"));
    }
  }

  /** Checks k against the number of latents. */
  public static void k(int k, int dSae) {
    if (k < 1 || k > dSae) {
      throw new IllegalArgumentException(
          Expected.message("k in [1, d_sae = " + dSae + "]", "k = " + k, "lower k or raise d_sae"));
    }
  }

  /**
   * Size in bytes of a block of 4-byte elements, at most 2 GiB.
   *
   * @param widthName the caller's name for the width
   */
  public static long blockBytes(int capacity, String widthName, int width) {
    long bytes = (long) capacity * width * Float.BYTES;
    if (capacity < 1 || width < 1 || bytes > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          Expected.message(
              "capacity >= 1, " + widthName + " >= 1 and at most 2 GiB",
              "[" + capacity + ", " + width + "] = " + bytes + " bytes",
              "use other sizes"));
    }
    return bytes;
  }

  /** Checks the sizes of a gather. */
  public static void gather(int fromRows, int columns, int first, int count) {
    atLeastOne("fromRows", fromRows);
    atLeastOne("columns", columns);
    atLeastOne("count", count);
    Expected.inRange("first", first, 0, Integer.MAX_VALUE - count, "count row numbers from 0");
  }

  /** Checks how many rows of a block are filled. */
  public static int filled(int rows, int capacity) {
    return Expected.inRange("rows", rows, 0, capacity, "allocate room for more rows");
  }

  /** Checks a number of rows. */
  public static void rows(int rows) {
    atLeastOne("rows", rows);
  }

  /** Checks the range of rows that forms a part of a batch. */
  public static void part(int first, int rows) {
    rows(rows);
    Expected.inRange("first", first, 0, Integer.MAX_VALUE - rows, "count rows from 0");
  }

  /** Checks one dimension of a matrix. */
  public static void atLeastOne(String name, int extent) {
    Expected.atLeast(name, extent, 1, "leave out empty batches");
  }

  /**
   * Checks a value of a training configuration.
   *
   * @param expected the valid values
   */
  public static void setting(boolean holds, String expected, Object got) {
    if (!holds) {
      throw new IllegalArgumentException(
          Expected.message(expected, got, "change that value of the training configuration"));
    }
  }

  /** Checks a learning rate. */
  public static void learningRate(double lr) {
    if (!(lr >= 0) || Double.isInfinite(lr)) {
      throw new IllegalArgumentException(
          Expected.message("a finite lr >= 0", lr, "lower the learning rate"));
    }
  }

  /** Checks that a buffer holds a matrix of 4-byte elements. */
  public static void holds(String name, DeviceBuffer buffer, long rows, long columns) {
    if (rows * columns > buffer.bytes() / Float.BYTES) {
      throw new IllegalArgumentException(
          Expected.message(
              name
                  + " to hold ["
                  + rows
                  + ", "
                  + columns
                  + "] = "
                  + rows * columns * Float.BYTES
                  + " bytes",
              "a buffer of " + buffer.bytes() + " bytes",
              "allocate a larger one"));
    }
  }

  /** Checks that an output buffer is not also another argument of the same call. */
  public static void distinct(String name, DeviceBuffer output, DeviceBuffer... others) {
    for (DeviceBuffer other : others) {
      if (output.equals(other)) {
        throw new IllegalArgumentException(
            Expected.message(
                name + " in a buffer of its own", "one that is passed twice", "allocate another"));
      }
    }
  }

  /** Checks that the entries of ragged rows can be counted by int32 offsets. */
  public static long entries(long entries) {
    if (entries > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          Expected.message(
              "at most " + Integer.MAX_VALUE + " active latents in a batch",
              entries,
              "encode fewer rows at once"));
    }
    return entries;
  }

  /** Checks that a selection suits an SAE and the rows it fills. */
  public static void selection(Selection selection, SaeShape shape, LatentBuffers into) {
    boolean ragged = selection.rule().isRagged();
    if (ragged != (into.offsets() != null) || into.k() != (ragged ? 0 : selection.k())) {
      throw new IllegalArgumentException(
          Expected.message(
              ragged ? "ragged rows" : "rows of " + selection.k() + " latents",
              into.offsets() != null ? "ragged rows" : "rows of " + into.k(),
              "allocate them for " + selection.rule()));
    }
    if (shape.has(BackendSae.Tensor.R_MAG) && selection.rule() != Selection.Rule.THRESHOLD) {
      throw new IllegalArgumentException(
          Expected.message(
              "THRESHOLD for a gated SAE", selection.rule(), "encode with its own activation"));
    }
  }

  /** Checks that a selection suits an SAE that is trained with it. */
  public static void training(Selection selection, SaeShape shape, StepConfig config) {
    selection.check(shape.dSae());
    setting(
        selection.rule() == Selection.Rule.THRESHOLD
            || config.sparsity().penalty() == StepConfig.Penalty.NONE,
        "no sparsityPenalty where a k decides",
        config.sparsity().penalty());
    boolean top = selection.rule() == Selection.Rule.TOP_K;
    setting(
        config.annealing().decaySteps() == 0
            || ((top || selection.rule() == Selection.Rule.BATCH_TOP_K)
                && config.annealing().initialK() <= shape.dSae()),
        "no kDecaySteps, or TopK or BatchTopK with an initialK of at most " + shape.dSae(),
        selection.rule() + " with " + config.annealing());
    setting(
        top || config.multiTopK() == 0,
        "multiTopK with TopK only",
        selection.rule() + " with " + config.multiTopK());
    int prefixes = config.prefixes().size();
    setting(
        prefixes == 0
            || (selection.rule() == Selection.Rule.BATCH_TOP_K
                && config.prefixes().get(prefixes - 1).latents() == shape.dSae()),
        "no prefixes, or BatchTopK and a last prefix of all " + shape.dSae() + " latents",
        selection.rule() + " with " + config.prefixes());
    setting(
        !config.rankByNorm()
            || ((top
                    || selection.rule() == Selection.Rule.ABS_TOP_K
                    || selection.rule() == Selection.Rule.BATCH_TOP_K)
                && config.multiTopK() == 0),
        "rankByNorm with TopK, AbsTopK or BatchTopK, without multiTopK",
        selection.rule() + " with multiTopK " + config.multiTopK());
    setting(
        !config.aux().byPrefix() || (prefixes > 0 && config.aux().detach()),
        "auxByPrefix with prefixes and auxDetach",
        config.prefixes() + " with auxDetach " + config.aux().detach());
    if (shape.has(BackendSae.Tensor.R_MAG)) {
      StepConfig.Penalty penalty = config.sparsity().penalty();
      setting(
          penalty == StepConfig.Penalty.NONE || penalty == StepConfig.Penalty.L1,
          "sparsityPenalty NONE or L1 for a gated SAE",
          penalty);
      setting(
          config.aux().coefficient() == 0,
          "auxCoefficient = 0 for a gated SAE, which has an auxiliary loss of its own",
          config.aux().coefficient());
    }
    Set<BackendSae.Tensor> allowed = EnumSet.copyOf(BackendSae.Tensor.COMMON);
    if (!shape.has(BackendSae.Tensor.R_MAG)) {
      allowed.add(BackendSae.Tensor.W_SKIP);
    }
    if (selection.rule() == Selection.Rule.THRESHOLD) {
      allowed.add(BackendSae.Tensor.R_MAG);
      allowed.add(BackendSae.Tensor.B_MAG);
    }
    if (selection.rule().isRagged()) {
      allowed.add(BackendSae.Tensor.THRESHOLD);
    }
    if (!allowed.containsAll(shape.tensors())) {
      throw new IllegalArgumentException(
          Expected.message(
              "tensors of " + allowed + " to train with " + selection.rule(),
              shape.tensors(),
              "train an SAE of another activation"));
    }
  }

  /**
   * Checks the target of a step.
   *
   * @param y null if the rows are their own
   * @param rows rows that it must hold
   */
  public static void target(SaeShape shape, @Nullable DeviceBuffer y, long rows) {
    if (y != null) {
      holds("y", y, rows, shape.dOut());
    } else if (shape.dIn() != shape.dOut()) {
      throw new IllegalArgumentException(
          Expected.message(
              "a target of width d_out = " + shape.dOut() + " for a transcoder",
              "none",
              "pass what it should write"));
    }
  }

  /** Checks that the input is given to decode exactly where an SAE has a skip connection. */
  public static void skip(SaeShape shape, @Nullable DeviceBuffer x) {
    if (shape.has(BackendSae.Tensor.W_SKIP) != (x != null)) {
      throw new IllegalArgumentException(
          Expected.message(
              x == null ? "the rows that were encoded, for the skip connection" : "no input rows",
              x == null ? "none" : "some",
              "pass them to decode exactly where the SAE has a skip connection"));
    }
  }

  /** Elements of a tensor of the optimizer. */
  public static long elements(BackendTrainer.State state, SaeShape shape) {
    return switch (state) {
      case M_W_ENC, V_W_ENC -> shape.elements(BackendSae.Tensor.W_ENC);
      case M_W_DEC, V_W_DEC -> shape.elements(BackendSae.Tensor.W_DEC);
      case M_W_SKIP, V_W_SKIP -> shape.elements(BackendSae.Tensor.W_SKIP);
      case M_B_ENC,
          V_B_ENC,
          M_THRESHOLD,
          V_THRESHOLD,
          M_R_MAG,
          V_R_MAG,
          M_B_MAG,
          V_B_MAG,
          IDLE_BATCHES,
          IDLE_ROWS ->
          shape.dSae();
      case M_B_DEC, V_B_DEC -> shape.dOut();
      case STEPS, LEARNED_THRESHOLD -> 1;
      case AVERAGING -> 2;
    };
  }

  /** Bytes per element of a tensor of the optimizer. */
  public static int elementBytes(BackendTrainer.State state) {
    return switch (state) {
      case IDLE_BATCHES, IDLE_ROWS, STEPS, LEARNED_THRESHOLD, AVERAGING -> Long.BYTES;
      default -> Float.BYTES;
    };
  }

  /** Checks a transfer of parameters. */
  public static void transfer(
      BackendSae.Tensor tensor, SaeShape shape, long first, FloatBuffer host) {
    if (!shape.has(tensor)) {
      throw new IllegalArgumentException(
          Expected.message("a tensor of " + shape.tensors(), tensor, "use one that this SAE has"));
    }
    direct(tensor.name(), host, host.order());
    range(tensor.name(), shape.elements(tensor), first, host.remaining());
  }

  /** Checks a transfer of optimizer state. */
  public static void transfer(
      BackendTrainer.State state, SaeShape shape, long first, ByteBuffer host) {
    direct(state.name(), host, host.order());
    int size = elementBytes(state);
    if (host.remaining() % size != 0) {
      throw new IllegalArgumentException(
          Expected.message(
              "a multiple of " + size + " bytes for " + state,
              host.remaining(),
              "transfer whole elements"));
    }
    range(state.name(), elements(state, shape), first, host.remaining() / size);
  }

  /** Checks that bytes can be copied to or from the caller's buffer. */
  public static void direct(ByteBuffer host) {
    direct("the copy", host, ByteOrder.nativeOrder());
  }

  private static void direct(String name, Buffer host, ByteOrder order) {
    if (!host.isDirect() || order != ByteOrder.nativeOrder()) {
      throw new IllegalArgumentException(
          Expected.message(
              "a direct buffer in native order for " + name,
              host + " in " + order,
              "allocate it with ByteBuffer.allocateDirect(n).order(ByteOrder.nativeOrder())"));
    }
  }

  private static void range(String name, long elements, long first, long count) {
    if (first < 0 || count > elements - first) {
      throw new IllegalArgumentException(
          Expected.message(
              "a range within [0, " + elements + ") of " + name,
              "[" + first + ", " + (first + count) + ")",
              "give the first element and a buffer that ends with the tensor"));
    }
  }
}
