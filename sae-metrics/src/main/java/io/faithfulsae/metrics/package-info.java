/** Results of the measurements in {@code Metrics}, each a record with its definition. */
@NullMarked
package io.faithfulsae.metrics;

import org.jspecify.annotations.NullMarked;
