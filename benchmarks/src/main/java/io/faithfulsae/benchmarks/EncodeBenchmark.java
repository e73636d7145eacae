package io.faithfulsae.benchmarks;

import io.faithfulsae.Activation.BatchTopK;
import io.faithfulsae.Activation.Gated;
import io.faithfulsae.Activation.JumpRelu;
import io.faithfulsae.Activation.Relu;
import io.faithfulsae.Latents;
import io.faithfulsae.io.Expected;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.DeviceBuffer;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/** Encoding, and the matrix product that it contains. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Fork(value = 1, jvmArgsAppend = "--enable-native-access=ALL-UNNAMED")
@Warmup(iterations = 2, time = 2)
@Measurement(iterations = 5, time = 2)
public class EncodeBenchmark {
  /** Rows, d_in, d_sae and k. */
  @Param({Workload.GPT2_TINY, Workload.GPT2_SMALL})
  public String shape = "";

  /**
   * {@code topk}; {@code batchtopk} with the same k; {@code jumprelu} and {@code gated} with the
   * one threshold that leaves k latents a row on average; {@code relu}, of which half the latents
   * fire.
   */
  @Param("topk")
  public String activation = "";

  private LoadedSae loaded;
  private Latents z;
  private DeviceBuffer encoder;
  private DeviceBuffer product;

  /** Loads the weights and checks a few rows against double precision. */
  @Setup
  public void load() {
    Workload workload = Workload.parse(shape);
    loaded = activation.equals("topk") ? new LoadedSae(workload) : load(workload);
    z = Latents.allocate(loaded.sae, workload.rows());
    loaded.sae.encode(loaded.x, z);
    if (activation.equals("topk")) {
      Checks.latents(workload, z);
    } else {
      double threshold = activation.equals("relu") ? 0 : smallestOfBatch(workload);
      Checks.aboveThreshold(workload, z, threshold);
    }
    encoder = loaded.backend.allocate((long) workload.dSae() * workload.dIn() * Float.BYTES);
    encoder.host().asFloatBuffer().put(workload.encoder());
    product = loaded.backend.allocate((long) workload.rows() * workload.dSae() * Float.BYTES);
  }

  private LoadedSae load(Workload workload) {
    return switch (activation) {
      case "batchtopk" -> new LoadedSae(workload, new BatchTopK(workload.k(), null));
      case "relu" -> new LoadedSae(workload, new Relu());
      case "jumprelu" -> {
        LoadedSae jumping = new LoadedSae(workload, new JumpRelu());
        jumping.fill(Tensor.THRESHOLD, Math.nextDown(smallestOfBatch(workload)));
        yield jumping;
      }
      case "gated" -> {
        LoadedSae gated = new LoadedSae(workload, new Gated());
        gated.fill(Tensor.B_ENC, -Math.nextDown(smallestOfBatch(workload)));
        yield gated;
      }
      default ->
          throw new IllegalArgumentException(
              Expected.message(
                  "topk, batchtopk, jumprelu, relu or gated", activation, "name one of them"));
    };
  }

  /** The smallest of the k · rows largest values of the batch. */
  private static float smallestOfBatch(Workload workload) {
    try (LoadedSae batch = new LoadedSae(workload, new BatchTopK(workload.k(), null));
        Latents chosen = batch.sae.encode(batch.x)) {
      float smallest = Float.MAX_VALUE;
      for (int at = 0; at < chosen.entries(); at++) {
        smallest = Math.min(smallest, chosen.values().get(at));
      }
      return smallest;
    }
  }

  /** Frees what {@link #load} allocated. */
  @TearDown
  public void close() {
    loaded.close();
  }

  /** What the activation keeps of (x - b_dec) W_enc + b_enc, for every row. */
  @Benchmark
  public Latents encode() {
    loaded.sae.encode(loaded.x, z);
    loaded.backend.synchronize();
    return z;
  }

  /** The product x W_enc alone, written to memory. */
  @Benchmark
  public DeviceBuffer sgemm() {
    Workload w = loaded.workload;
    loaded.backend.matmulTransposed(
        loaded.x.buffer(), w.rows(), encoder, w.dSae(), w.dIn(), product);
    loaded.backend.synchronize();
    return product;
  }
}
