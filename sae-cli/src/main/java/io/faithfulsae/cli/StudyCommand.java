package io.faithfulsae.cli;

import io.faithfulsae.Backends;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.Study;
import io.faithfulsae.study.StudyFile;
import io.faithfulsae.study.StudyPlan;
import java.io.IOException;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code sae study}: runs everything and writes a report. */
@Command(
    name = "study",
    description = {
      "Has a model write its own data set, trains SAEs on it and on outside text with several seeds, compares them and writes report.html.",
      "Stopped, the same command resumes and does only what is missing."
    })
final class StudyCommand implements Callable<Integer> {
  @Mixin CommonOptions common;

  @Option(
      names = "--config",
      paramLabel = "FILE.yaml",
      description = "Settings that differ from the default study.")
  @Nullable Path config;

  @Option(
      names = "--model",
      paramLabel = "DIR",
      description =
          "Hugging Face folder of the model. Default: the one in the settings, else the bundled model.")
  @Nullable Path model;

  @Option(
      names = "--out",
      paramLabel = "DIR",
      defaultValue = "study-out",
      description = "Folder of the results (default: ${DEFAULT-VALUE}).")
  Path out;

  @Option(
      names = "--plan",
      description = "Print what would be done, with tokens, disk and time, and exit.")
  boolean planOnly;

  @Override
  public Integer call() throws IOException {
    Path file = config;
    StudyFile settings;
    if (file != null) {
      settings = StudyFile.read(file, model == null ? null : model.toString());
    } else {
      settings = model == null ? StudyFile.defaults() : StudyFile.ofModel(model.toString());
    }
    try (Backend backend = Backends.best()) {
      if (planOnly) {
        StudyPlan plan = Study.plan(settings, out, backend);
        common.print(plan, plan.table());
        return 0;
      }
      Study.Outcome outcome = Study.run(settings, out, backend, common.listener());
      common.print(
          outcome,
          outcome.stepsDone() + " steps done\nreport: " + outcome.report().toAbsolutePath());
      for (String failure : outcome.failures()) {
        common.command.commandLine().getErr().println("failed: " + failure);
      }
      return outcome.failures().isEmpty() ? 0 : 1;
    }
  }
}
