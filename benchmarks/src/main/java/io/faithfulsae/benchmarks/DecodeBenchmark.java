package io.faithfulsae.benchmarks;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Latents;
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

/** Decoding with k latents per row. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Fork(value = 1, jvmArgsAppend = "--enable-native-access=ALL-UNNAMED")
@Warmup(iterations = 2, time = 2)
@Measurement(iterations = 5, time = 2)
public class DecodeBenchmark {
  /** Rows, d_in, d_sae and k. */
  @Param({Workload.GPT2_TINY, Workload.GPT2_SMALL})
  public String shape = "";

  private LoadedSae loaded;
  private Latents z;
  private ActivationBatch reconstruction;

  /** Encodes the rows and checks one decoded row against double precision. */
  @Setup
  public void load() {
    Workload workload = Workload.parse(shape);
    loaded = new LoadedSae(workload);
    z = loaded.latents();
    reconstruction = ActivationBatch.allocate(loaded.backend, workload.rows(), workload.dIn());
    loaded.sae.encode(loaded.x, z);
    loaded.sae.decode(z, reconstruction);
    Checks.reconstruction(workload, z, reconstruction);
  }

  /** Frees what {@link #load} allocated. */
  @TearDown
  public void close() {
    loaded.close();
  }

  /** x̂ = z W_dec + b_dec for every row. */
  @Benchmark
  public ActivationBatch decode() {
    loaded.sae.decode(z, reconstruction);
    loaded.backend.synchronize();
    return reconstruction;
  }
}
