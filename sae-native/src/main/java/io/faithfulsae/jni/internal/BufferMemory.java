package io.faithfulsae.jni.internal;

import java.util.concurrent.atomic.AtomicLong;

/**
 * Decides when the memory of one buffer is freed: when the buffer is closed, unless someone may
 * still be using it. In that case the buffer detaches it, and it is freed when the last loan ends
 * or, if views were handed out without a loan, when the garbage collector finds that none is left.
 */
final class BufferMemory {
  /** Bytes that are closed and waiting for garbage collection. */
  private static final AtomicLong WAITING = new AtomicLong();

  /** How many of these the last collection found still in use. */
  private static final AtomicLong SURVIVED = new AtomicLong();

  private final long bytes;
  private int loans;
  private boolean shared;
  private boolean closed;
  private long detached; // native handle of detached memory, whose buffer is closed; 0: none

  /**
   * @param bytes that are freed with it; 0 if the caller owns the memory
   */
  BufferMemory(long bytes) {
    this.bytes = bytes;
  }

  /** Records that a view goes to code that may keep it; false: the buffer is closed. */
  synchronized boolean markShared() {
    shared |= !closed;
    return !closed;
  }

  /** Starts a loan, which {@link #endLoan} ends; false: the buffer is closed. */
  synchronized boolean startLoan() {
    loans += closed ? 0 : 1;
    return !closed;
  }

  /** Ends a loan. */
  synchronized void endLoan() {
    loans--;
    if (loans == 0 && !shared) {
      free();
    }
  }

  /** Closes the native buffer and returns the status; its memory stays while it is in use. */
  synchronized int close(long buffer) {
    closed = true;
    if (!shared && loans == 0) {
      return SaeAbi.sae_buffer_close(buffer);
    }
    long[] memory = new long[1];
    int status = SaeAbi.sae_buffer_detach(buffer, memory);
    detached = memory[0];
    if (status == SaeAbi.SAE_OK && shared) {
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
      if (shared) {
        long waiting = WAITING.addAndGet(-bytes);
        SURVIVED.accumulateAndGet(waiting, Math::min);
      }
    }
  }

  /**
   * Requests a garbage collection when too much memory waits for one, as the JDK does for its own
   * direct buffers: the collector does not see native memory grow.
   */
  static void collectIfNeeded() {
    long waiting = WAITING.get();
    long survived = SURVIVED.get();
    if (waiting - survived > HeldMemory.LIMIT && SURVIVED.compareAndSet(survived, waiting)) {
      System.gc();
    }
  }

  /** Bytes that are closed and waiting for garbage collection, across all backends. */
  static long waiting() {
    return WAITING.get();
  }
}
