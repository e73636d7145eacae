package io.faithfulsae.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationReader;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.ActivationSources;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.TrainingDivergedException;
import io.faithfulsae.internal.RowReader;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.spi.StepConfig.DecoderNorm;
import io.faithfulsae.synthetic.SyntheticFeatures;
import io.faithfulsae.synthetic.SyntheticFeatures.Magnitude;
import io.faithfulsae.training.TrainingConfig.EncoderInit;
import io.faithfulsae.training.TrainingResult.Reason;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

/** The contract of a training run. A subclass opens the backend. */
public abstract class TrainingRunTest extends RunFixture {
  @Test
  void aFolderHasOneRunAtATime() throws IOException, InterruptedException {
    Path dir = folder.resolve("run");
    AtomicInteger rejected = new AtomicInteger();
    SaeTrainer first =
        trainer(CONFIG)
            .withListener(
                now -> {
                  for (boolean resume : new boolean[] {false, true}) {
                    IOException e =
                        assertThrows(
                            IOException.class,
                            () -> {
                              SaeTrainer other = trainer(CONFIG);
                              (resume ? other.resume(SOURCE, dir) : other.start(SOURCE, dir))
                                  .close();
                            });
                    String said = String.valueOf(e.getMessage());
                    assertTrue(said.contains("process " + ProcessHandle.current().pid()), said);
                  }
                  if (rejected.incrementAndGet() == 3) {
                    throw new IllegalStateException("stop here");
                  }
                });
    assertThrows(IllegalStateException.class, () -> finish(first.start(SOURCE, dir)));
    assertEquals(3, rejected.get());
    assertFalse(Files.exists(dir.resolve(".lock")), "a run that failed has let go");
    finish(trainer(CONFIG).start(SOURCE, dir));
    assertFalse(Files.exists(dir.resolve(".lock")));
    // Rejected runs, and runs with nothing to do, release their locks too.
    SaeTrainer another = trainer(CONFIG.toBuilder().seed(4).build());
    assertThrows(IllegalArgumentException.class, () -> another.resume(SOURCE, dir));
    finish(trainer(CONFIG).resume(SOURCE, dir));
    finish(trainer(CONFIG).resume(SOURCE, dir));
  }

  @Test
  void leavesTheSaeAndHowItCameAbout() throws IOException, InterruptedException {
    List<TrainingProgress> received = new ArrayList<>();
    Path dir = folder.resolve("run");
    SaeTrainer trainer =
        trainer(CONFIG)
            .withListener(received::add)
            .withMetadata(Map.of("hook_name", "blocks.1.hook_resid_pre"));
    TrainingResult result = finish(trainer.start(SOURCE, dir));
    assertEquals(Reason.COMPLETED, result.reason());
    assertEquals(STEPS, result.steps());
    assertEquals(STEPS * 16, result.tokens());
    assertEquals(3, result.epochs(), "320 rows were read from a source of 100");
    assertEquals(List.of("cfg.json", "sae_weights.safetensors", "training.json"), files(dir));
    assertEquals(STEPS, received.size());
    assertEquals(STEPS, received.get(STEPS - 1).step());
    assertTrue(received.get(STEPS - 1).loss() < received.get(3).loss(), "it must learn something");
    String provenance = Files.readString(dir.resolve("training.json"));
    for (String part :
        List.of("\"seed\" : 3", "\"lr\" : 0.01", SOURCE.description(), backend.info().device())) {
      assertTrue(provenance.contains(part), () -> part + " is missing in " + provenance);
    }
    try (Sae sae = Sae.load(dir, backend)) {
      assertEquals(SAE, sae.config());
      assertEquals("blocks.1.hook_resid_pre", sae.metadata().get("hook_name"));
    }
    TrainingResult again = finish(trainer.resume(SOURCE, dir));
    assertEquals(result.steps(), again.steps(), "resuming a complete run says how it ended");
    assertEquals(result.last().orElseThrow().loss(), again.last().orElseThrow().loss());
  }

  @Test
  void namesTheRowThatIsNotANumber() throws IOException {
    float[] rows = new float[100 * D_IN];
    Arrays.fill(rows, 0.5f);
    rows[77 * D_IN + 2] = Float.NaN;
    TrainingRun run =
        trainer(CONFIG).start(ActivationSources.ofArray(rows, D_IN), folder.resolve("run"));
    assertMessage(
        IllegalArgumentException.class,
        () -> finish(run),
        "expected finite activations, got NaN in row 77, column 2");
  }

