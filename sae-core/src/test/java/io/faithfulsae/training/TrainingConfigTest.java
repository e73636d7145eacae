package io.faithfulsae.training;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.json.JsonMapper;
import io.faithfulsae.Activation;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.spi.BackendChecks;
import io.faithfulsae.spi.StepConfig.Optimizer;
import io.faithfulsae.spi.StepConfig.Prefix;
import io.faithfulsae.training.TrainingConfig.DecoderBiasInit;
import io.faithfulsae.training.TrainingConfig.EncoderInit;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;

class TrainingConfigTest {

  @Test
  void theRateRisesStaysAndFalls() {
    TrainingConfig config =
        TrainingConfig.builder()
            .tokens(105)
            .batch(10)
            .bufferRows(10)
            .lr(2)
            .warmupSteps(4)
            .decaySteps(5)
            .build();
    assertEquals(10, config.steps());
    double[] expected = {0.5, 1, 1.5, 2, 2, 2, 1.6, 1.2, 0.8, 0.4};
    for (int step = 0; step < 10; step++) {
      assertEquals(expected[step], config.lrAt(step), 1e-12, "step " + step);
    }
  }

  @Test
  void theDefaultIsTheStudys() {
    TrainingConfig config = TrainingConfig.faithfulSae();
    assertEquals(24414, config.steps(), "the study's GPT-2 runs end with step index 24413");
    assertEquals(3e-4, config.lrAt(0));
    assertEquals(3e-4, config.lrAt(24413));
    assertEquals(config, config.toBuilder().build());
  }

  @Test
  void sparsifysRateFallsToNothingAtTheEnd() {
    TrainingConfig config = TrainingConfig.sparsifyAdam(64, 16384, 4096 * 3000L, 4096);
    assertEquals(2e-7, config.lrAt(0), 1e-12);
    assertEquals(2e-4, config.lrAt(999), 1e-12);
    assertEquals(1e-4, config.lrAt(2000), 1e-7);
    assertEquals(1e-7, config.lrAt(2999), 1e-12);
    assertEquals(
        10, TrainingConfig.sparsifyAdam(64, 16384, 40, 4).steps(), "shorter than the warm-up");
  }

  @Test
  void presetsOfPeersDependOnTheShape() {
    assertEquals(2e-4, TrainingConfig.dictionaryLearning(768, 16384).lr(), 1e-12);
    assertEquals(384, TrainingConfig.dictionaryLearning(768, 16384).step().aux().k());
    assertEquals(384, TrainingConfig.saeLens(768).step().aux().k());
  }

  @Test
  void theRuleFollowsTheShapeAndTheNumberOfRows() {
    SaeConfig shape = SaeConfig.topK(576, 4608, 32);
    TrainingConfig few = TrainingConfig.recommended(shape, 200_000);
    assertEquals(256, few.rows().batch());
    assertEquals(781, few.steps());
    assertEquals(2e-4 / Math.sqrt(4608 / 16384.0) * Math.sqrt(10_000 / 781.0), few.lr(), 1e-12);
    assertEquals(39, few.schedule().warmupSteps());
    assertEquals(156, few.schedule().decaySteps());
    assertEquals(288, few.step().aux().k());
    assertEquals(0.5, few.step().aux().coefficient());
    assertEquals(5_000, few.step().dead().afterRows());
    assertEquals(0, few.step().dead().afterBatches());

    TrainingConfig many = TrainingConfig.recommended(shape, 1_000_000_000);
    assertEquals(4096, many.rows().batch());
    assertEquals(TrainingConfig.lrByWidth(Optimizer.ADAM, 4608), many.lr(), 1e-15);
    assertEquals(1000, many.schedule().warmupSteps());
    assertEquals(10_000_000, many.step().dead().afterRows());

    SaeConfig wide = SaeConfig.topK(576, 1 << 17, 32);
    assertEquals(
        65_536,
        TrainingConfig.recommended(wide, 200_000).step().dead().afterRows(),
        "16 times d_sae / k: most latents of a wide SAE are rare, not dead");
  }

