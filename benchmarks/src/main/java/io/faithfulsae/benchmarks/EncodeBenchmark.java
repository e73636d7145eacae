package io.faithfulsae.benchmarks;

import io.faithfulsae.Latents;
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

  /** One of {@link Families}. */
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
    loaded = Families.load(workload, activation, true);
    z = Latents.allocate(loaded.sae, workload.rows());
    loaded.sae.encode(loaded.x, z);
    if (activation.equals("topk")) {
      Checks.latents(workload, z);
    } else {
      double threshold = activation.equals("relu") ? 0 : Families.justBelowKept(workload);
      Checks.aboveThreshold(workload, z, threshold, activation.equals("relu-sparse"));
    }
    encoder = loaded.backend.allocate((long) workload.dSae() * workload.dIn() * Float.BYTES);
    encoder.host().asFloatBuffer().put(WorkloadArrays.of(workload).encoder());
    product = loaded.backend.allocate((long) workload.rows() * workload.dSae() * Float.BYTES);
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
