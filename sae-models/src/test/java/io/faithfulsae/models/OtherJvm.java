package io.faithfulsae.models;

import java.io.IOException;
import java.lang.ProcessBuilder.Redirect;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A main method in a process of its own, for what could end the process. */
final class OtherJvm {
  private OtherJvm() {}

  /** What it printed, and its exit status. */
  record Ended(List<String> said, int status) {}

  /** Waits for its end; its errors go where this process's go. */
  static Ended run(Class<?> main, String... arguments) throws IOException, InterruptedException {
    List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-XX:-CreateCoredumpOnCrash",
                "-cp",
                System.getProperty("java.class.path"),
                main.getName()));
    command.addAll(List.of(arguments));
    Process process = new ProcessBuilder(command).redirectError(Redirect.INHERIT).start();
    List<String> said = process.inputReader().lines().toList();
    return new Ended(said, process.waitFor());
  }
}