  @Test
  void theRulesRateFollowsAGivenBatch() {
    SaeConfig shape = SaeConfig.topK(64, 16384, 8);
    assertEquals(4e-4, TrainingConfig.recommended(shape, 2_500_000, 1000).lr(), 1e-12);
    assertEquals(2e-4, TrainingConfig.recommended(shape, 2_500_000, 100).lr(), 1e-12);
    assertThrows(IllegalArgumentException.class, () -> TrainingConfig.recommended(shape, 99, 100));
  }

  @Test
  void theRulesBatchLeavesEnoughSteps() {
    int most = 1 << 17;
    long[][] expected = {
      {1, 1}, {63, 63}, {64, 64}, {50_000, 64}, {63_999, 64}, {64_000, 128}, {1L << 40, most}
    };
    for (long[] each : expected) {
      assertEquals(each[1], TrainingConfig.recommendedBatch(each[0], most), each[0] + " rows");
    }
  }

  @Test
  void theRuleSuitsEveryActivationAndTranscoders() {
    for (Activation each :
        List.of(
            new Activation.TopK(4),
            new Activation.AbsTopK(4),
            new Activation.GroupMax(4),
            new Activation.BatchTopK(4, null),
            new Activation.Relu(),
            new Activation.JumpRelu(),
            new Activation.Gated())) {
      for (boolean transcoder : new boolean[] {false, true}) {
        SaeConfig shape = new SaeConfig(8, 32, each, !transcoder, Normalization.NONE);
        TrainingConfig config = TrainingConfig.recommended(shape, 10_000);
        assertEquals(64, config.rows().batch());
        BackendChecks.training(SaeTrainer.selection(shape), shape.shape(), config.step());
        assertEquals(
            transcoder,
            config.start().decoderBiasInit() == DecoderBiasInit.MEAN,
            "as sparsify trains transcoders");
      }
    }
  }

  @Test
  void openAisDeadLatentTermHasThePowerOfTwoBelowHalfTheWidth() {
    assertEquals(256, TrainingConfig.openAi(768).step().aux().k(), "as train.py has it for GPT-2");
    assertEquals(1e-4, TrainingConfig.openAi(768).lr());
    assertEquals(131_072, TrainingConfig.openAi(768).rows().batch());
  }

  @Test
  void presetsStartWhereThePeersDoIfTheirDecodersAreFree() {
    for (Activation free :
        List.of(
            new Activation.TopK(4),
            new Activation.AbsTopK(4),
            new Activation.BatchTopK(4, null),
            new Activation.Relu(),
            new Activation.JumpRelu(),
            new Activation.Gated())) {
      assertEquals(EncoderInit.TENTH, TrainingConfig.saeLens(free, 64).start().encoderInit());
    }
    Activation relu = new Activation.Relu();
    assertEquals(
        EncoderInit.TENTH, TrainingConfig.dictionaryLearning(relu, 64, 512).start().encoderInit());
  }

  /**
   * The original format: checkpoints, training.json and the keys of a study's steps hold a
   * configuration in this form.
   */
  @Test
  void itsJsonStaysAsItWas() throws JsonProcessingException {
    assertJson(
        """
        {"tokens":100000000,"batch":4096,"accumulate":1,"lr":3.0E-4,"seed":42,"warmupSteps":0,\
        "decaySteps":0,"loss":"MEAN","auxCoefficient":0.03125,"auxK":512,"auxNorm":"MEAN",\
        "auxDetach":false,"auxScaleByDead":false,"deadAfterBatches":5,"deadAfterRows":0,\
        "beta1":0.9,"beta2":0.99,"eps":1.0E-8,"clipNorm":100000.0,"decoderNorm":"BEFORE_STEP",\
        "projectGradient":true,"trainEncoderBias":false,"freezeDecoder":false,\
        "encoderInit":"KAIMING_D_SAE","decoderBiasInit":"ZERO","scaleActivations":false,\
        "bufferRows":16384,"checkpointSteps":1000}""",
        TrainingConfig.faithfulSae());
    assertJson(
        """
        {"tokens":16777216,"batch":2048,"accumulate":1,"lr":1.6329931618554522E-4,"seed":42,\
        "warmupSteps":1000,"decaySteps":7192,"loss":"FVU","auxCoefficient":0.0,"auxK":384,\
        "auxNorm":"TARGET_VARIANCE","auxDetach":true,"auxScaleByDead":true,"deadAfterBatches":0,\
        "deadAfterRows":10000000,"beta1":0.9,"beta2":0.999,"eps":1.0E-8,"clipNorm":0.0,\
        "decoderNorm":"AFTER_STEP","projectGradient":true,"trainEncoderBias":true,\
        "freezeDecoder":false,"encoderInit":"LINEAR","decoderBiasInit":"MEAN",\
        "scaleActivations":false,"bufferRows":16384,"checkpointSteps":1000}""",
        TrainingConfig.sparsifyAdam(768, 24576, 1 << 24, 2048));
  }

