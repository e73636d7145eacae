package io.faithfulsae.study;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/** The steps of all entries of a study, as far as one entry uses them. */
final class StepFolders {
  private final Path study;
  private final StudyListener listener;
  private final boolean several;
  private final Map<String, Steps> byEntry = new LinkedHashMap<>();

  /**
   * Opens none yet.
   *
   * @param study folder of the whole study
   * @param listener told each step that is not done yet
   * @param several whether the study has several entries, so that steps are told with theirs
   */
  StepFolders(Path study, StudyListener listener, boolean several) {
    this.study = study;
    this.listener = listener;
    this.several = several;
  }

  Steps of(String entry) {
    return byEntry.computeIfAbsent(
        entry,
        name ->
            new Steps(
                folder(study, name), step -> listener.step(several ? name + "/" + step : step)));
  }

  /** Steps that were done since, not found done. */
  int done() {
    return byEntry.values().stream().mapToInt(Steps::done).sum();
  }

  /** Seconds that each step took when it was done, by entry and step. */
  Map<String, Double> seconds() {
    Map<String, Double> all = new LinkedHashMap<>();
    byEntry.forEach(
        (entry, steps) ->
            steps.seconds().forEach((step, took) -> all.put(entry + "/" + step, took)));
    return all;
  }

  /** Where the steps of an entry are. */
  static Path folder(Path study, String entry) {
    return study.resolve(entry).resolve(Steps.FOLDER);
  }
}
