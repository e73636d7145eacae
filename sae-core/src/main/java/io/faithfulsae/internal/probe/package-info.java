/** The linear probes behind {@link io.faithfulsae.Metrics#probe}; not API. */
@NullMarked
package io.faithfulsae.internal.probe;

import org.jspecify.annotations.NullMarked;
