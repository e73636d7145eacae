package io.faithfulsae.study.compare;

import java.util.Map;

/**
 * What a result file says of the SAEs of one model and one data set.
 *
 * @param model that the SAEs were trained on
 * @param dataSet that they were trained on; every model's own faithful data set has the one name
 *     {@code faithful}
 * @param results by task, then by measure; a result that belongs to no task is under {@link
 *     #NO_TASK}
 */
public record Run(String model, String dataSet, Map<String, Map<String, Double>> results) {
  /** The task of results that are of a model and a data set alone, such as fake features. */
  public static final String NO_TASK = "";
}
