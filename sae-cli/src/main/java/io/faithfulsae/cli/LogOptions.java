package io.faithfulsae.cli;

import io.faithfulsae.study.work.TrainingLog;
import io.faithfulsae.training.SaeTrainer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Where the steps of a training run are logged. */
final class LogOptions {
  @Option(
      names = "--log",
      paramLabel = "FILE.jsonl",
      description = "Log of the run: a line of JSON for each step.")
  @Nullable Path file;

  @Option(
      names = "--tensorboard",
      paramLabel = "DIR",
      description = "Folder for an event file of TensorBoard.")
  @Nullable Path tensorBoard;

  /** The logs asked for; none is open unless all are. */
  Logs open() throws IOException {
    Logs logs = new Logs();
    try {
      if (file != null) {
        logs.open.add(TrainingLog.jsonLines(file));
      }
      if (tensorBoard != null) {
        logs.open.add(TrainingLog.tensorBoard(tensorBoard));
      }
      return logs;
    } catch (IOException e) {
      logs.close();
      throw e;
    }
  }

  /** Open logs. */
  static final class Logs implements AutoCloseable {
    private final List<TrainingLog> open = new ArrayList<>();

    SaeTrainer of(SaeTrainer trainer) {
      SaeTrainer logged = trainer;
      for (TrainingLog log : open) {
        logged = logged.withListener(log);
      }
      return logged;
    }

    @Override
    public void close() throws IOException {
      IOException failure = null;
      for (TrainingLog log : open) {
        try {
          log.close();
        } catch (IOException e) {
          failure = failure == null ? e : failure;
        }
      }
      if (failure != null) {
        throw failure;
      }
    }
  }
}
