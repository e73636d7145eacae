/** Comparison of finished runs, from result files. */
@NullMarked
package io.faithfulsae.study.compare;

import org.jspecify.annotations.NullMarked;
