package io.faithfulsae.jni.internal;

import java.util.concurrent.atomic.AtomicLong;

/**
 * Decides when the memory of one buffer is freed: as the buffer is closed, unless somebody may
 * still look at it. Then the buffer lets go of it, and it is freed as the last loan ends, or, where
 * views were handed out for good, when the collector finds that none is left.
 */
final class BufferMemory {
  /** As much may wait for the collector before it is asked to come. */
  private static final long LIMIT =
      Math.max(64L << 20, Runtime.getRuntime().maxMemory() / 16); // a collection costs by the heap

  /** Bytes that are closed and wait for the collector. */
  private static final AtomicLong WAITING = new AtomicLong();

  /** Of these, what the last collection found in use. */
  private static final AtomicLong SURVIVED = new AtomicLong();

  private final long bytes;
  private int loans;
  private boolean shown;
  private boolean closed;
  private long detached; // the native handle of memory whose buffer is closed; 0: none

  /**
   * @param bytes that are freed with it; 0 where they are the caller's
   */
  BufferMemory(long bytes) {
    this.bytes = bytes;
  }

  /** Notes that a view goes to code that may keep it; false: it is closed. */
  synchronized boolean show() {
    shown |= !closed;
    return !closed;
  }

  /** Begins a loan, which {@link #giveBack} ends; false: it is closed. */
  synchronized boolean lend() {
    loans += closed ? 0 : 1;
    return !closed;
  }

  /** Ends a loan. */
  synchronized void giveBack() {
    loans--;
    if (loans == 0 && !shown) {
      free();
    }
  }

  /** Closes the native buffer and gives the status; its memory stays while it is looked at. */
  synchronized int close(long buffer) {
    closed = true;
    if (!shown && loans == 0) {
      return SaeAbi.sae_buffer_close(buffer);
    }
    long[] memory = new long[1];
    int status = SaeAbi.sae_buffer_detach(buffer, memory);
    detached = memory[0];
    if (status == SaeAbi.SAE_OK && shown) {
      WAITING.addAndGet(bytes);
    }
    return status;
  }

  /** No view and no loan is left anywhere. */
  synchronized void unreachable() {
    free();
  }

  private void free() {
    if (detached != 0) {
      SaeAbi.sae_memory_close(detached);
      detached = 0;
      if (shown) {
        long waiting = WAITING.addAndGet(-bytes);
        SURVIVED.accumulateAndGet(waiting, Math::min);
      }
    }
  }

  /**
   * Asks the collector to look after views when much waits for it, as the JDK does for direct
   * buffers of its own: native memory is nothing that it sees growing.
   */
  static void relieve() {
    long waiting = WAITING.get();
    long survived = SURVIVED.get();
    if (waiting - survived > LIMIT && SURVIVED.compareAndSet(survived, waiting)) {
      System.gc();
    }
  }

  /** Frees what can be freed before an allocation is tried again; false: nothing waits. */
  static boolean relieveNow() {
    if (WAITING.get() == 0) {
      return false;
    }
    System.gc();
    for (int i = 0; i < 50 && WAITING.get() > 0; i++) { // the cleaner's thread needs a moment
      try {
        Thread.sleep(10);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        return true;
      }
    }
    return true;
  }

  /** Bytes that are closed and wait for the collector, of all backends. */
  static long waiting() {
    return WAITING.get();
  }
}
