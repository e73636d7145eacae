package io.faithfulsae.study.work;

import io.faithfulsae.ActivationSource;
import io.faithfulsae.training.SaeTrainer;
import io.faithfulsae.training.TrainingProgress;
import io.faithfulsae.training.TrainingResult;
import io.faithfulsae.training.TrainingRun;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;

/** Trains SAEs that share one source, with progress, and keeps checkpoints when stopped. */
public final class TrainingSession {
  private TrainingSession() {}

  /**
   * Trains to the end.
   *
   * @param name of the work, for the listener
   * @param dirs one folder per trainer
   * @param resume whether to continue from checkpoints in the folders
   * @throws StoppedException if the listener stopped it; the folders keep checkpoints
   */
  public static List<TrainingResult> run(
      String name,
      List<SaeTrainer> trainers,
      ActivationSource source,
      List<Path> dirs,
      boolean resume,
      WorkListener listener)
      throws IOException {
    try (WorkProgress progress = listener.begin(name, "steps", 0, -1)) {
      List<SaeTrainer> followed = new ArrayList<>(trainers);
      followed.set(0, trainers.get(0).withListener(now -> show(progress, now)));
      List<TrainingRun> runs =
          resume && isBegun(dirs)
              ? SaeTrainer.resumeTogether(followed, source, dirs)
              : SaeTrainer.startTogether(followed, source, dirs);
      return await(runs, dirs, listener);
    }
  }

  /** Whether one of the folders contains a run, complete or not. */
  public static boolean isBegun(List<Path> dirs) throws IOException {
    for (Path dir : dirs) {
      if (Files.isDirectory(dir)) {
        try (Stream<Path> files = Files.list(dir)) {
          if (files.map(file -> file.getFileName().toString()).anyMatch(TrainingSession::isOfRun)) {
            return true;
          }
        }
      }
    }
    return false;
  }

  private static boolean isOfRun(String file) {
    return file.equals("training.json") || file.matches("checkpoint-\\d+\\.safetensors");
  }

  private static List<TrainingResult> await(
      List<TrainingRun> runs, List<Path> dirs, WorkListener listener) throws IOException {
    List<TrainingResult> results = new ArrayList<>();
    WorkListener.Registration onStop = listener.onStop(() -> runs.forEach(TrainingRun::cancel));
    try {
      for (TrainingRun run : runs) {
        results.add(run.await());
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new StoppedException("interrupted; checkpoints are in " + dirs);
    } finally {
      onStop.close();
      runs.forEach(TrainingRun::close);
    }
    for (TrainingResult result : results) {
      if (result.reason() == TrainingResult.Reason.CANCELLED) {
        throw new StoppedException(
            "stopped after step %d; the checkpoint is in %s"
                .formatted(result.steps(), result.directory()));
      }
    }
    return results;
  }

  private static void show(WorkProgress progress, TrainingProgress now) {
    progress.total(now.steps());
    progress.at(
        now.step(),
        String.format(
            Locale.ROOT,
            "loss %.4g, FVU %.3f, L0 %.1f, dead %d, %.0f tokens/s",
            now.loss(),
            now.fvu(),
            now.l0(),
            now.dead(),
            now.tokensPerSecond()));
  }
}
