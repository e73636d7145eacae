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
import io.faithfulsae.ActivationSources.Magnitude;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.SaeFormatException;
import io.faithfulsae.TrainingDivergedException;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.training.TrainingConfig.DecoderBiasInit;
import io.faithfulsae.training.TrainingResult.Reason;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** What a training run promises. A subclass says on which backend. */
public abstract class TrainingRunTest {
  private static final int D_IN = 8;
  private static final int STEPS = 20;

  /**
   * 100 rows, shuffled four batches of 16 at a time, for 320 tokens: fills cross the end of the
   * source.
   */
  private static final ActivationSource SOURCE =
      ActivationSources.superposition(12, D_IN, 2, Magnitude.UNIFORM, 0.01, 100, 5);

  private static final SaeConfig SAE = SaeConfig.topK(D_IN, 24, 3);
  private static final TrainingConfig CONFIG =
      TrainingConfig.builder()
          .tokens(16 * STEPS + 3)
          .batch(16)
          .bufferRows(70)
          .lr(1e-2)
          .seed(3)
          .warmupSteps(4)
          .decaySteps(5)
          .decoderBiasInit(DecoderBiasInit.GEOMETRIC_MEDIAN)
          .scaleActivations(true)
          .checkpointSteps(5)
          .build();

  @TempDir Path folder;
  private Backend backend;

  /** Opens the backend under test. */
  protected abstract Backend open();

  @BeforeEach
  void openBackend() {
    backend = open();
  }

  @AfterEach
  void closeBackend() {
    assertEquals(0, backend.liveBytes(), "a run that is over holds nothing");
    backend.close();
  }

