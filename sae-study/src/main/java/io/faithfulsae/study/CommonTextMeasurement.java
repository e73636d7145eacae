package io.faithfulsae.study;

import java.util.List;

/** All SAEs on one text, the basis of the comparisons; the overview shows it. */
final class CommonTextMeasurement implements Measurement {
  @Override
  public String name() {
    return "common-text";
  }

  @Override
  public List<Unit> units(StudyContext on) {
    return Unit.ofSaes(
        on,
        name(),
        HeldOutEvaluation.cost(on),
        (found, group, step) -> {
          CommonTokens text = found.commonText();
          found.common.putAll(
              new HeldOutEvaluation(on, found.filter())
                  .of(group, text.keys(), text.tokens(), step));
        });
  }
}
