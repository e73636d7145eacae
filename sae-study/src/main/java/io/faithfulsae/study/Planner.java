package io.faithfulsae.study;

import io.faithfulsae.study.StudyPlan.ModelPlan;
import java.io.IOException;
import java.util.LinkedHashSet;
import java.util.Set;

/** Adds up what a study of a model will do. */
final class Planner {
  private Planner() {}

  /**
   * Makes the plan. What is done once for several entries is counted for the entry whose folder
   * holds it.
   */
  static ModelPlan plan(StudyContext on) throws IOException {
    Set<String> steps = new LinkedHashSet<>();
    Cost cost = Cost.NONE;
    for (Measurement measurement : Measurements.ALL) {
      for (Unit unit : measurement.units(on)) {
        if (unit.entry().equals(on.name()) && steps.add(unit.step())) {
          cost = cost.plus(unit.cost());
        }
      }
    }
    StepCache cache = on.folders().of(on.name());
    int kept = (int) steps.stream().filter(cache::isKept).count();
    Grid grid = on.grid();
    int dIn = on.model().dModel();
    return new ModelPlan(
        on.name(),
        steps.size(),
        kept,
        cost.trainedSaes(),
        on.config().dataSets().size() * grid.cells().size(),
        grid.variants().stream()
            .mapToLong(variant -> TrainStep.parameters(dIn, variant.dSae()))
            .max()
            .orElseThrow(),
        cost.sampledTokens(),
        on.config().training().tokens(),
        cost.harvestedTokens(),
        cost.hookTokens(),
        cost.logitTokens(),
        cost.bytes(),
        kept == steps.size() ? 0 : new MachineSpeed(on).seconds(cost, TrainStep.sizes(on)));
  }
}
