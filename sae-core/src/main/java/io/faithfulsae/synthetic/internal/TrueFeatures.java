package io.faithfulsae.synthetic.internal;

import org.jspecify.annotations.Nullable;

/**
 * What all rows of a source share.
 *
 * @param description names the recipe
 * @param directions unit rows. Kept.
 * @param bias added to each row. Kept.
 * @param firing which features fire
 * @param coefficients how strongly they do
 * @param forest which features require which; null for none
 * @param noise standard deviation of the noise on each element
 */
@SuppressWarnings("ArrayRecordComponent") // shared by all rows, and never compared
public record TrueFeatures(
    String description,
    float[][] directions,
    float[] bias,
    Firing firing,
    Coefficients coefficients,
    @Nullable FeatureForest forest,
    double noise) {}
