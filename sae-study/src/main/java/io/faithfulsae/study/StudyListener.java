package io.faithfulsae.study;

import io.faithfulsae.study.work.WorkListener;

/** Follows a study step by step, and may stop it. */
public interface StudyListener extends WorkListener {
  /** Follows nothing and never stops. */
  StudyListener NONE = new StudyListener() {};

  /** The study is planned and is about to begin. */
  default void planned(StudyPlan plan) {}

  /**
   * Called when a step that no earlier run has done begins, or when a part has failed and the rest
   * continues.
   *
   * @param what the step's name, or what failed and why
   */
  default void step(String what) {}
}
