package io.faithfulsae.golden;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.abort;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.Activation;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.io.Goldens;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.BackendTrainer.Gradients;
import io.faithfulsae.spi.BackendTrainer.State;
import io.faithfulsae.spi.BackendTrainer.StepStats;
import io.faithfulsae.spi.BackendUnavailableException;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.SaeShape;
import io.faithfulsae.spi.StepConfig;
import io.faithfulsae.spi.StepConfig.AuxNorm;
import io.faithfulsae.spi.StepConfig.DecoderNorm;
import io.faithfulsae.spi.StepConfig.Loss;
import io.faithfulsae.spi.StepConfig.Penalty;
import io.faithfulsae.spi.StepConfig.Prefix;
import io.faithfulsae.training.TrainingConfig;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * 100 steps from the same weights on the same batches give the losses of the trainers of SAELens
 * and dictionary_learning (make_peer_trainer_goldens.py). A subclass opens the backend.
 *
 * <p>Over 400 lines: one preset of each peer for each activation.
 */
public abstract class PeerTrainersTest {
  static final int STEPS = 100;
  static final int BATCH = 32;
  static final int D_IN = 12;
  static final int D_SAE = 48;
  static final int K = 4;
  private static final int DIRECTIONS = 20;
  static final double TOLERANCE = 1e-4;

  @TempDir Path folder;

  /** Opens the backend under test. */
  protected abstract Backend open();

  /**
   * A trainer of a peer.
   *
   * @param name in the golden
   * @param threshold of JumpReLU, before the first step
   */
  record Peer(
      String name, Activation activation, boolean subtract, float threshold, StepConfig config) {
    @Override
    public String toString() {
      return name;
    }
  }

  private static StepConfig.Builder saeLens() {
    return StepConfig.builder()
        .loss(Loss.SUM_MEAN)
        .auxCoefficient(0)
        .beta2(0.999)
        .clipNorm(1)
        .decoderNorm(DecoderNorm.NONE)
        .projectGradient(false)
        .trainEncoderBias(true);
  }

  private static StepConfig.Builder dictionaryLearning() {
    return saeLens().decoderNorm(DecoderNorm.AFTER_STEP).projectGradient(true).clipProjected(true);
  }

  /** The auxiliary loss of its BatchTopK trainers, with latents that die after 10 batches. */
  private static StepConfig.Builder dictionaryLearningBatch() {
    return dictionaryLearning()
        .auxCoefficient(1.0 / 32)
        .auxK(D_IN / 2)
        .auxNorm(AuxNorm.RESIDUAL_VARIANCE)
        .auxDetach(true)
        .deadAfterBatches(0)
        .deadAfterRows(10 * BATCH)
        .thresholdRate(0.001)
        .thresholdAfterSteps(31)
        .thresholdFromFirst(true);
  }

