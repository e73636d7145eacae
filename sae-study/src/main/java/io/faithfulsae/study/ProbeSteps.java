package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.metrics.Metrics;
import io.faithfulsae.metrics.ProbeTask;
import io.faithfulsae.metrics.Probing;
import io.faithfulsae.metrics.Probing.Scores;
import io.faithfulsae.study.ModelResults.ProbingMean;
import io.faithfulsae.study.ModelResults.SeedMean;
import io.faithfulsae.study.ModelResults.TrainedSae;
import io.faithfulsae.study.Trained.Curve;
import io.faithfulsae.study.Trained.Opened;
import io.faithfulsae.study.provenance.Json;
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

/** Steps that probe text tasks, one per task. */
final class ProbeSteps {
  private final StudyContext on;
  private final ActivationFilter filter;

  private record Probed(Map<String, Probing> bySae) {}

  ProbeSteps(StudyContext on, ActivationFilter filter) {
    this.on = on;
    this.filter = filter;
  }

  /** The tasks listed in the settings, or all that exist. */
  static List<String> tasks(StudyConfig config) throws IOException {
    TaskFile tasks = config.probing().open();
    if (tasks == null) {
      return List.of();
    }
    return config.probing().only().isEmpty() ? tasks.present() : config.probing().only();
  }

  /** All SAEs in one step, since they share the activations and the baseline probe. */
  Map<String, Probing> probe(String task, List<Trained> trained) throws IOException {
    StudyConfig.Probe settings = on.config().probing();
    TaskFile tasks = Objects.requireNonNull(settings.open());
    List<String> files = new ArrayList<>();
    for (Path file : tasks.files(task)) {
      files.add(Json.sha256(Files.readAllBytes(file)));
    }
    Probing.Options options =
        Probing.Options.clean().withFilter(filter).withMaxExamples(settings.maxExamples());
    List<String> names =
        trained.stream().flatMap(g -> g.curves().stream()).map(Curve::name).toList();
    return on.steps()
        .run(
            "probe-" + task,
            List.of(
                trained.stream().map(Trained::key).toList(), names, files, options, on.context()),
            Probed.class,
            folder -> {
              ProbeTask examples = tasks.open(task, on.tokenizer(), on.context());
              try (Opened saes = Trained.open(trained, on.backend());
                  WorkProgress progress = on.listener().begin(task, "texts", 0, -1)) {
                List<Probing> found =
                    Metrics.probe(saes.all(), on.hooked(), examples, options, progress::at);
                Map<String, Probing> bySae = new LinkedHashMap<>();
                for (int i = 0; i < names.size(); i++) {
                  bySae.put(names.get(i), found.get(i));
                }
                return new Probed(bySae);
              }
            })
        .result()
        .bySae();
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
}
