package io.faithfulsae.metrics;

import java.util.List;

/**
 * A text classification task, as token sequences with labels.
 *
 * @param name of the task
 * @param classes names of the classes, at least two; a label is an index in this list
 * @param train examples to fit the probe on
 * @param test examples to evaluate it on; never used for fitting or for choosing settings
 */
public record ProbeTask(
    String name, List<String> classes, List<Example> train, List<Example> test) {

  /**
   * A labelled text.
   *
   * @param tokens at least two, BOS first; as long as the model's context at most
   * @param label in [0, number of classes)
   */
  @SuppressWarnings("ArrayRecordComponent") // compared by identity, never as data
  public record Example(int[] tokens, int label) {}

  /**
   * Copies the lists.
   *
   * @throws IllegalArgumentException if there are fewer than two classes, a part is empty, the
   *     training part has one class alone, or a label or a length is out of range
   */
  public ProbeTask {
    classes = List.copyOf(classes);
    train = List.copyOf(train);
    test = List.copyOf(test);
    require(classes.size() >= 2, name, "at least two classes", classes);
    require(!train.isEmpty() && !test.isEmpty(), name, "examples to train and to test", 0);
    for (List<Example> part : List.of(train, test)) {
      for (Example example : part) {
        boolean known = example.label() >= 0 && example.label() < classes.size();
        require(known, name, "a label below " + classes.size(), example.label());
        require(example.tokens().length >= 2, name, "two tokens", example.tokens().length);
      }
    }
    long seen = train.stream().mapToInt(Example::label).distinct().count();
    require(seen >= 2, name, "at least two classes among the training examples", seen);
  }

  private static void require(boolean holds, String task, String expected, Object got) {
    if (!holds) {
      throw new IllegalArgumentException(
          "task "
              + task
              + ": expected "
              + expected
              + ", got "
              + got
              + "; correct the task's files or columns");
    }
  }
}
