package io.faithfulsae.models.iobinding;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.io.Expected;
import io.faithfulsae.models.runtime.OnnxRuntime;
import io.faithfulsae.models.runtime.RuntimeProvider;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendUnavailableException;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.onnxruntime.StringVector;
import org.bytedeco.onnxruntime.global.onnxruntime;
import org.jspecify.annotations.Nullable;

/**
 * ONNX Runtime through bytedeco's presets: on the CPU, or on the CUDA backend's GPU, sharing its
 * memory and stream.
 */
public final class IoBindingProvider implements RuntimeProvider {
  private static final String CUDA = "cuda";
  private static final String CUDA_PROVIDER = "CUDAExecutionProvider";

  /** For the service loader. */
  public IoBindingProvider() {}

  @Override
  public String name() {
    return "iobinding";
  }

  @Override
  public boolean computesOn(String backend) {
    return true;
  }

  @Override
  public OnnxRuntime open(@Nullable Backend backend) {
    boolean onGpu = backend != null && CUDA.equals(backend.info().name());
    StringBuilder providers = new StringBuilder();
    try (StringVector all = onnxruntime.GetAvailableProviders()) {
      for (long i = 0; i < all.size(); i++) {
        try (BytePointer provider = all.get(i)) {
          providers.append(provider.getString()).append(' ');
        }
      }
    } catch (LinkageError e) {
      throw new BackendUnavailableException(
          "the native libraries of org.bytedeco:onnxruntime do not load ("
              + e.getMessage()
              + "); add its classifier linux-x86_64, or linux-x86_64-gpu with CUDA 13 and"
              + " cuDNN 9");
    }
    if (!onGpu || backend == null) {
      return IoBindingRuntime.onCpu();
    }
    if (!providers.toString().contains(CUDA_PROVIDER)) {
      throw new BackendUnavailableException(
          "its ONNX Runtime has no "
              + CUDA_PROVIDER
              + ", only "
              + providers.toString().strip()
              + "; add org.bytedeco:onnxruntime with the classifier linux-x86_64-gpu"
              + " instead of linux-x86_64");
    }
    return IoBindingRuntime.onGpu(ordinal(backend.info()), backend.stream());
  }

  /** The device's ordinal; a backend describes itself in one line of JSON. */
  private static int ordinal(Backend.Info info) {
    try {
      return JsonMapper.builder().build().readTree(info.details()).path("ordinal").asInt(0);
    } catch (JsonProcessingException e) {
      throw new BackendUnavailableException(
          Expected.message(
              "details of the backend in JSON",
              info.details(),
              "use the cpu or cuda backend of sae-native"));
    }
  }
}
