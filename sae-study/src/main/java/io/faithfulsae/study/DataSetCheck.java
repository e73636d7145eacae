package io.faithfulsae.study;

import io.faithfulsae.metrics.DataSetStatistics;
import io.faithfulsae.metrics.FirstTokens;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A data set's contents, and whether it is the model's own.
 *
 * @param statistics counts and diversity: of whole texts if this or another model of the study
 *     generated them, else of the study's sequences
 * @param firstTokens the first tokens compared with the model's own distribution after BOS; null if
 *     the texts were not sampled from a model
 * @param retokenized share of the sampled texts that tokenize differently when read again; null if
 *     they were not sampled from this model
 * @param coverage by the name of each data set that no model of the study generated: the share of
 *     its distinct n-grams that this data set contains as well, for each n of the settings; empty
 *     if {@code firstTokens} is null
 */
public record DataSetCheck(
    DataSetStatistics statistics,
    @Nullable FirstTokens firstTokens,
    @Nullable Double retokenized,
    Map<String, List<Double>> coverage) {}
