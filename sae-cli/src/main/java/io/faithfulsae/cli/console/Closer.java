package io.faithfulsae.cli.console;

import java.util.ArrayDeque;
import java.util.Deque;

/** Resources that are closed together, in reverse order of opening. */
public final class Closer implements AutoCloseable {
  private final Deque<AutoCloseable> open = new ArrayDeque<>();

  /** Takes ownership of a resource. */
  public <T extends AutoCloseable> T add(T resource) {
    open.push(resource);
    return resource;
  }

  /** Transfers all resources to a new owner; closing this one then does nothing. */
  public Closer keep() {
    Closer owner = new Closer();
    owner.open.addAll(open);
    open.clear();
    return owner;
  }

  /**
   * Closes every resource, even if closing one of them fails.
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
