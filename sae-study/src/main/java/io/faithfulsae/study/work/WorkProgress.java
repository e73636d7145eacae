package io.faithfulsae.study.work;

/** The progress of one piece of work. <b>Closed by</b> the work when it ends. */
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

  /** Sets the final count, once it is known. */
  void total(long count);

  /**
   * Sets the count so far.
   *
   * @param note such as the loss; may be empty
   */
  void at(long done, String note);

  /** Sets the count so far, without a note. */
  default void at(long done) {
    at(done, "");
  }

  @Override
  void close();
}
