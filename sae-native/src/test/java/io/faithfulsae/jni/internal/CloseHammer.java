package io.faithfulsae.jni.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.ActivationSource;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.SaeConfig;
import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.DeviceBuffer;
import io.faithfulsae.synthetic.SyntheticFeatures;
import io.faithfulsae.synthetic.SyntheticFeatures.Magnitude;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingConfig;
import io.faithfulsae.training.TrainingRun;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.Random;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;

/**
 * Repeatedly closes batches and backends while threads use them, in a separate process, since the
 * bug it looks for crashes the process. Blocks are 2 MiB or larger: smaller ones stay mapped after
 * they are freed.
 *
 * <p>Arguments: rounds, seed, a folder, operations.
 */
final class CloseHammer {
  private static final int D_IN = 256;
  private static final int D_SAE = 512;
  private static final int K = 128;
  private static final int ROWS = 4096;
  private static final SaeConfig CONFIG = SaeConfig.topK(D_IN, D_SAE, K);
  private static final ActivationSource SOURCE =
      SyntheticFeatures.superposition(64, D_IN, 3, Magnitude.UNIFORM, 0.01, 1 << 20, 1);

  /** Works until its batch or backend is closed, which shows as an exception. */
  private interface Work {
    void untilClosed() throws IOException, InterruptedException;
  }

  private final Random random;
  private final Path folder;
  private final Queue<Throwable> unexpected = new ConcurrentLinkedQueue<>();
  private int runs;

  private CloseHammer(long seed, Path folder) {
    this.random = new Random(seed);
    this.folder = folder;
  }

  /** See the class description. */
  public static void main(String[] args) throws IOException, InterruptedException {
    CloseHammer hammer = new CloseHammer(Long.parseLong(args[1]), Path.of(args[2]));
    for (String operation : List.of(args).subList(3, args.length)) {
      System.out.println(operation);
      for (int round = 0; round < Integer.parseInt(args[0]); round++) {
        hammer.round(operation, round % 2 == 0);
      }
    }
    for (Throwable each : hammer.unexpected) {
      each.printStackTrace(System.out);
    }
    System.out.println(hammer.unexpected.isEmpty() ? "ended well" : "ended badly");
  }

  private void round(String operation, boolean wholeBackend)
      throws IOException, InterruptedException {
    Backend backend = new CpuBackendProvider().open("threads=2");
    List<AutoCloseable> batches = new ArrayList<>();
    List<Work> works = new ArrayList<>();
    for (int i = 0; i < 2; i++) {
      works.add(work(operation, backend, batches));
    }
    CountDownLatch started = new CountDownLatch(works.size());
    List<Thread> threads = new ArrayList<>();
    for (Work work : works) {
      threads.add(new Thread(() -> run(work, started)));
    }
    threads.forEach(Thread::start);
    started.await();
    Thread.sleep(random.nextInt(30));
    if (!wholeBackend) {
      for (AutoCloseable batch : batches) {
        close(batch);
      }
    }
    if (wholeBackend || batches.isEmpty()) {
      backend.close();
    }
    for (Thread thread : threads) {
      thread.join();
    }
    backend.close();
  }

  private static void close(AutoCloseable batch) {
    try {
      batch.close();
    } catch (Exception e) {
      throw new AssertionError("closing throws", e);
    }
  }

  private void run(Work work, CountDownLatch started) {
    started.countDown();
    try {
      work.untilClosed();
      unexpected.add(new AssertionError("the work returned without an exception"));
    } catch (IllegalStateException e) {
      if (!e.getMessage().contains("close")) {
        unexpected.add(e);
      }
    } catch (IOException | InterruptedException | RuntimeException | Error e) {
      unexpected.add(e);
    }
  }

  private Work work(String operation, Backend backend, List<AutoCloseable> batches)
      throws IOException {
    return switch (operation) {
      case "encode" -> encode(CONFIG, backend, batches);
      case "normalized" ->
          encode(CONFIG.withNormalization(Normalization.CONSTANT_NORM_RESCALE), backend, batches);
      case "decode" -> decode(CONFIG.withNormalization(Normalization.UNIT_NORM), backend, batches);
      case "gather" -> gather(backend, batches);
      case "metrics" -> metrics(backend);
      case "train" -> train(TrainingConfig.builder(), backend);
      case "accumulate" -> train(TrainingConfig.builder().accumulate(4), backend);
      case "view" -> view(backend, batches);
      default -> throw new IllegalArgumentException(operation);
    };
  }

