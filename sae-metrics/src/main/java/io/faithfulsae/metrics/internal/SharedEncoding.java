package io.faithfulsae.metrics.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Encodes rows with several SAEs on one backend. Views of the same SAE share one encoding, with the
 * largest k among them; each view then only copies and decodes its part.
 */
public final class SharedEncoding {
  private final List<Sae> saes;
  private final Map<Sae, List<Integer>> byOrigin = new LinkedHashMap<>(); // indices of its views

  /** Receives the latents of each SAE. */
  public interface LatentsConsumer {
    /**
     * Receives the latents of one SAE.
     *
     * @param sae index of the SAE in the list
     * @param latents valid during the call
     */
    void accept(int sae, Latents latents);
  }

  /** Groups SAEs by the SAE that they are views of. */
  public SharedEncoding(List<Sae> saes) {
    this.saes = saes;
    for (int i = 0; i < saes.size(); i++) {
      byOrigin.computeIfAbsent(saes.get(i).origin(), any -> new ArrayList<>()).add(i);
    }
  }

  /** Encodes rows, SAE by SAE; views of one SAE follow each other. */
  public void encode(ActivationBatch rows, LatentsConsumer use) {
    int capacity = Math.max(1, rows.rows());
    for (Map.Entry<Sae, List<Integer>> group : byOrigin.entrySet()) {
      Sae origin = group.getKey();
      List<Integer> views = group.getValue();
      int maxK = views.stream().mapToInt(i -> saes.get(i).config().k()).max().orElseThrow();
      try (Latents whole = Latents.allocate(origin.backend(), capacity, maxK)) {
        origin.encode(rows, whole);
        for (int i : views) {
          Sae sae = saes.get(i);
          if (sae == origin && sae.config().k() == maxK) {
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