  static Stream<Peer> peers() {
    Activation batch = new Activation.BatchTopK(K, null);
    Activation jump = new Activation.JumpRelu();
    Activation relu = new Activation.Relu();
    return Stream.of(
        new Peer(
            "saelens_batchtopk",
            new Activation.BatchTopK(3, null),
            true,
            0,
            saeLens()
                .auxCoefficient(1)
                .auxK(D_IN / 2)
                .auxNorm(AuxNorm.SUM_MEAN)
                .auxDetach(true)
                .auxScaleByDead(true)
                .deadAfterBatches(1000)
                .build()),
        new Peer(
            "dictionary_learning_batchtopk", batch, true, 0, dictionaryLearningBatch().build()),
        new Peer(
            "saelens_matryoshka",
            batch,
            true,
            0,
            saeLens()
                .prefixes(List.of(new Prefix(12, 1), new Prefix(24, 1), new Prefix(48, 1)))
                .build()),
        new Peer(
            "dictionary_learning_matryoshka",
            batch,
            true,
            0,
            dictionaryLearningBatch()
                .prefixes(
                    List.of(
                        new Prefix(12, 1.0 / 9), new Prefix(24, 1.0 / 9), new Prefix(48, 1.0 / 9)))
                .build()),
        new Peer(
            "saelens_jumprelu_step",
            jump,
            true,
            0.05f,
            saeLens()
                .sparsityPenalty(Penalty.L0)
                .sparsityCoefficient(0.02)
                .sparsityWarmupSteps(10)
                .bandwidth(0.05)
                .build()),
        new Peer(
            "saelens_jumprelu_tanh",
            jump,
            true,
            0.05f,
            saeLens()
                .sparsityPenalty(Penalty.TANH)
                .sparsityCoefficient(0.02)
                .bandwidth(0.1)
                .steToInput(true)
                .build()),
        new Peer(
            "saelens_jumprelu_quadratic",
            jump,
            true,
            0.05f,
            saeLens()
                .sparsityPenalty(Penalty.L0_OF_ROWS)
                .sparsityCoefficient(0.002)
                .targetL0(6)
                .bandwidth(0.05)
                .build()),
        new Peer(
            "dictionary_learning_jumprelu",
            jump,
            false,
            0.001f,
            dictionaryLearning()
                .beta1(0)
                .sparsityPenalty(Penalty.L0_OF_BATCH)
                .sparsityCoefficient(0.5)
                .sparsityWarmupSteps(30)
                .targetL0(6)
                .bandwidth(0.01)
                .build()),
        new Peer(
            "saelens_standard",
            relu,
            true,
            0,
            saeLens()
                .sparsityPenalty(Penalty.L1)
                .sparsityCoefficient(0.1)
                .sparsityWarmupSteps(20)
                .build()),
        new Peer(
            "dictionary_learning_standard",
            relu,
            true,
            0,
            dictionaryLearning()
                .clipNorm(0)
                .sparsityPenalty(Penalty.L1)
                .weightByNorm(false)
                .sparsityCoefficient(0.1)
                .sparsityWarmupSteps(30)
                .build()),
        new Peer(
            "saelens_gated",
            new Activation.Gated(),
            true,
            0,
            saeLens()
                .sparsityPenalty(Penalty.L1)
                .sparsityCoefficient(0.1)
                .sparsityWarmupSteps(20)
                .build()),
        new Peer(
            "dictionary_learning_gated",
            new Activation.Gated(),
            true,
            0,
            dictionaryLearning()
                .beta1(0)
                .clipNorm(0)
                .sparsityPenalty(Penalty.L1)
                .weightByNorm(false)
                .gateDetach(true)
                .sparsityCoefficient(0.1)
                .sparsityWarmupSteps(30)
                .build()),
        new Peer(
            "dictionary_learning_april",
            relu,
            true,
            0,
            saeLens()
                .sparsityPenalty(Penalty.L1)
                .sparsityCoefficient(0.1)
                .sparsityWarmupSteps(30)
                .build()),
        preset("saelens_topk_default", new Activation.TopK(3)),
        preset("saelens_abstopk_default", new Activation.AbsTopK(3)),
        preset("saelens_batchtopk_default", new Activation.BatchTopK(3, null)),
        preset("saelens_matryoshka_default", new Activation.BatchTopK(3, null)),
        preset("saelens_topk_dead", new Activation.TopK(3)),
        preset("saelens_abstopk_dead", new Activation.AbsTopK(3)),
        preset("saelens_matryoshka_dead", new Activation.BatchTopK(3, null)));
  }

  /** Our preset against SAELens' defaults, or those with latents that die after 71 batches. */
  private static Peer preset(String name, Activation activation) {
    StepConfig.Builder step = TrainingConfig.saeLens(activation, D_IN).step().toBuilder();
    boolean levels = name.contains("matryoshka");
    boolean dead = name.endsWith("dead");
    if (levels) {
      step.prefixes(List.of(new Prefix(12, 1), new Prefix(24, 1), new Prefix(48, 1)));
    }
    if (dead) {
      step.deadAfterBatches(71 + 2).auxByPrefix(levels);
    }
    return new Peer(name, activation, true, 0, step.build());
  }

