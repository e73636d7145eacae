package io.faithfulsae.study.provenance;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.HookPoint;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * The rows that an SAE was trained on, as stored in its folder's {@code cfg.json}: what training
 * left out must be left out of evaluation too.
 *
 * @param context tokens per sequence
 */
public record TrainedOn(
    String model, HookPoint hook, String dataset, int context, ActivationFilter filter) {
  private static final String SKIP = "filter_skip_positions";
  private static final String TOKENS = "filter_excluded_token";
  private static final String NORM = "filter_max_norm";

  /** For {@link io.faithfulsae.training.SaeTrainer#withMetadata}. */
  public Map<String, String> metadata() {
    Map<String, String> kept = new TreeMap<>();
    kept.put("model_name", model);
    kept.put("hook_name", hook.toString());
    kept.put("dataset_path", dataset);
    kept.put("context_size", String.valueOf(context));
    kept.put(SKIP, String.valueOf(filter.skipPositions()));
    kept.put(NORM, String.valueOf(filter.maxNorm()));
    if (!filter.excludedTokens().isEmpty()) {
      kept.put(
          TOKENS,
          filter.excludedTokens().stream()
              .sorted()
              .map(String::valueOf)
              .collect(Collectors.joining(",")));
    }
    return kept;
  }

  /** The filter in an SAE's metadata; if there is none, one that leaves out only position 0. */
  public static ActivationFilter filterOf(Map<String, String> metadata) {
    String tokens = metadata.get(TOKENS);
    return new ActivationFilter(
        Integer.parseInt(metadata.getOrDefault(SKIP, "1")),
        tokens == null
            ? Set.of()
            : Stream.of(tokens.split(",")).map(Integer::valueOf).collect(Collectors.toSet()),
        Double.parseDouble(metadata.getOrDefault(NORM, "Infinity")));
  }
}