  @Test
  void namesTheRowOfALaterPass() throws IOException {
    ActivationSource source =
        new ActivationSource() {
          private int opened;

          @Override
          public int dIn() {
            return D_IN;
          }

          @Override
          public String description() {
            return "bad from the second pass on";
          }

          @Override
          public ActivationReader open(long position) {
            float bad = opened++ == 0 ? 0.5f : Float.POSITIVE_INFINITY;
            return new RowReader(100, position) {
              @Override
              protected void copy(long first, int count, ActivationBatch into) {
                for (int r = 0; r < count; r++) {
                  for (int i = 0; i < D_IN; i++) {
                    float value = first + r == 10 && i == 3 ? bad : 0.5f + i;
                    into.data().put((into.rows() + r) * D_IN + i, value);
                  }
                }
              }
            };
          }
        };
    List<Long> steps = new ArrayList<>();
    SaeTrainer trainer = trainer(CONFIG).withListener(p -> steps.add(p.step()));
    TrainingRun run = trainer.start(source, folder.resolve("run"));
    assertMessage(
        IllegalArgumentException.class,
        () -> finish(run),
        "expected finite activations, got Infinity in row 10, column 3",
        "of bad from the second pass on; repair the data");
    assertTrue(steps.size() >= 4 && steps.size() < 8, "in the second fill: " + steps);
  }

  @Test
  void saysThatTheLossDiverged() throws IOException, InterruptedException {
    TrainingConfig wild = CONFIG.toBuilder().lr(1e30).warmupSteps(0).build();
    TrainingRun run = trainer(wild).start(SOURCE, folder.resolve("run"));
    assertMessage(
        TrainingDivergedException.class, () -> finish(run), "at step", "lower the learning rate");
  }

  @Test
  void endsWhenTheBackendIsClosedUnderIt() throws IOException, InterruptedException {
    Backend closing = open();
    Path dir = folder.resolve("run");
    TrainingRun run =
        SaeTrainer.of(SAE, CONFIG, closing)
            .withListener(
                progress -> {
                  if (progress.step() == 13) {
                    closing.close();
                  }
                })
            .start(SOURCE, dir);
    assertMessage(
        IllegalStateException.class,
        () -> finish(run),
        "expected backend " + closing.info().name() + " to stay open until the run ends",
        "await or close the run first");
    assertEquals(List.of("checkpoint-10.safetensors"), files(dir));
    finish(trainer(CONFIG).resume(SOURCE, dir));
    assertArrayEquals(weights(run(CONFIG, "whole")), weights(dir));
  }

  @Test
  void closingARunCancelsIt() throws IOException, InterruptedException {
    Path dir = folder.resolve("run");
    TrainingConfig endless = CONFIG.toBuilder().tokens(1L << 40).build();
    TrainingRun run = trainer(endless).start(SOURCE, dir);
    run.close();
    TrainingResult result = run.await();
    assertEquals(Reason.CANCELLED, result.reason());
    assertEquals(List.of("checkpoint-" + result.steps() + ".safetensors"), files(dir));
  }

  @Test
  void saysThatTheSourceIsEmpty() throws IOException, InterruptedException {
    ActivationSource empty = counted(new AtomicInteger(), 100);
    TrainingRun run = trainer(CONFIG).start(empty, folder.resolve("run"));
    assertMessage(IOException.class, () -> finish(run), "expected rows from counted", "got none");
  }

  @Test
  void foldsTheActivationScaleIntoTheWeights() throws IOException, InterruptedException {
    TrainingConfig plain = CONFIG.toBuilder().scaleActivations(false).build();
    float[] rows = rows();
    double scale = Math.sqrt(D_IN) / meanNormOfFirst(rows, 64);
    float[] scaled = rows.clone();
    for (int i = 0; i < scaled.length; i++) {
      scaled[i] = (float) (scaled[i] * scale);
    }
    Path folded = folder.resolve("folded");
    Path byHand = folder.resolve("by-hand");
    finish(trainer(CONFIG).start(ActivationSources.ofArray(rows, D_IN), folded));
    finish(trainer(plain).start(ActivationSources.ofArray(scaled, D_IN), byHand));
    try (Sae a = Sae.load(folded, backend);
        Sae b = Sae.load(byHand, backend)) {
      for (int latent = 0; latent < 24; latent++) {
        float[] expected = b.decoderDirection(latent);
        float[] actual = a.decoderDirection(latent);
        for (int i = 0; i < D_IN; i++) {
          assertEquals(expected[i] / scale, actual[i], 1e-6);
        }
      }
    }
  }

  @Test
  void keepsAFrozenDecoder() throws IOException, InterruptedException {
    TrainingConfig frozen = CONFIG.toBuilder().freezeDecoder(true).scaleActivations(false).build();
    Path before = folder.resolve("before");
    Path after = folder.resolve("after");
    run(CONFIG.toBuilder().seed(8).scaleActivations(false).build(), "before");
    try (Sae start = Sae.load(before, backend)) {
      finish(trainer(frozen).withInitial(start).start(SOURCE, after));
      try (Sae trained = Sae.load(after, backend)) {
        assertArrayEquals(start.decoderDirection(5), trained.decoderDirection(5));
        assertFalse(Arrays.equals(start.encoderDirection(5), trained.encoderDirection(5)));
      }
    }
  }

