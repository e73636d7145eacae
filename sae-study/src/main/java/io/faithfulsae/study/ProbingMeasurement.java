package io.faithfulsae.study;

import io.faithfulsae.metrics.BootstrapInterval;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.metrics.ProbeTask;
import io.faithfulsae.metrics.Probing;
import io.faithfulsae.metrics.Probing.Scores;
import io.faithfulsae.study.ModelResults.ProbingMean;
import io.faithfulsae.study.ModelResults.SeedMean;
import io.faithfulsae.study.ModelResults.TrainedSae;
import io.faithfulsae.study.StepCache.Step;
import io.faithfulsae.study.Trained.Opened;
import io.faithfulsae.study.provenance.Json;
import io.faithfulsae.study.report.Format;
import io.faithfulsae.study.report.Html;
import io.faithfulsae.study.tasks.TaskFile;
import io.faithfulsae.study.work.WorkProgress;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;

/** Text tasks by linear probes, one step per task. */
final class ProbingMeasurement implements Measurement {
  private static final List<String> FROM = List.of("baseline", "sae", "recon");

  private record Probed(Map<String, Probing> bySae) {}

  @Override
  public String name() {
    return "probing";
  }

  /** One for each of the tasks listed in the settings, or of all that exist. */
  @Override
  public List<Unit> units(StudyContext on) throws IOException {
    StudyConfig.Probe settings = on.config().probing();
    TaskFile tasks = settings.open();
    if (tasks == null) {
      return List.of();
    }
    Cost cost = Cost.ofModel(2L * settings.maxExamples() * on.context(), 0);
    List<Unit> units = new ArrayList<>();
    for (String task : settings.only().isEmpty() ? tasks.present() : settings.only()) {
      units.add(
          Unit.own(
              on, "probe-" + task, cost, (found, step) -> probe(on, tasks, task, found, step)));
    }
    return units;
  }

  /** All SAEs in one step, since they share the activations and the baseline probe. */
  private static void probe(StudyContext on, TaskFile tasks, String task, Findings found, Step step)
      throws IOException {
    List<Trained> trained = found.trained();
    List<String> files = new ArrayList<>();
    for (Path file : tasks.files(task)) {
      files.add(Json.sha256(Files.readAllBytes(file)));
    }
    Probing.Options options =
        Probing.Options.clean()
            .withFilter(found.filter())
            .withMaxExamples(on.config().probing().maxExamples());
    List<String> names = trained.stream().flatMap(group -> group.names().stream()).toList();
    step.run(
            List.of(
                trained.stream().map(Trained::key).toList(), names, files, options, on.context()),
            Probed.class,
            folder -> {
              ProbeTask examples = tasks.open(task, on.tokenizer(), on.context());
              try (Opened saes = Trained.open(trained, on.backend());
                  WorkProgress progress = on.listener().begin(task, "texts", 0, -1)) {
                List<Probing> probed =
                    Metrics.probe(saes.all(), on.hooked(), examples, options, progress::at);
                Map<String, Probing> bySae = new LinkedHashMap<>();
                for (int i = 0; i < names.size(); i++) {
                  bySae.put(names.get(i), probed.get(i));
                }
                return new Probed(bySae);
              }
            })
        .result()
        .bySae()
        .forEach(
            (sae, result) ->
                found.probing.computeIfAbsent(sae, any -> new LinkedHashMap<>()).put(task, result));
  }

  /** Means over the seeds of each data set and variant, by task. */
  static List<ProbingMean> means(List<TrainedSae> saes) {
    Map<List<String>, List<TrainedSae>> groups = new LinkedHashMap<>();
    Set<String> tasks = new LinkedHashSet<>();
    for (TrainedSae sae : saes) {
      tasks.addAll(sae.probing().keySet());
      groups
          .computeIfAbsent(List.of(sae.dataSet(), sae.variant()), any -> new ArrayList<>())
          .add(sae);
    }
    List<ProbingMean> means = new ArrayList<>();
    for (String task : tasks) {
      for (List<TrainedSae> group : groups.values()) {
        List<TrainedSae> probed =
            group.stream().filter(sae -> sae.probing().containsKey(task)).toList();
        if (!probed.isEmpty()) {
          means.add(
              new ProbingMean(
                  task,
                  probed.get(0).dataSet(),
                  probed.get(0).variant(),
                  probed.stream().map(TrainedSae::seed).toList(),
                  means(task, probed, scores -> scores.accuracy().estimate()),
                  means(task, probed, scores -> scores.macroF1().estimate())));
        }
      }
    }
    return means;
  }

