package io.faithfulsae.study.compare;

import java.util.Map;

/**
 * The results of the SAEs of one model and one data set.
 *
 * @param model that the SAEs were trained on
 * @param dataSet that they were trained on; the faithful data sets of all models are called {@code
 *     faithful}
 * @param results by task, then by measure; results without a task are under {@link #NO_TASK}
 */
public record Run(String model, String dataSet, Map<String, Map<String, Double>> results) {
  /** The task of results that have none, such as fake features. */
  public static final String NO_TASK = "";
}
