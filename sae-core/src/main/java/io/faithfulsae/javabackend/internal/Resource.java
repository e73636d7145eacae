package io.faithfulsae.javabackend.internal;

import io.faithfulsae.io.Expected;

/** An object created from a backend: counted while open, and closed with it. */
abstract class Resource implements AutoCloseable {
  final JavaBackend backend;
  private boolean closed;

  /** Adds itself to a backend that is open; with its lock held. */
  Resource(JavaBackend backend) {
    this.backend = backend;
    backend.add(this);
  }

  /** Its memory. */
  abstract long ownBytes();

  final void requireOpen() {
    if (closed) {
      throw new IllegalStateException(
          Expected.message(
              "one that is open", "a closed " + getClass().getSimpleName(), "close it later"));
    }
  }

  @Override
  public final void close() {
    synchronized (backend) {
      if (!closed) {
        closed = true;
        backend.remove(this);
      }
    }
  }
}
