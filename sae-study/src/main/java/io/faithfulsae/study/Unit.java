package io.faithfulsae.study;

import java.io.IOException;

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

  /** A unit in the folder of the entry itself. */
  static Unit own(StudyContext on, String step, Cost cost, Work work) {
    return new Unit(on.name(), step, cost, work);
  }

  /** A unit shared by the entries that are trained together. */
  static Unit common(StudyContext on, String step, Cost cost, Work work) {
    return new Unit(on.sharing().owner(on.name()), step, cost, work);
  }
}
