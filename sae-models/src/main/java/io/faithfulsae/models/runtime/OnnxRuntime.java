package io.faithfulsae.models.runtime;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Runs ONNX graphs. <b>Threads</b>: sessions may be opened from any thread; each may be used by one
 * thread at a time.
 */
public interface OnnxRuntime extends AutoCloseable {

  /** What a runtime keeps in memory between two runs of a graph, besides the mapped files. */
  enum Keeping {
    /** All weights in the graph's precision, in the layout that the kernels prefer. */
    WEIGHTS,
    /**
     * The peak memory of a run. Weights are read from their files; matrices stored in another
     * precision are converted in each run, one at a time.
     */
    WORKSPACE,
    /** As {@link #WORKSPACE}, but released after each run. */
    NOTHING
  }

  /** How a graph's external weights are read. */
  enum Reading {
    /** Where they lie, in the mapped file. */
    MAPPED,
    /** Into memory, before the graph is loaded. */
    COPIED
  }

  /**
   * How a graph is loaded.
   *
   * @param weightsRoot folder of the files with the graph's external weights
   * @param threads for the graph's operators, at least 1
   * @param keeping what stays in memory on the CPU between runs
   * @param weights how they are read
   */
  record Loading(Path weightsRoot, int threads, Keeping keeping, Reading weights) {
    /** Conversions up to this many bytes, such as those of norms and biases, run at load time. */
    private static final int SMALL = 1 << 16;

    /** Keeps the weights. */
    public Loading(Path weightsRoot, int threads) {
      this(weightsRoot, threads, Keeping.WEIGHTS);
    }

    /** Maps the weights. */
    public Loading(Path weightsRoot, int threads, Keeping keeping) {
      this(weightsRoot, threads, keeping, Reading.MAPPED);
    }

    /** The options that ONNX Runtime takes as strings. */
    public Map<String, String> entries() {
      Map<String, String> entries = new LinkedHashMap<>();
      entries.put("session.model_external_initializers_file_folder_path", weightsRoot.toString());
      // Idle threads sleep: spinning ones take the processor from other work, such as the trainer.
      entries.put("session.intra_op.allow_spinning", "0");
      if (keeping == Keeping.WEIGHTS) {
        // No limit: by default, matrices above 1 GiB are converted in each run.
        entries.put("optimization.constant_folding_max_output_size_in_bytes", "0");
      } else {
        entries.put("session.disable_prepacking", "1");
        entries.put(
            "optimization.constant_folding_max_output_size_in_bytes", Integer.toString(SMALL));
        // Otherwise converts float16 weights of any size.
        entries.put(
            "optimization.disable_specified_optimizers",
            "FuseFp16InitializerToFp32NodeTransformer");
      }
      return entries;
    }

    /** Settings for each run, in the same format. */
    public Map<String, String> runEntries() {
      return keeping == Keeping.NOTHING
          ? Map.of("memory.enable_memory_arena_shrinkage", "cpu:0")
          : Map.of();
    }
  }

  /**
   * Loads a graph. <b>Closed by</b> the caller, before this runtime.
   *
   * @param graph an ONNX model as bytes
   * @throws io.faithfulsae.spi.BackendException if it cannot be loaded
   */
  OnnxSession open(byte[] graph, Loading loading);

  /**
   * Whether backend memory can be used in place and graphs may contain ONNX Runtime's own
   * operators. False: everything is on the host.
   */
  boolean computesOnDevice();

  /** Frees the runtime's resources; close sessions first. */
  @Override
  void close();
}
