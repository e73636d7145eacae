package io.faithfulsae.jni.internal;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** The life cycle of handles, without native code: what is freed, when, and in which order. */
class HandleTest {
  private final List<Long> freed = Collections.synchronizedList(new ArrayList<>());

  private Handle handle(long value, Handle parent) {
    return new Handle(
        "object " + value,
        value,
        0,
        v -> {
          freed.add(v);
          return SaeAbi.SAE_OK;
        },
        parent,
        MadeAt.here());
  }

  @Test
  void closingClosesChildrenNewestFirstAndOnce() {
    Handle root = handle(1, null);
    Handle first = handle(2, root);
    Handle second = handle(3, root);
    Handle grandchild = handle(4, first);
    root.close();
    assertEquals(List.of(3L, 4L, 2L, 1L), freed);
    for (Handle handle : List.of(root, first, second, grandchild)) {
      handle.close();
      IllegalStateException e =
          assertThrows(IllegalStateException.class, () -> Handle.call(() -> 0, handle));
      assertTrue(e.getMessage().contains("to be open, got it closed"), e.getMessage());
    }
    assertEquals(4, freed.size());
  }

  @Test
  void aClosedArgumentStopsTheCall() {
    Handle root = handle(1, null);
    Handle argument = handle(2, root);
    argument.close();
    assertThrows(
        IllegalStateException.class,
        () ->
            Handle.call(
                () -> {
                  throw new AssertionError("the native call was made");
                },
                root,
                argument));
    root.close();
  }

  @Test
  void closingWaitsForTheCallThatRuns() throws InterruptedException {
    for (boolean whole : new boolean[] {true, false}) {
      freed.clear();
      Handle root = handle(1, null);
      Handle used = handle(2, root);
      Handle idle = handle(3, root);
      CountDownLatch inside = new CountDownLatch(1);
      CountDownLatch leave = new CountDownLatch(1);
      Thread worker = new Thread(() -> Handle.call(() -> waitInside(inside, leave), used));
      worker.start();
      await(inside);
      Thread closer = new Thread(whole ? root::close : idle::close);
      closer.start();
      while (closer.getState() != Thread.State.WAITING) {
        Thread.onSpinWait();
      }
      assertEquals(List.of(), freed);
      leave.countDown();
      worker.join();
      closer.join();
      assertEquals(whole ? List.of(3L, 2L, 1L) : List.of(3L), freed);
      root.close();
      assertEquals(List.of(3L, 2L, 1L), freed);
    }
  }

  private static int waitInside(CountDownLatch inside, CountDownLatch leave) {
    inside.countDown();
    await(leave);
    return 0;
  }

  @Test
  void closingWithinACallIsRejected() {
    Handle root = handle(1, null);
    IllegalStateException e =
        assertThrows(
            IllegalStateException.class,
            () ->
                Handle.call(
                    () -> {
                      root.close();
                      return 0;
                    },
                    root));
    assertTrue(e.getMessage().contains("got close within"), e.getMessage());
    root.close();
    assertEquals(List.of(1L), freed);
  }

  private static void await(CountDownLatch latch) {
    try {
      assertTrue(latch.await(1, TimeUnit.MINUTES), "the other thread came");
    } catch (InterruptedException e) {
      throw new AssertionError(e);
    }
  }

  @Test
  void whatItsOwnerForgotIsFreed() throws InterruptedException {
    Handle root = handle(1, null);
    handle(2, root).freeAfter(new Object());
    awaitFreed(List.of(2L));
    root.close();
    assertEquals(List.of(2L, 1L), freed);
  }

  @Test
  void aForgottenRootWaitsForItsLastChild() throws InterruptedException {
    Handle root = handle(1, null);
    Handle child = handle(2, root);
    root.freeAfter(new Object());
    // The second abandoned tree shows that the collector has run: the first still has a child.
    handle(10, null).freeAfter(new Object());
    awaitFreed(List.of(10L));
    child.close();
    awaitFreed(List.of(10L, 2L, 1L));
  }

  /** Waits for the collector and the cleaner's thread, which have no schedule. */
  private void awaitFreed(List<Long> expected) throws InterruptedException {
    for (int i = 0; i < 600 && !freed.equals(expected); i++) {
      System.gc();
      Thread.sleep(10);
    }
    assertEquals(expected, freed);
  }
}
