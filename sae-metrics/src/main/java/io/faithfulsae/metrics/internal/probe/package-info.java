/** The linear probes behind {@link io.faithfulsae.metrics.Metrics#probe}; not API. */
@NullMarked
package io.faithfulsae.metrics.internal.probe;

import org.jspecify.annotations.NullMarked;
