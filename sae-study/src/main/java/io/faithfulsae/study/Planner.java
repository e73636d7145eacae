package io.faithfulsae.study;

import io.faithfulsae.study.StudyPlan.ModelPlan;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Adds up what a study of a model will do. */
final class Planner {
  private Planner() {}

  /**
   * What is done in an entry's own folder. What is done once for several entries is planned for the
   * entry whose folder holds it.
   */
  static List<Unit> units(StudyContext on) throws IOException {
    Map<String, Unit> byStep = new LinkedHashMap<>();
    for (Measurement measurement : Measurements.ALL) {
      for (Unit unit : measurement.units(on)) {
        if (unit.entry().equals(on.name())) {
          byStep.putIfAbsent(unit.step(), unit);
        }
      }
    }
    return List.copyOf(byStep.values());
  }

  /** Makes the plan. */
  static ModelPlan plan(StudyContext on) throws IOException {
    List<Unit> units = units(on);
    Cost cost = units.stream().map(Unit::cost).reduce(Cost.NONE, Cost::plus);
    StepCache cache = on.folders().of(on.name());
    int kept = (int) units.stream().filter(unit -> cache.isKept(unit.step())).count();
    Grid grid = on.grid();
    int dIn = on.model().width(on.hook());
    return new ModelPlan(
        on.name(),
        units.size(),
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
        kept == units.size() ? 0 : new MachineSpeed(on).seconds(cost, TrainStep.sizes(on)));
  }
}
