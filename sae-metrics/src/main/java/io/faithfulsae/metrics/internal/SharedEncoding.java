package io.faithfulsae.metrics.internal;

import io.faithfulsae.ActivationBatch;
import io.faithfulsae.Latents;
import io.faithfulsae.Sae;
import io.faithfulsae.spi.Selection;
import io.faithfulsae.spi.Selection.Rule;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Encodes rows with several SAEs on one backend. Views of the same SAE share one encoding where one
 * holds the latents of all: rows of k with the largest k among them, other rows with the same
 * choice. Each view then only copies and decodes its part.
 */
public final class SharedEncoding implements AutoCloseable {
  private final List<Sae> saes;
  private final Map<Shared, List<Integer>> groups = new LinkedHashMap<>(); // indices in saes
  private final Kept ragged = new Kept();
  private final Kept raggedPart = new Kept();

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

  /**
   * What views have in common that share an encoding; the k of the selection is 0 if any will do.
   */
  private record Shared(Sae origin, Selection selection) {
    static Shared of(Sae sae) {
      Selection own = sae.config().activation().selection();
      boolean nested = own.rule() == Rule.TOP_K || own.rule() == Rule.ABS_TOP_K;
      return new Shared(sae.origin(), nested ? new Selection(own.rule(), 0) : own);
    }

    /** The SAE with all its latents. */
    Sae whole() {
      return selection.equals(origin.config().activation().selection())
          ? origin
          : origin.withK(selection.k());
    }
  }

  /** Ragged latents, which grow: kept, so that they do it once and not for each batch. */
  private static final class Kept implements AutoCloseable {
    private @Nullable Latents latents;

    Latents of(Sae sae, int capacity) {
      Latents current = latents;
      if (current == null || current.capacity() < capacity) {
        close();
        current = Latents.allocate(sae, capacity);
        latents = current;
      }
      return current;
    }

    @Override
    public void close() {
      if (latents != null) {
        latents.close();
        latents = null;
      }
    }
  }

  /** Groups SAEs by what they share. */
  public SharedEncoding(List<Sae> saes) {
    this.saes = saes;
    for (int i = 0; i < saes.size(); i++) {
      groups.computeIfAbsent(Shared.of(saes.get(i)), any -> new ArrayList<>()).add(i);
    }
  }

  /**
   * Encodes rows, SAE by SAE; views that share an encoding follow each other. If a filter kept no
   * row of a text, each SAE has latents without rows.
   */
  public void encode(ActivationBatch rows, LatentsConsumer use) {
    groups.forEach(
        (shared, views) -> {
          if (shared.selection().rule().isRagged()) {
            encodeRagged(rows, shared, views, use);
          } else {
            encodeRows(rows, shared.origin(), views, use);
          }
        });
  }

  private void encodeRows(
      ActivationBatch rows, Sae origin, List<Integer> views, LatentsConsumer use) {
    int capacity = Math.max(1, rows.rows());
    int maxK = views.stream().mapToInt(i -> saes.get(i).config().k()).max().orElseThrow();
    try (Latents whole = Latents.allocate(origin.backend(), capacity, maxK)) {
      encode(origin, rows, whole);
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

  private void encodeRagged(
      ActivationBatch rows, Shared shared, List<Integer> views, LatentsConsumer use) {
    int capacity = Math.max(1, rows.rows());
    Sae whole = shared.whole();
    Latents all = ragged.of(whole, capacity);
    if (views.size() == 1) {
      encode(saes.get(views.get(0)), rows, all);
      use.accept(views.get(0), all);
      return;
    }
    encode(whole, rows, all);
    for (int i : views) {
      if (saes.get(i) == whole) {
        use.accept(i, all);
      } else {
        Latents own = raggedPart.of(whole, capacity);
        saes.get(i).select(all, own);
        use.accept(i, own);
      }
    }
  }

  private static void encode(Sae sae, ActivationBatch rows, Latents into) {
    if (rows.rows() == 0) {
      into.rows(0);
    } else {
      sae.encode(rows, into);
    }
  }

  @Override
  public void close() {
    ragged.close();
    raggedPart.close();
  }
}
