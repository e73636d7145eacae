package io.faithfulsae.study.work;

import io.faithfulsae.training.TrainingProgress;
import java.io.IOException;
import java.nio.file.Path;
import java.util.function.Consumer;

/**
 * A file to which each step of a training run is written as it is done; pass it to {@code
 * SaeTrainer.withListener}. <b>Closed by</b> whoever opened it, after the run.
 *
 * <p>A log never stops a training: after an error nothing more is written, and {@link #close}
 * throws it. When a run is resumed, a step that is done again replaces what was logged of it.
 */
public interface TrainingLog extends Consumer<TrainingProgress>, AutoCloseable {

  /**
   * A file of JSON lines, one {@link TrainingProgress} each: {@code
   * {"step":1,"tokens":4096,"loss":...}}. Lines of an existing file stay, up to the first step that
   * is logged.
   */
  static TrainingLog jsonLines(Path file) throws IOException {
    return JsonLinesLog.open(file);
  }

  /**
   * TensorBoard's event files: scalars {@code train/loss}, {@code train/fvu}, {@code train/l0},
   * {@code train/dead} and {@code train/tokens_per_second}, in a new file of a folder.
   */
  static TrainingLog tensorBoard(Path dir) throws IOException {
    return TensorBoardLog.create(dir);
  }

  /** {@inheritDoc} Throws nothing: see {@link #close}. */
  @Override
  void accept(TrainingProgress progress);

  /**
   * Writes what is left.
   *
   * @throws IOException if a step could not be written; the message names the file
   */
  @Override
  void close() throws IOException;
}
