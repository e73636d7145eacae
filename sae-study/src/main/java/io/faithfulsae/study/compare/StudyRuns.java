package io.faithfulsae.study.compare;

import com.fasterxml.jackson.databind.JsonNode;
import io.faithfulsae.io.Expected;
import io.faithfulsae.io.SaeFormatException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * The results of studies ({@code results.json}) as runs: one for each model, setting of a sweep and
 * data set. Seeds are averaged across files, or kept apart as separate cells.
 *
 * <p>Measures without a task: {@code sfr_matched}; {@code avg_fake_feature_ratio}; {@code
 * ce_difference}, {@code loss_recovered}, {@code explained_variance} and {@code dead_share} on the
 * model's common text; the same with {@code own_} on the held-out text of the SAE's own data set.
 * By task: {@code baseline_acc}, {@code sae_acc}, {@code recon_acc} and the same with {@code _f1}.
 */
final class StudyRuns {
  private static final String FORMAT = "faithfulsae-study-";

  private final Map<Setting, Map<String, Values>> bySetting = new LinkedHashMap<>();

  /** What distinguishes SAEs besides data set and seed; empty if the file does not say. */
  private record Setting(String model, Map<String, String> parts) {}

  /** By task, then measure, then seed (or a pair of seeds). */
  private record Values(Map<String, Map<String, Map<String, Double>>> byTask) {
    Values() {
      this(new LinkedHashMap<>());
    }
  }

  /** Whether a file contains a study's results. */
  static boolean is(JsonNode root) {
    return root.path("format").asText("").startsWith(FORMAT);
  }

  /**
   * Adds a file.
   *
   * @throws SaeFormatException if it lacks required fields, or has a different value for an SAE
   *     than an earlier file
   */
  void add(Path file, JsonNode root) throws SaeFormatException {
    if (!root.path("models").isArray() || root.path("models").isEmpty()) {
      throw new SaeFormatException(
          file, "models", Expected.message("a study's models", "none", "run the study again"));
    }
    for (JsonNode model : root.path("models")) {
      Map<String, JsonNode> saes = new LinkedHashMap<>();
      for (JsonNode sae : model.path("saes")) {
        saes.put(sae.path("name").asText(), sae);
        add(file, model, sae);
      }
      for (JsonNode pair : model.path("seedPairs")) {
        JsonNode first = saes.get(pair.path("first").asText());
        JsonNode second = saes.get(pair.path("second").asText());
        if (first != null && second != null) {
          String seeds = first.path("seed").asText() + ", " + second.path("seed").asText();
          put(
              file,
              values(model, first),
              Run.NO_TASK,
              "sfr_matched",
              seeds,
              pair.path("decoder").path("matched"));
        }
      }
    }
  }

  private void add(Path file, JsonNode model, JsonNode sae) throws SaeFormatException {
    Values values = values(model, sae);
    String seed = sae.path("seed").asText();
    put(file, values, Run.NO_TASK, "avg_fake_feature_ratio", seed, sae.path("fake").path("ratio"));
    evaluation(file, values, seed, "", sae.path("common"));
    JsonNode own = sae.path("on").path(sae.path("dataSet").asText());
    evaluation(file, values, seed, "own_", own);
    for (Map.Entry<String, JsonNode> task : sae.path("probing").properties()) {
      for (String from : List.of("baseline", "sae", "recon")) {
        JsonNode scores = task.getValue().path(from);
        JsonNode accuracy = scores.path("accuracy").path("estimate");
        put(file, values, task.getKey(), from + "_acc", seed, accuracy);
        JsonNode f1 = scores.path("macroF1").path("estimate");
        put(file, values, task.getKey(), from + "_f1", seed, f1);
      }
    }
  }

  private static void evaluation(Path file, Values values, String seed, String of, JsonNode on)
      throws SaeFormatException {
    JsonNode cost = on.path("crossEntropy");
    JsonNode rebuilt = on.path("reconstruction");
    String none = Run.NO_TASK;
    put(file, values, none, of + "ce_difference", seed, cost.path("difference"));
    put(file, values, none, of + "loss_recovered", seed, cost.path("lossRecovered"));
    put(file, values, none, of + "explained_variance", seed, rebuilt.path("explainedVariance"));
    put(file, values, none, of + "dead_share", seed, rebuilt.path("deadShare"));
  }

