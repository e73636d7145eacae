package io.faithfulsae.study;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.internal.AtomicFile;
import io.faithfulsae.internal.CheckedJson;
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
    Sharing sharing = new Sharing(models);
    StepFolders folders = new StepFolders(out, log, models.size() > 1);
    boolean crossed =
        models.values().stream()
            .flatMap(model -> model.dataSets().stream())
            .anyMatch(set -> set.from() != null);
    if (crossed) {
      for (String name : models.keySet()) {
        try (ModelStudy model = ModelStudy.open(name, sharing, out, backend, folders, log)) {
          model.generate();
        }
      }
    }
    List<ModelResults> results = new ArrayList<>();
    for (String name : models.keySet()) {
      try (ModelStudy model = ModelStudy.open(name, sharing, out, backend, folders, log)) {
        results.add(model.run());
      }
    }
    return report(
        new StudyResults(
            StudyResults.FORMAT, Provenance.of(backend), Comparisons.corrected(results), null),
        out,
        folders.seconds(),
        folders.done());
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
    Sharing sharing = new Sharing(study.models());
    for (String name : study.models().keySet()) {
      StepFolders folders = new StepFolders(out, step -> {}, true);
      try (ModelStudy model = ModelStudy.open(name, sharing, out, backend, folders, step -> {})) {
        plans.add(model.plan());
      }
    }
    return new StudyPlan(plans, StudyPlan.freeBytes(out));
  }

  private static Outcome report(
      StudyResults results, Path out, Map<String, Double> seconds, int done) throws IOException {
    Path json = out.resolve("results.json");
    Path report = out.resolve("report.html");
    CheckedJson.write(json, (ObjectNode) Json.tree(results));
    AtomicFile.writeString(out.resolve(StudyResults.SCHEMA), StudyResults.schema());
    Map<String, Map<String, Plot>> plots = new LinkedHashMap<>();
    for (ModelResults model : results.models()) {
      plots.put(model.name(), Plots.write(model, out.resolve(model.name())));
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
