package io.faithfulsae.cli.console;

import java.util.ArrayDeque;
import java.util.Deque;

/** Resources that are closed together, the last opened first. */
public final class Closing implements AutoCloseable {
  private final Deque<AutoCloseable> open = new ArrayDeque<>();

  /** Takes a resource over. */
  public <T extends AutoCloseable> T add(T resource) {
    open.push(resource);
    return resource;
  }

  /** Hands all of it to another owner; closing this one then does nothing. */
  public Closing keep() {
    Closing owner = new Closing();
    owner.open.addAll(open);
    open.clear();
    return owner;
  }

  /**
   * Closes every resource, also after one has failed to close.
   *
   * @throws IllegalStateException the first failure, with the others suppressed
   */
  @Override
  public void close() {
    IllegalStateException failure = null;
    while (!open.isEmpty()) {
      try {
        open.pop().close();
      } catch (Exception e) {
        if (failure == null) {
          failure = new IllegalStateException("cannot close: " + e.getMessage(), e);
        } else {
          failure.addSuppressed(e);
        }
      }
    }
    if (failure != null) {
      throw failure;
    }
  }
}
