package io.faithfulsae.study.provenance;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.HookPoint;
import io.faithfulsae.io.Expected;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Function;
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
  private static final String CONTEXT = "context_size";
  private static final String SKIP = "filter_skip_positions";
  private static final String TOKENS = "filter_excluded_token";
  private static final String NORM = "filter_max_norm";

  /** For {@link io.faithfulsae.training.SaeTrainer#withMetadata}. */
  public Map<String, String> metadata() {
    Map<String, String> kept = new TreeMap<>();
    kept.put("model_name", model);
    kept.put("hook_name", hook.toString());
    kept.put("dataset_path", dataset);
    kept.put(CONTEXT, String.valueOf(context));
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

  /**
   * The filter in an SAE's metadata; if there is none, one that leaves out only position 0.
   *
   * @throws IllegalArgumentException naming the field, if it is not as {@link #metadata} writes it
   */
  public static ActivationFilter filterOf(Map<String, String> metadata) {
    return new ActivationFilter(
        read(metadata, SKIP, "a number of positions", Integer::valueOf, 1),
        read(metadata, TOKENS, "tokens, as 0,17", TrainedOn::tokens, Set.of()),
        read(metadata, NORM, "a number", Double::valueOf, Double.POSITIVE_INFINITY));
  }

  /**
   * The tokens per sequence in an SAE's metadata.
   *
   * @param otherwise if there is none
   * @throws IllegalArgumentException if it is not a positive integer
   */
  public static int contextOf(Map<String, String> metadata, int otherwise) {
    return read(metadata, CONTEXT, "a positive integer", TrainedOn::positive, otherwise);
  }

  private static Set<Integer> tokens(String text) {
    return Stream.of(text.split(",")).map(Integer::valueOf).collect(Collectors.toSet());
  }

  private static int positive(String text) {
    int value = Integer.parseInt(text);
    if (value < 1) {
      throw new NumberFormatException(text);
    }
    return value;
  }

  private static <T> T read(
      Map<String, String> metadata,
      String field,
      String expected,
      Function<String, T> parse,
      T otherwise) {
    String text = metadata.get(field);
    if (text == null) {
      return otherwise;
    }
    try {
      return parse.apply(text);
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(
          "cfg.json of the SAE: " + field + ": " + Expected.message(expected, text, "correct it"),
          e);
    }
  }
}
