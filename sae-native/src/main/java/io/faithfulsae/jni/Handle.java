package io.faithfulsae.jni;

import java.lang.System.Logger.Level;
import java.lang.ref.Cleaner;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.IntSupplier;
import java.util.function.LongToIntFunction;
import org.jspecify.annotations.Nullable;

/**
 * The life of one native object. Handles form a tree: closing one closes what was made from it,
 * newest first. One lock for the tree lets one native call run at a time; a handle that is in such
 * a call cannot be closed, one that is closed cannot be called. A call on handles of several trees
 * takes the locks of all, in the order in which the trees were made.
 *
 * <p>A {@link Cleaner} is the net for owners who forget: it frees, and logs a warning. It never
 * pulls memory from under what is still reachable, so a root whose owner is gone waits for its last
 * child.
 */
final class Handle {
  private static final System.Logger LOG = System.getLogger(Handle.class.getName());
  private static final Cleaner CLEANER = Cleaner.create();
  private static final boolean TRACK = Boolean.getBoolean("sae.trackClose");

  /** The lock of a tree; two threads that take several take them in the same order. */
  private static final class TreeLock extends ReentrantLock {
    private static final long serialVersionUID = 1;
    private static final AtomicLong MADE = new AtomicLong();
    private final long order = MADE.incrementAndGet();
  }

  private final String what;
  private final long value;
  private final LongToIntFunction closer;
  private final TreeLock lock;
  private final @Nullable Handle parent;
  private final Set<Handle> children = new LinkedHashSet<>();
  private final @Nullable Throwable opened;
  private @Nullable Throwable closedAt;
  private volatile boolean inUse;
  private volatile boolean closed;
  private boolean abandoned;

  /**
   * @param what names it in messages, such as {@code "buffer of 64 bytes"}
   * @param value the native handle
   * @param closer frees it and gives the status
   * @param parent what it was made from; null: a root
   */
  Handle(String what, long value, LongToIntFunction closer, @Nullable Handle parent) {
    this.what = what;
    this.value = value;
    this.closer = closer;
    this.parent = parent;
    this.lock = parent == null ? new TreeLock() : parent.lock;
    this.opened = TRACK ? new Throwable(what + " was made here") : null;
    if (parent != null) {
      parent.children.add(this);
    }
  }

  /**
   * Frees this when {@code owner} becomes unreachable. Whoever holds memory of it must keep {@code
   * owner} reachable.
   *
   * @param owner not this, and not reachable from it
   */
  void freeAfter(Object owner) {
    CLEANER.register(owner, this::ownerIsGone);
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
    try {
      first.begin();
      for (Handle other : others) {
        other.begin();
      }
      return nativeCall.getAsInt();
    } finally {
      first.end();
      for (Handle other : others) {
        other.end();
      }
    }
  }

  private void begin() {
    requireOpen();
    for (Handle h = this; h != null; h = h.parent) {
      h.inUse = true;
    }
  }

  private void end() {
    for (Handle h = this; h != null; h = h.parent) {
      h.inUse = false;
    }
  }

  void requireOpen() {
    if (closed) {
      throw new IllegalStateException(
          what + " was used after close; mend: close it when nothing needs it", closedAt);
    }
  }

  /** Closes this and its children; further calls do nothing. */
  void close() {
    if (inUse) {
      throw new IllegalStateException(
          what + " was closed while in use; mend: wait for the thread that works with it", opened);
    }
    lock.lock();
    try {
      free();
    } finally {
      lock.unlock();
    }
  }

  private void free() {
    if (closed) {
      return;
    }
    List<Handle> newestLast = new ArrayList<>(children);
    for (int i = newestLast.size() - 1; i >= 0; i--) {
      LOG.log(Level.DEBUG, "closing {0} with the {1}", newestLast.get(i).what, what);
      newestLast.get(i).free();
    }
    closed = true;
    closedAt = TRACK ? new Throwable(what + " was closed here", opened) : null;
    int status = closer.applyAsInt(value);
    if (status != SaeAbi.SAE_OK) {
      LOG.log(Level.WARNING, "closing {0}: {1}", what, NativeLibrary.lastError());
    }
    if (parent != null) {
      parent.children.remove(this);
      if (parent.abandoned && parent.children.isEmpty()) {
        parent.free();
      }
    }
  }

  private void ownerIsGone() {
    lock.lock();
    try {
      if (closed) {
        return;
      }
      LOG.log(
          Level.WARNING,
          what + " was never closed; mend: close it (-Dsae.trackClose=true says where it was made)",
          opened);
      abandoned = true;
      if (children.isEmpty()) {
        free();
      }
    } finally {
      lock.unlock();
    }
  }
}
