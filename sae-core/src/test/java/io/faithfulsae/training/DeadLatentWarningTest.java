package io.faithfulsae.training;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.SaeConfig;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.spi.Backend;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** A run with many dead latents says so once, and what to try. */
class DeadLatentWarningTest extends RunFixture {
  private static final Logger LOG = Logger.getLogger(SaeTrainer.class.getName());

  private final List<String> logged = new CopyOnWriteArrayList<>();
  private final Handler recorder =
      new Handler() {
        @Override
        public void publish(LogRecord entry) {
          logged.add(entry.getMessage());
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
      };

  @Override
  protected Backend open() {
    return new ReferenceBackend();
  }

  @BeforeEach
  void record() {
    LOG.addHandler(recorder);
  }

  @AfterEach
  void stop() {
    LOG.removeHandler(recorder);
  }

  /** Of 24 latents, as many die as cannot be among the one per row that fires. */
  @Test
  void aRunInWhichLatentsDieWarnsOnce() throws Exception {
    TrainingConfig config =
        CONFIG.toBuilder().lr(1e-6).auxCoefficient(0).deadAfterBatches(0).deadAfterRows(20).build();
    SaeTrainer trainer = SaeTrainer.of(SaeConfig.topK(D_IN, 24, 1), config, backend);
    TrainingResult result = finish(trainer.start(SOURCE, folder.resolve("dying")));
    assertTrue(result.last().orElseThrow().dead() > 3, result::toString);
    assertEquals(1, logged.size(), logged::toString);
    assertTrue(
        logged
            .get(0)
            .matches(
                "\\d+ of 24 latents \\(\\d+ %\\) are dead after step 4 of 20: they have not fired for"
                    + " 20 rows\\. Try fewer latents, .*"),
        logged.get(0));
  }

  @Test
  void aTenthIsNoReasonToWarn() {
    DeadLatentWarning warning = new DeadLatentWarning(100, CONFIG.step().dead());
    warning.check(progress(10, 10));
    warning.check(progress(1, 90)); // too early to tell
    assertEquals(List.of(), logged);
    warning.check(progress(11, 11));
    assertTrue(logged.get(0).contains("have not fired for 5 batches"), logged.get(0));
  }

  private static TrainingProgress progress(long step, long dead) {
    return new TrainingProgress(step, 20, 16 * step, 1, 0.5, 3, dead, 100, Duration.ofSeconds(1));
  }
}
