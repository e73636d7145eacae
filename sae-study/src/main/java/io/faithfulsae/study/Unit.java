package io.faithfulsae.study;

import java.io.IOException;
import java.util.List;

/**
 * The smallest part of a study that can be planned, done, kept and fail: one step, with what it
 * costs and how it is done.
 *
 * @param entry whose folder holds the step; not the entry that needs it if several share it
 * @param step its name, which is also that of its folder
 * @param cost known before anything is done
 * @param work does it
 */
record Unit(String entry, String step, Cost cost, Work work) {

  /** The work of a unit. */
  interface Work {
    /**
     * Does the step unless it is done, and adds its result to the findings.
     *
     * @param found what earlier units found; asking for something that is not there, because it
     *     failed, ends the work without a failure of its own
     * @param step the unit's step, which is done here or not at all
     */
    void run(Findings found, StepCache.Step step) throws IOException;
  }

  /** The work of a unit on the SAEs of one data set. */
  interface SaeWork {
    /** As in {@link Work#run}. */
    void run(Findings found, Trained group, StepCache.Step step) throws IOException;
  }

  /**
   * A unit for each data set, on the SAEs that were trained on it.
   *
   * @param name of the steps, before the data set's
   * @param cost of each
   */
  static List<Unit> ofSaes(StudyContext on, String name, Cost cost, SaeWork work) {
    return on.config().dataSets().stream()
        .map(
            set ->
                own(
                    on,
                    name + "-" + set.name(),
                    cost,
                    (found, step) -> work.run(found, found.trained(set), step)))
        .toList();
  }

  /** A unit in the folder of the entry itself. */
  static Unit own(StudyContext on, String step, Cost cost, Work work) {
    return new Unit(on.name(), step, cost, work);
  }

  /** A unit shared by the entries that are trained together. */
  static Unit common(StudyContext on, String step, Cost cost, Work work) {
    return new Unit(on.sharing().owner(on.name()), step, cost, work);
  }
}
