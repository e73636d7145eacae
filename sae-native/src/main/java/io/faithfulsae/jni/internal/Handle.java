package io.faithfulsae.jni.internal;

import io.faithfulsae.io.Expected;
import java.lang.System.Logger.Level;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.IntSupplier;
import java.util.function.LongToIntFunction;
import org.jspecify.annotations.Nullable;

/**
 * The life of one native object. Handles form a tree: closing one closes what was made from it,
 * newest first. One lock for the tree lets one native call run at a time: closing waits for the
 * running call, and a closed handle cannot be called. A call on handles of several trees takes the
 * locks of all, in the order in which the trees were created.
 *
 * <p>A cleaner is the safety net for owners who forget to close: it frees, and logs one warning for
 * each place where such objects were made. It never pulls memory from under what is still
 * reachable, so a root whose owner is gone waits for its last child.
 */
final class Handle {
  private static final System.Logger LOG = System.getLogger(Handle.class.getName());
  private static final boolean TRACK = Boolean.getBoolean("sae.trackClose");

  /** Places where something was made and forgotten: no more than the program has such lines. */
  private static final Set<String> FORGOTTEN_FROM = ConcurrentHashMap.newKeySet();

  /** The lock of a tree; two threads that take several take them in the same order. */
  private static final class TreeLock extends ReentrantLock {
    private static final long serialVersionUID = 1;
    private static final AtomicLong MADE = new AtomicLong();
    private final long order = MADE.incrementAndGet();
  }

  private final String what;
  private final long value;
  private final long bytes;
  private final LongToIntFunction closer;
  private final TreeLock lock;
  private final @Nullable Handle parent;
  private final Set<Handle> children = new LinkedHashSet<>();
  private final MadeAt madeAt;
  private final @Nullable Throwable opened;
  private @Nullable Throwable closedAt;
  private volatile @Nullable Handle closedWith; // the one that was closed; null: open
  private boolean abandoned;

  /**
   * @param what names it in messages, such as {@code "buffer of 64 bytes"}
   * @param value the native handle
   * @param bytes that it holds
   * @param closer frees it and returns the status
   * @param parent what it was made from; null: a root
   * @param madeAt where, for the warning if it is forgotten
   */
  Handle(
      String what,
      long value,
      long bytes,
      LongToIntFunction closer,
      @Nullable Handle parent,
      MadeAt madeAt) {
    this.what = what;
    this.value = value;
    this.bytes = bytes;
    this.closer = closer;
    this.madeAt = madeAt;
    this.parent = parent;
    this.lock = parent == null ? new TreeLock() : parent.lock;
    this.opened = TRACK ? new Throwable(what + " was made here") : null;
    if (parent != null) {
      parent.children.add(this);
    }
    HeldMemory.add(bytes);
  }

  /** Frees this when {@code owner} becomes unreachable. */
  void freeAfter(Object owner) {
    freeAfter(owner, () -> {});
  }

  /**
   * The same, then runs {@code then}, whether this was closed or forgotten. Whoever uses its memory
   * must keep {@code owner} reachable.
   *
   * @param owner not this, and not reachable from it or from {@code then}
   */
  void freeAfter(Object owner, Runnable then) {
    HeldMemory.CLEANER.register(
        owner,
        () -> {
          ownerIsGone();
          then.run();
        });
  }

  /** The native handle; within {@link #call} only. */
  long value() {
    return value;
  }

  /**
   * Runs a native call while holding the locks of the handles' trees, with all these handles open
   * and kept from closing.
   */
  static int call(IntSupplier nativeCall, Handle first, Handle... others) {
    for (Handle other : others) {
      if (other.lock != first.lock) {
        return callAcross(nativeCall, first, others);
      }
    }
    first.lock.lock();
    try {
      return callLocked(nativeCall, first, others);
    } finally {
      first.lock.unlock();
    }
  }

  private static int callAcross(IntSupplier nativeCall, Handle first, Handle... others) {
    TreeSet<TreeLock> locks = new TreeSet<>(Comparator.comparingLong((TreeLock l) -> l.order));
    locks.add(first.lock);
    for (Handle other : others) {
      locks.add(other.lock);
    }
    locks.forEach(TreeLock::lock);
    try {
      return callLocked(nativeCall, first, others);
    } finally {
      locks.forEach(TreeLock::unlock);
    }
  }

  private static int callLocked(IntSupplier nativeCall, Handle first, Handle... others) {
    first.requireOpen();
    for (Handle other : others) {
      other.requireOpen();
    }
    return nativeCall.getAsInt();
  }

  void requireOpen() {
    if (closedWith != null) {
      throw closedException();
    }
  }

  /** What use after close throws. */
  IllegalStateException closedException() {
    Handle with = closedWith;
    return new IllegalStateException(
        Expected.message(
            "the " + what + " to be open",
            "it closed" + (with == null || with == this ? "" : " with the " + with.what),
            "close it when nothing needs it"),
        closedAt);
  }

  /**
   * Closes this and its children, after any running call; further calls do nothing.
   *
   * @throws IllegalStateException from within such a call
   */
  void close() {
    if (lock.isHeldByCurrentThread()) {
      throw new IllegalStateException(
          Expected.message(
              "the " + what + " to be closed after a call on it",
              "close within",
              "wait for the call to return"),
          opened);
    }
    lock.lock();
    try {
      free(this);
    } finally {
      lock.unlock();
    }
  }

  private void free(Handle with) {
    if (closedWith != null) {
      return;
    }
    List<Handle> newestLast = new ArrayList<>(children);
    for (int i = newestLast.size() - 1; i >= 0; i--) {
      LOG.log(Level.DEBUG, "closing {0} with the {1}", newestLast.get(i).what, what);
      newestLast.get(i).free(with);
    }
    closedWith = with;
    closedAt = TRACK ? new Throwable(what + " was closed here", opened) : null;
    int status = closer.applyAsInt(value);
    HeldMemory.remove(bytes);
    if (status != SaeAbi.SAE_OK) {
      LOG.log(Level.WARNING, "closing {0}: {1}", what, NativeLibrary.lastError());
    }
    if (parent != null) {
      parent.children.remove(this);
      if (parent.abandoned && parent.children.isEmpty()) {
        parent.free(parent);
      }
    }
  }

  private void ownerIsGone() {
    lock.lock();
    try {
      if (closedWith != null) {
        return;
      }
      warn();
      abandoned = true;
      if (children.isEmpty()) {
        free(this);
      }
    } finally {
      lock.unlock();
    }
  }

  private void warn() {
    boolean first = FORGOTTEN_FROM.add(madeAt.toString());
    LOG.log(
        first ? Level.WARNING : Level.DEBUG,
        what
            + " was never closed and is freed only now, after a garbage collection; it was made at "
            + madeAt
            + ". Close it there, for example in a try statement with resources. Others made there"
            + " are freed without a warning",
        opened);
  }
}
