package io.faithfulsae.study;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/** The steps of all entries of a study, opened as an entry needs them. */
final class StepFolders {
  private final Path study;
  private final StudyListener listener;
  private final boolean several;
  private final Map<String, StepCache> byEntry = new LinkedHashMap<>();

  /**
   * Opens none yet.
   *
   * @param study folder of the whole study
   * @param listener notified of each step that is not done yet
   * @param several whether the study has several entries, so that step names include theirs
   */
  StepFolders(Path study, StudyListener listener, boolean several) {
    this.study = study;
    this.listener = listener;
    this.several = several;
  }

  /** Follows the study. */
  StudyListener listener() {
    return listener;
  }

  StepCache of(String entry) {
    return byEntry.computeIfAbsent(
        entry,
        name ->
            new StepCache(
                folder(study, name), step -> listener.step(several ? name + "/" + step : step)));
  }

  /** Number of steps done since, not counting those already done. */
  int done() {
    return byEntry.values().stream().mapToInt(StepCache::done).sum();
  }

  /** Seconds that each step took when it was run, by entry and step. */
  Map<String, Double> seconds() {
    Map<String, Double> all = new LinkedHashMap<>();
    byEntry.forEach(
        (entry, steps) ->
            steps.seconds().forEach((step, took) -> all.put(entry + "/" + step, took)));
    return all;
  }

  /** The folder of an entry's steps. */
  static Path folder(Path study, String entry) {
    return study.resolve(entry).resolve(StepCache.FOLDER);
  }
}
