package io.faithfulsae.models;

import io.faithfulsae.HookPoint;
import io.faithfulsae.models.OnnxModel.Options;
import io.faithfulsae.models.runtime.OnnxRuntime;
import io.faithfulsae.models.runtime.OnnxRuntime.Keeping;
import io.faithfulsae.models.runtime.OnnxRuntime.Reading;
import io.faithfulsae.models.runtime.OnnxSession;
import io.faithfulsae.models.spi.Architecture;
import io.faithfulsae.models.spi.Graph.Precision;
import io.faithfulsae.models.spi.Weights;
import java.util.List;

/** The graphs of a model as sessions, each built and loaded when first needed. */
final class ModelSessions implements AutoCloseable {
  private final Architecture architecture;
  private final Weights weights;
  private final Graphs.Kind kind;
  private final Sessions sessions;
  private final Keeping ofLogits;

  /**
   * @param runtime closed with this
   */
  ModelSessions(Architecture architecture, Weights weights, Options options, OnnxRuntime runtime) {
    this.architecture = architecture;
    this.weights = weights;
    this.kind = new Graphs.Kind(options.precision(), runtime.computesOnDevice(), false);
    boolean mapped = options.precision() == Precision.FLOAT32;
    Keeping keeping = mapped ? Keeping.WORKSPACE : Keeping.WEIGHTS;
    this.sessions =
        new Sessions(
            runtime,
            new OnnxRuntime.Loading(
                weights.root(),
                options.threads(),
                keeping,
                options.mapped() ? Reading.MAPPED : Reading.COPIED),
            options.mapped() ? weights::requireWhole : () -> {});
    // The widened unembedding is by far the largest matrix, and each of these graphs has one.
    this.ofLogits = mapped && !weights.allFloat32() ? Keeping.NOTHING : keeping;
  }

  Precision precision() {
    return kind.precision();
  }

  /** Whether the runtime computes in a backend's memory, with its own operators. */
  boolean onDevice() {
    return kind.ownOperators();
  }

  OnnxSession tap(List<HookPoint> hooks, Interventions interventions) {
    return sessions.get(
        "tap " + hooks + interventions.key(),
        () -> Graphs.tap(architecture, weights, hooks, interventions, kind));
  }

  OnnxSession tapWithNorms(HookPoint hook) {
    return sessions.get(
        "tap with norms " + hook,
        () ->
            Graphs.tap(architecture, weights, List.of(hook), Interventions.NONE, kind.withNorms()));
  }

  OnnxSession gather(int width) {
    return sessions.get("gather " + width, () -> DeviceGraphs.gather(weights, width));
  }

  OnnxSession logits(List<HookPoint> replaced, Interventions interventions) {
    return sessions.get(
        "logits " + replaced + interventions.key(),
        ofLogits,
        () -> Graphs.logits(architecture, weights, replaced, interventions, kind));
  }

  OnnxSession step(Interventions interventions) {
    return sessions.get(
        "step" + interventions.key(),
        Keeping.WEIGHTS,
        () -> Graphs.step(architecture, weights, kind.precision(), interventions));
  }

  OnnxSession samplingStep(double topP, Interventions interventions) {
    return sessions.get(
        "sampling step " + topP + interventions.key(),
        Keeping.WEIGHTS,
        () -> DeviceGraphs.step(architecture, weights, kind.precision(), topP, interventions));
  }

  /** Requires that the weights' files are as they were. */
  void check() {
    sessions.check();
  }

  @Override
  public void close() {
    sessions.close();
  }
}
