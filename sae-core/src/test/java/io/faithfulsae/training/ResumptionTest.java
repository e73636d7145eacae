package io.faithfulsae.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.io.CheckedJson;
import io.faithfulsae.io.Mutations;
import io.faithfulsae.io.SaeFormatException;
import io.faithfulsae.synthetic.SyntheticFeatures;
import io.faithfulsae.synthetic.SyntheticFeatures.Magnitude;
import io.faithfulsae.training.TrainingResult.Reason;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/**
 * An interrupted run gives the same result as an uninterrupted one. A subclass opens the backend.
 */
public abstract class ResumptionTest extends RunFixture {
  @Test
  void resumesToTheSameBits() throws IOException, InterruptedException {
    byte[] whole = weights(run(CONFIG, "whole"));
    Path dir = folder.resolve("stopped");
    for (int stop : new int[] {7, 8, 13}) { // inside a fill, between two fills, inside again
      SaeTrainer trainer = trainer(CONFIG).withListener(p -> {});
      TrainingRun run = stop == 7 ? start(CONFIG, dir, stop) : resume(trainer, dir, stop);
      TrainingResult result = finish(run);
      assertEquals(Reason.CANCELLED, result.reason());
      assertEquals(stop, result.steps());
      assertEquals(List.of("checkpoint-" + stop + ".safetensors"), files(dir));
    }
    assertEquals(Reason.COMPLETED, finish(trainer(CONFIG).resume(SOURCE, dir)).reason());
    assertArrayEquals(whole, weights(dir));
  }

  @Test
  void resumesToTheSameBitsAfterACrash() throws IOException, InterruptedException {
    byte[] whole = weights(run(CONFIG, "whole"));
    Path dir = folder.resolve("crashed");
    crash(trainer(CONFIG), dir, 8);
    assertEquals(List.of("checkpoint-5.safetensors"), files(dir));
    Files.writeString(dir.resolve(".checkpoint-10.safetensors.1f.tmp"), "left by a killed process");
    assertEquals(STEPS, finish(trainer(CONFIG).resume(SOURCE, dir)).steps());
    assertArrayEquals(whole, weights(dir));
    assertEquals(List.of("cfg.json", "sae_weights.safetensors", "training.json"), files(dir));
  }

  @Test
  void passesOverATruncatedCheckpointWhileThereIsAnother()
      throws IOException, InterruptedException {
    byte[] whole = weights(run(CONFIG, "whole"));
    Path dir = folder.resolve("run");
    crash(trainer(CONFIG), dir, 8);
    Path older = dir.resolve("checkpoint-5.safetensors");
    byte[] kept = Files.readAllBytes(older);
    SaeTrainer failing = failingAt(trainer(CONFIG), 12);
    assertThrows(UnsupportedOperationException.class, () -> finish(failing.resume(SOURCE, dir)));
    Path newer = dir.resolve("checkpoint-10.safetensors");
    assertEquals(
        List.of(newer.getFileName().toString()),
        files(dir),
        "the old one goes when the new one is complete");
    Files.write(older, kept);
    Files.write(newer, Arrays.copyOf(Files.readAllBytes(newer), 5000));
    finish(trainer(CONFIG).resume(SOURCE, dir));
    assertArrayEquals(whole, weights(dir));
  }

  @Test
  void goesOnFromNoDamagedCheckpoint() throws IOException, InterruptedException {
    Path dir = folder.resolve("run");
    crash(trainer(CONFIG), dir, 8);
    Path only = dir.resolve("checkpoint-5.safetensors");
    byte[] kept = Files.readAllBytes(only);
    int rejected =
        Mutations.check(
            only,
            300,
            19,
            Integer.MAX_VALUE,
            () -> {
              try {
                finish(trainer(CONFIG).resume(SOURCE, dir));
                return ByteBuffer.wrap(weights(dir));
              } catch (InterruptedException e) {
                throw new AssertionError(e);
              } finally {
                for (String file : files(dir)) {
                  Files.delete(dir.resolve(file));
                }
                Files.write(only, kept);
              }
            });
    assertTrue(rejected > 290, "rejected " + rejected);
    Files.move(only, dir.resolve("checkpoint-6.safetensors"));
    assertMessage(
        SaeFormatException.class, () -> trainer(CONFIG).resume(SOURCE, dir), "step: expected");
  }

