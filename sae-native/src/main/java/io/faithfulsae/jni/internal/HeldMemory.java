package io.faithfulsae.jni.internal;

import java.lang.ref.Cleaner;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;

/**
 * The memory that all open handles hold. The collector does not see it grow: a program that forgets
 * to close would exhaust the machine long before its heap fills and the collector finds what nobody
 * can reach any more. So an allocation after which much more is held than the last collection left
 * asks for another, and waits for the cleaner, which else may be slower than the program.
 */
final class HeldMemory {
  /** Frees what was forgotten. */
  static final Cleaner CLEANER = Cleaner.create();

  /** How many bytes may be added before a collection is requested; its cost grows with the heap. */
  static final long LIMIT = Math.max(64L << 20, Runtime.getRuntime().maxMemory() / 16);

  /** What a handle takes besides its memory, in tables and on the heap. */
  private static final long PER_HANDLE = 1024;

  private static final AtomicLong HELD = new AtomicLong();

  /** What the last collection left: in use, as far as anyone can tell. */
  private static final AtomicLong IN_USE = new AtomicLong();

  private HeldMemory() {}

  /** Counts a new handle and the bytes it holds. */
  static void add(long bytes) {
    HELD.addAndGet(bytes + PER_HANDLE);
  }

  /** Counts a handle that was closed. */
  static void remove(long bytes) {
    HELD.addAndGet(-bytes - PER_HANDLE);
  }

  /**
   * Frees forgotten memory if there may be much of it. What is held grows by half, or by {@link
   * #LIMIT}, from one collection to the next, so a program that closes everything sees few.
   *
   * <p>To be called without the lock of a tree, which the cleaner needs.
   */
  static void reclaimForgotten() {
    long held = HELD.get();
    long inUse = IN_USE.get();
    if (held - inUse > Math.max(LIMIT, inUse / 2) && IN_USE.compareAndSet(inUse, held)) {
      collect();
      IN_USE.set(HELD.get());
    }
  }

  /** Collects garbage and waits until the cleaner has freed what was found; without locks. */
  static void collect() {
    CountDownLatch cleaning = new CountDownLatch(1);
    CLEANER.register(new Object(), cleaning::countDown); // forgotten like the rest
    System.gc();
    try {
      cleaning.await(1, TimeUnit.SECONDS); // longer if collections are disabled, or a call runs
      long before;
      long now = HELD.get() + BufferMemory.waiting();
      do { // the cleaner has no order, and what follows its first action nobody knows
        before = now;
        Thread.sleep(1);
        now = HELD.get() + BufferMemory.waiting();
      } while (now < before);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }
}
