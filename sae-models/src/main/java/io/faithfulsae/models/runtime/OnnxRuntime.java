package io.faithfulsae.models.runtime;

import java.nio.file.Path;

/**
 * Runs ONNX graphs. <b>Threads</b>: sessions may be opened from any thread; each is used by one at
 * a time.
 */
public interface OnnxRuntime extends AutoCloseable {

  /**
   * How a graph is loaded.
   *
   * @param weightsRoot folder of the files that hold the graph's external weights
   * @param threads for the graph's operators, at least 1
   * @param packed whether the runtime may keep weights a second time, laid out as its kernels like
   *     them best; otherwise those that are float32 are used where they lie in their files
   */
  record Loading(Path weightsRoot, int threads, boolean packed) {
    /** Packed. */
    public Loading(Path weightsRoot, int threads) {
      this(weightsRoot, threads, true);
    }
  }

  /**
   * Loads a graph. <b>Closed by</b> the caller, before this runtime.
   *
   * @param graph an ONNX model as bytes
   * @throws io.faithfulsae.BackendException if it cannot be loaded
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
