package io.faithfulsae.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.Activation;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.PairedSource;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.spi.BackendSae.Tensor;
import io.faithfulsae.spi.StepConfig.DecoderNorm;
import io.faithfulsae.training.TrainingConfig.DecoderBiasInit;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Runs of transcoders, from pairs to the folder. A subclass opens the backend. */
public abstract class TranscoderRunsTest extends RunFixture {
  private static final int D_OUT = 5;
  private static final int ROWS = 400;

  /** Each target is a linear map of the row and a ReLU of another: a skip helps. */
  private static PairedSource pairs() {
    float[] rows = new float[ROWS * (D_IN + D_OUT)];
    for (int row = 0; row < ROWS; row++) {
      int at = row * (D_IN + D_OUT);
      for (int i = 0; i < D_IN; i++) {
        rows[at + i] = (float) Math.sin(1 + row * (i + 1.7) + 0.37 * i);
      }
      for (int i = 0; i < D_OUT; i++) {
        float linear = 0.8f * rows[at + i] - 0.5f * rows[at + i + 2];
        rows[at + D_IN + i] = 2 + linear + Math.max(0, rows[at + i + 1] - 0.3f);
      }
    }
    return ActivationSources.pairs(ActivationSources.ofArray(rows, D_IN + D_OUT), D_OUT);
  }

  private static SaeConfig transcoder(boolean skip) {
    return new SaeConfig(D_IN, D_OUT, 24, new Activation.TopK(3), false, Normalization.NONE, skip);
  }

  private static TrainingConfig config(int steps) {
    return TrainingConfig.builder()
        .tokens(16L * steps)
        .batch(16)
        .bufferRows(70)
        .lr(1e-2)
        .seed(3)
        .trainEncoderBias(true)
        .decoderNorm(DecoderNorm.NONE)
        .projectGradient(false)
        .decoderBiasInit(DecoderBiasInit.MEAN)
        .checkpointSteps(5)
        .build();
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void transcodersResumeToTheSameBits(boolean skip) throws IOException, InterruptedException {
    SaeTrainer trainer = SaeTrainer.of(transcoder(skip), config(STEPS), backend);
    Path whole = folder.resolve("whole");
    finish(trainer.start(pairs(), whole));
    Path dir = folder.resolve("interrupted");
    Canceller canceller = new Canceller(13);
    TrainingRun run = trainer.withListener(canceller).start(pairs(), dir);
    canceller.run = run;
    finish(run);
    finish(trainer.resume(pairs(), dir));
    assertArrayEquals(weights(whole), weights(dir));
  }

  @Test
  void aTranscoderLearnsItsTargetAndASkipHelps() throws IOException, InterruptedException {
    double plain = fvu(false, "plain");
    double skip = fvu(true, "skip");
    assertTrue(plain < 0.3, "FVU without a skip: " + plain);
    assertTrue(skip < 0.5 * plain, "FVU with a skip: " + skip + ", without: " + plain);
    try (Sae sae = Sae.load(folder.resolve("skip"), backend)) {
      assertEquals(transcoder(true), sae.config());
      FloatBuffer weights = DirectBuffers.floats(D_OUT * D_IN);
      sae.parameters().read(Tensor.W_SKIP, 0, weights);
      assertTrue(Math.abs(weights.get(0)) > 0.1, "W_skip is trained: " + weights.get(0));
    }
  }

  private double fvu(boolean skip, String name) throws IOException, InterruptedException {
    List<TrainingProgress> received = new ArrayList<>();
    SaeTrainer trainer = SaeTrainer.of(transcoder(skip), config(300), backend);
    finish(trainer.withListener(received::add).start(pairs(), folder.resolve(name)));
    return received.get(received.size() - 1).fvu();
  }

  @Test
  void partsGiveTheSameTranscoderUpToRounding() throws IOException, InterruptedException {
    TrainingConfig whole = config(STEPS);
    double[] fvus = new double[2];
    for (int parts = 1; parts <= 2; parts++) {
      List<TrainingProgress> received = new ArrayList<>();
      TrainingConfig config = whole.toBuilder().accumulate(parts).build();
      SaeTrainer trainer = SaeTrainer.of(transcoder(true), config, backend);
      finish(trainer.withListener(received::add).start(pairs(), folder.resolve("in" + parts)));
      fvus[parts - 1] = received.get(STEPS - 1).loss();
    }
    assertEquals(fvus[0], fvus[1], 1e-3 * fvus[0]);
  }

  @Test
  void whatDoesNotFitThePairsIsRefused() {
    TrainingConfig config = config(STEPS);
    SaeTrainer trainer = SaeTrainer.of(transcoder(true), config, backend);
    assertMessage(
        IllegalArgumentException.class, () -> trainer.start(SOURCE, folder), "a source of pairs");
    assertMessage(
        IllegalArgumentException.class,
        () -> SaeTrainer.of(SAE, config, backend).start(pairs(), folder),
        "d_in = 8 and d_out = 8",
        "8 and 5");
    SaeConfig subtracts = SaeConfig.topK(D_IN, 24, 3);
    PairedSource same = ActivationSources.pairs(ActivationSources.ofArray(new float[160], 16), 8);
    assertMessage(
        IllegalArgumentException.class,
        () -> SaeTrainer.of(subtracts, config, backend).start(same, folder),
        "reads its input as it is");
    assertMessage(
        IllegalArgumentException.class,
        () -> ActivationSources.pairs(SOURCE, D_IN),
        "dOut in [1, 7]");
  }
}
