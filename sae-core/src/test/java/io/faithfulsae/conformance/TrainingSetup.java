package io.faithfulsae.conformance;

import io.faithfulsae.conformance.Data.Weights;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.BackendTrainer.Gradients;
import io.faithfulsae.spi.BackendTrainer.State;
import io.faithfulsae.spi.BackendTrainer.StepStats;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.SaeShape;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.StepConfig;
import io.faithfulsae.spi.StepConfig.AuxNorm;
import io.faithfulsae.spi.StepConfig.DecoderNorm;
import io.faithfulsae.spi.StepConfig.Loss;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/** A small training run in which latents die and every option changes the result. */
final class TrainingSetup {
  static final int D_IN = 40;
  static final int D_SAE = 96;

  /** What the transcoders write. */
  static final int D_OUT = 24;

  static final int K = 4;
  static final int ROWS = 32;
  static final int STEPS = 12;

  private TrainingSetup() {}

  /**
   * One way to train.
   *
   * @param thresholds whether the SAE has thresholds
   */
  record Variant(
      String name, boolean subtract, Selection selection, boolean thresholds, StepConfig config) {
    /** TopK. */
    Variant(String name, boolean subtract, StepConfig config) {
      this(name, subtract, Selection.topK(K), false, config);
    }

    boolean gated() {
      return name.startsWith("gated");
    }

    /** Whether the rows have a target of their own. */
    boolean transcodes() {
      return name.startsWith("transcoder");
    }

    boolean skips() {
      return name.contains("skip");
    }

    SaeShape shape() {
      Set<Tensor> more = EnumSet.noneOf(Tensor.class);
      if (thresholds) {
        more.add(Tensor.THRESHOLD);
      }
      if (gated()) {
        more.addAll(Set.of(Tensor.R_MAG, Tensor.B_MAG));
      }
      if (skips()) {
        more.add(Tensor.W_SKIP);
      }
      return new SaeShape(D_IN, transcodes() ? D_OUT : D_IN, D_SAE, subtract, more);
    }

    @Override
    public String toString() {
      return name;
    }
  }

  /**
   * The study's trainer with latents that die within a few steps and an auxiliary term that
   * matters.
   */
  static final Variant STUDY =
      new Variant(
          "study",
          true,
          StepConfig.builder().deadAfterBatches(2).auxK(8).auxCoefficient(0.25).build());

  /** Each option on its own, then the combinations that other libraries use. */
  static List<Variant> variants() {
    List<Variant> all = new ArrayList<>();
    all.add(STUDY);
    all.add(new Variant("b_dec not subtracted", false, STUDY.config()));
    add(all, "loss summed over d_in", b -> b.loss(Loss.SUM_MEAN));
    add(all, "loss as FVU", b -> b.loss(Loss.FVU));
    add(all, "aux off", b -> b.auxCoefficient(0));
    add(all, "aux summed over d_in", b -> b.auxNorm(AuxNorm.SUM_MEAN));
    add(all, "aux over the target's variance", b -> b.auxNorm(AuxNorm.TARGET_VARIANCE));
    add(all, "aux over the residual's variance", b -> b.auxNorm(AuxNorm.RESIDUAL_VARIANCE));
    add(all, "aux detached", b -> b.auxDetach(true));
    add(all, "aux with few latents a row", b -> b.auxK(1));
    add(all, "aux with more latents than are dead", b -> b.auxK(512));
    add(all, "aux scaled by dead", b -> b.auxK(90).auxScaleByDead(true));
    add(all, "dead by rows", b -> b.deadAfterBatches(0).deadAfterRows(3 * ROWS));
    add(all, "dead by batches or rows", b -> b.deadAfterBatches(7).deadAfterRows(3 * ROWS));
    add(all, "nothing ever dead", b -> b.deadAfterBatches(0));
    add(all, "Adam's constants", b -> b.beta1(0.5).beta2(0.999).eps(1e-3));
    // Adam cancels a constant factor; a large eps makes the gradient's scale matter.
    add(all, "clipping active", b -> b.clipNorm(0.01).eps(1e-3));
    add(all, "clipping off", b -> b.clipNorm(0));
    add(all, "decoder never normalised", b -> b.decoderNorm(DecoderNorm.NONE));
    add(all, "decoder normalised after the step", b -> b.decoderNorm(DecoderNorm.AFTER_STEP));
    add(all, "gradient not projected", b -> b.projectGradient(false));
    add(all, "decoder left alone", b -> b.projectGradient(false).decoderNorm(DecoderNorm.NONE));
    add(all, "b_enc trained", b -> b.trainEncoderBias(true));
    add(all, "decoder frozen", b -> b.freezeDecoder(true));
    add(
        all,
        "decoder frozen, norm after",
        b -> b.freezeDecoder(true).decoderNorm(DecoderNorm.AFTER_STEP));
    add(
        all,
        "as sparsify",
        b ->
            b.loss(Loss.FVU)
                .auxNorm(AuxNorm.TARGET_VARIANCE)
                .auxDetach(true)
                .auxScaleByDead(true)
                .deadAfterBatches(0)
                .deadAfterRows(2 * ROWS)
                .trainEncoderBias(true)
                .beta2(0.999)
                .decoderNorm(DecoderNorm.AFTER_STEP)
                .clipNorm(0));
    add(
        all,
        "as dictionary_learning",
        b ->
            b.loss(Loss.SUM_MEAN)
                .auxNorm(AuxNorm.RESIDUAL_VARIANCE)
                .auxDetach(true)
                .auxK(12)
                .trainEncoderBias(true)
                .beta2(0.999)
                .decoderNorm(DecoderNorm.AFTER_STEP)
                .clipNorm(1));
    return all;
  }

