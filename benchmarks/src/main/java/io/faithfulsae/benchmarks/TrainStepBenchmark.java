package io.faithfulsae.benchmarks;

import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.BackendTrainer.Gradients;
import io.faithfulsae.spi.BackendTrainer.StepStats;
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

/**
 * One training step: forward, loss, backward, gradient projection, Adam on every weight, unit rows.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Fork(value = 1, jvmArgsAppend = "--enable-native-access=ALL-UNNAMED")
@Warmup(iterations = 2, time = 2)
@Measurement(iterations = 5, time = 2)
public class TrainStepBenchmark {
  /** Rows, d_in, d_sae and k. */
  @Param({Workload.GPT2_TINY, Workload.GPT2_SMALL})
  public String shape = "";

  /** What a step computes. */
  @Param({"SPARSIFY", "STUDY"})
  public Recipe recipe = Recipe.SPARSIFY;

  /** One of {@link Families} for the peers' trainers of each family; others train {@code topk}. */
  @Param("topk")
  public String activation = "";

  private LoadedSae loaded;
  private BackendTrainer trainer;
  private double learningRate;
  private StepStats first;

  /** Loads the initial weights and runs the first step. */
  @Setup
  public void load() {
    Workload workload = Workload.parse(shape);
    loaded = recipe.load(workload, activation);
    trainer =
        loaded
            .sae
            .parameters()
            .trainer(
                loaded.sae.config().activation().selection(),
                recipe.config(activation, workload),
                Gradients.NONE);
    learningRate = recipe.learningRate(workload);
    first = step();
  }

  /** Checks what the steps did to the loss, and frees what {@link #load} allocated. */
  @TearDown
  public void close() {
    if (recipe.ofFamilies()) {
      Checks.unchanged(first, trainer.stats());
    } else {
      Checks.learned(first, trainer.stats());
    }
    trainer.close();
    loaded.close();
  }

  /** One step, always on the same batch, including reading its statistics. */
  @Benchmark
  public StepStats step() {
    trainer.step(loaded.x.buffer(), loaded.workload.rows(), learningRate);
    return trainer.stats();
  }
}
