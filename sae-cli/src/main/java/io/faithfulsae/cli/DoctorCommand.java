package io.faithfulsae.cli;

import io.faithfulsae.cli.doctor.Doctor;
import io.faithfulsae.cli.doctor.Finding;
import io.faithfulsae.cli.doctor.Finding.Status;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code sae doctor}: what works on this machine. */
@Command(
    name = "doctor",
    description = {
      "Says what works on this machine and what does not: Java, processor, memory, backends, the bundled language model, downloaded models.",
      "Ends with 1 if there is a problem."
    })
final class DoctorCommand implements Callable<Integer> {
  @Mixin CommonOptions common;

  /**
   * What was found.
   *
   * @param healthy whether there is no problem
   * @param findings all that was looked at
   */
  record Examined(boolean healthy, List<Finding> findings) {}

  @Override
  public Integer call() {
    List<Finding> findings =
        Doctor.examine(System.getenv(), Path.of(System.getProperty("user.home")));
    boolean healthy = findings.stream().noneMatch(f -> f.status() == Status.PROBLEM);
    common.print(new Examined(healthy, findings), text(findings));
    return healthy ? 0 : SaeCommand.FAILED;
  }

  private static String text(List<Finding> findings) {
    return findings.stream().map(DoctorCommand::line).collect(Collectors.joining("\n"));
  }

  private static String line(Finding finding) {
    String line =
        String.format(
            Locale.ROOT,
            "%-8s%-18s%s",
            finding.status().name().toLowerCase(Locale.ROOT),
            finding.what(),
            finding.found());
    return finding.advice().isEmpty() ? line : line + "\n" + " ".repeat(26) + finding.advice();
  }
}