  @ParameterizedTest
  @MethodSource("peers")
  void stepsAreThePeers(Peer peer) throws IOException {
    JsonNode golden =
        new JsonMapper()
            .readTree(Goldens.copy("peer_trainers.json", folder).toFile())
            .path("runs")
            .path(peer.name);
    float[] rows = rows();
    float[] decoder = decoder();
    if (peer.name.endsWith("_default") || peer.name.endsWith("_dead")) {
      shorten(decoder);
    }
    SaeShape shape = new SaeShape(D_IN, D_IN, D_SAE, peer.subtract, peer.activation.tensors());
    try (Backend backend = open();
        BackendSae sae = create(backend, shape);
        BackendTrainer trainer = trainer(sae, peer);
        DeviceBuffer x = backend.allocate((long) BATCH * D_IN * Float.BYTES)) {
      sae.write(Tensor.W_ENC, 0, direct(decoder));
      sae.write(Tensor.W_DEC, 0, direct(decoder));
      if (peer.threshold > 0) {
        float[] thresholds = new float[D_SAE];
        Arrays.fill(thresholds, peer.threshold);
        sae.write(Tensor.THRESHOLD, 0, direct(thresholds));
      }
      for (int step = 0; step < STEPS; step++) {
        x.host().asFloatBuffer().put(0, rows, step * BATCH * D_IN, BATCH * D_IN);
        JsonNode lr = golden.path("lr");
        trainer.step(x, BATCH, lr.path(Math.min(step, lr.size() - 1)).asDouble());
        StepStats stats = trainer.stats();
        double loss = golden.path("loss").path(step).asDouble();
        assertEquals(loss, stats.loss(), TOLERANCE * loss, "loss of step " + step + ": " + stats);
        if (golden.has("l0")) {
          assertEquals(golden.path("l0").path(step).asDouble(), stats.l0(), 1e-6, "step " + step);
        }
      }
      if (golden.has("threshold")) {
        double threshold = golden.path("threshold").asDouble();
        assertEquals(threshold, threshold(sae, trainer, peer), 1e-3 * threshold, "threshold");
      }
    }
  }

  static BackendSae create(Backend backend, SaeShape shape) {
    try {
      return backend.createSae(shape);
    } catch (BackendUnavailableException e) {
      return abort(String.valueOf(e.getMessage()));
    }
  }

  private static BackendTrainer trainer(BackendSae sae, Peer peer) {
    try {
      return sae.trainer(peer.activation.selection(), peer.config, Gradients.NONE);
    } catch (BackendUnavailableException e) {
      return abort(String.valueOf(e.getMessage()));
    }
  }

  /** The learned one, or the mean of the trained ones. */
  private static double threshold(BackendSae sae, BackendTrainer trainer, Peer peer) {
    if (peer.activation instanceof Activation.BatchTopK) {
      ByteBuffer learned = DirectBuffers.bytes(Double.BYTES).order(ByteOrder.nativeOrder());
      trainer.read(State.LEARNED_THRESHOLD, 0, learned);
      return learned.getDouble(0);
    }
    FloatBuffer thresholds = DirectBuffers.floats(D_SAE);
    sae.read(Tensor.THRESHOLD, 0, thresholds);
    double sum = 0;
    for (int j = 0; j < D_SAE; j++) {
      sum += thresholds.get(j);
    }
    return sum / D_SAE;
  }

  static FloatBuffer direct(float[] values) {
    return DirectBuffers.floats(values.length).put(0, values);
  }

  /** The generator of the script. */
  private static final class Integers {
    private int state;

    Integers(int seed) {
      state = seed;
    }

    double next() {
      state = state * 1664525 + 1013904223;
      return (state >>> 16) / 65536.0 - 0.5;
    }

    double[] take(int n) {
      double[] values = new double[n];
      for (int i = 0; i < n; i++) {
        values[i] = next();
      }
      return values;
    }
  }

  static float[] rows() {
    Integers g = new Integers(7);
    double[] directions = g.take(DIRECTIONS * D_IN);
    float[] rows = new float[STEPS * BATCH * D_IN];
    for (int row = 0; row < STEPS * BATCH; row++) {
      double[] sum = new double[D_IN];
      for (int direction = 0; direction < DIRECTIONS; direction++) {
        double u = g.next();
        for (int i = 0; i < D_IN && u > 0.3; i++) {
          sum[i] += (0.5 + 4 * (u - 0.3)) * directions[direction * D_IN + i];
        }
      }
      for (int i = 0; i < D_IN; i++) {
        rows[row * D_IN + i] = (float) (sum[i] + 0.05 * g.next());
      }
    }
    return rows;
  }

  /** To rows of norm 0.05, 0.1, 0.15, 0.05, ... */
  private static void shorten(float[] decoder) {
    for (int at = 0; at < decoder.length; at++) {
      decoder[at] *= (float) ((1 + at / D_IN % 3) * 0.05);
    }
  }

  static float[] decoder() {
    double[] values = new Integers(11).take(D_SAE * D_IN);
    float[] rows = new float[values.length];
    for (int j = 0; j < D_SAE; j++) {
      double squares = 0;
      for (int i = 0; i < D_IN; i++) {
        squares += values[j * D_IN + i] * values[j * D_IN + i];
      }
      for (int i = 0; i < D_IN; i++) {
        rows[j * D_IN + i] = (float) (values[j * D_IN + i] / Math.sqrt(squares));
      }
    }
    return rows;
  }
}
