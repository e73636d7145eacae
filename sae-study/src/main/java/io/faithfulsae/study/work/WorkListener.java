package io.faithfulsae.study.work;

/**
 * Follows long-running work, and may stop it. The library itself neither prints nor handles
 * signals: a program that wants a progress bar, a log or Ctrl-C implements the methods that it
 * needs.
 */
public interface WorkListener {
  /** Follows nothing and never stops. */
  WorkListener NONE = new WorkListener() {};

  /**
   * Called when work begins.
   *
   * @param task description of the work
   * @param unit what is counted, such as {@code "tokens"}
   * @param done the initial count: more than 0 if an earlier run did a part
   * @param total the final count, or -1 while unknown
   * @return receives progress on the working thread; closed when the work ends
   */
  default WorkProgress begin(String task, String unit, long done, long total) {
    return WorkProgress.NONE;
  }

  /**
   * Called when work that can be stopped begins. Calling {@code stop}, from any thread, soon ends
   * it with a {@link StoppedException}; progress so far is kept, and the same call resumes it.
   *
   * @return closed when the work ends; afterwards {@code stop} does nothing
   */
  default Registration onStop(Runnable stop) {
    return () -> {};
  }

  /** A registration that can be withdrawn. */
  interface Registration {
    /** Withdraws it; further calls do nothing. */
    void close();
  }
}
