package io.faithfulsae.models.iobinding;

import static org.bytedeco.onnxruntime.global.onnxruntime.ORT_ENABLE_ALL;
import static org.bytedeco.onnxruntime.global.onnxruntime.ORT_LOGGING_LEVEL_ERROR;
import static org.bytedeco.onnxruntime.global.onnxruntime.OrtDeviceAllocator;
import static org.bytedeco.onnxruntime.global.onnxruntime.OrtMemTypeDefault;

import io.faithfulsae.models.runtime.OnnxRuntime;
import io.faithfulsae.models.runtime.OnnxRuntime.Keeping;
import io.faithfulsae.models.runtime.OnnxSession;
import io.faithfulsae.spi.BackendException;
import io.faithfulsae.spi.BackendUnavailableException;
import java.util.Map;
import java.util.function.Supplier;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.onnxruntime.CUDAProviderOptions;
import org.bytedeco.onnxruntime.Env;
import org.bytedeco.onnxruntime.MemoryInfo;
import org.bytedeco.onnxruntime.RunOptions;
import org.bytedeco.onnxruntime.Session;
import org.bytedeco.onnxruntime.SessionOptions;
import org.bytedeco.onnxruntime.StringStringMap;

/** ONNX Runtime on the CPU or on one GPU, on a stream that it shares with a backend. */
final class IoBindingRuntime implements OnnxRuntime {
  private final Env env = new Env(ORT_LOGGING_LEVEL_ERROR, "faithfulsae");
  private final MemoryInfo host = MemoryInfo.CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  private final MemoryInfo device;
  private final boolean onGpu;
  private final int ordinal;
  private final long stream;
  private boolean closed;

  private IoBindingRuntime(boolean onGpu, int ordinal, long stream) {
    this.onGpu = onGpu;
    this.ordinal = ordinal;
    this.stream = stream;
    env.DisableTelemetryEvents();
    this.device =
        onGpu ? new MemoryInfo("Cuda", OrtDeviceAllocator, ordinal, OrtMemTypeDefault) : host;
  }

  static IoBindingRuntime onCpu() {
    return new IoBindingRuntime(false, 0, 0);
  }

  /**
   * On a GPU.
   *
   * @param stream that the kernels are queued on; 0: ONNX Runtime's own stream, which every run
   *     waits for
   * @throws BackendUnavailableException if the CUDA provider, or a library it needs, cannot be
   *     loaded
   */
  static IoBindingRuntime onGpu(int ordinal, long stream) {
    IoBindingRuntime runtime = new IoBindingRuntime(true, ordinal, stream);
    try (SessionOptions options = new SessionOptions()) {
      runtime.appendCuda(options);
      return runtime;
    } catch (RuntimeException e) {
      runtime.close();
      throw new BackendUnavailableException(
          "its CUDA provider does not load ("
              + e.getMessage()
              + "); install CUDA 13 and cuDNN 9, or add their folders to LD_LIBRARY_PATH");
    }
  }

  MemoryInfo host() {
    return host;
  }

  MemoryInfo device() {
    return device;
  }

  boolean onGpu() {
    return onGpu;
  }

  /** Settings of one run, which depend on the graph and on the stream. */
  RunOptions runOptions(Map<String, String> byGraph) {
    RunOptions options = new RunOptions();
    byGraph.forEach(options::AddConfigEntry);
    if (stream != 0) {
      // Later work on the stream is ordered after it anyway; the host waits where it reads.
      options.AddConfigEntry("disable_synchronize_execution_providers", "1");
    }
    return options;
  }

  @Override
  public boolean computesOnDevice() {
    return true;
  }

  @Override
  public OnnxSession open(byte[] graph, Loading loading) {
    return call("loading a graph", () -> load(graph, loading));
  }

  private OnnxSession load(byte[] graph, Loading loading) {
    try (SessionOptions options = new SessionOptions();
        BytePointer bytes = new BytePointer(graph)) {
      options.SetIntraOpNumThreads(loading.threads());
      options.SetGraphOptimizationLevel(ORT_ENABLE_ALL);
      if (loading.keeping() != Keeping.WEIGHTS) {
        // Otherwise the memory of a run is held twice, in pieces and as one block.
        options.DisableMemPattern();
      }
      loading.entries().forEach(options::AddConfigEntry);
      if (onGpu) {
        appendCuda(options);
      }
      return new IoBindingSession(
          this, new Session(env, bytes, graph.length, options), loading.runEntries());
    }
  }

  private void appendCuda(SessionOptions options) {
    try (CUDAProviderOptions cuda = new CUDAProviderOptions();
        StringStringMap settings = new StringStringMap()) {
      settings.put(new BytePointer("device_id"), new BytePointer(Integer.toString(ordinal)));
      cuda.Update(settings);
      if (stream != 0) {
        cuda.UpdateWithValue("user_compute_stream", new Address(stream));
      }
      options.AppendExecutionProvider_CUDA_V2(cuda.asOrtCUDAProviderOptionsV2());
    }
    // A node that the GPU cannot compute is an error, not a reason to fall back to the CPU.
    options.AddConfigEntry("session.disable_cpu_ep_fallback", "1");
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      if (onGpu) {
        device.close();
      }
      host.close();
      env.close();
    }
  }

  /** Turns native exceptions into a {@link BackendException}. */
  <T> T call(String operation, Supplier<T> work) {
    try {
      return work.get();
    } catch (BackendException e) {
      throw e;
    } catch (RuntimeException e) {
      throw new BackendException(
          operation,
          "onnxruntime on " + (onGpu ? "GPU " + ordinal : "the CPU"),
          String.valueOf(e.getMessage()));
    }
  }

  /** A bare address. */
  static final class Address extends Pointer {
    Address(long address) {
      super((Pointer) null);
      this.address = address;
    }
  }
}