  private static Map<String, SeedMean> means(
      String task, List<TrainedSae> saes, Function<Scores, Double> score) {
    Map<String, Function<Probing, Scores>> from = new LinkedHashMap<>();
    from.put("baseline", Probing::baseline);
    from.put("sae", Probing::sae);
    from.put("recon", Probing::recon);
    Map<String, SeedMean> means = new LinkedHashMap<>();
    from.forEach(
        (name, scores) ->
            means.put(
                name,
                SeedMean.of(
                    saes.stream()
                        .map(sae -> Objects.requireNonNull(sae.probing().get(task)))
                        .map(scores.andThen(score))
                        .toList())));
    return means;
  }

  @Override
  public void section(ModelResults results, Html page) {
    if (!results.probing().isEmpty()) {
      page.subheading("Text tasks, by linear probes");
      meansTable(results, page);
      eachTable(results, page);
    }
  }

  private static void meansTable(ModelResults results, Html page) {
    List<List<String>> rows = new ArrayList<>();
    for (ProbingMean mean : results.probing()) {
      List<String> row =
          new ArrayList<>(
              List.of(
                  Html.escape(mean.task()),
                  Html.escape(mean.dataSet()),
                  Html.escape(mean.variant().isEmpty() ? ModelSection.MISSING : mean.variant())));
      FROM.forEach(from -> row.add(cell(Objects.requireNonNull(mean.accuracy().get(from)))));
      FROM.forEach(from -> row.add(cell(Objects.requireNonNull(mean.macroF1().get(from)))));
      rows.add(row);
    }
    page.table(
        "Means over the SAEs of all seeds (seeds %s), followed by each seed's value."
            .formatted(
                results.config().seeds().stream()
                    .map(String::valueOf)
                    .collect(Collectors.joining(", "))),
        List.of(
            "Task",
            "Trained on",
            "SAE",
            "Accuracy, baseline",
            "latents",
            "reconstructions",
            "Macro F1, baseline",
            "latents",
            "reconstructions"),
        rows);
  }

  private static String cell(SeedMean mean) {
    return Format.number(mean.mean())
        + ModelSection.small(
            mean.values().stream().map(Format::number).collect(Collectors.joining(", ")));
  }

  private static void eachTable(ModelResults results, Html page) {
    List<List<String>> rows = new ArrayList<>();
    for (TrainedSae sae : results.saes()) {
      for (Probing task : sae.probing().values()) {
        rows.add(
            List.of(
                Html.escape(task.task()),
                Html.escape(sae.name()),
                score(task.baseline().accuracy()),
                score(task.sae().accuracy()),
                score(task.recon().accuracy()),
                score(task.baseline().macroF1()),
                score(task.sae().macroF1()),
                score(task.recon().macroF1()),
                Format.tenth(task.sae().meanNonZeros())));
      }
    }
    if (!rows.isEmpty()) {
      page.table(
          "Logistic regression on activations (baseline), latents and reconstructions, each averaged over a text's tokens; accuracy on test examples, with bootstrap intervals.",
          List.of(
              "Task",
              "SAE",
              "Accuracy, baseline",
              "latents",
              "reconstructions",
              "Macro F1, baseline",
              "latents",
              "reconstructions",
              "Latents per text"),
          rows);
    }
  }

  private static String score(BootstrapInterval score) {
    return Format.number(score.estimate()) + ModelSection.small(Format.range(score));
  }
}
