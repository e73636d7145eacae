package io.faithfulsae.metrics;

/**
 * An estimate with its percentile bootstrap interval.
 *
 * @param estimate the statistic on the whole sample
 * @param low lower end of the interval
 * @param high upper end of the interval
 * @param level coverage, such as 0.95
 * @param resamples number of bootstrap resamples
 */
public record BootstrapInterval(
    double estimate, double low, double high, double level, int resamples) {}