  @Test
  void aResultThatWasChangedIsNotBelieved() throws IOException, InterruptedException {
    Path dir = run(CONFIG, "run");
    assertTrue(
        Mutations.check(
                dir.resolve("training.json"),
                1000,
                23,
                Integer.MAX_VALUE,
                () -> {
                  try {
                    return finish(trainer(CONFIG).resume(SOURCE, dir));
                  } catch (InterruptedException e) {
                    throw new AssertionError(e);
                  }
                })
            > 800);
  }

  @Test
  void saysThatTheOnlyCheckpointIsDamagedOrThatThereIsNone()
      throws IOException, InterruptedException {
    Path dir = folder.resolve("run");
    crash(trainer(CONFIG), dir, 8);
    Path only = dir.resolve("checkpoint-5.safetensors");
    Files.write(only, Arrays.copyOf(Files.readAllBytes(only), 5000));
    assertMessage(
        SaeFormatException.class,
        () -> trainer(CONFIG).resume(SOURCE, dir),
        "checkpoint-5.safetensors",
        "truncated");
    Files.delete(only);
    assertMessage(
        IOException.class,
        () -> trainer(CONFIG).resume(SOURCE, dir),
        "expected a checkpoint in",
        "got none");
    assertMessage(
        IOException.class,
        () -> trainer(CONFIG).resume(SOURCE, folder.resolve("no")),
        "expected the folder of a run");
  }

  /** After resuming, its rows would be shuffled in a different order than before. */
  @Test
  void rejectsCheckpointsOfAnotherGeneratorOfRandomNumbers()
      throws IOException, InterruptedException {
    Path dir = folder.resolve("run");
    finish(start(CONFIG, dir, 7));
    Path checkpoint = dir.resolve("checkpoint-7.safetensors");
    byte[] whole = Files.readAllBytes(checkpoint);
    String text = new String(whole, StandardCharsets.ISO_8859_1);
    String named = "\"random\":\"philox4x64-10\"";
    assertTrue(text.contains(named), text.substring(0, 500));
    // The same length, so that the file stays valid.
    for (String[] other :
        new String[][] {
          {"\"random\":\"others-random\"", "got others-random"},
          {"\"rendom\":\"philox4x64-10\"", "got none"}
        }) {
      Files.write(checkpoint, text.replace(named, other[0]).getBytes(StandardCharsets.ISO_8859_1));
      assertMessage(
          IllegalArgumentException.class,
          () -> trainer(CONFIG).resume(SOURCE, dir),
          "random generator philox4x64-10",
          other[1],
          "train again in another folder");
    }
    Files.write(checkpoint, whole);
    finish(trainer(CONFIG).resume(SOURCE, dir));
    // The same holds for a completed run.
    Path provenance = dir.resolve("training.json");
    String written = Files.readString(provenance);
    assertTrue(written.contains("\"random\" : \"philox4x64-10\""), written);
    assertEquals(STEPS, finish(trainer(CONFIG).resume(SOURCE, dir)).steps());
    Files.writeString(provenance, written.replace("philox4x64-10", "splitmix64"));
    assertMessage(
        IllegalArgumentException.class,
        () -> trainer(CONFIG).resume(SOURCE, dir),
        "random generator philox4x64-10",
        "got splitmix64");
  }

