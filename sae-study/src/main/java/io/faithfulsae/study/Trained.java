package io.faithfulsae.study;

import io.faithfulsae.ActivationFilter;
import io.faithfulsae.Sae;
import io.faithfulsae.spi.Backend;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The SAEs of one data set, on disk.
 *
 * @param on what they were trained on
 * @param key of the step that trained them
 * @param folder of that step
 */
record Trained(Texts on, String key, Path folder, List<Curve> curves) {

  /**
   * The training of one SAE.
   *
   * @param name in results
   * @param folder relative to the step's
   */
  record Curve(
      String name,
      String folder,
      Variant variant,
      long seed,
      long steps,
      long rows,
      ActivationFilter.Counts counts,
      List<ModelResults.CurvePoint> points) {}

  /** A data set's SAEs in memory, in the order of {@link #curves}. */
  record Opened(List<Sae> all) implements AutoCloseable {
    @Override
    public void close() {
      all.forEach(Sae::close);
    }
  }

  /** Names of an entry's own SAEs, since a training may serve several entries. */
  List<String> names() {
    return curves.stream().map(Curve::name).toList();
  }

  Path sae(Curve curve) {
    return folder.resolve(curve.folder());
  }

  Opened open(Backend backend) throws IOException {
    return open(List.of(this), backend);
  }

  /** The SAEs of several data sets. */
  static Opened open(List<Trained> groups, Backend backend) throws IOException {
    Opened opened = new Opened(new ArrayList<>());
    try {
      for (Trained group : groups) {
        for (Curve curve : group.curves()) {
          opened.all().add(Sae.load(group.sae(curve), backend));
        }
      }
      return opened;
    } catch (IOException | RuntimeException e) {
      opened.close();
      throw e;
    }
  }

  /** A pair of SAEs, by index. */
  record Pair(int first, int second) {}

  /** All pairs of seeds within a variant. */
  List<Pair> pairs() {
    List<Pair> pairs = new ArrayList<>();
    for (int i = 0; i < curves.size(); i++) {
      for (int j = i + 1; j < curves.size(); j++) {
        if (curves.get(i).variant().equals(curves.get(j).variant())) {
          pairs.add(new Pair(i, j));
        }
      }
    }
    return pairs;
  }
}
