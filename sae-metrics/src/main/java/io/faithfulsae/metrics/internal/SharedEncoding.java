package io.faithfulsae.metrics.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Encodes rows with several SAEs of one backend. Those that are views of one SAE share its
 * encoding, with the largest k among them: what is left for each is a copy and its own decoding.
 */
public final class SharedEncoding {
  private final List<Sae> saes;
  private final Map<Sae, List<Integer>> byOrigin = new LinkedHashMap<>(); // places of its views

  /** What is done with the latents of one SAE. */
  public interface Use {
    /**
     * Uses them.
     *
     * @param sae its place in the list
     * @param latents valid during the call
     */
    void accept(int sae, Latents latents);
  }

  /** Sorts SAEs by what they are views of. */
  public SharedEncoding(List<Sae> saes) {
    this.saes = saes;
    for (int i = 0; i < saes.size(); i++) {
      byOrigin.computeIfAbsent(saes.get(i).origin(), any -> new ArrayList<>()).add(i);
    }
  }

  /** Encodes rows; the SAEs come one after the other, views of one together. */
  public void encode(ActivationBatch rows, Use use) {
    int capacity = Math.max(1, rows.rows());
    for (Map.Entry<Sae, List<Integer>> group : byOrigin.entrySet()) {
      Sae origin = group.getKey();
      List<Integer> views = group.getValue();
      int most = views.stream().mapToInt(i -> saes.get(i).config().k()).max().orElseThrow();
      try (Latents whole = Latents.allocate(origin.backend(), capacity, most)) {
        origin.encode(rows, whole);
        for (int i : views) {
          Sae sae = saes.get(i);
          if (sae == origin && sae.config().k() == most) {
            use.accept(i, whole);
          } else {
            try (Latents own = Latents.allocate(origin.backend(), capacity, sae.config().k())) {
              sae.select(whole, own);
              use.accept(i, own);
            }
          }
        }
      }
    }
  }
}
