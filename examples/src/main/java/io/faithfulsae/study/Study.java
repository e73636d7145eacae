package io.faithfulsae.study;

import io.faithfulsae.internal.AtomicFile;
import io.faithfulsae.internal.OutputLock;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.Plots.Plot;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;

/** Runs a study: all its models, one after the other, and the report on all. */
public final class Study {
  private Study() {}

  /**
   * Where a study's results are.
   *
   * @param report the page to look at
   * @param results the numbers
   * @param stepsDone steps that this run has done; 0 if all were done before
   * @param failures parts that failed, as the results name them; the same study tries them again
   */
  public record Outcome(Path report, Path results, int stepsDone, List<String> failures) {}

  /**
   * Runs a study, or what is missing of it.
   *
   * @param out made if need be
   * @param log hears the name of each step that is done
   * @throws IOException if a study is running in that folder; the message says which process
   */
  public static Outcome run(StudyFile study, Path out, Backend backend, Consumer<String> log)
      throws IOException {
    OutputLock lock = OutputLock.ofFolder(out);
    try {
      return runAlone(study, out, backend, log);
    } finally {
      lock.close();
    }
  }

  private static Outcome runAlone(StudyFile study, Path out, Backend backend, Consumer<String> log)
      throws IOException {
    StudyPlan plan = plan(study, out, backend);
    log.accept(plan.table());
    plan.requireDisk();
    Map<String, StudyConfig> models = study.models();
    boolean crossed =
        models.values().stream()
            .flatMap(model -> model.dataSets().stream())
            .anyMatch(set -> set.from() != null);
    if (crossed) {
      for (Map.Entry<String, StudyConfig> each : models.entrySet()) {
        try (ModelStudy model = open(each, models.size(), out, backend, log)) {
          model.generate();
        }
      }
    }
    List<ModelResults> results = new ArrayList<>();
    Map<String, Double> seconds = new LinkedHashMap<>();
    int done = 0;
    for (Map.Entry<String, StudyConfig> each : models.entrySet()) {
      try (ModelStudy model = open(each, models.size(), out, backend, log)) {
        results.add(model.run());
        done += model.stepsDone();
        model.seconds().forEach((step, took) -> seconds.put(each.getKey() + "/" + step, took));
      }
    }
    return report(
        new StudyResults(StudyResults.FORMAT, Provenance.of(backend), results), out, seconds, done);
  }

  /**
   * Says what {@link #run} would do. Opens every model, so that what is wrong with one shows before
   * hours of work, and tries out how fast this machine is.
   *
   * @throws IOException if a model cannot be opened
   */
  public static StudyPlan plan(StudyFile study, Path out, Backend backend) throws IOException {
    Files.createDirectories(out);
    List<StudyPlan.ModelPlan> plans = new ArrayList<>();
    for (Map.Entry<String, StudyConfig> each : study.models().entrySet()) {
      try (ModelStudy model = open(each, study.models().size(), out, backend, step -> {})) {
        plans.add(model.plan());
      }
    }
    return new StudyPlan(plans, StudyPlan.freeBytes(out));
  }

  private static ModelStudy open(
      Map.Entry<String, StudyConfig> model,
      int models,
      Path out,
      Backend backend,
      Consumer<String> log)
      throws IOException {
    String name = model.getKey();
    return ModelStudy.open(
        name,
        model.getValue(),
        out,
        backend,
        models == 1 ? log : step -> log.accept(name + "/" + step));
  }

  private static Outcome report(
      StudyResults results, Path out, Map<String, Double> seconds, int done) throws IOException {
    Path json = out.resolve("results.json");
    Path report = out.resolve("report.html");
    AtomicFile.writeString(json, Json.pretty(results));
    AtomicFile.writeString(out.resolve(StudyResults.SCHEMA), StudyResults.schema());
    Map<String, Map<String, Plot>> plots = new LinkedHashMap<>();
    for (ModelResults model : results.models()) {
      plots.put(model.name(), Plots.write(model, ModelStudy.folder(out, model.name())));
    }
    AtomicFile.writeString(report, HtmlReport.render(results, plots, seconds));
    List<String> failures =
        results.models().stream()
            .flatMap(
                model ->
                    model.failures().stream()
                        .map(f -> model.name() + "/" + f.part() + ": " + f.problem()))
            .toList();
    return new Outcome(report, json, done, failures);
  }
}