  @Test
  void aTenthIsTheNormOfBothInitialWeights() throws IOException, InterruptedException {
    TrainingConfig.Builder still =
        CONFIG.toBuilder()
            .tokens(CONFIG.rows().batch())
            .lr(1e-12) // so that what is saved is what it started with
            .scaleActivations(false)
            .decoderNorm(DecoderNorm.NONE);
    Path tenth = run(still.encoderInit(EncoderInit.TENTH).build(), "tenth");
    Path unit = run(still.encoderInit(EncoderInit.LINEAR).build(), "unit");
    try (Sae small = Sae.load(tenth, backend);
        Sae large = Sae.load(unit, backend)) {
      for (int latent = 0; latent < small.config().dSae(); latent++) {
        float[] expected = large.decoderDirection(latent);
        for (int i = 0; i < D_IN; i++) {
          expected[i] *= 0.1f;
        }
        assertArrayEquals(expected, small.decoderDirection(latent), 1e-6f);
        assertArrayEquals(expected, small.encoderDirection(latent), 1e-6f);
      }
    }
  }

  @Test
  void rowsThatStayOnTheDeviceGiveTheSameSae() throws IOException, InterruptedException {
    ActivationSource onHost =
        SyntheticFeatures.superposition(12, D_IN, 2, Magnitude.UNIFORM, 0.01, 128, 5);
    TrainingConfig wholeFills = CONFIG.toBuilder().bufferRows(64).build();
    AtomicInteger fills = new AtomicInteger();
    List<SaeTrainer> both = // two feeds: each seed shuffles differently
        List.of(trainer(wholeFills), trainer(wholeFills.toBuilder().seed(4).build()));
    for (TrainingRun run :
        SaeTrainer.startTogether(
            both, onHost, List.of(folder.resolve("host-3"), folder.resolve("host-4")))) {
      finish(run);
    }
    for (TrainingRun run :
        SaeTrainer.startTogether(
            both,
            new OnDevice(onHost, backend, fills),
            List.of(folder.resolve("device-3"), folder.resolve("device-4")))) {
      finish(run);
    }
    try (DeviceBuffer memory = backend.allocateOnDevice(4)) {
      assertEquals(memory.onDevice() ? 5 : 0, fills.get());
    }
    for (int seed : new int[] {3, 4}) {
      String weights = "sae_weights.safetensors";
      Path host = folder.resolve("host-" + seed).resolve(weights);
      assertEquals(-1, Files.mismatch(host, folder.resolve("device-" + seed).resolve(weights)));
    }
  }

  /** Writes to device memory, whole batches at a time. */
  private record OnDevice(ActivationSource onHost, Backend backend, AtomicInteger fills)
      implements ActivationSource {

    @Override
    public int dIn() {
      return onHost.dIn();
    }

    @Override
    public String description() {
      return onHost.description();
    }

    @Override
    public boolean fillsOnDevice(Backend on) {
      return on == backend;
    }

    @Override
    public ActivationReader open(long position) throws IOException {
      ActivationReader reader = onHost.open(position);
      return new ActivationReader() {
        @Override
        public int read(ActivationBatch into) throws IOException {
          if (!into.buffer().onDevice()) {
            return reader.read(into);
          }
          assertEquals(0, into.rows());
          try (ActivationBatch rows = ActivationBatch.allocate(backend, into.capacity(), dIn());
              DeviceBuffer numbers = backend.allocate(4L * into.capacity())) {
            int count = reader.read(rows);
            if (count < 0) {
              return count;
            }
            assertEquals(into.capacity(), count);
            for (int i = 0; i < count; i++) {
              numbers.host().putInt(4 * i, i);
            }
            backend.gatherRows(rows.buffer(), count, dIn(), numbers, 0, count, 1, into.buffer());
            backend.synchronize();
            into.rows(count);
            fills.incrementAndGet();
            return count;
          }
        }

        @Override
        public long position() {
          return reader.position();
        }

        @Override
        public void close() {
          reader.close();
        }
      };
    }
  }

  @Test
  void trainsOnNormalisedRows() throws IOException, InterruptedException {
    for (Normalization how : Normalization.values()) {
      Path dir = folder.resolve(how.id());
      SaeTrainer trainer = SaeTrainer.of(SAE.withNormalization(how), CONFIG, backend);
      assertTrue(finish(trainer.start(SOURCE, dir)).last().orElseThrow().fvu() < 0.8);
      try (Sae sae = Sae.load(dir, backend)) {
        assertEquals(how, sae.config().normalization());
      }
    }
  }
}
