/** The computations behind {@link io.faithfulsae.Metrics}; not API. */
@NullMarked
package io.faithfulsae.internal.metrics;

import org.jspecify.annotations.NullMarked;
