package io.faithfulsae.study;

import io.faithfulsae.study.Findings.MissingException;
import io.faithfulsae.study.ModelResults.Failure;
import io.faithfulsae.study.work.StoppedException;
import java.io.IOException;
import java.util.List;

/**
 * The study of one model: it generates its own data set, SAEs are trained on it and on other texts
 * with several seeds, and the SAEs are compared.
 *
 * <p>The output folder keeps every step, so that an interrupted study resumes where it stopped, and
 * a changed setting only redoes the steps that depend on it. A step that fails affects only those
 * that need it; failures are listed with the results.
 */
final class ModelStudy {
  private static final System.Logger LOG = System.getLogger(ModelStudy.class.getName());

  private final StudyContext on;
  private final Findings found;

  ModelStudy(StudyContext on) {
    this.on = on;
    this.found = new Findings(on);
  }

  /** Generates the model's texts, which other models may need; run() retries what fails. */
  void generate() {
    TextSteps.sampling(on).forEach(this::attempt);
  }

  /** Does what is missing. */
  ModelResults run() {
    for (Measurement measurement : Measurements.ALL) {
      units(measurement).forEach(this::attempt);
    }
    return found.results();
  }

  private List<Unit> units(Measurement measurement) {
    try {
      return measurement.units(on);
    } catch (IOException | RuntimeException e) {
      failed(measurement.name(), e);
      return List.of();
    }
  }

  private void attempt(Unit unit) {
    try {
      unit.work().run(found, on.folders().of(unit.entry()).step(unit.step()));
    } catch (StoppedException stop) {
      throw stop;
    } catch (MissingException e) {
      LOG.log(System.Logger.Level.DEBUG, unit.step(), e); // the failed step is listed already
    } catch (IOException | RuntimeException e) {
      failed(unit.step(), e);
    }
  }

  private void failed(String part, Exception e) {
    found.failures.add(new Failure(part, String.valueOf(e.getMessage())));
    on.listener().step(part + " failed; the rest continues: " + e.getMessage());
    LOG.log(System.Logger.Level.DEBUG, part, e);
  }
}