  private ActivationBatch rows(Backend backend, List<AutoCloseable> batches) {
    ActivationBatch x = ActivationBatch.allocate(backend, ROWS, D_IN);
    FloatBuffer data = x.data();
    for (int i = 0; i < data.capacity(); i++) {
      data.put(i, (float) random.nextGaussian());
    }
    x.rows(ROWS);
    batches.add(x);
    return x;
  }

  private Sae sae(SaeConfig config, Backend backend) {
    float[][] directions = new float[D_SAE][D_IN];
    for (float[] direction : directions) {
      for (int i = 0; i < D_IN; i++) {
        direction[i] = (float) (random.nextGaussian() / Math.sqrt(D_IN));
      }
    }
    return Sae.ofDirections(config, directions, backend);
  }

  private Work encode(SaeConfig config, Backend backend, List<AutoCloseable> batches) {
    Sae sae = sae(config, backend);
    ActivationBatch x = rows(backend, batches);
    Latents z = Latents.allocate(backend, ROWS, K);
    batches.add(z);
    return () -> {
      float sum = 0;
      while (Float.isFinite(sum)) {
        sae.encode(x, z);
        sum = sum(z.values());
      }
    };
  }

  private Work decode(SaeConfig config, Backend backend, List<AutoCloseable> batches) {
    Sae sae = sae(config, backend);
    ActivationBatch x = rows(backend, new ArrayList<>());
    Latents z = sae.encode(x);
    ActivationBatch out = ActivationBatch.allocate(backend, ROWS, D_IN);
    batches.addAll(List.of(z, out));
    return () -> {
      float sum = 0;
      while (Float.isFinite(sum)) {
        sae.decode(z, out);
        sum = sum(out.data());
      }
    };
  }

  private Work gather(Backend backend, List<AutoCloseable> batches) {
    ActivationBatch from = rows(backend, batches);
    ActivationBatch into = ActivationBatch.allocate(backend, ROWS, D_IN);
    DeviceBuffer numbers = backend.allocate(ROWS * Integer.BYTES);
    batches.addAll(List.of(into, numbers));
    return () -> {
      float sum = 0;
      while (Float.isFinite(sum)) {
        for (int i = 0; i < ROWS; i++) {
          numbers.host().putInt(i * Integer.BYTES, ROWS - 1 - i);
        }
        backend.gatherRows(from.buffer(), ROWS, D_IN, numbers, 0, ROWS, 1, into.buffer());
        backend.synchronize();
        sum = sum(into.data());
      }
    };
  }

  private Work metrics(Backend backend) {
    Sae sae = sae(CONFIG, backend);
    return () -> {
      while (Metrics.reconstruction(sae, SOURCE, 20_000).fvu() >= 0) {
        backend.synchronize();
      }
    };
  }

  private Work train(TrainingConfig.Builder config, Backend backend) throws IOException {
    TrainingConfig training =
        config.tokens(1L << 40).batch(ROWS).bufferRows(2 * ROWS).checkpointSteps(3).build();
    Path dir = Files.createDirectories(folder.resolve("run-" + runs++));
    TrainingRun run = SaeTrainer.of(CONFIG, training, backend).start(SOURCE, dir);
    return () -> {
      try (run) {
        run.await();
      }
    };
  }

  /** Keeps a view, and reads and writes it in a loop. */
  private Work view(Backend backend, List<AutoCloseable> batches) {
    ActivationBatch x = rows(backend, batches);
    FloatBuffer kept = x.data();
    float sum = sum(kept);
    return () -> {
      for (int reads = 0; reads < 200; reads++) {
        if (sum(kept) != sum) {
          throw new AssertionError("the rows of a view changed");
        }
        if (reads % 50 == 0) {
          System.gc();
        }
        kept.put(0, kept.get(0));
      }
      while (x.data().get(1) == kept.get(1)) {
        Thread.onSpinWait();
      }
    };
  }

  private static float sum(FloatBuffer values) {
    float sum = 0;
    for (int i = 0; i < values.capacity(); i++) {
      sum += values.get(i);
    }
    return sum;
  }
}
