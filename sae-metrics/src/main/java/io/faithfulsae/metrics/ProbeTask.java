package io.faithfulsae.metrics;

import io.faithfulsae.io.Expected;
import java.util.List;

/**
 * A text classification task: token sequences with labels.
 *
 * @param name name of the task
 * @param classes names of the classes, at least two; a label is an index in this list
 * @param train examples to fit the probe on
 * @param test examples to evaluate it on; never used for fitting or for choosing settings
 */
public record ProbeTask(
    String name, List<String> classes, List<Example> train, List<Example> test) {

  /**
   * A labeled text.
   *
   * @param tokens at least two, BOS first; at most as many as fit in the model's context
   * @param label in [0, number of classes)
   */
  @SuppressWarnings("ArrayRecordComponent") // compared by identity, never as data
  public record Example(int[] tokens, int label) {}

  /**
   * Copies the lists.
   *
   * @throws IllegalArgumentException if there are fewer than two classes, there are no training or
   *     no test examples, all training examples are of one class, or a label or a length is out of
   *     range
   */
  public ProbeTask {
    classes = List.copyOf(classes);
    train = List.copyOf(train);
    test = List.copyOf(test);
    require(classes.size() >= 2, name, "at least two classes", classes);
    require(
        !train.isEmpty() && !test.isEmpty(),
        name,
        "training examples and test examples",
        train.size() + " and " + test.size());
    for (List<Example> part : List.of(train, test)) {
      for (Example example : part) {
        boolean known = example.label() >= 0 && example.label() < classes.size();
        require(known, name, "a label in [0, " + classes.size() + ")", example.label());
        require(
            example.tokens().length >= 2,
            name,
            "at least two tokens per text",
            example.tokens().length);
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
              + ": "
              + Expected.message(expected, got, "correct the task's files or columns"));
    }
  }
}
