package io.faithfulsae.study;

import io.faithfulsae.TokenSource;
import io.faithfulsae.study.ModelResults.CommonText;
import java.util.Collections;
import java.util.List;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * The held-out text on which all SAEs of a model are compared: that of one data set, or equal parts
 * from all data sets except mixtures, which contain no other text.
 *
 * @param keys of the steps that created it
 */
record CommonTokens(CommonText text, List<String> keys, TokenSource tokens) {

  /**
   * Combines the available texts; null if there are none, or the chosen one failed.
   *
   * @param chosen name of a data set; null for equal parts from all
   */
  static @Nullable CommonTokens of(@Nullable String chosen, List<Texts> texts) {
    List<Texts> parts =
        texts.stream()
            .filter(
                text ->
                    chosen == null ? text.settings().mixture() == null : text.name().equals(chosen))
            .toList();
    if (parts.isEmpty()) {
      return null;
    }
    long each = parts.stream().mapToLong(part -> part.prepared().heldOut()).min().orElseThrow();
    List<String> names = parts.stream().map(Texts::name).toList();
    String description =
        parts.size() == 1
            ? "held-out text of " + names.get(0)
            : "equal parts of the held-out text of "
                + names.stream().collect(Collectors.joining(", "));
    return new CommonTokens(
        new CommonText(description, names, each * parts.size()),
        parts.stream().map(Texts::key).toList(),
        new MixedTokens(
            description,
            parts.stream().map(Texts::heldOut).toList(),
            Collections.nCopies(parts.size(), 1.0 / parts.size()),
            each * parts.size()));
  }
}
