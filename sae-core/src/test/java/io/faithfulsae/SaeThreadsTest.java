package io.faithfulsae;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import io.faithfulsae.SaeConfig.Normalization;
import io.faithfulsae.conformance.ReferenceBackend;
import io.faithfulsae.io.DirectBuffers;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.spi.BackendSae;
import io.faithfulsae.spi.BackendSae.Tensor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** Calls on one SAE from several threads. */
final class SaeThreadsTest {
  private static final SaeConfig CONFIG = SaeConfig.topK(2, 2, 1);

  private final ReferenceBackend backend = new ReferenceBackend();

  @AfterEach
  void closeBackend() {
    backend.close();
  }

  @Test
  void noLockButTheBackendsIsTaken() throws Exception {
    try (Sae sae = identity(CONFIG, backend);
        ActivationBatch x = batch(3, 4);
        ActivationBatch decoded = batch(0, 0);
        Latents z = Latents.allocate(backend, 1, 1)) {
      synchronized (sae) {
        CompletableFuture.runAsync(
                () -> {
                  sae.encode(x, z);
                  sae.decode(z, decoded);
                })
            .get(1, TimeUnit.MINUTES); // a deadlock must not hang the build
      }
      assertArrayEquals(new float[] {0, 4}, values(decoded));
    }
  }

  /** The origin and its views normalize into the same memory. */
  @Test
  void aViewDoesNotOverwriteWhatItsOriginEncodes() throws Exception {
    CountDownLatch inFirst = new CountDownLatch(1);
    Thread[] second = new Thread[1];
    Backend pausing = pausingInTheFirstEncode(inFirst, second);
    SaeConfig rescaling = CONFIG.withNormalization(Normalization.CONSTANT_NORM_RESCALE);
    try (Sae sae = identity(rescaling, pausing);
        Sae view = sae.withK(1);
        ActivationBatch x = batch(3, 4);
        ActivationBatch y = batch(8, 6);
        Latents ofX = Latents.allocate(backend, 1, 1);
        Latents ofY = Latents.allocate(backend, 1, 1)) {
      second[0] =
          new Thread(
              () -> {
                await(inFirst);
                view.encode(y, ofY);
              });
      second[0].start();
      sae.encode(x, ofX);
      second[0].join();
      assertArrayEquals(new int[] {1, 0}, new int[] {ofX.indices().get(0), ofY.indices().get(0)});
    }
  }

  /**
   * A backend whose first encode waits until the second thread is blocked, or at its own encode.
   */
  private Backend pausingInTheFirstEncode(CountDownLatch inFirst, Thread[] second) {
    CountDownLatch inSecond = new CountDownLatch(1);
    return proxy(
        Backend.class,
        backend,
        (method, result) ->
            result instanceof BackendSae sae
                ? proxy(
                    BackendSae.class,
                    sae,
                    (name, value) -> value,
                    name -> {
                      if (name.equals("encode") && Thread.currentThread() == second[0]) {
                        inSecond.countDown();
                      } else if (name.equals("encode")) {
                        inFirst.countDown();
                        while (inSecond.getCount() > 0
                            && second[0].getState() != Thread.State.BLOCKED) {
                          Thread.onSpinWait();
                        }
                      }
                    })
                : result,
        name -> {});
  }

  private interface After {
    Object change(String method, Object result);
  }

  private interface Before {
    void call(String method);
  }

  private static <T> T proxy(Class<T> type, T target, After after, Before before) {
    return type.cast(
        Proxy.newProxyInstance(
            type.getClassLoader(),
            new Class<?>[] {type},
            (self, method, arguments) -> {
              before.call(method.getName());
              try {
                return after.change(method.getName(), method.invoke(target, arguments));
              } catch (InvocationTargetException e) {
                throw e.getCause();
              }
            }));
  }

  private static void await(CountDownLatch latch) {
    try {
      latch.await();
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  private static Sae identity(SaeConfig config, Backend on) {
    Sae sae = Sae.create(config, on);
    sae.parameters()
        .write(Tensor.W_ENC, 0, DirectBuffers.floats(4).put(0, new float[] {1, 0, 0, 1}));
    sae.parameters()
        .write(Tensor.W_DEC, 0, DirectBuffers.floats(4).put(0, new float[] {1, 0, 0, 1}));
    return sae;
  }

  private ActivationBatch batch(float... row) {
    ActivationBatch batch = ActivationBatch.allocate(backend, 1, row.length);
    batch.data().put(row);
    batch.rows(1);
    return batch;
  }

  private static float[] values(ActivationBatch batch) {
    float[] row = new float[batch.dIn()];
    batch.data().get(row);
    return row;
  }
}
