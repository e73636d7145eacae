/** Tests of what is measured, at sizes that take no time. */
@NullMarked
package io.faithfulsae.benchmarks;

import org.jspecify.annotations.NullMarked;
