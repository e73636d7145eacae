/** The computations behind {@link io.faithfulsae.metrics.Metrics}; not API. */
@NullMarked
package io.faithfulsae.metrics.internal;

import org.jspecify.annotations.NullMarked;
