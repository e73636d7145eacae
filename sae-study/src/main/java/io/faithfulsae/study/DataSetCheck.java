package io.faithfulsae.study;

import io.faithfulsae.metrics.DataSetStatistics;
import io.faithfulsae.metrics.FirstTokens;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What a data set holds, and whether it is the model's own.
 *
 * @param statistics counts and diversity: of whole texts where the model, or another of the study,
 *     wrote them, and of the study's sequences otherwise
 * @param firstTokens the first tokens against the model's own distribution after BOS; null where
 *     the texts were not sampled from a model
 * @param retokenized share of the sampled texts that have other tokens when they are tokenized
 *     again; null where the model itself did not sample them
 * @param coverage by the name of each data set that no model of the study wrote: the share of its
 *     different n-grams that this data set has as well, for each n of the settings; empty where
 *     {@code firstTokens} is null
 */
public record DataSetCheck(
    DataSetStatistics statistics,
    @Nullable FirstTokens firstTokens,
    @Nullable Double retokenized,
    Map<String, List<Double>> coverage) {}
