package io.faithfulsae.study;

import io.faithfulsae.study.ModelResults.DataSet;
import io.faithfulsae.study.ModelResults.TrainedSae;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.stream.DoubleStream;

/** What a study varies, and the results at each point, averaged over seeds. */
final class Sweep {

  /** What is varied. */
  enum Axis {
    D_SAE("d_sae"),
    K("k"),
    LR("learning rate"),
    PRESET("preset"),
    SHARE("share of faithful text");

    private final String label;

    Axis(String label) {
      this.label = label;
    }

    String label() {
      return label;
    }

    double value(Point point) {
      return switch (this) {
        case D_SAE -> point.variant().dSae();
        case K -> point.variant().k();
        case LR -> point.variant().lr();
        case PRESET -> point.presetPlace();
        case SHARE -> point.faithfulShare();
      };
    }
  }

  /** A result to show. */
  enum Metric {
    CE("CE difference (nats)"),
    EXPLAINED("Explained variance"),
    FAKE("Fake Feature Ratio"),
    SHARED("Shared Feature Ratio"),
    DEAD("Dead latents");

    private final String label;

    Metric(String label) {
      this.label = label;
    }

    String label() {
      return label;
    }

    /** Empty if it was not measured. */
    Optional<Double> of(Point point) {
      List<TrainedSae> saes =
          OverviewSection.saes(point.results(), point.variant(), point.dataSet());
      DoubleStream values =
          switch (this) {
            case CE -> common(saes, e -> e.crossEntropy().difference());
            case EXPLAINED -> common(saes, e -> e.reconstruction().explainedVariance());
            case DEAD -> common(saes, e -> e.reconstruction().deadShare());
            case FAKE -> OverviewSection.fakeFeatures(saes);
            case SHARED ->
                OverviewSection.sharedFeatures(point.results(), point.variant(), point.dataSet());
          };
      OptionalDouble mean = values.average();
      return mean.isPresent() ? Optional.of(mean.getAsDouble()) : Optional.empty();
    }

    private static DoubleStream common(
        List<TrainedSae> saes, java.util.function.Function<ModelResults.Evaluation, Double> value) {
      return OverviewSection.values(saes, sae -> Optional.ofNullable(sae.common()), value);
    }
  }

  /** The SAEs of one data set and variant. */
  record Point(ModelResults results, Variant variant, String dataSet, double faithfulShare) {
    private double presetPlace() {
      return results.config().training().preset().indexOf(variant.preset());
    }

    /** A value on an axis, as readable text. */
    String at(Axis axis) {
      return axis == Axis.PRESET
          ? variant.preset().name().toLowerCase(Locale.ROOT)
          : Grid.number(axis.value(this));
    }

    /**
     * The values on all other axes; for the share of faithful text, the data set is not among them.
     */
    String line(Axis axis, List<Axis> axes) {
      List<String> rest = new ArrayList<>();
      if (axis != Axis.SHARE) {
        rest.add(dataSet);
      }
      for (Axis other : axes) {
        if (other != axis && other != Axis.SHARE) {
          rest.add(
              switch (other) {
                case D_SAE -> "d" + at(other);
                case K -> "k" + at(other);
                case LR -> "lr" + at(other);
                default -> at(other);
              });
        }
      }
      return rest.isEmpty() ? "all data sets" : String.join(", ", rest);
    }
  }

  private Sweep() {}

  /** Every data set with every variant. */
  static List<Point> points(ModelResults results) {
    List<Point> points = new ArrayList<>();
    for (DataSet set : results.dataSets()) {
      for (Variant variant : OverviewSection.variants(results)) {
        points.add(new Point(results, variant, set.name(), set.faithfulShare()));
      }
    }
    return points;
  }

  /** The axes with several values; shares only if a mixture was used for training. */
  static List<Axis> axes(ModelResults results) {
    List<Axis> axes = new ArrayList<>();
    if (results.config().sae().dSae().size() > 1) {
      axes.add(Axis.D_SAE);
    }
    if (results.config().sae().k().size() > 1
        && results.config().sae().families().stream().allMatch(SaeFamily::hasK)) {
      axes.add(Axis.K);
    }
    if (results.config().training().lr().size() > 1) {
      axes.add(Axis.LR);
    }
    if (results.config().training().preset().size() > 1) {
      axes.add(Axis.PRESET);
    }
    if (results.config().dataSets().stream().anyMatch(set -> set.mixture() != null)) {
      axes.add(Axis.SHARE);
    }
    return axes;
  }
}
