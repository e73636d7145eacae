package io.faithfulsae.study.work;

/** How far one piece of work is. <b>Closed by</b> the work when it ends. */
public interface WorkProgress extends AutoCloseable {
  /** Shows nothing. */
  WorkProgress NONE =
      new WorkProgress() {
        @Override
        public void total(long count) {}

        @Override
        public void at(long done, String note) {}

        @Override
        public void close() {}
      };

  /** The count at the end, once it is known. */
  void total(long count);

  /**
   * The count so far.
   *
   * @param note such as the loss; empty if there is none
   */
  void at(long done, String note);

  /** The count so far, without a note. */
  default void at(long done) {
    at(done, "");
  }

  @Override
  void close();
}
