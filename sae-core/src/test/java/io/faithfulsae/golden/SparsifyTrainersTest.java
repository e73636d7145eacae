package io.faithfulsae.golden;

import static io.faithfulsae.golden.PeerTrainersTest.BATCH;
import static io.faithfulsae.golden.PeerTrainersTest.D_IN;
import static io.faithfulsae.golden.PeerTrainersTest.D_SAE;
import static io.faithfulsae.golden.PeerTrainersTest.K;
import static io.faithfulsae.golden.PeerTrainersTest.STEPS;
import static io.faithfulsae.golden.PeerTrainersTest.TOLERANCE;
import static io.faithfulsae.golden.PeerTrainersTest.direct;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.Activation;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.Goldens;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.BackendTrainer.Gradients;
import io.faithfulsae.spi.BackendTrainer.StepStats;
import io.faithfulsae.spi.BackendUnavailableException;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.SaeShape;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.Selection.Rule;
import io.faithfulsae.spi.StepConfig;
import io.faithfulsae.spi.StepConfig.Optimizer;
import io.faithfulsae.training.TrainingConfig;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * 100 steps from the same weights on the same batches give the losses of sparsify's own trainer
 * (make_sparsify_trainer_goldens.py). A subclass opens the backend.
 */
public abstract class SparsifyTrainersTest {
  @TempDir Path folder;

  /** Opens the backend under test. */
  protected abstract Backend open();

  /** A run of the golden; its name says whether it transcodes, and with a skip. */
  record Run(String name, Selection selection, StepConfig config) {
    boolean transcodes() {
      return name.contains("transcoder");
    }

    SaeShape shape() {
      Set<Tensor> more = name.contains("skip") ? Set.of(Tensor.W_SKIP) : Set.of();
      return new SaeShape(D_IN, D_IN, D_SAE, !transcodes(), more);
    }

    @Override
    public String toString() {
      return name;
    }
  }

  private static StepConfig.Builder sparsify() {
    return preset(true);
  }

  private static StepConfig.Builder transcoder() {
    return preset(false);
  }

  private static StepConfig.Builder preset(boolean subtractDecoderBias) {
    SaeConfig sae =
        new SaeConfig(D_IN, D_SAE, new Activation.TopK(K), subtractDecoderBias, Normalization.NONE);
    return TrainingConfig.sparsify(Optimizer.ADAM, sae, (long) STEPS * BATCH, BATCH)
        .step()
        .toBuilder();
  }

  static Stream<Run> runs() {
    Selection top = Selection.topK(K);
    return Stream.of(
        new Run("topk", top, sparsify().build()),
        new Run("transcoder", top, transcoder().build()),
        new Run("skip_transcoder", top, transcoder().build()),
        new Run("groupmax", new Selection(Rule.GROUP_MAX, 3), sparsify().build()),
        new Run("k_annealing", top, sparsify().initialK(12).kDecaySteps(60).build()),
        new Run("signum", top, sparsify().optimizer(Optimizer.SIGNUM).build()),
        new Run("signum_skip_transcoder", top, transcoder().optimizer(Optimizer.SIGNUM).build()),
        new Run("muon", top, sparsify().optimizer(Optimizer.MUON).build()),
        new Run("muon_skip_transcoder", top, transcoder().optimizer(Optimizer.MUON).build()),
        new Run("multi_topk", top, sparsify().multiTopK(0.125).build()),
        new Run("skip_transcoder_multi_topk", top, transcoder().multiTopK(0.125).build()));
  }

  @ParameterizedTest
  @MethodSource("runs")
  void stepsAreSparsifys(Run run) throws IOException {
    JsonNode golden =
        new JsonMapper()
            .readTree(Goldens.copy("sparsify_trainers.json", folder).toFile())
            .path("runs")
            .path(run.name);
    float[] rows = PeerTrainersTest.rows();
    try (Backend backend = open();
        BackendSae sae = PeerTrainersTest.create(backend, run.shape());
        BackendTrainer trainer = trainer(sae, run);
        DeviceBuffer x = backend.allocate((long) BATCH * D_IN * Float.BYTES);
        DeviceBuffer y = run.transcodes() ? backend.allocate(x.bytes()) : null) {
      sae.write(Tensor.W_ENC, 0, direct(PeerTrainersTest.decoder()));
      if (!run.transcodes()) {
        sae.write(Tensor.W_DEC, 0, direct(PeerTrainersTest.decoder()));
      }
      for (int step = 0; step < STEPS; step++) {
        load(rows, step, x, y);
        step(trainer, x, y, at(golden.path("lr"), step));
        StepStats stats = trainer.stats();
        double loss = at(golden.path("loss"), step);
        assertEquals(loss, stats.loss(), TOLERANCE * loss, "loss of step " + step + ": " + stats);
        assertTrue(stats.l0() <= at(golden.path("k"), step), "k of step " + step + ": " + stats);
      }
    }
  }

  private static BackendTrainer trainer(BackendSae sae, Run run) {
    try {
      return sae.trainer(run.selection, run.config, Gradients.NONE);
    } catch (BackendUnavailableException e) {
      return abort(String.valueOf(e.getMessage()));
    }
  }

  /** Skips the test where the backend trains towards no target. */
  private static void step(
      BackendTrainer trainer, DeviceBuffer x, @Nullable DeviceBuffer y, double lr) {
    try {
      trainer.step(x, y, BATCH, lr);
    } catch (BackendUnavailableException e) {
      abort(String.valueOf(e.getMessage()));
    }
  }

  /** A value of a step; one that is the same in all steps is there once. */
  private static double at(JsonNode values, int step) {
    return values.path(Math.min(step, values.size() - 1)).asDouble();
  }

  /** A step's batch, and the script's target of it. */
  private static void load(float[] rows, int step, DeviceBuffer x, @Nullable DeviceBuffer y) {
    int first = step * BATCH * D_IN;
    x.host().asFloatBuffer().put(0, rows, first, BATCH * D_IN);
    if (y == null) {
      return;
    }
    float[] target = new float[BATCH * D_IN];
    for (int row = 0; row < BATCH; row++) {
      for (int i = 0; i < D_IN; i++) {
        int at = first + row * D_IN;
        target[row * D_IN + i] = Math.abs(rows[at + D_IN - 1 - i]) - 0.25f * rows[at + i];
      }
    }
    y.host().asFloatBuffer().put(0, target);
  }
}
