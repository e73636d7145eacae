package io.faithfulsae.study;

import com.fasterxml.jackson.databind.node.ObjectNode;
import io.faithfulsae.io.AtomicFile;
import io.faithfulsae.io.CheckedJson;
import io.faithfulsae.io.OutputLock;
import io.faithfulsae.spi.Backend;
import io.faithfulsae.study.Plots.Plot;
import io.faithfulsae.study.provenance.Json;
import io.faithfulsae.study.provenance.Provenance;
import io.faithfulsae.study.work.StoppedException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Runs a study: all of its models, one after the other, and the report on all of them. */
public final class Study {
  private Study() {}

  /**
   * The outcome of a study.
   *
   * @param report the HTML page
   * @param results the numbers
   * @param stepsDone steps that this run did; 0 if all were already done
   * @param failures parts that failed, as named in the results; running the study again retries
   *     them
   */
  public record Outcome(Path report, Path results, int stepsDone, List<String> failures) {}

  /**
   * Plans a study and runs it, or what is missing from it. A folder in which another process runs a
   * study is rejected before anything is opened.
   *
   * @param out folder of the results; created if necessary
   * @param listener told the plan before the first step; otherwise as in {@link #run(StudyPlan,
   *     Backend, StudyListener)}, which also says what is thrown
   */
  public static Outcome run(StudyFile study, Path out, Backend backend, StudyListener listener)
      throws IOException {
    return run(new OpenModels(study, out), backend, listener);
  }

  /** Closes the models. */
  static Outcome run(OpenModels models, Backend backend, StudyListener listener)
      throws IOException {
    OutputLock lock = OutputLock.ofFolder(models.study());
    try (models) {
      StudyPlan plan = plan(models, backend);
      listener.planned(plan);
      return run(plan, models, backend, listener);
    } finally {
      lock.close();
    }
  }

  /**
   * Runs a study that was planned, or what is missing from it.
   *
   * @param backend on which SAEs are trained and run; not closed
   * @param listener follows the study and may stop it
   * @throws StoppedException if the listener stopped it; running it again resumes it
   * @throws IOException if the disk cannot hold the results, or another process is running a study
   *     in the same folder; the message says which
   */
  public static Outcome run(StudyPlan plan, Backend backend, StudyListener listener)
      throws IOException {
    OutputLock lock = OutputLock.ofFolder(plan.out());
    try (OpenModels models = new OpenModels(plan.study(), plan.out())) {
      return run(plan, models, backend, listener);
    } finally {
      lock.close();
    }
  }

  private static Outcome run(
      StudyPlan plan, OpenModels models, Backend backend, StudyListener listener)
      throws IOException {
    plan.requireDisk();
    Map<String, StudyConfig> entries = plan.study().models();
    StepFolders folders = new StepFolders(plan.out(), listener, entries.size() > 1);
    boolean crossed =
        entries.values().stream()
            .flatMap(entry -> entry.dataSets().stream())
            .anyMatch(set -> set.from() != null);
    if (crossed) {
      for (String name : entries.keySet()) {
        if (models.sharing().samples(name)) {
          new ModelStudy(models.entry(name, backend, folders)).generate();
        }
      }
    }
    List<ModelResults> results = new ArrayList<>();
    for (String name : entries.keySet()) {
      results.add(new ModelStudy(models.entry(name, backend, folders)).run());
    }
    return report(
        new StudyResults(
            StudyResults.FORMAT, Provenance.of(backend), Comparisons.corrected(results), null),
        plan.out(),
        folders.seconds(),
        folders.done());
  }

  /**
   * Describes what {@link #run} would do. Opens every model, so that problems show before hours of
   * work, and measures how fast this machine is.
   *
   * @param out folder of the results; created if necessary
   * @throws IOException if a model cannot be opened
   */
  public static StudyPlan plan(StudyFile study, Path out, Backend backend) throws IOException {
    try (OpenModels models = new OpenModels(study, out)) {
      return plan(models, backend);
    }
  }

  private static StudyPlan plan(OpenModels models, Backend backend) throws IOException {
    Path out = models.study();
    Files.createDirectories(out);
    StepFolders folders = new StepFolders(out, StudyListener.NONE, true);
    List<StudyPlan.ModelPlan> plans = new ArrayList<>();
    for (String name : models.file().models().keySet()) {
      plans.add(Planner.plan(models.entry(name, backend, folders)));
    }
    return new StudyPlan(models.file(), out, plans, StudyPlan.freeBytes(out));
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
