/** Comparison of finished runs, from result files. */
@NullMarked
package io.faithfulsae.compare;

import org.jspecify.annotations.NullMarked;