  @Test
  void leavesTheSaeAndHowItCameAbout() throws IOException, InterruptedException {
    List<TrainingProgress> heard = new ArrayList<>();
    Path dir = folder.resolve("run");
    SaeTrainer trainer =
        trainer(CONFIG)
            .withListener(heard::add)
            .withMetadata(Map.of("hook_name", "blocks.1.hook_resid_pre"));
    TrainingResult result = finish(trainer.start(SOURCE, dir));
    assertEquals(Reason.COMPLETED, result.reason());
    assertEquals(STEPS, result.steps());
    assertEquals(STEPS * 16, result.tokens());
    assertEquals(3, result.epochs(), "320 rows were read from a source of 100");
    assertEquals(List.of("cfg.json", "sae_weights.safetensors", "training.json"), files(dir));
    assertEquals(STEPS, heard.size());
    assertEquals(STEPS, heard.get(STEPS - 1).step());
    assertTrue(heard.get(STEPS - 1).loss() < heard.get(3).loss(), "it must learn something");
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
    assertEquals(STEPS, finish(trainer(CONFIG).resume(SOURCE, dir)).steps());
    assertArrayEquals(whole, weights(dir));
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

  @Test
  void refusesToMixRuns() throws IOException, InterruptedException {
    Path dir = folder.resolve("run");
    finish(start(CONFIG, dir, 7));
    TrainingConfig otherLr = CONFIG.toBuilder().lr(0.5).build();
    ActivationSource otherData =
        ActivationSources.superposition(12, D_IN, 2, Magnitude.UNIFORM, 0.01, 100, 6);
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
        "expected k = 3",
        "got 4");
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
  void saysThatTheLossDiverged() throws IOException, InterruptedException {
    TrainingConfig wild = CONFIG.toBuilder().lr(1e30).warmupSteps(0).build();
    TrainingRun run = trainer(wild).start(SOURCE, folder.resolve("run"));
    assertMessage(
        TrainingDivergedException.class, () -> finish(run), "at step", "lower the learning rate");
  }

  @Test
  void saysThatTheSourceIsEmpty() throws IOException, InterruptedException {
    ActivationSource empty = counted(new AtomicInteger(), 100);
    TrainingRun run = trainer(CONFIG).start(empty, folder.resolve("run"));
    assertMessage(IOException.class, () -> finish(run), "expected rows from counted", "got none");
  }

  @Test
  void trainsSeveralOnOneReadingOfTheSource() throws IOException, InterruptedException {
    TrainingConfig otherSeed = CONFIG.toBuilder().seed(49).lr(2e-2).build();
    byte[] first = weights(run(CONFIG, "alone-1"));
    byte[] second = weights(run(otherSeed, "alone-2"));
    assertFalse(Arrays.equals(first, second));
    AtomicInteger opened = new AtomicInteger();
    List<Path> dirs = List.of(folder.resolve("together-1"), folder.resolve("together-2"));
    AtomicInteger heard = new AtomicInteger();
    List<SaeTrainer> stopping =
        List.of(
            trainer(CONFIG),
            trainer(otherSeed)
                .withListener(
                    p -> {
                      if (heard.incrementAndGet() == 11) {
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
        "expected one backend, tokens, batch");
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

  private SaeTrainer trainer(TrainingConfig config) {
    return SaeTrainer.of(SAE, config, backend);
  }

  private Path run(TrainingConfig config, String name) throws IOException, InterruptedException {
    Path dir = folder.resolve(name);
    finish(trainer(config).start(SOURCE, dir));
    return dir;
  }

  /** A run that cancels itself after {@code stop} steps. */
  private TrainingRun start(TrainingConfig config, Path dir, int stop) throws IOException {
    Canceller canceller = new Canceller(stop);
    TrainingRun run = trainer(config).withListener(canceller).start(SOURCE, dir);
    canceller.run = run;
    return run;
  }

  private static TrainingRun resume(SaeTrainer trainer, Path dir, int stop) throws IOException {
    Canceller canceller = new Canceller(stop);
    TrainingRun run = trainer.withListener(canceller).resume(SOURCE, dir);
    canceller.run = run;
    return run;
  }

  private static final class Canceller implements Consumer<TrainingProgress> {
    private final int stop;
    private volatile TrainingRun run;

    Canceller(int stop) {
      this.stop = stop;
    }

    @Override
    public void accept(TrainingProgress progress) {
      if (progress.step() == stop) {
        while (run == null) {
          Thread.onSpinWait();
        }
        run.cancel();
      }
    }
  }

  private static SaeTrainer failingAt(SaeTrainer trainer, int step) {
    return trainer.withListener(
        p -> {
          if (p.step() == step) {
            throw new UnsupportedOperationException("crash");
          }
        });
  }

  private static void crash(SaeTrainer trainer, Path dir, int step) throws IOException {
    TrainingRun run = failingAt(trainer, step).start(SOURCE, dir);
    assertThrows(UnsupportedOperationException.class, () -> finish(run));
  }

  private static TrainingResult finish(TrainingRun run) throws IOException, InterruptedException {
    try (run) {
      return run.await();
    }
  }

  private static byte[] weights(Path dir) throws IOException {
    return Files.readAllBytes(dir.resolve("sae_weights.safetensors"));
  }

  private static List<String> files(Path dir) throws IOException {
    try (var files = Files.list(dir)) {
      return files.map(f -> f.getFileName().toString()).sorted().toList();
    }
  }

  private float[] rows() throws IOException {
    float[] rows = new float[100 * D_IN];
    try (ActivationBatch batch = ActivationBatch.allocate(backend, 100, D_IN);
        ActivationReader reader = SOURCE.open(0)) {
      assertEquals(100, reader.read(batch));
      batch.data().get(rows);
    }
    return rows;
  }

  private static double meanNormOfFirst(float[] rows, int count) {
    double sum = 0;
    for (int r = 0; r < count; r++) {
      double squares = 0;
      for (int i = 0; i < D_IN; i++) {
        squares += (double) rows[r * D_IN + i] * rows[r * D_IN + i];
      }
      sum += Math.sqrt(squares);
    }
    return sum / count;
  }

  /** The same rows from number {@code first} on, counting how often they are opened. */
  private static ActivationSource counted(AtomicInteger opened, long first) {
    return new ActivationSource() {
      @Override
      public int dIn() {
        return D_IN;
      }

      @Override
      public String description() {
        return "counted " + SOURCE.description();
      }

      @Override
      public ActivationReader open(long position) throws IOException {
        opened.incrementAndGet();
        return SOURCE.open(Math.max(first, position));
      }
    };
  }

  private static void assertMessage(
      Class<? extends Exception> type, Executable action, String... parts) {
    String message = String.valueOf(assertThrows(type, action).getMessage());
    for (String part : parts) {
      assertTrue(message.contains(part), () -> "expected \"" + part + "\" in: " + message);
    }
  }
}