  @Test
  void rejectsToMixRuns() throws IOException, InterruptedException {
    Path dir = folder.resolve("run");
    finish(start(CONFIG, dir, 7));
    TrainingConfig otherLr = CONFIG.toBuilder().lr(0.5).build();
    ActivationSource otherData =
        SyntheticFeatures.superposition(12, D_IN, 2, Magnitude.UNIFORM, 0.01, 100, 6);
    assertMessage(
        IllegalArgumentException.class,
        () -> trainer(otherLr).resume(SOURCE, dir),
        "expected lr = 0.01",
        "got 0.5");
    assertMessage(
        IllegalArgumentException.class,
        () -> trainer(CONFIG).resume(otherData, dir),
        "seed 5",
        "got",
        "seed 6");
    SaeTrainer otherK = SaeTrainer.of(SAE.withK(4), CONFIG, backend);
    assertMessage(
        IllegalArgumentException.class,
        () -> otherK.resume(SOURCE, dir),
        "expected activation = {\"type\":\"topk\",\"k\":3}",
        "got {\"type\":\"topk\",\"k\":4}");
    assertMessage(
        IOException.class,
        () -> trainer(CONFIG).start(SOURCE, dir),
        "expected a folder without checkpoints");
    SaeTrainer wide = SaeTrainer.of(SaeConfig.topK(9, 24, 3), CONFIG, backend);
    assertMessage(
        IllegalArgumentException.class,
        () -> wide.start(SOURCE, folder),
        "expected activations of width d_in = 9, got 8");
    TrainingConfig moreCheckpoints = CONFIG.toBuilder().checkpointSteps(2).build();
    assertEquals(STEPS, finish(trainer(moreCheckpoints).resume(SOURCE, dir)).steps());
  }

  /** Written by a later version: continuing without its option would train something else. */
  @Test
  void rejectsAnOptionThatItDoesNotKnow() throws IOException, InterruptedException {
    Path dir = run(CONFIG, "run");
    Path file = dir.resolve("training.json");
    ObjectNode json = CheckedJson.read(file, "train again");
    ((ObjectNode) json.path("training")).put("momentum", 0.5);
    CheckedJson.write(file, json);
    assertMessage(
        SaeFormatException.class, () -> trainer(CONFIG).resume(SOURCE, dir), "\"momentum\"");
  }

  @Test
  void trainsSeveralOnOneReadingOfTheSource() throws IOException, InterruptedException {
    TrainingConfig otherSeed = CONFIG.toBuilder().seed(49).lr(2e-2).build();
    byte[] first = weights(run(CONFIG, "alone-1"));
    byte[] second = weights(run(otherSeed, "alone-2"));
    assertFalse(Arrays.equals(first, second));
    AtomicInteger opened = new AtomicInteger();
    List<Path> dirs = List.of(folder.resolve("together-1"), folder.resolve("together-2"));
    AtomicInteger received = new AtomicInteger();
    List<SaeTrainer> stopping =
        List.of(
            trainer(CONFIG),
            trainer(otherSeed)
                .withListener(
                    p -> {
                      if (received.incrementAndGet() == 11) {
                        throw new UnsupportedOperationException("crash");
                      }
                    }));
    List<TrainingRun> crashed = SaeTrainer.startTogether(stopping, counted(opened, 0), dirs);
    assertThrows(UnsupportedOperationException.class, () -> finish(crashed.get(0)));
    assertThrows(UnsupportedOperationException.class, () -> finish(crashed.get(1)));
    assertEquals(2, opened.get(), "once, and once more when the source started over");
    List<SaeTrainer> trainers = List.of(trainer(CONFIG), trainer(otherSeed));
    for (TrainingRun run : SaeTrainer.resumeTogether(trainers, counted(opened, 0), dirs)) {
      finish(run);
    }
    assertArrayEquals(first, weights(dirs.get(0)));
    assertArrayEquals(second, weights(dirs.get(1)));
    SaeTrainer otherBatch = trainer(CONFIG.toBuilder().batch(8).build());
    assertMessage(
        IllegalArgumentException.class,
        () -> SaeTrainer.startTogether(List.of(trainer(CONFIG), otherBatch), SOURCE, dirs),
        "expected the same backends, tokens, batch");
  }
}