  private Values values(JsonNode model, JsonNode sae) {
    Map<String, String> parts = new LinkedHashMap<>();
    parts.put("files", model.path("model").path("hash").asText(""));
    parts.put("hook", model.path("model").path("hook").asText(""));
    parts.put("d_sae", sae.path("dSae").asText(model.at("/config/sae/dSae").asText("")));
    parts.put("k", sae.path("k").asText(""));
    parts.put("lr", sae.path("lr").asText(model.at("/config/training/lr").asText("")));
    parts.put("preset", sae.path("preset").asText(""));
    return bySetting
        .computeIfAbsent(
            new Setting(model.path("name").asText(), parts), any -> new LinkedHashMap<>())
        .computeIfAbsent(ResultFile.group(sae.path("dataSet").asText()), any -> new Values());
  }

  /** Failed parts of the study are absent and have no value. */
  private static void put(
      Path file, Values values, String task, String measure, String seed, JsonNode value)
      throws SaeFormatException {
    if (value.isMissingNode() || value.isNull()) {
      return;
    }
    if (!value.isNumber()) {
      throw new SaeFormatException(
          file, measure, Expected.message("a number", value, "run the study again"));
    }
    Double before =
        values
            .byTask()
            .computeIfAbsent(task, any -> new LinkedHashMap<>())
            .computeIfAbsent(measure, any -> new TreeMap<>())
            .put(seed, value.doubleValue());
    if (before != null && before != value.doubleValue()) {
      throw new SaeFormatException(
          file,
          measure,
          Expected.message(
              "one value for an SAE",
              "%s and %s for seed %s".formatted(before, value, seed),
              "pass one of the studies alone"));
    }
  }

  /**
   * All runs.
   *
   * @param bySeed whether each seed is a separate task, so that data sets are paired by seed
   */
  List<Run> runs(boolean bySeed) {
    List<Run> runs = new ArrayList<>();
    bySetting.forEach(
        (setting, bySet) ->
            bySet.forEach(
                (set, values) -> runs.add(new Run(name(setting), set, results(values, bySeed)))));
    return runs;
  }

  private static Map<String, Map<String, Double>> results(Values values, boolean bySeed) {
    Map<String, Map<String, Double>> results = new LinkedHashMap<>();
    values
        .byTask()
        .forEach(
            (task, measures) ->
                measures.forEach(
                    (measure, seeds) -> {
                      if (!bySeed) {
                        double mean =
                            seeds.values().stream().mapToDouble(v -> v).average().orElseThrow();
                        put(results, task, measure, mean);
                        return;
                      }
                      seeds.forEach(
                          (seed, value) -> {
                            String label = (seed.contains(",") ? "seeds " : "seed ") + seed;
                            String cell = task.isEmpty() ? label : task + ", " + label;
                            put(results, cell, measure, value);
                          });
                    }));
    return results;
  }

  private static void put(
      Map<String, Map<String, Double>> results, String task, String measure, double value) {
    results.computeIfAbsent(task, any -> new LinkedHashMap<>()).put(measure, value);
  }

  /** The model's name, with the settings that vary. */
  private String name(Setting setting) {
    StringBuilder name = new StringBuilder(setting.model());
    setting
        .parts()
        .forEach(
            (part, value) -> {
              Set<String> all = new LinkedHashSet<>();
              for (Setting other : bySetting.keySet()) {
                if (other.model().equals(setting.model())) {
                  all.add(other.parts().getOrDefault(part, ""));
                }
              }
              if (all.size() > 1) {
                String shown =
                    part.equals("files") && value.length() > 8 ? value.substring(0, 8) : value;
                name.append(", ").append(part).append(" = ").append(shown);
              }
            });
    return name.toString();
  }
}
