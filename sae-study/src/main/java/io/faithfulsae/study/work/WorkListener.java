package io.faithfulsae.study.work;

/**
 * Follows long work, and may stop it. The library itself neither prints nor handles signals: a
 * program that wants a progress bar, a log or Ctrl-C implements what it needs of this.
 */
public interface WorkListener {
  /** Follows nothing and never stops. */
  WorkListener NONE = new WorkListener() {};

  /**
   * Work begins.
   *
   * @param task what is done
   * @param unit what is counted, such as {@code "tokens"}
   * @param done the count so far: more than 0 where an earlier run did a part
   * @param total the count at the end, or -1 while it is not known
   * @return told how far the work is, on the thread that does it; closed when the work ends
   */
  default WorkProgress begin(String task, String unit, long done, long total) {
    return WorkProgress.NONE;
  }

  /**
   * Work that can be stopped begins. Calling {@code stop}, from any thread, ends it soon with a
   * {@link StoppedException}; what was done so far is kept, and the same call resumes it.
   *
   * @return closed when the work ends; {@code stop} does nothing from then on
   */
  default Registration onStop(Runnable stop) {
    return () -> {};
  }

  /** Withdraws what was registered. */
  interface Registration {
    /** Withdraws it; the second call does nothing. */
    void close();
  }
}
