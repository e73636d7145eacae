package io.faithfulsae.jni.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Backends;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendTrainer;
import io.faithfulsae.spi.StepConfig;
import java.util.Locale;
import java.util.Random;

/**
 * The cost of a call into the native backend through Java and JNI, compared with a training step at
 * the study's smallest shape; one JSON line on stdout. Run by gpu-check.sh.
 */
final class CallOverhead {
  private static final int D_IN = 768;
  private static final int D_SAE = 12288;
  private static final int K = 16;
  private static final int ROWS = 4096;
  private static final int CALLS = 200_000;
  private static final int STEPS = 50;

  private CallOverhead() {}

  /** Takes no arguments. */
  public static void main(String[] arguments) {
    try (Backend backend = Backends.best();
        BackendSae sae = backend.createSae(D_IN, D_SAE, true);
        BackendTrainer trainer = sae.trainer(K, StepConfig.builder().build());
        ActivationBatch x = ActivationBatch.allocate(backend, ROWS, D_IN)) {
      Random random = new Random(1);
      for (int i = 0; i < ROWS * D_IN; i++) {
        x.data().put(i, (float) random.nextGaussian());
      }
      x.rows(ROWS);
      long calls = 0;
      for (int round = 0; round < 2; round++) { // the first one warms up
        long begin = System.nanoTime();
        for (int i = 0; i < CALLS; i++) {
          x.buffer().upload(0);
        }
        calls = System.nanoTime() - begin;
      }
      x.buffer().upload((long) ROWS * D_IN * Float.BYTES);
      long steps = 0;
      for (int round = 0; round < 2; round++) {
        long begin = System.nanoTime();
        for (int i = 0; i < STEPS; i++) {
          trainer.step(x.buffer(), ROWS, 1e-6);
        }
        trainer.stats();
        steps = System.nanoTime() - begin;
      }
      double call = (double) calls / CALLS / 1e3;
      double step = (double) steps / STEPS / 1e3;
      System.out.printf(
          Locale.ROOT,
          "{\"row\":\"java_call\",\"backend\":\"%s\",\"call_us\":%.4f,\"step_us\":%.2f,\"percent_of_step\":%.4f}%n",
          backend.info().name(),
          call,
          step,
          100 * call / step);
    }
  }
}
