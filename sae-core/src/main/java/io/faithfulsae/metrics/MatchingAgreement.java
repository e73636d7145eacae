package io.faithfulsae.metrics;

/**
 * A stricter Shared Feature Ratio: latents of two SAEs are matched one to one by decoder directions
 * and again by encoder directions, each with the largest sum of cosines; a pair counts when both
 * matchings have it.
 *
 * <p><b>Source</b>: Paulo and Belrose, arXiv 2501.16615.
 *
 * @param threshold cosine that a shared pair exceeds, in both matchings
 * @param pairs pairs of a matching, the smaller number of latents
 * @param agreeing share of the pairs that both matchings have, in [0, 1]
 * @param sharedByBoth share of the pairs that both matchings have and whose cosines both exceed the
 *     threshold, in [0, 1]; never above the Shared Feature Ratio
 */
public record MatchingAgreement(
    double threshold, int pairs, double agreeing, double sharedByBoth) {}
