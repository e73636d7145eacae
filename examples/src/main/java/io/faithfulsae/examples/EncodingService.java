package io.faithfulsae.examples;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Backends;
import io.faithfulsae.Latents;
import io.faithfulsae.Latents.Active;
import io.faithfulsae.Sae;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/** Encodes rows in a long-running service: fixed memory, many threads, a bounded queue. */
public final class EncodingService implements AutoCloseable {
  private record Worker(ActivationBatch x, Latents z) {}

  private final Sae sae;
  private final ArrayBlockingQueue<Worker> idle;
  private final ThreadPoolExecutor pool;

  EncodingService(Sae sae, int workers, int queued) {
    this.sae = sae; // shared by all workers; the caller closes it
    this.idle = new ArrayBlockingQueue<>(workers);
    for (int i = 0; i < workers; i++) { // all memory, unless ragged latents need to grow
      var x = ActivationBatch.allocate(sae.backend(), 1, sae.config().dIn());
      idle.add(new Worker(x, Latents.allocate(sae, 1)));
    }
    var queue = new ArrayBlockingQueue<Runnable>(queued);
    this.pool = new ThreadPoolExecutor(workers, workers, 0, TimeUnit.SECONDS, queue);
  }

  /** Latents of a row, strongest first. Throws RejectedExecutionException when overloaded. */
  Future<int[]> encode(float[] row) {
    return pool.submit(
        () -> {
          Worker worker = idle.take(); // never blocks: there is one per thread
          try {
            sae.encode(worker.x().clear().add(row), worker.z());
            return worker.z().row(0).stream().mapToInt(Active::latent).toArray();
          } finally {
            idle.add(worker);
          }
        });
  }

  /** Finishes all accepted requests, then frees the buffers. */
  @Override
  public void close() {
    pool.shutdown();
    try {
      pool.awaitTermination(1, TimeUnit.MINUTES);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    idle.forEach(worker -> worker.x().close());
    idle.forEach(worker -> worker.z().close());
  }

  /** Sends 1,000 rows to the SAE of {@link TrainOnModel}, as fast as they are accepted. */
  public static void main(String[] args) throws Exception {
    try (var backend = Backends.best();
        Sae sae = Sae.load(Path.of(args[0]).resolve("sae"), backend);
        EncodingService service = new EncodingService(sae, 2, 4)) {
      var results = new ArrayList<Future<int[]>>();
      while (results.size() < 1000) {
        try {
          results.add(service.encode(sae.decoderDirection(results.size() % sae.config().dSae())));
        } catch (RejectedExecutionException full) {
          Thread.sleep(1); // a server would answer "503 Service Unavailable"
        }
      }
    }
  }
}