  private static void add(
      List<Variant> all, String name, UnaryOperator<StepConfig.Builder> change) {
    all.add(new Variant(name, true, change.apply(STUDY.config().toBuilder()).build()));
  }

  /**
   * Weights whose decoder rows are off unit norm, so that normalizing and projecting have an
   * effect.
   */
  static Weights weights(Variant variant) {
    Weights weights = Weights.gaussian(11, D_IN, D_SAE, variant.subtract());
    for (int at = 0; at < weights.wDec().length; at++) {
      int latent = at / D_IN;
      weights.wDec()[at] *= 1 + 0.3f * (float) Math.sin(latent);
    }
    return weights;
  }

  /** An SAE with a variant's weights; thresholds of about half of a typical pre-activation. */
  static BackendSae sae(Backend backend, Variant variant) {
    BackendSae sae = weights(variant).on(backend, variant.shape());
    if (variant.thresholds()) {
      float[] thresholds = Data.gaussian(31, D_SAE);
      for (int j = 0; j < D_SAE; j++) {
        thresholds[j] = 0.3f + 0.1f * Math.abs(thresholds[j]);
      }
      thresholds[7] = 0.01f;
      sae.write(Tensor.THRESHOLD, 0, Data.direct(thresholds));
    }
    if (variant.skips()) {
      float[] skip = Data.gaussian(33, (int) sae.shape().elements(Tensor.W_SKIP));
      for (int i = 0; i < skip.length; i++) {
        skip[i] *= 0.05f;
      }
      sae.write(Tensor.W_SKIP, 0, Data.direct(skip));
    }
    if (variant.gated()) {
      float[] magnitudes = Data.gaussian(32, 2 * D_SAE);
      for (int i = 0; i < magnitudes.length; i++) {
        magnitudes[i] *= 0.2f;
      }
      sae.write(Tensor.R_MAG, 0, Data.direct(Arrays.copyOf(magnitudes, D_SAE)));
      sae.write(Tensor.B_MAG, 0, Data.direct(Arrays.copyOfRange(magnitudes, D_SAE, 2 * D_SAE)));
    }
    return sae;
  }

  static BackendTrainer trainer(BackendSae sae, Variant variant) {
    return sae.trainer(variant.selection(), variant.config(), Gradients.NONE);
  }

  /**
   * The batch of a step: sparse sums of a few directions, a little noise; the number of rows varies
   * by step.
   */
  static float[] batch(int step) {
    int rows = rows(step);
    float[] directions = Data.gaussian(21, 48 * D_IN);
    float[] noise = Data.gaussian(1000L + step, rows * (D_IN + 8));
    float[] x = new float[rows * D_IN];
    for (int row = 0; row < rows; row++) {
      for (int i = 0; i < D_IN; i++) {
        float value = 0.3f + 0.05f * noise[row * D_IN + i];
        for (int term = 0; term < 3; term++) {
          int direction = (row * 7 + step * 5 + term * 13) % 48;
          value +=
              Math.abs(noise[rows * D_IN + row * 8 + term])
                  * 0.4f
                  * directions[direction * D_IN + i];
        }
        x[row * D_IN + i] = value;
      }
    }
    return x;
  }

