package io.faithfulsae.study.tasks;

import io.faithfulsae.metrics.Probing;
import io.faithfulsae.metrics.Probing.Scores;
import io.faithfulsae.study.compare.RunFields;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.stream.Collectors;

/**
 * Probing results for the SAEs of one data set, in the format of the study's result files.
 *
 * @param run description of the SAEs
 * @param result by task: {@code baseline_acc}, {@code sae_acc}, {@code recon_acc} and the same with
 *     {@code _f1}, means over the seeds
 */
public record ProbingRun(RunFields run, Map<String, Map<String, Double>> result) {

  /**
   * Averages over the seeds.
   *
   * @param bySeed results of each seed's SAE, each with the same tasks
   */
  public static ProbingRun of(RunFields run, List<List<Probing>> bySeed) {
    Map<String, List<Probing>> byTask =
        bySeed.stream()
            .flatMap(List::stream)
            .collect(Collectors.groupingBy(Probing::task, LinkedHashMap::new, Collectors.toList()));
    Map<String, Map<String, Double>> result = new LinkedHashMap<>();
    byTask.forEach((task, all) -> result.put(task, means(all)));
    return new ProbingRun(run, result);
  }

  private static Map<String, Double> means(List<Probing> all) {
    Map<String, Function<Probing, Scores>> from = new LinkedHashMap<>();
    from.put("baseline", Probing::baseline);
    from.put("sae", Probing::sae);
    from.put("recon", Probing::recon);
    Map<String, Double> means = new LinkedHashMap<>();
    from.forEach(
        (name, scores) ->
            means.put(name + "_acc", mean(all, one -> scores.apply(one).accuracy().estimate())));
    from.forEach(
        (name, scores) ->
            means.put(name + "_f1", mean(all, one -> scores.apply(one).macroF1().estimate())));
    return means;
  }

  private static double mean(List<Probing> all, Function<Probing, Double> value) {
    return all.stream().mapToDouble(value::apply).average().orElseThrow();
  }
}
