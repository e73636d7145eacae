package io.faithfulsae.cli.doctor;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Looks at this machine, and says what works, what does not and what to do about it. */
public final class Doctor {
  private Doctor() {}

  /** A look at one part; what it throws becomes a problem. */
  interface Check {
    List<Finding> look() throws Exception;
  }

  /**
   * Looks at everything. Reads no weights but the bundled model's.
   *
   * @param environment the process's
   * @param home the user's home folder
   */
  public static List<Finding> examine(Map<String, String> environment, Path home) {
    List<Finding> found = new ArrayList<>();
    found.addAll(guarded("Java", HostChecks::java));
    found.addAll(guarded("processor", HostChecks::processor));
    found.addAll(guarded("memory", HostChecks::memory));
    found.addAll(guarded("folders", () -> HostChecks.folders(home)));
    found.addAll(guarded("backends", BackendChecks::backends));
    found.addAll(guarded("language model", ModelChecks::bundledModel));
    found.addAll(
        guarded("models", () -> ModelChecks.downloaded(ModelChecks.hub(environment, home))));
    return found;
  }

  /** Runs a check. */
  static List<Finding> guarded(String what, Check check) {
    try {
      return check.look();
    } catch (Exception | LinkageError e) {
      return List.of(
          Finding.problem(
              what,
              e.toString().lines().findFirst().orElse(""),
              "report it, with this whole output, if the reason does not help"));
    }
  }
}
