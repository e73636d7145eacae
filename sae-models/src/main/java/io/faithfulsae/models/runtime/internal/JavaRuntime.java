package io.faithfulsae.models.runtime.internal;

import ai.onnxruntime.OnnxJavaType;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.OrtSession.RunOptions;
import ai.onnxruntime.OrtSession.SessionOptions;
import io.faithfulsae.models.runtime.Binding;
import io.faithfulsae.models.runtime.OnnxRuntime;
import io.faithfulsae.models.runtime.OnnxSession;
import io.faithfulsae.models.runtime.Tensor;
import io.faithfulsae.spi.BackendException;
import java.nio.ByteBuffer;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;

/** ONNX Runtime through its own Java API, on the CPU: host tensors only. */
final class JavaRuntime implements OnnxRuntime {
  private final OrtEnvironment environment = environment();
  private final CopiedWeights copies = new CopiedWeights(environment);

  /** One per process; the host program may have created it. */
  private static OrtEnvironment environment() {
    OrtEnvironment environment =
        OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR);
    try {
      environment.setTelemetry(false);
    } catch (OrtException e) {
      throw failed("turning telemetry off", e);
    }
    return environment;
  }

  @Override
  public OnnxSession open(byte[] graph, Loading loading) {
    try (SessionOptions options = new SessionOptions()) {
      options.setIntraOpNumThreads(loading.threads());
      options.setOptimizationLevel(SessionOptions.OptLevel.ALL_OPT);
      // Otherwise the arena holds the memory of a run twice: in pieces and as one block.
      options.setMemoryPatternOptimization(loading.keeping() == Keeping.WEIGHTS);
      for (Map.Entry<String, String> entry : loading.entries().entrySet()) {
        options.addConfigEntry(entry.getKey(), entry.getValue());
      }
      if (loading.weights() == Reading.COPIED) {
        options.addExternalInitializers(copies.of(graph, loading.weightsRoot()));
      }
      return new Session(environment.createSession(graph, options), loading.runEntries());
    } catch (OrtException e) {
      throw failed("loading a graph", e);
    }
  }

  @Override
  public boolean computesOnDevice() {
    return false;
  }

  /** The environment is shared by the whole process, and stays open. */
  @Override
  public void close() {
    copies.close();
  }

  private static BackendException failed(String what, OrtException e) {
    return new BackendException(what, "onnxruntime", String.valueOf(e.getMessage()));
  }

  private final class Session implements OnnxSession {
    private final OrtSession session;
    private final Map<String, String> runSettings;
    private final Set<String> inputs;
    private boolean closed;

    Session(OrtSession session, Map<String, String> runSettings) {
      this.session = session;
      this.runSettings = runSettings;
      this.inputs = Set.copyOf(session.getInputNames());
    }

    @Override
    public Set<String> inputs() {
      return inputs;
    }

    @Override
    public Binding bind() {
      return new Bound(session, runSettings);
    }

    @Override
    public void close() {
      if (closed) {
        return;
      }
      closed = true;
      try {
        session.close();
      } catch (OrtException e) {
        throw failed("closing a graph", e);
      }
    }
  }

  private final class Bound implements Binding {
    private final OrtSession session;
    private final Map<String, String> runSettings;
    private final Map<String, OnnxTensor> inputs = new HashMap<>();
    private final Map<String, OnnxTensor> outputs = new HashMap<>();

    Bound(OrtSession session, Map<String, String> runSettings) {
      this.session = session;
      this.runSettings = runSettings;
    }

    @Override
    public Binding input(String name, Tensor value) {
      return put(inputs, name, value);
    }

    @Override
    public Binding output(String name, Tensor value) {
      return put(outputs, name, value);
    }

    private Binding put(Map<String, OnnxTensor> to, String name, Tensor value) {
      try {
        OnnxTensor before = to.put(name, tensor(value));
        if (before != null) {
          before.close();
        }
        return this;
      } catch (OrtException e) {
        throw failed("binding " + name, e);
      }
    }

    private OnnxTensor tensor(Tensor value) throws OrtException {
      return switch (value.type()) {
        case FLOAT32 ->
            OnnxTensor.createTensor(environment, (FloatBuffer) value.host(), value.shape());
        case FLOAT64 ->
            OnnxTensor.createTensor(environment, (DoubleBuffer) value.host(), value.shape());
        case INT32 -> OnnxTensor.createTensor(environment, (IntBuffer) value.host(), value.shape());
        case INT64 ->
            OnnxTensor.createTensor(environment, (LongBuffer) value.host(), value.shape());
        case FLOAT16 ->
            OnnxTensor.createTensor(
                environment, (ByteBuffer) value.host(), value.shape(), OnnxJavaType.FLOAT16);
        case BFLOAT16 ->
            OnnxTensor.createTensor(
                environment, (ByteBuffer) value.host(), value.shape(), OnnxJavaType.BFLOAT16);
      };
    }

    @Override
    public void run() {
      try (RunOptions options = new RunOptions()) {
        for (Map.Entry<String, String> entry : runSettings.entrySet()) {
          options.addRunConfigEntry(entry.getKey(), entry.getValue());
        }
        session.run(inputs, Set.of(), outputs, options).close();
      } catch (OrtException e) {
        throw failed("running a graph", e);
      }
    }

    @Override
    public void close() {
      inputs.values().forEach(OnnxTensor::close);
      outputs.values().forEach(OnnxTensor::close);
      inputs.clear();
      outputs.clear();
    }
  }
}