  @Test
  void optionsOfOtherActivationsSurviveJson() throws JsonProcessingException {
    JsonMapper json = new JsonMapper();
    for (Activation activation :
        List.of(
            new Activation.BatchTopK(4, null),
            new Activation.Relu(),
            new Activation.JumpRelu(),
            new Activation.Gated())) {
      for (TrainingConfig config :
          List.of(
              TrainingConfig.saeLens(activation, 64),
              TrainingConfig.dictionaryLearning(activation, 64, 256),
              TrainingConfig.saeLens(activation, 64).toBuilder()
                  .prefixes(List.of(new Prefix(64, 1), new Prefix(256, 0.5)))
                  .auxByPrefix(true)
                  .build())) {
        String text = json.writeValueAsString(config);
        assertEquals(config, json.readValue(text, TrainingConfig.class), text);
      }
    }
  }

  private static void assertJson(String expected, TrainingConfig config)
      throws JsonProcessingException {
    JsonMapper json = new JsonMapper();
    assertEquals(expected, json.writeValueAsString(config));
    assertEquals(config, json.readValue(expected, TrainingConfig.class));
  }

  /** Named as in the builder, so that users find it. */
  @Test
  void theJsonHasABuildersNames() {
    for (Iterator<String> names =
            new JsonMapper().valueToTree(TrainingConfig.faithfulSae()).fieldNames();
        names.hasNext(); ) {
      String name = names.next();
      assertTrue(
          Arrays.stream(TrainingConfig.Builder.class.getMethods())
              .anyMatch(method -> method.getName().equals(name)),
          name);
    }
  }

  @Test
  void rejectsByName() {
    assertRejected("batch >= 1, got 0", b -> b.batch(0));
    assertRejected("tokens >= batch = 4096, got 4095", b -> b.tokens(4095));
    assertRejected("accumulate >= 1 that divides batch = 4096, got 0", b -> b.accumulate(0));
    assertRejected("accumulate >= 1 that divides batch = 4096, got 3", b -> b.accumulate(3));
    assertRejected("lr > 0, got -1.0", b -> b.lr(-1));
    assertRejected("lr > 0, got NaN", b -> b.lr(Double.NaN));
    assertRejected("lr > 0, got Infinity", b -> b.lr(Double.POSITIVE_INFINITY));
    assertRejected("auxCoefficient >= 0, got Inf", b -> b.auxCoefficient(Double.POSITIVE_INFINITY));
    assertRejected("eps > 0, got Infinity", b -> b.eps(Double.POSITIVE_INFINITY));
    assertRejected("clipNorm >= 0, got Infinity", b -> b.clipNorm(Double.POSITIVE_INFINITY));
    assertRejected("bufferRows >= batch = 4096, got 100", b -> b.bufferRows(100));
    assertRejected("beta2 in [0, 1), got 1.0", b -> b.beta2(1));
  }

  private static void assertRejected(String problem, UnaryOperator<TrainingConfig.Builder> change) {
    TrainingConfig.Builder builder = change.apply(TrainingConfig.builder());
    String message =
        String.valueOf(assertThrows(IllegalArgumentException.class, builder::build).getMessage());
    assertTrue(message.contains(problem), message);
  }
}
