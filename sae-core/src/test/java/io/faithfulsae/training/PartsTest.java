package io.faithfulsae.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Runs whose batches are split into parts or across backends. A subclass opens the backend. */
public abstract class PartsTest extends RunFixture {
  /** A mean over rows, which may be split anywhere. */
  private static final TrainingConfig MEAN = CONFIG.toBuilder().auxCoefficient(0).build();

  private static TrainingConfig inParts(TrainingConfig config, int parts) {
    return config.toBuilder().accumulate(parts).build();
  }

  private List<Double> losses(SaeTrainer trainer, Path dir)
      throws IOException, InterruptedException {
    List<Double> losses = new ArrayList<>();
    finish(trainer.withListener(p -> losses.add(p.loss())).start(SOURCE, dir));
    return losses;
  }

  /** Tolerance for sums in another order, which Adam turns into small steps: see TrainingCases. */
  private static void assertClose(List<Double> expected, List<Double> got) {
    assertEquals(STEPS, expected.size());
    for (int step = 0; step < STEPS; step++) {
      assertEquals(expected.get(step), got.get(step), 1e-4 * expected.get(step), "step " + step);
    }
  }

  @Test
  void partsAndSharesOfAMeanGiveTheRunOfWholeBatches() throws IOException, InterruptedException {
    List<Double> whole = losses(trainer(MEAN), folder.resolve("whole"));
    assertClose(whole, losses(trainer(inParts(MEAN, 4)), folder.resolve("parts")));
    try (Backend second = open()) {
      SaeTrainer shared = trainer(MEAN).withReplicasOn(List.of(second));
      assertClose(whole, losses(shared, folder.resolve("shared")));
      assertEquals(0, second.liveBytes(), "a run that is over holds nothing");
    }
    try (Backend second = open();
        Backend third = open();
        Backend fourth = open()) {
      SaeTrainer both = trainer(inParts(MEAN, 2)).withReplicasOn(List.of(second, third, fourth));
      assertClose(whole, losses(both, folder.resolve("both")));
    }
  }

  @Test
  void aRunInPartsResumesToTheSameBits() throws IOException, InterruptedException {
    TrainingConfig config = inParts(CONFIG, 2);
    try (Backend second = open()) {
      List<Backend> replicas = List.of(second);
      Path whole = folder.resolve("whole");
      finish(trainer(config).withReplicasOn(replicas).start(SOURCE, whole));
      Path dir = folder.resolve("stopped");
      crash(trainer(config).withReplicasOn(replicas), dir, 8);
      assertEquals(List.of("checkpoint-5.safetensors"), files(dir));
      finish(trainer(config).withReplicasOn(replicas).resume(SOURCE, dir));
      assertArrayEquals(weights(whole), weights(dir));
      assertTrue(
          Files.readString(dir.resolve("training.json")).contains("\"replicas\""),
          "the replicas are on record");
      assertFalse(
          Arrays.equals(weights(dir), weights(run(CONFIG, "unlike"))),
          "the auxiliary loss is each part's own");
    }
  }

  @Test
  void membersShareTheirReplicas() throws IOException, InterruptedException {
    TrainingConfig otherSeed = CONFIG.toBuilder().seed(4).build();
    try (Backend second = open()) {
      List<SaeTrainer> trainers =
          List.of(
              trainer(CONFIG).withReplicasOn(List.of(second)),
              trainer(otherSeed).withReplicasOn(List.of(second)));
      Path alone = folder.resolve("alone");
      finish(trainers.get(1).start(SOURCE, alone));
      List<Path> dirs = List.of(folder.resolve("a"), folder.resolve("b"));
      for (TrainingRun run : SaeTrainer.startTogether(trainers, SOURCE, dirs)) {
        finish(run);
      }
      assertArrayEquals(weights(alone), weights(dirs.get(1)));
      List<SaeTrainer> mixed = List.of(trainers.get(0), trainer(otherSeed));
      List<Path> others = List.of(folder.resolve("c"), folder.resolve("d"));
      assertMessage(
          IllegalArgumentException.class,
          () -> SaeTrainer.startTogether(mixed, SOURCE, others),
          "expected the same backends");
    }
  }

  @Test
  void whatDoesNotDivideIsRejected() {
    try (Backend second = open();
        Backend third = open()) {
      assertMessage(
          IllegalArgumentException.class,
          () -> trainer(CONFIG).withReplicasOn(List.of(second, third)),
          "expected a batch that divides into 3 parts",
          "batch = 16");
      assertMessage(
          IllegalArgumentException.class,
          () -> trainer(CONFIG).withReplicasOn(List.of(second, backend)),
          "expected a separate backend for each replica");
    }
  }
}
