package io.faithfulsae.models.runtime;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Runs ONNX graphs. <b>Threads</b>: sessions may be opened from any thread; each is used by one at
 * a time.
 */
public interface OnnxRuntime extends AutoCloseable {

  /** What a runtime holds besides the files between two runs of a graph. */
  enum Keeping {
    /** All weights as the graph computes, laid out as the kernels like them best. */
    WEIGHTS,
    /**
     * The largest memory that a run needed. Weights are used where they lie in their files;
     * matrices that are stored in another precision are converted in each run, one after the other.
     */
    WORKSPACE,
    /** As {@link #WORKSPACE}, but that is given back at the end of each run. */
    NOTHING
  }

  /**
   * How a graph is loaded.
   *
   * @param weightsRoot folder of the files that hold the graph's external weights
   * @param threads for the graph's operators, at least 1
   * @param keeping what is held on the CPU between runs
   */
  record Loading(Path weightsRoot, int threads, Keeping keeping) {
    /** Conversions up to so many bytes, those of norms and biases, are computed when loading. */
    private static final int SMALL = 1 << 16;

    /** Keeps the weights. */
    public Loading(Path weightsRoot, int threads) {
      this(weightsRoot, threads, Keeping.WEIGHTS);
    }

    /** The options that ONNX Runtime takes as texts. */
    public Map<String, String> entries() {
      Map<String, String> entries = new LinkedHashMap<>();
      entries.put("session.model_external_initializers_file_folder_path", weightsRoot.toString());
      // Idle threads sleep: spinning ones take the processor from whatever shares it, such as the
      // trainer.
      entries.put("session.intra_op.allow_spinning", "0");
      if (keeping == Keeping.WEIGHTS) {
        // Without a limit: by default a matrix of more than 1 GiB is converted in each run.
        entries.put("optimization.constant_folding_max_output_size_in_bytes", "0");
      } else {
        entries.put("session.disable_prepacking", "1");
        entries.put(
            "optimization.constant_folding_max_output_size_in_bytes", Integer.toString(SMALL));
        // Else converts float16 weights whatever their size.
        entries.put(
            "optimization.disable_specified_optimizers",
            "FuseFp16InitializerToFp32NodeTransformer");
      }
      return entries;
    }

    /** Settings of each run, in the same form. */
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
   * Whether memory of a backend is computed on where it lies, and graphs may have operators of ONNX
   * Runtime's own. False: everything is on the host.
   */
  boolean computesOnDevice();

  /** Frees what this runtime holds; sessions must be closed before. */
  @Override
  void close();
}