  /**
   * What a transcoder should write of a step's batch: products of the row's elements, and noise.
   */
  static float[] target(int step) {
    float[] x = batch(step);
    int rows = rows(step);
    float[] noise = Data.gaussian(2000L + step, rows * D_OUT);
    float[] y = new float[rows * D_OUT];
    for (int row = 0; row < rows; row++) {
      for (int i = 0; i < D_OUT; i++) {
        y[row * D_OUT + i] =
            0.2f
                + Math.max(0, x[row * D_IN + i] + 0.5f * x[row * D_IN + D_IN - 1 - i])
                + 0.05f * noise[row * D_OUT + i];
      }
    }
    return y;
  }

  /** The target of a variant's step in a backend's memory; null if the rows are their own. */
  static @Nullable DeviceBuffer target(Backend backend, Variant variant, int step) {
    return variant.transcodes() ? Data.upload(backend, target(step)) : null;
  }

  static double lr(int step) {
    return 3e-3 / (1 + step % 3);
  }

  static int rows(int step) {
    return step % 4 == 3 ? ROWS - 9 : ROWS;
  }

  /** Trains as {@link #train(Backend, Variant, BackendTrainer, int, int)} without targets. */
  static List<StepStats> train(Backend backend, BackendTrainer trainer, int from, int to) {
    return train(backend, STUDY, trainer, from, to);
  }

  /** Trains from step {@code from} to {@code to}; returns the statistics of each step. */
  static List<StepStats> train(
      Backend backend, Variant variant, BackendTrainer trainer, int from, int to) {
    List<StepStats> stats = new ArrayList<>();
    for (int step = from; step < to; step++) {
      try (DeviceBuffer x = Data.upload(backend, batch(step));
          DeviceBuffer y = target(backend, variant, step)) {
        trainer.step(x, y, rows(step), lr(step));
        stats.add(trainer.stats());
      }
    }
    return stats;
  }

  /** Everything a checkpoint holds. */
  record Snapshot(Map<Tensor, List<Float>> tensors, Map<State, ByteBuffer> states) {

    /** With TopK. */
    static Snapshot of(BackendSae sae, BackendTrainer trainer) {
      return of(sae, trainer, STUDY);
    }

    static Snapshot of(BackendSae sae, BackendTrainer trainer, Variant variant) {
      Map<Tensor, List<Float>> tensors = new EnumMap<>(Tensor.class);
      for (Tensor tensor : sae.shape().tensors()) {
        List<Float> boxed = new ArrayList<>(); // whose equality distinguishes -0.0 from 0.0
        for (float value : Data.read(sae, tensor)) {
          boxed.add(value);
        }
        tensors.put(tensor, boxed);
      }
      Map<State, ByteBuffer> states = new EnumMap<>(State.class);
      for (State state : State.of(variant.selection(), sae.shape(), variant.config().optimizer())) {
        ByteBuffer host =
            Data.directBytes(
                BackendChecks.elements(state, sae.shape()) * BackendChecks.elementBytes(state));
        trainer.read(state, 0, host);
        states.put(state, host);
      }
      return new Snapshot(tensors, states);
    }

    void writeTo(BackendSae sae, BackendTrainer trainer) {
      tensors.forEach(
          (tensor, boxed) -> {
            float[] values = new float[boxed.size()];
            for (int i = 0; i < values.length; i++) {
              values[i] = boxed.get(i);
            }
            sae.write(tensor, 0, Data.direct(values));
          });
      states.forEach((state, host) -> trainer.write(state, 0, host));
    }

    float[] tensor(Tensor tensor) {
      List<Float> boxed = tensors.getOrDefault(tensor, List.of());
      float[] values = new float[boxed.size()];
      for (int i = 0; i < values.length; i++) {
        values[i] = boxed.get(i);
      }
      return values;
    }
  }

  /** Statistics of every step, and the contents of a checkpoint at the end. */
  record Run(List<StepStats> stats, Snapshot end) {}

  static Run run(Backend backend, Variant variant) {
    try (BackendSae sae = sae(backend, variant);
        BackendTrainer trainer = trainer(sae, variant)) {
      List<StepStats> stats = train(backend, variant, trainer, 0, STEPS);
      return new Run(stats, Snapshot.of(sae, trainer, variant));
    }
  }

  static Run referenceRun(Variant variant) {
    try (ReferenceBackend reference = new ReferenceBackend()) {
      return run(reference, variant);
    }
  }

  /** ‖a − b‖ / ‖b‖; infinite if they differ in size. */
  static double distance(float[] a, float[] b) {
    if (a.length != b.length) {
      return Double.POSITIVE_INFINITY;
    }
    double difference = 0;
    double size = 0;
    for (int i = 0; i < a.length; i++) {
      difference += Math.pow((double) a[i] - b[i], 2);
      size += Math.pow(b[i], 2);
    }
    return size == 0 ? Math.sqrt(difference) : Math.sqrt(difference / size);
  }
}
