package io.faithfulsae.cli.console;

import io.faithfulsae.ActivationSource;
import io.faithfulsae.ShardIndex;
import io.faithfulsae.ShardWriter;
import io.faithfulsae.study.work.StoppedException;
import io.faithfulsae.study.work.WorkListener;
import io.faithfulsae.study.work.WorkProgress;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicBoolean;

/** Writes shards with progress, and keeps all rows if the user stops it. */
public final class ShardSession {
  /** A killed process loses at most the rows of this time span. */
  private static final long FLUSH_NANOS = 60_000_000_000L;

  private ShardSession() {}

  /**
   * Writes to the end, resuming from the folder's index.
   *
   * @param name of the work, for the progress line
   * @param listener shows the progress, and may stop the work
   * @throws StoppedException if the user stopped it
   */
  public static ShardIndex run(
      String name,
      Path dir,
      ActivationSource source,
      ShardWriter.Options options,
      WorkListener listener)
      throws IOException {
    AtomicBoolean stopped = new AtomicBoolean();
    WorkListener.Registration onStop = listener.onStop(() -> stopped.set(true));
    try (ShardWriter writer = ShardWriter.open(dir, source, options);
        WorkProgress progress =
            listener.begin(name, "rows", writer.rows(), writer.rowsAtMost().orElse(-1))) {
      long saved = System.nanoTime();
      long onDisk = writer.index().rows();
      while (writer.advance()) {
        progress.at(writer.rows(), writer.index().shards().size() + " shards");
        if (stopped.get()) {
          writer.flush();
          throw new StoppedException(
              "stopped after %d rows in %d shards; the same command resumes there"
                  .formatted(writer.index().rows(), writer.index().shards().size()));
        }
        if (System.nanoTime() - saved > FLUSH_NANOS) {
          writer.flush();
        }
        if (writer.index().rows() > onDisk) {
          onDisk = writer.index().rows();
          saved = System.nanoTime();
        }
      }
      progress.at(writer.rows());
      return writer.index();
    } finally {
      onStop.close();
    }
  }
}
