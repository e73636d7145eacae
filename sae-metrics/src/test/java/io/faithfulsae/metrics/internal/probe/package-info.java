/** Tests of probing. */
@NullMarked
package io.faithfulsae.metrics.internal.probe;

import org.jspecify.annotations.NullMarked;
