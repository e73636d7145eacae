package com.example.plugin;

import io.faithfulsae.io.Expected;
import io.faithfulsae.models.explain.Explainer;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** An explainer that asks nobody: it lists the tokens at which a latent is strongest. */
public final class TokenExplainer implements Explainer.Provider {
  @Override
  public String name() {
    return "tokens";
  }

  /**
   * Makes an explainer.
   *
   * @param argument the most tokens to list; 3 if it is empty
   */
  @Override
  public Explainer open(String argument) {
    if (!argument.matches("([1-9]\\d?)?")) {
      throw new IllegalArgumentException(
          Expected.message("tokens:N with N in [1, 99]", argument, "use a number in that range"));
    }
    int most = argument.isEmpty() ? 3 : Integer.parseInt(argument);
    return evidence -> explain(evidence, most);
  }

  /** In how many examples each token is the strongest; the most frequent ones first. */
  private static String explain(Explainer.Evidence evidence, int most) {
    Map<String, Integer> counts = new LinkedHashMap<>();
    for (Explainer.Text text : evidence.examples()) {
      int strongest = 0;
      for (int t = 1; t < text.tokens().size(); t++) {
        if (text.activations().get(t) > text.activations().get(strongest)) {
          strongest = t;
        }
      }
      counts.merge(text.tokens().get(strongest).strip(), 1, Integer::sum);
    }
    List<String> frequent =
        counts.entrySet().stream()
            .sorted(Map.Entry.comparingByValue(Comparator.reverseOrder()))
            .limit(most)
            .map(Map.Entry::getKey)
            .toList();
    return "fires at " + String.join(", ", frequent);
  }
}
